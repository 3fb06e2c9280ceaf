/**
 * The secret that signs sessions, made once and kept in a file of the data directory (`session-secret`), so that
 * sessions outlive restarts. The supervisor and the gateway read it themselves; an ecosystem file can tell its applications
 * where it is. CommonJS and without dependencies, like ecosystem.cjs.
 */
'use strict';

const { randomBytes } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

const { contentOf } = require('./secretFiles.cjs');

const SHORTEST_CHARACTERS = 32;
/** 256 bits, in base64url: 43 characters. */
const SECRET_BYTES = 32;

/**
 * @param {string} file made, readable by its owner only, where there is none
 * @returns {string}
 * @throws with a sentence for people where the file can't be made or holds no usable secret
 */
function keptSecret(file) {
  let secret;
  try {
    if (!fs.existsSync(file)) makeSecret(file);
    secret = contentOf(file, { isOurs: true }).trim();
  } catch (error) {
    throw new Error(
      `The secret for sessions can't be kept in ${file}, because ${error.message}. ` +
        'Correct the permissions of the file and its folder, or set SESSION_SECRET.',
      { cause: error },
    );
  }
  if (secret.length >= SHORTEST_CHARACTERS) return secret;
  throw new Error(
    `${file} holds ${secret.length} characters, and a usable secret has at least ${SHORTEST_CHARACTERS}. ` +
      'Remove it, and a new one is made (sessions start anew).',
  );
}

/** Written under another name and linked when it is whole: of two processes that start together, both read one secret. */
function makeSecret(file) {
  const draft = `${file}.${process.pid}-${randomBytes(4).toString('hex')}`;
  fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  try {
    fs.writeFileSync(draft, randomBytes(SECRET_BYTES).toString('base64url'), {
      flag: 'wx',
      mode: 0o600,
      flush: true,
    });
    fs.linkSync(draft, file);
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  } finally {
    fs.rmSync(draft, { force: true });
  }
}

module.exports = { keptSecret };
