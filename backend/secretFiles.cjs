/**
 * Secrets in files. `HA_API_TOKEN_FILE=/run/secrets/token` means: the content of that file, without its final line break,
 * is HA_API_TOKEN. It is read by the process that needs it, so that PM2, which writes down what it is given, has a path.
 *
 * A file is believed when no other user can have written it: it belongs to this user or root, and neither its group nor
 * others may write to it. CommonJS and without dependencies, like ecosystem.cjs.
 */
'use strict';

const { randomBytes } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

/** Settings of Holdfast that are secret (backend/src/config); test/house/ecosystem.test.ts keeps the two in step. */
const SECRETS = [
  'HA_API_TOKEN',
  'SESSION_SECRET',
  'NOTIFY_WEBHOOK_URL',
  'HEALTH_HEADERS',
  'CONSUL_TOKEN',
  'LB_STICKY_KEYS',
];

const LARGEST_BYTES = 64 * 1024;
const WRITABLE_BY_OTHERS = 0o022;

const REASONS = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file',
  EACCES: 'this user may not read it',
  EPERM: 'this user may not read it',
  ELOOP: 'it is a symbolic link, and none is followed here; put the file itself in its place',
  ENXIO: 'it is not a file',
};

/**
 * @param {string} file
 * @param {{ isOurs?: boolean }} [options] isOurs: it lies in a folder of Holdfast, where nothing puts a symbolic link.
 *   Default false: links are followed, as Kubernetes mounts secrets.
 * @returns {string} its content without the final line break, never empty
 * @throws with a clause that completes "FILE is named, but …", which never has the content
 */
function readSecretFile(file, options) {
  const text = contentOf(file, options);
  if (text === '') throw new Error('it is empty');
  return text;
}

/** As `readSecretFile`; may be empty. */
function contentOf(file, { isOurs = false } = {}) {
  const { O_RDONLY, O_NONBLOCK = 0, O_NOFOLLOW = 0 } = fs.constants;
  let descriptor;
  try {
    // A named pipe must not hold up the process that opens it.
    descriptor = fs.openSync(file, O_RDONLY | O_NONBLOCK | (isOurs ? O_NOFOLLOW : 0));
  } catch (error) {
    throw new Error(REASONS[error.code] ?? `it cannot be read (${error.code})`, { cause: error });
  }
  try {
    requireBelievable(file, fs.fstatSync(descriptor));
    const buffer = Buffer.alloc(LARGEST_BYTES + 1);
    const bytes = fs.readSync(descriptor, buffer, 0, buffer.length, 0);
    if (bytes > LARGEST_BYTES)
      throw new Error(`it is larger than ${LARGEST_BYTES / 1024} KiB, which no secret is`);
    return buffer.toString('utf8', 0, bytes).replace(/\r?\n$/, '');
  } finally {
    fs.closeSync(descriptor);
  }
}

function requireBelievable(file, status) {
  if (status.isDirectory()) throw new Error('it is a folder');
  if (!status.isFile()) throw new Error('it is a pipe, a socket or a device, and not a file');
  const user = process.geteuid?.();
  if (user === undefined) return;
  if (status.uid !== user && status.uid !== 0)
    throw new Error(
      `it belongs to uid ${status.uid}, another user, so it is not believed; run: chown ${user} ${file}`,
    );
  if ((status.mode & WRITABLE_BY_OTHERS) !== 0)
    throw new Error(`others may write to it, so it is not believed; run: chmod go-w ${file}`);
}

/**
 * Keeps a secret in `<folder>/<name>`, readable by this user only; writes only where something else stands there.
 * @returns {string} the file's path
 * @throws with a sentence for people
 */
function keepSecret(folder, name, value) {
  const file = path.join(folder, name);
  try {
    if (contentOf(file, { isOurs: true }) === value) return file;
  } catch {
    // It is not there, or not to be believed: it is replaced.
  }
  const draft = `${file}.${process.pid}-${randomBytes(4).toString('hex')}`;
  try {
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    fs.writeFileSync(draft, `${value}\n`, { flag: 'wx', mode: 0o600, flush: true });
    fs.renameSync(draft, file);
  } catch (error) {
    throw new Error(
      `${name} can't be kept in ${file}, because ${error.message}. ` +
        `Correct the permissions of its folder, or put it into a file of your own and name that with ${name}_FILE.`,
      { cause: error },
    );
  } finally {
    removeDraft(draft);
  }
  return file;
}

function removeDraft(draft) {
  try {
    fs.rmSync(draft, { force: true });
  } catch {
    // What was in the way of writing it is told.
  }
}

module.exports = { contentOf, keepSecret, readSecretFile, SECRETS };
