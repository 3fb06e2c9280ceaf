/**
 * How Holdfast opens files of its own: what it writes, and what it believes when it reads it again (state, history, black
 * boxes, logs, copies of builds). A symbolic link in the last part of such a path was put there by another program: it is
 * not followed, because it may lead to a file that only this user may write or read. Folders may be links.
 *
 * Nothing here waits for more than the call itself: a named pipe, or a disk that hangs, is for the caller to give up.
 */
import { constants, fchmodSync, fstatSync, openSync, writeFileSync, closeSync, type Stats } from 'node:fs';
import { copyFile, mkdir, open, readFile, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';

const { O_APPEND, O_CREAT, O_NOFOLLOW = 0, O_NONBLOCK = 0, O_RDONLY, O_RDWR, O_WRONLY } = constants;

/** For this user alone. */
export const PRIVATE_FILE = 0o600;
export const PRIVATE_FOLDER = 0o700;
const PERMISSIONS = 0o777;

/** `append` also reads, and makes the file where there is none; `replace` empties what is there. */
type OpenedFor = 'read' | 'append' | 'replace';

const FLAGS: Readonly<Record<OpenedFor, number>> = {
  read: O_RDONLY | O_NOFOLLOW,
  append: O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW,
  // Not O_TRUNC: the file is looked at before it is emptied.
  replace: O_WRONLY | O_CREAT | O_NOFOLLOW,
};

/**
 * Opens a file of ours. One that was there with other permissions than `mode` gets these, where it is this user's.
 * Rejects with the file system's error, or with a sentence where the path is a symbolic link, or a file to replace is
 * another user's.
 */
export async function openOwn(path: string, how: OpenedFor, mode = PRIVATE_FILE): Promise<FileHandle> {
  const handle = await open(path, FLAGS[how], mode).catch((error: unknown) => {
    throw explained(error, path);
  });
  if (how === 'read') return handle;
  try {
    const status = await handle.stat();
    if (how === 'replace') requireOwn(status, path);
    // Where the file system knows no permissions, there are none to correct.
    if (differs(status, mode)) await handle.chmod(mode).catch(() => undefined);
    if (how === 'replace' && status.isFile() && status.size > 0) await handle.truncate(0);
    return handle;
  } catch (error) {
    await handle.close().catch(() => undefined);
    throw error;
  }
}

/** The text of a file of ours. Rejects as `openOwn`. */
export async function readOwn(path: string): Promise<string> {
  const handle = await openOwn(path, 'read');
  try {
    return await readFile(handle, 'utf8');
  } finally {
    await handle.close();
  }
}

/** Writes the whole file, for this user alone. Rejects as `openOwn`. */
export async function writeOwn(path: string, text: string): Promise<void> {
  const handle = await openOwn(path, 'replace');
  try {
    await handle.writeFile(text);
  } finally {
    await handle.close();
  }
}

/** Appends before the process ends. @throws as `openOwn` rejects. */
export function appendOwnSync(path: string, text: string, mode: number): void {
  let descriptor: number;
  try {
    descriptor = openSync(path, FLAGS.append, mode);
  } catch (error) {
    throw explained(error, path);
  }
  try {
    if (differs(fstatSync(descriptor), mode)) fchmodSync(descriptor, mode);
    writeFileSync(descriptor, text);
  } finally {
    closeSync(descriptor);
  }
}

/** Copies a file to a path where nothing, also no link, may be in the way: what is there is removed. */
export async function copyOwn(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await rm(to, { force: true });
  await copyFile(from, to, constants.COPYFILE_EXCL);
}

/** What a look into a file needs, which another user's program may have put there: it neither follows nor waits. */
export function openToLookSync(path: string): number {
  return openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
}

export function isOwn({ uid }: Pick<Stats, 'uid'>): boolean {
  return uid === (process.geteuid?.() ?? uid);
}

function differs(status: Stats, mode: number): boolean {
  return status.isFile() && isOwn(status) && (status.mode & PERMISSIONS) !== mode;
}

function requireOwn(status: Stats, path: string): void {
  if (isOwn(status)) return;
  throw new Error(`${path} belongs to uid ${status.uid}, and nothing is written to it; remove it`);
}

function explained(error: unknown, path: string): unknown {
  if ((error as NodeJS.ErrnoException).code !== 'ELOOP') return error;
  return new Error(`${path} is a symbolic link, and Holdfast follows none to its own files; remove it`, {
    cause: error,
  });
}
