/**
 * Appends lines to a file that is never unbounded: rotated by size (`x.log` → `x.log.1` → …) and by age. The live
 * file always has the plain name.
 *
 * `write` only queues. One pump at a time takes lines from the queue, opens the file when needed and writes:
 *
 *   idle ── write ──▶ pumping ── queue empty ──▶ idle
 *                       │  ▲
 *           disk full … ▼  │ after a delay, 1 s doubling to 30 s
 *                     waiting
 *
 * While the disk refuses, lines wait in bounded memory; what does not fit is dropped and counted. A batch that was
 * only partly written is taken back by truncation, so that no line is ever torn or doubled by a full disk. Whoever
 * else moves or removes the file (logrotate, a person) is noticed, and a new one is begun. A disk that hangs is told like one
 * that refuses; it is waited for, because a second writer could tear the lines of the first, but not at the end.
 */
import { mkdirSync } from 'node:fs';
import { mkdir, readdir, rename, stat, unlink, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { appendOwnSync, openOwn, PRIVATE_FILE, PRIVATE_FOLDER } from '../../lib/ownFiles.js';

export interface RotatingFileOptions {
  readonly path: string;
  /** The live file is rotated before it would grow beyond this. */
  readonly maxBytes: number;
  /** How many rotated files are kept beside the live one; at least 1. */
  readonly maxFiles: number;
  /** Rotated files older than this are deleted, and a live one begun longer ago is rotated. Default: no limit. */
  readonly maxAgeMs?: number;
  /** How much may wait in memory. Default 1 MiB. */
  readonly maxPendingBytes?: number;
  /** Permissions of the files. Default: for this user alone. */
  readonly mode?: number;
  /** Told once when writing begins to fail. Must not write to this file. */
  readonly onFailing?: (error: unknown) => void;
  /** Told when writing works again, with the lines dropped meanwhile. */
  readonly onRecovered?: (dropped: number) => void;
  /** First delay before another try after a failure, ms. Default 1000. */
  readonly retryBaseMs?: number;
  /** How long the disk may take before that counts as a failure. Default 10 s. */
  readonly patienceMs?: number;
  readonly wallMs?: () => number;
}

const RETRY_CAP_MS = 30_000;
const PATIENCE_MS = 10_000;
/** How often the age of rotated files, and whether the path still leads to our file, is looked at. */
const HOUSEKEEPING_MS = 60_000;
const IDENTITY_CHECK_MS = 2_000;
const LARGEST_BATCH_BYTES = 256 * 1024;

interface OpenFile {
  readonly handle: FileHandle;
  readonly inode: number;
  /** When it was begun; 0 where the file system can't say. */
  readonly bornAtMs: number;
  size: number;
}

export class RotatingFile {
  readonly #options: RotatingFileOptions;
  readonly #maxPendingBytes: number;
  readonly #wallMs: () => number;
  readonly #atExit = (): void => this.#flushAtExit();

  #pending: string[] = [];
  #pendingBytes = 0;
  /** Taken from the queue, not yet written. */
  #batch: Buffer | null = null;
  #batchInFlight = false;
  #file: OpenFile | null = null;
  #pumping: Promise<void> | null = null;
  #closing = false;
  #wake: () => void = () => undefined;
  #onStuck: () => void = () => undefined;

  #failing = false;
  /** The disk has taken longer than it may, and has not answered yet. */
  #isStuck = false;
  #dropped = 0;
  #droppedWhenFailing = 0;
  #identityCheckedAtMs = 0;
  #housekeptAtMs = 0;

  constructor(options: RotatingFileOptions) {
    this.#options = options;
    this.#maxPendingBytes = options.maxPendingBytes ?? 1024 * 1024;
    this.#wallMs = options.wallMs ?? Date.now;
    process.on('exit', this.#atExit);
  }

  /** Queues one line (without its line feed). Never throws, never waits. */
  write(line: string): void {
    const bytes = Buffer.byteLength(line) + 1;
    if (this.#closing || this.#pendingBytes + bytes > this.#maxPendingBytes) {
      this.#dropped += 1;
      return;
    }
    this.#pending.push(line);
    this.#pendingBytes += bytes;
    this.#startPump();
  }

  /** Lines that could not be kept. */
  dropped(): number {
    return this.#dropped;
  }

  /** Tries once more to write what is queued, then lets go of the file. Never rejects; what was lost is counted. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#wake();
    await this.#pumpingOrStuck();
    process.off('exit', this.#atExit);
    this.#dropped += this.#pending.length + (this.#batch === null ? 0 : countLines(this.#batch));
    this.#pending = [];
    this.#batch = null;
    if (!this.#isStuck) await this.#letGo();
  }

  /** Not for ever: a disk that hangs must not keep the process. */
  async #pumpingOrStuck(): Promise<void> {
    if (this.#isStuck || this.#pumping === null) return;
    await Promise.race([this.#pumping, new Promise<void>((resolve) => (this.#onStuck = resolve))]);
  }

  #startPump(): void {
    this.#pumping ??= this.#pump();
  }

  /** Ends in the same turn in which it finds nothing left to do: a line queued later finds no pump and starts one. */
  async #pump(): Promise<void> {
    // Lines of the same turn of the event loop go out together.
    await Promise.resolve();
    const { retryBaseMs = 1_000 } = this.#options;
    let delayMs = retryBaseMs;
    while (this.#batch !== null || this.#pending.length > 0) {
      const lastTry = this.#closing;
      try {
        await this.#watched(this.#writeSome());
        delayMs = retryBaseMs;
        this.#works();
      } catch (error) {
        this.#fails(error);
        await this.#letGo();
        if (lastTry) break;
        await this.#sleep(delayMs);
        delayMs = Math.min(delayMs * 2, RETRY_CAP_MS);
      }
    }
    // A file that was closed while the disk hung.
    if (this.#closing) await this.#letGo();
    this.#pumping = null;
  }

  /** Tells when that takes too long, and waits on. */
  async #watched(work: Promise<void>): Promise<void> {
    const { patienceMs = PATIENCE_MS } = this.#options;
    const timer = setTimeout(() => {
      this.#isStuck = true;
      this.#fails(new Error(`the disk has not answered for ${Math.ceil(patienceMs / 1000)} s`));
      this.#onStuck();
    }, patienceMs);
    timer.unref();
    try {
      await work;
    } finally {
      clearTimeout(timer);
      this.#isStuck = false;
    }
  }

  async #sleep(delayMs: number): Promise<void> {
    if (this.#closing) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, delayMs);
      timer.unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #writeSome(): Promise<void> {
    let file = await this.#openFile();
    const nextBytes = this.#batch?.length ?? Buffer.byteLength(this.#pending[0] ?? '') + 1;
    if (file.size > 0 && (file.size + nextBytes > this.#options.maxBytes || this.#isOld(file.bornAtMs))) {
      await this.#rotate();
      file = await this.#openFile();
    }
    this.#batch ??= this.#takeBatch(this.#options.maxBytes - file.size);
    await this.#append(file, this.#batch);
    this.#batch = null;
    await this.#housekeep();
  }

  /** As many lines as there is room for, but at least one. */
  #takeBatch(roomBytes: number): Buffer {
    const limit = Math.min(roomBytes, LARGEST_BATCH_BYTES);
    let taken = 0;
    let bytes = 0;
    for (const line of this.#pending) {
      const lineBytes = Buffer.byteLength(line) + 1;
      if (taken > 0 && bytes + lineBytes > limit) break;
      taken += 1;
      bytes += lineBytes;
    }
    const lines = this.#pending.splice(0, taken);
    this.#pendingBytes -= bytes;
    return Buffer.from(`${lines.join('\n')}\n`);
  }

  async #append(file: OpenFile, batch: Buffer): Promise<void> {
    let written = 0;
    this.#batchInFlight = true;
    try {
      while (written < batch.length) {
        const { bytesWritten } = await file.handle.write(batch, written);
        written += bytesWritten;
      }
      file.size += written;
    } catch (error) {
      if (written > 0) await takeBack(file, written);
      throw error;
    } finally {
      this.#batchInFlight = false;
    }
  }

  async #openFile(): Promise<OpenFile> {
    if (this.#file !== null && (await this.#isStillOurs(this.#file))) return this.#file;
    await this.#letGo();
    const { path, mode = PRIVATE_FILE } = this.#options;
    await mkdir(dirname(path), { recursive: true, mode: PRIVATE_FOLDER });
    // Read as well: whether the last line is whole must be seen.
    const handle = await openOwn(path, 'append', mode);
    try {
      const { size, ino, birthtimeMs } = await handle.stat();
      const file = { handle, inode: ino, bornAtMs: birthtimeMs, size };
      await endTornLine(file);
      this.#file = file;
      return file;
    } catch (error) {
      await handle.close().catch(() => undefined);
      throw error;
    }
  }

  async #isStillOurs(file: OpenFile): Promise<boolean> {
    const now = this.#wallMs();
    if (Math.abs(now - this.#identityCheckedAtMs) < IDENTITY_CHECK_MS) return true;
    this.#identityCheckedAtMs = now;
    const there = await statIfAny(this.#options.path);
    return there?.ino === file.inode;
  }

  async #rotate(): Promise<void> {
    const { path, maxFiles } = this.#options;
    const ours = this.#file?.inode;
    await this.#letGo();
    // Another process that logs to the same file may have rotated it a moment ago.
    if ((await statIfAny(path))?.ino !== ours) return;
    for (let index = maxFiles - 1; index >= 1; index -= 1) {
      await renameIfAny(`${path}.${index}`, `${path}.${index + 1}`);
    }
    await renameIfAny(path, `${path}.1`);
  }

  #isOld(sinceMs: number): boolean {
    const { maxAgeMs } = this.#options;
    return maxAgeMs !== undefined && sinceMs > 0 && this.#wallMs() - sinceMs > maxAgeMs;
  }

  /** Deletes rotated files that are too old or too many (after the limit was lowered). */
  async #housekeep(): Promise<void> {
    const now = this.#wallMs();
    if (Math.abs(now - this.#housekeptAtMs) < HOUSEKEEPING_MS) return;
    this.#housekeptAtMs = now;
    const { path, maxFiles } = this.#options;
    const prefix = `${basename(path)}.`;
    try {
      for (const name of await readdir(dirname(path))) {
        const number = name.startsWith(prefix) ? name.slice(prefix.length) : '';
        if (!/^\d+$/.test(number)) continue;
        const rotated = join(dirname(path), name);
        const found = await statIfAny(rotated);
        if (found !== null && (Number(number) > maxFiles || this.#isOld(found.mtimeMs)))
          await unlink(rotated);
      }
    } catch {
      // Tidying up is not worth a line lost; it is tried again.
    }
  }

  #fails(error: unknown): void {
    if (this.#failing) return;
    this.#failing = true;
    this.#droppedWhenFailing = this.#dropped;
    this.#options.onFailing?.(error);
  }

  #works(): void {
    if (!this.#failing) return;
    this.#failing = false;
    this.#options.onRecovered?.(this.#dropped - this.#droppedWhenFailing);
  }

  async #letGo(): Promise<void> {
    const handle = this.#file?.handle;
    this.#file = null;
    await handle?.close().catch(() => undefined);
  }

  /** The process ends at once: what still waits is appended, now or never. */
  #flushAtExit(): void {
    // A call that hangs could not be ended from outside.
    if (this.#isStuck) return;
    const batch = this.#batchInFlight ? '' : (this.#batch?.toString() ?? '');
    const rest = this.#pending.map((line) => `${line}\n`).join('');
    if (batch + rest === '') return;
    try {
      mkdirSync(dirname(this.#options.path), { recursive: true, mode: PRIVATE_FOLDER });
      appendOwnSync(this.#options.path, batch + rest, this.#options.mode ?? PRIVATE_FILE);
    } catch {
      // There is nobody left to tell.
    }
  }
}

function countLines(batch: Buffer): number {
  return batch.reduce((lines, byte) => lines + (byte === 0x0a ? 1 : 0), 0);
}

/** Undoes a partial append, unless somebody else has appended since. */
async function takeBack(file: OpenFile, written: number): Promise<void> {
  try {
    const { size } = await file.handle.stat();
    if (size === file.size + written) await file.handle.truncate(file.size);
  } catch {
    // Then a torn line stays; it is ended when the file is opened again.
  }
}

/** A process that died while it wrote leaves half a line; the next one must not be glued to it. */
async function endTornLine(file: OpenFile): Promise<void> {
  if (file.size === 0) return;
  const last = Buffer.alloc(1);
  const { bytesRead } = await file.handle.read(last, 0, 1, file.size - 1);
  if (bytesRead === 1 && last[0] !== 0x0a) {
    await file.handle.write('\n');
    file.size += 1;
  }
}

async function statIfAny(path: string): Promise<{ ino: number; mtimeMs: number } | null> {
  try {
    return await stat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

async function renameIfAny(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
