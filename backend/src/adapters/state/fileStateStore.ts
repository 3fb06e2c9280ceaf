/**
 * The small state that must survive the supervisor: one JSON file, always whole.
 *
 * A save writes `<file>.tmp-<pid>` in the same directory, syncs it, renames it over the old file and syncs the
 * directory: whenever the process or the machine dies, the file is either the old or the new one. Saves run one after
 * the other; whoever saves often (services/desiredState) does not ask for the next before the last has ended.
 *
 * A file that can't be used (damaged, unreadable, of another version) is moved aside, never overwritten: it may hold
 * what a person needs to find out what happened.
 */
import { mkdir, open, readdir, readFile, rename, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { HoldfastError, messageOf } from '../../domain/errors.js';
import type { StateStore } from '../../ports.js';
import { syncDirectory, writeSynced } from '../files/synced.js';

const VERSION = 1;
const MOST_DAMAGED_KEPT = 5;
const LARGEST_FILE_BYTES = 16 * 1024 * 1024;

export class FileStateStore implements StateStore {
  readonly #file: string;
  readonly #directory: string;
  #last: Promise<void> = Promise.resolve();

  /** @param file its directory is created when needed; the file is readable by its owner only. */
  constructor(file: string) {
    this.#file = file;
    this.#directory = dirname(file);
  }

  async load(): Promise<{ state: unknown; damaged?: { movedTo: string; problem: string } }> {
    await this.#removeLeftovers();
    let problem: string;
    try {
      const text = await readBounded(this.#file);
      if (text === null) return { state: null };
      const read = unwrap(text);
      if (read.ok) return { state: read.state };
      problem = read.problem;
    } catch (error) {
      problem = `it cannot be read: ${messageOf(error)}`;
    }
    return { state: null, damaged: { movedTo: await this.setAside(), problem } };
  }

  /**
   * Resolves when this state is on the disk.
   * Rejects with `state.unwritable` (retryable); the old file is then still whole.
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
      await this.#replaceFile(text);
    } catch (error) {
      throw new HoldfastError(
        'state.unwritable',
        `The state file ${this.#file} cannot be written: ${messageOf(error)}. ` +
          `Free the disk or correct the permissions; until then the state lives in memory only.`,
        { retryable: true, cause: error },
      );
    }
  }

  async #replaceFile(text: string): Promise<void> {
    const temporary = `${this.#file}.tmp-${process.pid}`;
    await mkdir(this.#directory, { recursive: true });
    try {
      await writeSynced(temporary, text);
      await rename(temporary, this.#file);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined);
      throw error;
    }
    await syncDirectory(this.#directory);
  }

  /** Temporary files of predecessors that died while they wrote. */
  async #removeLeftovers(): Promise<void> {
    const prefix = `${basename(this.#file)}.tmp-`;
    for (const name of await this.#namesBeginning(prefix)) {
      await rm(join(this.#directory, name), { force: true }).catch(() => undefined);
    }
  }

  /** Moves the file, and returns where it is now: still at its place when it can't be moved. */
  async setAside(): Promise<string> {
    const prefix = `${this.#file}.damaged-`;
    const movedTo = `${prefix}${new Date().toISOString().replaceAll(':', '-')}`;
    try {
      await rename(this.#file, movedTo);
    } catch {
      return this.#file;
    }
    // Their names sort by time.
    const kept = (await this.#namesBeginning(basename(prefix))).sort();
    for (const name of kept.slice(0, -MOST_DAMAGED_KEPT)) {
      await rm(join(this.#directory, name), { force: true, recursive: true }).catch(() => undefined);
    }
    return movedTo;
  }

  async #namesBeginning(prefix: string): Promise<string[]> {
    const names = await readdir(this.#directory).catch(() => []);
    return names.filter((name) => name.startsWith(prefix));
  }
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
  if (envelope.version !== VERSION) {
    const version = JSON.stringify(envelope.version);
    return { ok: false, problem: `it has version ${version}; this Holdfast reads version ${VERSION}` };
  }
  return { ok: true, state: envelope.state };
}

/** null when there is no such file. */
async function readBounded(file: string): Promise<string | null> {
  let handle: FileHandle;
  try {
    handle = await open(file, 'r');
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
