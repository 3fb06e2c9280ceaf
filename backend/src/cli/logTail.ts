/**
 * The end of a log file, and what is written to it from then on. Files are rotated meanwhile: `x.log` becomes `x.log.1`,
 * and a new `x.log` is begun, or the file is emptied in place.
 */
import { open, stat, type FileHandle } from 'node:fs/promises';

const CHUNK_BYTES = 64 * 1024;
/** No more is read of the rotated files of one log. */
const MOST_BYTES = 64 * 1024 * 1024;
/** As many as are kept (adapters/pm2/logRotation.ts). */
const MOST_ROTATED = 9;

const LONGEST_LINE_BYTES = 1024 * 1024;

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';

/**
 * The last `count` lines of `path`, and, where it has fewer, of the rotated files before it. null: there is no such file.
 * Rejects when a file is there and can't be read.
 */
export async function lastLines(path: string, count: number): Promise<readonly string[] | null> {
  const newestFirst: string[][] = [];
  let missing = count;
  for (let number = 0; number <= MOST_ROTATED && missing > 0; number += 1) {
    const lines = await endOf(number === 0 ? path : `${path}.${number}`, missing);
    if (lines === null && number > 0) break;
    if (lines === null) continue;
    newestFirst.push(lines);
    missing -= lines.length;
  }
  return newestFirst.length === 0 ? null : newestFirst.toReversed().flat();
}

async function endOf(path: string, count: number): Promise<string[] | null> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
  try {
    const { size } = await handle.stat();
    const chunks: Buffer[] = [];
    let breaks = 0;
    let position = size;
    // One break more than lines: the text before the first of them is cut off.
    while (position > 0 && breaks <= count && size - position < MOST_BYTES) {
      const length = Math.min(CHUNK_BYTES, position);
      position -= length;
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, position);
      const chunk = buffer.subarray(0, bytesRead);
      breaks += chunk.filter((byte) => byte === 10).length;
      chunks.unshift(chunk);
    }
    const lines = Buffer.concat(chunks).toString('utf8').split('\n');
    if (lines.at(-1) === '') lines.pop();
    return lines.slice(-count);
  } finally {
    await handle.close();
  }
}

/** Gives the lines that are added to a file, also over its rotation. `poll` does the work, one at a time. */
export class LineFollower {
  readonly #path: string;
  readonly #onLines: (lines: readonly string[]) => void;
  #handle: FileHandle | null = null;
  #inode = 0;
  #offset = 0;
  #rest: Buffer = Buffer.alloc(0);
  /** The line that has not ended yet is longer than what is kept of it. */
  #isCut = false;

  /** @param onLines told of all that were read at once. Of a line that is longer than a mebibyte, the rest is left out. */
  constructor(path: string, onLines: (lines: readonly string[]) => void) {
    this.#path = path;
    this.#onLines = onLines;
  }

  /** Leaves out what is there now. */
  async skipToEnd(): Promise<void> {
    await this.#reopen();
    if (this.#handle !== null) this.#offset = (await this.#handle.stat()).size;
  }

  async poll(): Promise<void> {
    if (this.#handle === null) await this.#reopen();
    await this.#readOn();
    const current = await stat(this.#path).catch(() => null);
    if (current === null) return;
    if (current.ino !== this.#inode) {
      await this.#reopen();
      await this.#readOn();
    }
  }

  async close(): Promise<void> {
    await this.#handle?.close();
    this.#handle = null;
  }

  async #reopen(): Promise<void> {
    await this.close();
    try {
      this.#handle = await open(this.#path, 'r');
    } catch (error) {
      if (isMissing(error)) return;
      throw error;
    }
    this.#inode = (await this.#handle.stat()).ino;
    this.#offset = 0;
  }

  async #readOn(): Promise<void> {
    const handle = this.#handle;
    if (handle === null) return;
    // Emptied in place.
    if ((await handle.stat()).size < this.#offset) this.#offset = 0;
    for (;;) {
      const { buffer, bytesRead } = await handle.read(
        Buffer.alloc(CHUNK_BYTES),
        0,
        CHUNK_BYTES,
        this.#offset,
      );
      if (bytesRead === 0) return;
      this.#offset += bytesRead;
      this.#take(buffer.subarray(0, bytesRead));
    }
  }

  /** Whole lines only; a character may lie across two reads, a line break may not. */
  #take(chunk: Buffer): void {
    const rest = this.#isCut ? fromBreak(chunk) : chunk;
    const bytes = Buffer.concat([this.#rest, rest]);
    const end = bytes.lastIndexOf(10);
    const begun = bytes.subarray(end + 1);
    this.#isCut = begun.length > LONGEST_LINE_BYTES || (this.#isCut && end < 0);
    this.#rest = begun.subarray(0, LONGEST_LINE_BYTES);
    if (end >= 0) this.#onLines(bytes.subarray(0, end).toString('utf8').split('\n'));
  }
}

/** From the next line break on; empty when there is none. */
function fromBreak(chunk: Buffer): Buffer {
  const end = chunk.indexOf(10);
  return end === -1 ? Buffer.alloc(0) : chunk.subarray(end);
}
