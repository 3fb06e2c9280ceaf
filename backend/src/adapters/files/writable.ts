/** Whether folders and files can be written, and a sentence for people where they can't. */
import { accessSync, constants, mkdirSync, readdirSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { HoldfastError, messageOf } from '../../domain/errors.js';
import { PRIVATE_FOLDER } from '../../lib/ownFiles.js';

/** A folder that something is written to. */
export interface WrittenFolder {
  /** For people: "data folder". */
  readonly what: string;
  readonly path: string;
  /** What chooses another: "HA_DATA_DIR". */
  readonly setting: string;
  /** Names in it that are written when they are there already. Default: none is looked at. */
  readonly names?: RegExp;
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EEXIST: 'there is a file, not a folder',
  ENOENT: 'it is not there',
  ENAMETOOLONG: 'the path is too long',
  ELOOP: 'its symbolic links lead in a circle',
};

/** What another moment may mend without a person. */
const PASSING: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT']);

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? '';

/** An error of the file system in words, without its code, call and path. */
export function plainReason(error: unknown): string {
  const text = messageOf(error);
  return REASONS[codeOf(error)] ?? text;
}

/**
 * Makes the folders that are missing, and looks whether they and the files that lie in them can be written.
 * @throws HoldfastError `folder.unwritable`, a sentence for each that can't be.
 */
export function requireWritable(folders: readonly WrittenFolder[]): void {
  const found = folders.flatMap((folder) => problemOf(folder) ?? []);
  if (found.length === 0) return;
  const retryable = found.every(({ code }) => PASSING.has(code));
  throw new HoldfastError('folder.unwritable', found.map(({ sentence }) => sentence).join('\n'), {
    retryable,
  });
}

function problemOf({ what, path, setting, names }: WrittenFolder): { sentence: string; code: string } | null {
  const describe = (subject: string, error: unknown): { sentence: string; code: string } => ({
    code: codeOf(error),
    sentence: `The ${subject} cannot be written: ${plainReason(error)}${asUser(error)}. Correct its owner or permissions, or choose another folder with ${setting}.`,
  });
  try {
    mkdirSync(path, { recursive: true, mode: PRIVATE_FOLDER });
    accessSync(path, constants.W_OK | constants.X_OK);
  } catch (error) {
    return describe(`${what} ${path}`, error);
  }
  for (const file of names === undefined ? [] : entriesOf(path, names)) {
    try {
      accessSync(file, constants.W_OK);
    } catch (error) {
      // One that vanished meanwhile is none.
      if (codeOf(error) !== 'ENOENT') return describe(`file ${file} in the ${what}`, error);
    }
  }
  return null;
}

function entriesOf(folder: string, names: RegExp): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => names.test(name))
      .map((name) => join(folder, name));
  } catch {
    return [];
  }
}

/** The user of this process, where that is the point. */
function asUser(error: unknown): string {
  if (REASONS[codeOf(error)] !== REASONS['EACCES']) return '';
  try {
    const { username, uid } = userInfo();
    return ` for ${username} (uid ${uid})`;
  } catch {
    // A uid without an entry in the system's list of users.
    return ` for uid ${process.getuid?.() ?? '?'}`;
  }
}

/** Whether `error` is one that the operating system gave for a file. */
export function isFileError(error: unknown): error is NodeJS.ErrnoException & { readonly path: string } {
  const { code, path, syscall } = error as NodeJS.ErrnoException;
  return typeof code === 'string' && typeof path === 'string' && typeof syscall === 'string';
}
