/**
 * The last events: a bounded ring in memory that answers queries, and a bounded file of JSON lines behind it from
 * which the ring is filled at the next start. An event is remembered at once and written in the background; while
 * the disk refuses, lines wait in bounded memory, and what does not fit is counted.
 */
import type { FileHandle } from 'node:fs/promises';
import { messageOf } from '../../domain/errors.js';
import type { EventRecord } from '../../domain/events.js';
import { openOwn } from '../../lib/ownFiles.js';
import { RingBuffer } from '../../lib/ringBuffer.js';
import { visibleJson } from '../../lib/visible.js';
import type { History, Logger } from '../../ports.js';
import { lastLines } from '../files/lastLines.js';
import { RotatingFile } from '../files/rotatingFile.js';

export interface FileHistoryOptions {
  /** JSON lines; when full it becomes `<file>.1`, of which there is one. */
  readonly file: string;
  readonly logger: Logger;
  /** Events in memory. Default 1000. */
  readonly capacity?: number;
  /** Size of each of the two files. Default 5 MiB. */
  readonly maxBytes?: number;
}

interface Remembered {
  readonly event: EventRecord;
  readonly atMs: number;
}

/** Enough for the whole ring at a kilobyte an event. */
const READ_BACK_BYTES = 1024 * 1024;

export class FileHistory implements History {
  readonly #ring: RingBuffer<Remembered>;
  readonly #file: RotatingFile;

  private constructor(ring: RingBuffer<Remembered>, file: RotatingFile) {
    this.#ring = ring;
    this.#file = file;
  }

  /** Reads back what its predecessor wrote. Never rejects: what can't be read is logged and left out. */
  static async open(options: FileHistoryOptions): Promise<FileHistory> {
    const { file: path, logger, capacity = 1_000, maxBytes = 5 * 1024 * 1024 } = options;
    const ring = new RingBuffer<Remembered>(capacity);
    let skipped = 0;
    for (const part of [`${path}.1`, path]) {
      try {
        for (const line of await lastLines(part, READ_BACK_BYTES, 0, openHistory)) {
          const remembered = parseLine(line);
          if (remembered === null) skipped += 1;
          else ring.push(remembered);
        }
      } catch (error) {
        logger.warn('a part of the event history cannot be read', { file: part, problem: messageOf(error) });
      }
    }
    if (skipped > 0)
      logger.warn('lines of the event history are damaged and were skipped', { file: path, skipped });
    const file = new RotatingFile({
      path,
      maxBytes,
      maxFiles: 1,
      onFailing: (error) =>
        logger.error('the event history cannot be written; it is kept in memory', {
          problem: messageOf(error),
        }),
      onRecovered: (dropped) => logger.info('the event history is written again', { dropped }),
    });
    return new FileHistory(ring, file);
  }

  append(event: EventRecord): void {
    this.#ring.push({ event, atMs: Date.parse(event.at) });
    this.#file.write(visibleJson(JSON.stringify(event)));
  }

  /** The newest `limit` events at or after `sinceMs` (wall clock) and about `service`, newest last. */
  query({
    sinceMs = 0,
    service,
    limit,
  }: {
    sinceMs?: number;
    service?: string;
    limit: number;
  }): EventRecord[] {
    const found: EventRecord[] = [];
    for (const { event, atMs } of this.#ring.toArray()) {
      if (atMs >= sinceMs && (service === undefined || event.service === service)) found.push(event);
    }
    return limit <= 0 ? [] : found.slice(-limit);
  }

  /** Events that are not in the file because it could not be written. */
  dropped(): number {
    return this.#file.dropped();
  }

  /** Writes what waits. */
  close(): Promise<void> {
    return this.#file.close();
  }
}

const openHistory = (path: string): Promise<FileHandle> => openOwn(path, 'read');

/** null when the line is not an event. Types are taken as they are: another version may have known others. */
function parseLine(line: string): Remembered | null {
  let read: unknown;
  try {
    read = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof read !== 'object' || read === null) return null;
  const { seq, type, at, service, data } = read as Partial<Record<keyof EventRecord, unknown>>;
  const atMs = typeof at === 'string' ? Date.parse(at) : Number.NaN;
  const valid =
    Number.isSafeInteger(seq) &&
    typeof type === 'string' &&
    !Number.isNaN(atMs) &&
    (service === null || typeof service === 'string') &&
    typeof data === 'object' &&
    data !== null;
  return valid ? { event: read as EventRecord, atMs } : null;
}
