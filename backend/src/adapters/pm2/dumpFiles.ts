/**
 * `pm2 save` writes the list of PM2, with the environment of each process, to a file that every user of the machine may
 * read. One that has secrets of ours is made readable for its owner alone. PM2 keeps the permissions of a file that is
 * there, so that holds until the file is removed.
 */
import { closeSync, fchmodSync, fstatSync, lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../domain/errors.js';
import { isOwn, openToLookSync, PRIVATE_FILE } from '../../lib/ownFiles.js';
import type { Clock } from '../../ports.js';

const NAMES = ['', '.bak'].map((end) => `dump.pm2${end}`);
const OTHERS = 0o077;
const LARGEST_BYTES = 64 * 1024 * 1024;
/** A shorter value may be found by chance. */
const SHORTEST_VALUE_CHARACTERS = 8;
const LOOK_MS = 10_000;

export interface Narrowed {
  readonly file: string;
  /** As they were: `0644`. */
  readonly mode: string;
  /** Variables that are secret and have a value in it. */
  readonly holds: readonly string[];
}

export interface DumpGuardOptions {
  readonly pm2Home: string;
  /** Names of the variables that are secret, asked at each look. */
  readonly names: () => readonly string[];
  /** Values of the configuration that are secret. */
  readonly secrets: readonly string[];
  readonly clock: Clock;
  readonly onNarrowed: (narrowed: Narrowed) => void;
  /** Told once of each reason why a file can't be looked at or narrowed. */
  readonly onProblem: (file: string, problem: string) => void;
}

/** Looks now and every ten seconds, at two entries of a folder, until the returned function is called. Never throws. */
export function guardDumps(options: DumpGuardOptions): () => void {
  /** Of each file its state when it was read last: one that has not changed is not read again. And problems told. */
  const seen = new Map<string, string>();
  let cancel = (): void => undefined;
  const look = (): void => {
    for (const name of NAMES) lookAt(join(options.pm2Home, name), seen, options);
    cancel = options.clock.after(LOOK_MS, look);
  };
  look();
  return () => cancel();
}

function lookAt(file: string, seen: Map<string, string>, options: DumpGuardOptions): void {
  try {
    const status = lstatSync(file, { throwIfNoEntry: false });
    if (status === undefined || !status.isFile() || (status.mode & OTHERS) === 0) return;
    const state = [status.ino, status.mode, status.mtimeMs, status.size].join(':');
    if (seen.get(file) === state) return;
    seen.set(file, state);
    const narrowed = narrow(file, options);
    if (narrowed !== null) options.onNarrowed(narrowed);
  } catch (error) {
    const problem = messageOf(error);
    if (seen.get(problem) !== undefined) return;
    seen.set(problem, file);
    options.onProblem(file, problem);
  }
}

/** null: it holds no secret, or is another user's. @throws where it can't be read or narrowed. */
function narrow(file: string, options: DumpGuardOptions): Narrowed | null {
  const descriptor = openToLookSync(file);
  try {
    const status = fstatSync(descriptor);
    if (!status.isFile() || !isOwn(status) || status.size > LARGEST_BYTES) return null;
    const holds = secretsIn(readFileSync(descriptor, 'utf8'), options);
    if (holds.length === 0) return null;
    fchmodSync(descriptor, PRIVATE_FILE);
    return { file, mode: (status.mode & 0o777).toString(8).padStart(4, '0'), holds };
  } finally {
    closeSync(descriptor);
  }
}

/** Names of variables, and `another secret` for a value that stands there under no name of ours. */
function secretsIn(dump: string, { names, secrets }: DumpGuardOptions): readonly string[] {
  const found = names().filter((name) => new RegExp(`"${name}": ?"[^"]`).test(dump));
  if (found.length > 0) return found;
  const isThere = secrets.some(
    (value) => value.length >= SHORTEST_VALUE_CHARACTERS && dump.includes(JSON.stringify(value).slice(1, -1)),
  );
  return isThere ? ['another secret'] : [];
}
