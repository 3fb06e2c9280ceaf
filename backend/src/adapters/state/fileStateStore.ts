/**
 * The small state that must survive the supervisor: one JSON file, always whole.
 *
 * A save writes `<file>.tmp-<pid>-<n>` in the same directory, syncs it, renames it over the old file and syncs the
 * directory: whenever the process or the machine dies, the file is either the old or the new one. Saves run one after
 * the other.
 *
 * A disk that hangs (NFS, a dead device) never returns from a call, and each such call keeps a thread of the process. So a
 * save that takes too long is refused and given up: should the disk go on later, its text is not put in place any more. While
 * one is stuck, the next is tried after a pause, with a file of its own; with two of them stuck, none is.
 *
 * A file that can't be used (damaged, of another version) is moved aside, never overwritten: it may hold what a person needs
 * to find out what happened. One that can't be read now (the disk hangs or fails, no permission) may be whole: reading it is
 * waited for, or refused, and it stays where it is.
 */
import { link, mkdir, readdir, readFile, rename, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { HoldfastError, messageOf } from '../../domain/errors.js';
import { waitTelling, withTimeout } from '../../lib/deadline.js';
import { copyOwn, openOwn, PRIVATE_FOLDER } from '../../lib/ownFiles.js';
import type { StateStore } from '../../ports.js';
import { syncDirectory, writeSynced } from '../files/synced.js';

const VERSION = 1;
const MOST_DAMAGED_KEPT = 5;
const LARGEST_FILE_BYTES = 16 * 1024 * 1024;
const PATIENCE_MS = 10_000;
const RETRY_MS = 60_000;
const MOST_STUCK = 2;

export interface FileStateStoreOptions {
  /** How long a save may take, and how often it is told that a load takes long. Default 10 s. */
  readonly patienceMs?: number;
  /** Told of a load that the disk does not answer, again and again while that is so. */
  readonly onWaiting?: (waitedMs: number) => void;
  /** Between two saves while the disk hangs. Default 60 s. */
  readonly retryMs?: number;
  /** Writes one file for good. Default: writeSynced. */
  readonly write?: typeof writeSynced;
}

/** One try to write. */
interface Attempt {
  readonly number: number;
  readonly begunAtMs: number;
  /** Refused, because the disk took too long. */
  isGivenUp: boolean;
}

export class FileStateStore implements StateStore {
  readonly #file: string;
  readonly #directory: string;
  readonly #options: FileStateStoreOptions;
  readonly #writeFile: typeof writeSynced;
  #last: Promise<void> = Promise.resolve();
  #attempts = 0;
  readonly #stuck = new Set<Attempt>();
  /** What lies there, as far as it was written here. */
  #placed = { number: 0, text: '' };

  /** @param file its directory is created when needed; the file is readable by its owner only. */
  constructor(file: string, options: FileStateStoreOptions = {}) {
    this.#file = file;
    this.#directory = dirname(file);
    this.#options = options;
    this.#writeFile = options.write ?? writeSynced;
  }

  /** However long it takes. Rejects with `state.unreadable` (retryable) where the file is there and can't be read now. */
  load(): Promise<{ state: unknown; damaged?: { movedTo: string; problem: string } }> {
    const { patienceMs = PATIENCE_MS, onWaiting = () => undefined } = this.#options;
    return waitTelling(this.#load(), patienceMs, onWaiting);
  }

  async #load(): Promise<{ state: unknown; damaged?: { movedTo: string; problem: string } }> {
    await this.#removeLeftovers();
    let problem: string;
    try {
      const text = await readBounded(this.#file);
      if (text === null) return { state: null };
      const read = unwrap(text);
      if (read.ok) return { state: read.state };
      problem = read.problem;
    } catch (error) {
      if (!isNoStateFile(error)) throw this.#unreadable(error);
      problem = `it cannot be read: ${messageOf(error)}`;
    }
    return { state: null, damaged: { movedTo: await this.setAside(), problem } };
  }

  #unreadable(error: unknown): HoldfastError {
    return new HoldfastError(
      'state.unreadable',
      `The state file ${this.#file} cannot be read: ${messageOf(error)}. It is left as it is, and nothing begins without it. ` +
        `Mend the disk or correct the permissions, or move the file away to begin anew.`,
      { retryable: true, cause: error },
    );
  }

  /**
   * Resolves when this state is on the disk.
   * Rejects with `state.unwritable` (retryable), also when that takes too long; the old file is then still whole.
   */
  save(state: unknown): Promise<void> {
    // Now, not when its turn comes: the caller may change the object meanwhile.
    const text = `${JSON.stringify({ version: VERSION, savedAt: new Date().toISOString(), state })}\n`;
    const saved = this.#last.then(() => this.#write(text));
    this.#last = saved.catch(() => undefined);
    return saved;
  }

  async #write(text: string): Promise<void> {
    try {
      await this.#attempt(text);
    } catch (error) {
      throw new HoldfastError(
        'state.unwritable',
        `The state file ${this.#file} cannot be written: ${messageOf(error)}. ` +
          `Free the disk or correct the permissions; until then the state lives in memory only.`,
        { retryable: true, cause: error },
      );
    }
  }

  async #attempt(text: string): Promise<void> {
    const { patienceMs = PATIENCE_MS, retryMs = RETRY_MS } = this.#options;
    const begunAtMs = performance.now();
    const stuckForMs = [...this.#stuck].map((other) => begunAtMs - other.begunAtMs);
    if (stuckForMs.length >= MOST_STUCK || Math.min(Infinity, ...stuckForMs) < retryMs)
      throw notAnswered(Math.max(...stuckForMs));
    const attempt: Attempt = { number: ++this.#attempts, begunAtMs, isGivenUp: false };
    const done = this.#replaceFile(text, attempt).finally(() => this.#stuck.delete(attempt));
    return withTimeout(done, patienceMs, () => {
      attempt.isGivenUp = true;
      this.#stuck.add(attempt);
      return notAnswered(patienceMs);
    });
  }

  async #replaceFile(text: string, attempt: Attempt): Promise<void> {
    const temporary = `${this.#file}.tmp-${process.pid}-${attempt.number}`;
    try {
      await mkdir(this.#directory, { recursive: true, mode: PRIVATE_FOLDER });
      await this.#writeFile(temporary, text);
      if (attempt.isGivenUp) throw notAnswered(performance.now() - attempt.begunAtMs);
      await rename(temporary, this.#file);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined);
      throw error;
    }
    this.#noteInPlace(text, attempt);
    await syncDirectory(this.#directory);
  }

  /** One that hung while it was put in place may have covered a newer one, which is then written again. */
  #noteInPlace(text: string, { number }: Attempt): void {
    const placed = this.#placed;
    if (number > placed.number) this.#placed = { number, text };
    else this.#last = this.#last.then(() => this.#write(placed.text)).catch(() => undefined);
  }

  /** Temporary files of predecessors that died while they wrote. */
  async #removeLeftovers(): Promise<void> {
    const prefix = `${basename(this.#file)}.tmp-`;
    for (const name of await this.#namesBeginning(prefix)) {
      await rm(join(this.#directory, name), { force: true }).catch(() => undefined);
    }
  }

  /** Moves the file, and returns where it is now: still at its place when it can't be moved. */
  setAside(): Promise<string> {
    return this.#keepAs((damaged) => rename(this.#file, damaged));
  }

  /** A second name, where the disk can: that needs no room. The next save gives the first name to another file. */
  keepCopy(): Promise<string> {
    return this.#keepAs((damaged) => link(this.#file, damaged).catch(() => copyOwn(this.#file, damaged)));
  }

  /** @returns where it is now: still at its place when that failed. */
  async #keepAs(keep: (damaged: string) => Promise<void>): Promise<string> {
    const prefix = `${this.#file}.damaged-`;
    const damaged = `${prefix}${new Date().toISOString().replaceAll(':', '-')}`;
    try {
      await keep(damaged);
    } catch {
      return this.#file;
    }
    // Their names sort by time.
    const kept = (await this.#namesBeginning(basename(prefix))).sort();
    for (const name of kept.slice(0, -MOST_DAMAGED_KEPT)) {
      await rm(join(this.#directory, name), { force: true, recursive: true }).catch(() => undefined);
    }
    return damaged;
  }

  async #namesBeginning(prefix: string): Promise<string[]> {
    const names = await readdir(this.#directory).catch(() => []);
    return names.filter((name) => name.startsWith(prefix));
  }
}

/** Whether what lies there is no file that could hold a state: a folder, a link, something much too large. */
function isNoStateFile(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === undefined || code === 'EISDIR';
}

function notAnswered(forMs: number): Error {
  return new Error(`the disk has not answered for ${Math.max(1, Math.round(forMs / 1000))} s`);
}

type Unwrapped =
  { readonly ok: true; readonly state: unknown } | { readonly ok: false; readonly problem: string };

function unwrap(text: string): Unwrapped {
  let envelope: unknown;
  try {
    envelope = JSON.parse(text);
  } catch (error) {
    const problem = text.trim() === '' ? 'it is empty' : `it is not JSON: ${messageOf(error)}`;
    return { ok: false, problem };
  }
  if (
    typeof envelope !== 'object' ||
    envelope === null ||
    !('version' in envelope) ||
    !('state' in envelope)
  ) {
    return { ok: false, problem: 'it is JSON, but not a state file of Holdfast' };
  }
  // A version that is no number is damage like any other: it says nothing of the rest.
  if (typeof envelope.version === 'number' && envelope.version !== VERSION) {
    const { version } = envelope;
    return { ok: false, problem: `it has version ${version}; this Holdfast reads version ${VERSION}` };
  }
  return { ok: true, state: envelope.state };
}

/** null when there is no such file. */
async function readBounded(file: string): Promise<string | null> {
  let handle: FileHandle;
  try {
    handle = await openOwn(file, 'read');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    const { size } = await handle.stat();
    if (size > LARGEST_FILE_BYTES) throw new Error(`${size} bytes is more than a state file ever has`);
    return await readFile(handle, 'utf8');
  } finally {
    await handle.close();
  }
}
