/**
 * Black boxes as folders, `<directory>/<service>-<pmId>-<time>/`, readable by their owner only.
 *
 *   .new-<id>/   written and synced file by file, then renamed into its place: an entry is there as a whole or not at all
 *   <id>/        completed the same way, file by file; summary.json, which names the rest, comes last
 *   .gone-<id>/  renamed away before it is removed, so that nobody sees half of it
 *
 * What a predecessor left under the first and the last name is removed at the start. When the disk is full the big
 * files are left out, and the summary says so; when even that has no room there is no entry. Room is made before it is
 * taken (domain/blackBox, surplusEntries), so the limits hold at every moment, for what is being written, too.
 */
import { lstat, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BLACK_BOX_FILES, isBlackBoxId, surplusEntries } from '../../domain/blackBox/blackBox.js';
import type { BlackBoxEntry, BlackBoxFile, BlackBoxSummary } from '../../domain/blackBox/blackBox.js';
import { messageOf } from '../../domain/errors.js';
import { withTimeout } from '../../lib/deadline.js';
import { PRIVATE_FOLDER, readOwn } from '../../lib/ownFiles.js';
import { RingBuffer } from '../../lib/ringBuffer.js';
import type { BlackBoxPieces, BlackBoxStore, Logger } from '../../ports.js';
import { syncDirectory, writeSynced } from '../files/synced.js';
import { renderPieces, renderSummary } from './render.js';
import type { Omitted, Rendered } from './render.js';

export interface FileBlackBoxStoreOptions {
  /** Made when the first entry is written. */
  readonly directory: string;
  readonly mostEntries: number;
  readonly mostBytes: number;
  readonly logger: Logger;
  /** How long the disk may take. Default 10 s. */
  readonly patienceMs?: number;
}

type Known = Omit<BlackBoxEntry, 'bytes' | 'files'> & {
  readonly files: ReadonlyMap<BlackBoxFile, number>;
  readonly omitted: readonly Omitted[];
};

const PATIENCE_MS = 10_000;
const NEW = '.new-';
const GONE = '.gone-';
const LARGEST_SUMMARY_BYTES = 1024 * 1024;
/** Entries that made room and may still be completed by whoever began them. */
const REMEMBERED_GONE = 100;

export class FileBlackBoxStore implements BlackBoxStore {
  readonly #options: FileBlackBoxStoreOptions;
  readonly #entries = new Map<string, Known>();
  readonly #gone = new RingBuffer<string>(REMEMBERED_GONE);
  #last: Promise<unknown> = Promise.resolve();
  #dropped = 0;
  #failing = false;
  /** A save, or reading what was there, has taken longer than it may, and has not ended yet. */
  #isStuck = false;
  /** Why the folder could not be read the last time. */
  #unreadable: string | null = null;

  private constructor(options: FileBlackBoxStoreOptions) {
    this.#options = options;
  }

  /**
   * Reads what is there. Never rejects: what can't be read is logged and left alone. A disk that hangs is not waited for longer
   * than `patienceMs`; what is there is known when it goes on.
   */
  static async open(options: FileBlackBoxStoreOptions): Promise<FileBlackBoxStore> {
    const store = new FileBlackBoxStore(options);
    const opened = store.#readAll().then(() => store.#makeRoom(null, 0, 0));
    store.#last = opened;
    await store.#withinPatience(opened).catch((thrown: unknown) => {
      const { directory, logger } = options;
      logger.warn('the folder of black boxes cannot be read', { directory, problem: messageOf(thrown) });
    });
    return store;
  }

  /** A disk that hangs keeps no caller waiting, and what comes meanwhile is not written. */
  async save(summary: BlackBoxSummary, pieces: BlackBoxPieces): Promise<boolean> {
    if (this.#isStuck) {
      this.#dropped += 1;
      return false;
    }
    const saved = this.#last.then(() => this.#save(summary, pieces));
    this.#last = saved;
    return this.#withinPatience(saved).catch((thrown: unknown) => this.#notWritten(summary.id, thrown));
  }

  /** Rejects when it takes longer; until it ends nothing is written. */
  #withinPatience<T>(work: Promise<T>): Promise<T> {
    const { patienceMs = PATIENCE_MS } = this.#options;
    return withTimeout(work, patienceMs, () => {
      this.#isStuck = true;
      const isOver = (): void => void (this.#isStuck = false);
      void work.then(isOver, isOver);
      return new Error(`the disk has not answered for ${Math.ceil(patienceMs / 1000)} s`);
    });
  }

  async list(): Promise<readonly BlackBoxEntry[]> {
    const names = await this.#names();
    const present = names === null ? null : new Set(names);
    // A person may have removed some; a folder that can't be read says nothing about that.
    for (const id of this.#entries.keys()) if (present?.has(id) === false) this.#entries.delete(id);
    return [...this.#entries.values()].map(asEntry).sort((a, b) => a.at.localeCompare(b.at));
  }

  async read(id: string, file: BlackBoxFile): Promise<string | null> {
    // Only names of entries that were found or written here become paths.
    if (this.#entries.get(id)?.files.has(file) !== true) return null;
    return readOwn(join(this.#options.directory, id, file)).catch(() => null);
  }

  dropped(): number {
    return this.#dropped;
  }

  async #save(summary: BlackBoxSummary, pieces: BlackBoxPieces): Promise<boolean> {
    const { id } = summary;
    if (!isBlackBoxId(id) || this.#gone.toArray().includes(id)) return false;
    const known = this.#entries.get(id);
    if (known !== undefined && !(await isThere(join(this.#options.directory, id)))) {
      // A person removed it while it was being completed, and does not want it back.
      this.#forget(id);
      return true;
    }
    try {
      const rendered = renderPieces(pieces);
      const omittedBefore = known?.omitted.filter(({ file }) => !hasFile(rendered.files, file)) ?? [];
      const omitted = [...omittedBefore, ...rendered.omitted];
      const texts = [...rendered.files.map(({ text }) => text), renderSummary(summary, omitted)];
      const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
      await this.#makeRoom(id, known === undefined ? 1 : 0, bytes);
      const written = await this.#write(summary, rendered.files, omitted);
      this.#entries.set(id, { ...written, files: new Map([...(known?.files ?? []), ...written.files]) });
      this.#dropped += written.omitted.length - omittedBefore.length;
      if (this.#failing) this.#options.logger.info('black boxes are written again', { blackBox: id });
      this.#failing = false;
      return true;
    } catch (error) {
      return this.#notWritten(id, error);
    }
  }

  #notWritten(id: string, error: unknown): false {
    this.#dropped += 1;
    if (!this.#failing) {
      this.#options.logger.error('a black box cannot be written; others are tried, and counted', {
        blackBox: id,
        directory: this.#options.directory,
        problem: messageOf(error),
      });
    }
    this.#failing = true;
    return false;
  }

  /** Rejects when not even the summary could be written. */
  async #write(
    summary: BlackBoxSummary,
    files: readonly Rendered[],
    omittedBefore: readonly Omitted[],
  ): Promise<Known> {
    const { id, service, pmId, at, cause, detail, outcome } = summary;
    const { directory } = this.#options;
    const place = join(directory, id);
    const draft = join(directory, `${NEW}${id}`);
    const omitted = [...omittedBefore];
    const sizes = new Map<BlackBoxFile, number>();
    const put = async (file: BlackBoxFile, text: string): Promise<void> => {
      await writeSynced(join(draft, file), text);
      sizes.set(file, Buffer.byteLength(text));
    };
    try {
      await rm(draft, { recursive: true, force: true });
      await mkdir(directory, { recursive: true, mode: PRIVATE_FOLDER });
      await mkdir(draft, { mode: PRIVATE_FOLDER });
      for (const { file, text } of files) {
        try {
          await put(file, text);
        } catch (error) {
          await rm(join(draft, file), { force: true });
          omitted.push({ file, why: messageOf(error) });
        }
      }
      await put('summary.json', renderSummary(summary, omitted));
      await syncDirectory(draft);
      await this.#moveIn(draft, place, this.#entries.has(id), [...sizes.keys()]);
    } finally {
      await rm(draft, { recursive: true, force: true }).catch(() => undefined);
    }
    return { id, service, pmId, at, cause, detail, outcome: outcome?.kind ?? null, files: sizes, omitted };
  }

  async #moveIn(
    draft: string,
    place: string,
    isAddition: boolean,
    files: readonly BlackBoxFile[],
  ): Promise<void> {
    if (isAddition) {
      for (const file of files) await rename(join(draft, file), join(place, file));
      await syncDirectory(place);
    } else {
      await rename(draft, place);
      await syncDirectory(this.#options.directory);
    }
  }

  /** Removes what must go for so many more entries and bytes. */
  async #makeRoom(forId: string | null, moreEntries: number, moreBytes: number): Promise<void> {
    const { directory, mostEntries, mostBytes, logger } = this.#options;
    const limits = {
      mostEntries: Math.max(0, mostEntries - moreEntries),
      mostBytes: Math.max(0, mostBytes - moreBytes),
    };
    const surplus = surplusEntries([...this.#entries.values()].map(asEntry), limits, forId);
    for (const id of surplus) {
      const aside = join(directory, `${GONE}${id}`);
      try {
        await rename(join(directory, id), aside);
        await rm(aside, { recursive: true, force: true });
      } catch (error) {
        const isGone = (error as NodeJS.ErrnoException).code === 'ENOENT';
        if (!isGone)
          logger.warn('a black box cannot be removed', { blackBox: id, problem: messageOf(error) });
      }
      this.#forget(id);
    }
  }

  #forget(id: string): void {
    this.#entries.delete(id);
    this.#gone.push(id);
  }

  /** What lies in the folder; null, and told once, when that can't be known now. */
  async #names(): Promise<readonly string[] | null> {
    const { directory, logger } = this.#options;
    try {
      const names = await readdir(directory);
      this.#unreadable = null;
      return names;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      const problem = messageOf(error);
      if (problem !== this.#unreadable)
        logger.warn('the folder of black boxes cannot be read', { directory, problem });
      this.#unreadable = problem;
      return null;
    }
  }

  async #readAll(): Promise<void> {
    const { directory, logger } = this.#options;
    let strange = 0;
    for (const name of (await this.#names()) ?? []) {
      if (name.startsWith(NEW) || name.startsWith(GONE)) {
        await rm(join(directory, name), { recursive: true, force: true }).catch(() => undefined);
        continue;
      }
      const known = isBlackBoxId(name) ? await readEntry(directory, name) : null;
      if (known === null) strange += 1;
      else this.#entries.set(name, known);
    }
    if (strange > 0) logger.warn('some of what lies among the black boxes is none', { directory, strange });
  }
}

/** Also when nobody can look: only one that is surely gone was removed by a person. */
async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code !== 'ENOENT',
  );
}

function hasFile(files: readonly Rendered[], wanted: BlackBoxFile): boolean {
  return files.some(({ file }) => file === wanted);
}

function asEntry({ omitted: _omitted, files, ...entry }: Known): BlackBoxEntry {
  const listed = BLACK_BOX_FILES.flatMap((name) => {
    const bytes = files.get(name);
    return bytes === undefined ? [] : [{ name, bytes }];
  });
  return { ...entry, bytes: listed.reduce((sum, { bytes }) => sum + bytes, 0), files: listed };
}

/** null when the folder holds no summary that is its own. */
async function readEntry(directory: string, id: string): Promise<Known | null> {
  try {
    const files = new Map<BlackBoxFile, number>();
    for (const file of BLACK_BOX_FILES) {
      const status = await lstat(join(directory, id, file)).catch(() => null);
      if (status?.isFile() === true) files.set(file, status.size);
    }
    if ((files.get('summary.json') ?? Infinity) > LARGEST_SUMMARY_BYTES) return null;
    const read: unknown = JSON.parse(await readOwn(join(directory, id, 'summary.json')));
    if (typeof read !== 'object' || read === null) return null;
    const summary = read as Partial<BlackBoxSummary>;
    const { service, pmId, at, cause, detail, outcome, omitted } = summary;
    const isOurs =
      summary.id === id &&
      typeof service === 'string' &&
      typeof pmId === 'number' &&
      typeof at === 'string' &&
      typeof cause === 'string' &&
      typeof detail === 'string';
    if (!isOurs) return null;
    return {
      id,
      service,
      pmId,
      at,
      cause,
      detail,
      outcome: outcome?.kind ?? null,
      files,
      omitted: omitted ?? [],
    };
  } catch {
    return null;
  }
}
