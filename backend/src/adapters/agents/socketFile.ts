/**
 * The name under which agents find the supervisor: a unix socket, 0600 in a folder 0700, both of this user.
 *
 * The socket is bound under a name of its own in that folder, given its permissions, and only then renamed to the name
 * that agents know: nobody ever finds it with other permissions, a dead supervisor's socket is replaced without a
 * moment in which there is none, and closing it (which removes the name it was bound under) can't remove a stranger's.
 * What is at that name and not a dead socket is somebody else's and stays: a file, a folder, a link, a socket that
 * somebody listens on.
 */
import { chmodSync, lstatSync, mkdirSync, renameSync, rmSync, type Stats } from 'node:fs';
import { connect, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { messageOf } from '../../domain/errors.js';

export type Claim =
  /** `inode` says later whether the name is still ours. */
  { readonly ok: true; readonly inode: number } | { readonly ok: false; readonly problem: string };

/** Makes `server` listen there, or says for people why it can't. Never rejects. */
export async function claimSocket(path: string, server: Server): Promise<Claim> {
  try {
    const folder = dirname(path);
    const obstacle = prepareFolder(folder) ?? (await inTheWay(path));
    if (obstacle !== null) return { ok: false, problem: obstacle };
    const draft = join(folder, `a.${process.pid}`);
    rmSync(draft, { force: true });
    await listen(server, draft);
    chmodSync(draft, 0o600);
    renameSync(draft, path);
    return { ok: true, inode: lstatSync(path).ino };
  } catch (thrown) {
    server.close();
    return { ok: false, problem: messageOf(thrown) };
  }
}

/** Whether that name still leads to the socket that was claimed. Never throws: where nobody can look, it doesn't. */
export function isStillOurs(path: string, inode: number): boolean {
  try {
    const found = look(path);
    return found !== null && found.isSocket() && found.ino === inode;
  } catch {
    // Agents can't get there either. Claiming it anew meets the same problem, and says so.
    return false;
  }
}

/** Takes the name away, if it is still ours. Never throws. */
export function releaseSocket(path: string, inode: number): void {
  try {
    if (isStillOurs(path, inode)) rmSync(path);
  } catch {
    // It stays as a dead socket, which the next supervisor replaces.
  }
}

/** A sentence when agents' folder is not private to this user and can't be made so. */
function prepareFolder(folder: string): string | null {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const found = lstatSync(folder);
  if (!found.isDirectory()) return `${folder} is not a folder`;
  if (found.uid !== process.getuid?.()) return `${folder} belongs to another user`;
  if ((found.mode & 0o777) !== 0o700) chmodSync(folder, 0o700);
  return null;
}

/** A sentence when something is there that is not ours to remove. */
async function inTheWay(path: string): Promise<string | null> {
  const found = look(path);
  if (found === null) return null;
  if (!found.isSocket()) return `${path} is ${kindOf(found)} and not a socket; it is left alone`;
  return (await isDead(path)) ? null : `another process listens on ${path}`;
}

function look(path: string): Stats | null {
  return lstatSync(path, { throwIfNoEntry: false }) ?? null;
}

function kindOf(found: Stats): string {
  if (found.isSymbolicLink()) return 'a symbolic link';
  return found.isDirectory() ? 'a folder' : 'a file';
}

/** Nobody listens: the kernel refuses at once, and accepts or asks to wait where somebody does. */
function isDead(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  });
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
