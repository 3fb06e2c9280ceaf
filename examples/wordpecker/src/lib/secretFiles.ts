/**
 * Secrets in files: `MYSQL_PASSWORD_FILE=/run/secrets/mysql` means that MYSQL_PASSWORD is the content of that file, without
 * its final line break. So PM2, which shows and writes down the variables it is given, has a path and not the secret.
 */
import fs from 'node:fs';
import type { Env } from './env.js';

const SECRETS = ['SESSION_SECRET', 'JWT_SECRET', 'MYSQL_PASSWORD', 'REDIS_CONN_STRING'] as const;
const LARGEST_BYTES = 64 * 1024;
const WRITABLE_BY_OTHERS = 0o022;

/** `env` with the values of all secrets that it names files for. Puts what is wrong into `problems`, never a content. */
export function withSecrets(env: Env, problems: string[]): Env {
  const secrets: Record<string, string> = {};
  for (const name of SECRETS) {
    const file = env[`${name}_FILE`]?.trim() ?? '';
    if (file === '') continue;
    if ((env[name] ?? '') !== '') {
      problems.push(`${name} and ${name}_FILE are both set: set one of the two`);
      continue;
    }
    try {
      secrets[name] = contentOf(file);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      problems.push(
        `${name}_FILE names ${file}, but ${code === undefined ? message : `it cannot be read (${code})`}`,
      );
    }
  }
  return { ...env, ...secrets };
}

function contentOf(file: string): string {
  // A named pipe must not hold up the start.
  const descriptor = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  try {
    const { mode, uid, ...status } = fs.fstatSync(descriptor);
    const user = process.geteuid?.() ?? uid;
    if ((mode & fs.constants.S_IFMT) !== fs.constants.S_IFREG) throw new Error('it is not a file');
    if (uid !== user && uid !== 0) throw new Error(`it belongs to uid ${uid}: make it your own`);
    if ((mode & WRITABLE_BY_OTHERS) !== 0) throw new Error('others may write to it: run chmod go-w on it');
    if (status.size > LARGEST_BYTES) throw new Error('it is larger than a secret is');
    const text = fs.readFileSync(descriptor, 'utf8').replace(/\r?\n$/, '');
    if (text === '') throw new Error('it is empty');
    return text;
  } finally {
    fs.closeSync(descriptor);
  }
}
