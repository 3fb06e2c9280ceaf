/**
 * A lock between processes of one machine that a killed holder cannot leave behind.
 *
 * The usual lock file has a hole: two waiters find it stale, the first replaces it, the second removes the fresh
 * one. So there is no single file to take over here. The lock is a folder of claims, one file per contender, named
 * after its pid and start time. To acquire:
 *   1. create your own claim (O_EXCL),
 *   2. list the folder: another claim of a *live* process → remove yours, wait a random moment, start again;
 *      claims of dead processes are removed, which can hurt nobody because nobody else has that name,
 *   3. none → you hold it, until you remove your claim or die.
 * Of two contenders the one that lists second sees the first, so they can never both hold it.
 */
import { randomUUID } from 'node:crypto';
import { closeSync, existsSync, lstatSync, mkdirSync, openSync, readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { PRIVATE_FOLDER } from './ownFiles.js';
import { identify, isSameProcessAlive, type ProcessIdentity } from './processIdentity.js';

export interface PidLockOptions {
  /** Give up after this long; 0 tries once. Default 0 ms. */
  readonly waitMs?: number;
  /** Uniform in [0, 1), spreads contenders. Default Math.random. */
  readonly random?: () => number;
}

/**
 * Acquires the lock `folder` (created when missing).
 * @returns the release (idempotent), or null when somebody else held it for all of `waitMs`.
 * Throws when the folder cannot be written.
 */
export async function acquirePidLock(
  folder: string,
  { waitMs = 0, random = Math.random }: PidLockOptions = {},
): Promise<(() => void) | null> {
  mkdirSync(folder, { recursive: true, mode: PRIVATE_FOLDER });
  // Claims are removed in it: not in the folder that a link, put there by another program, leads to.
  if (lstatSync(folder).isSymbolicLink()) throw new Error(`${folder} is a symbolic link; remove it`);
  const deadlineMs = performance.now() + waitMs;
  const self = identify(process.pid);
  const claim = join(folder, `${self.pid}-${self.startTicks ?? 'x'}-${randomUUID()}`);
  for (;;) {
    closeSync(openSync(claim, 'wx'));
    if (!othersAlive(folder, claim)) return () => removeIfThere(claim);
    removeIfThere(claim);
    if (performance.now() >= deadlineMs) return null;
    await new Promise((resolve) => setTimeout(resolve, 5 + random() * 45));
  }
}

/** Live processes that hold the lock `folder`, or are trying to; without a guarantee that they still do. */
export function lockHolders(folder: string): readonly ProcessIdentity[] {
  const claims = existsSync(folder) ? readdirSync(folder) : [];
  return claims
    .map(parseClaim)
    .filter((identity) => identity !== null)
    .filter((identity) => isSameProcessAlive(identity));
}

function othersAlive(folder: string, own: string): boolean {
  let alive = false;
  for (const entry of readdirSync(folder)) {
    const path = join(folder, entry);
    const identity = parseClaim(entry);
    if (path === own || identity === null) continue;
    if (isSameProcessAlive(identity)) alive = true;
    else removeIfThere(path);
  }
  return alive;
}

function parseClaim(name: string): ProcessIdentity | null {
  const match = /^(\d+)-(\d+|x)-/.exec(name);
  if (match === null) return null;
  return { pid: Number(match[1]), startTicks: match[2] === 'x' ? null : Number(match[2]) };
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
