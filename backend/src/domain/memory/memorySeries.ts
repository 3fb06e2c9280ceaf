/**
 * What is remembered of one instance's memory: minutes in detail, days in outline, in bounded space.
 *
 * A ladder of windows, each of 24 buckets that are four times as wide as those of the window below it:
 *
 *   bucket   2 s    8 s    32 s    2 min    9 min    34 min    2.3 h
 *   window   48 s   3 min  13 min  51 min   3.4 h    14 h      55 h
 *
 * A bucket that is full is added to the window above. So a leak of megabytes a second is seen within half a minute and
 * one of megabytes an hour the next day, and neither hides the other.
 */

/** One look at a process. */
export interface MemorySample {
  /** Monotonic. */
  readonly atMs: number;
  /** What counts against the limit, garbage included. */
  readonly usedBytes: number;
  /** What of it the last garbage collection would have left; null where nobody says so. */
  readonly keptBytes: number | null;
  /** Major garbage collections since the process began, as last said; null where nobody has said so yet. */
  readonly majorGcs: number | null;
}

/** Some samples in one. */
export interface MemoryBucket {
  /** Its middle. */
  readonly atMs: number;
  readonly lowBytes: number;
  readonly highBytes: number;
  /** The lowest; null when none was known. */
  readonly keptBytes: number | null;
  readonly majorGcs: number;
}

/** Buckets of a window. */
export const WINDOW_BUCKETS = 24;
const FIRST_WIDTH_MS = 2_000;
const WIDENING = 4;
const WINDOWS = 7;

interface Window {
  readonly widthMs: number;
  /** Oldest first. */
  readonly buckets: MemoryBucket[];
  open: { readonly number: number; bucket: MemoryBucket } | null;
  /** Grows with every bucket that is closed. */
  version: number;
}

export class MemorySeries {
  readonly #windows: readonly Window[] = Array.from({ length: WINDOWS }, (_, rung) => ({
    widthMs: FIRST_WIDTH_MS * WIDENING ** rung,
    buckets: [],
    open: null,
    version: 0,
  }));
  #firstAtMs: number | null = null;
  #last: MemorySample | null = null;

  get windowCount(): number {
    return WINDOWS;
  }

  /** Of the first sample. */
  get firstAtMs(): number | null {
    return this.#firstAtMs;
  }

  /** The newest sample. */
  get last(): MemorySample | null {
    return this.#last;
  }

  /** One that is older than the last, or of the same moment, is ignored. */
  add(sample: MemorySample): void {
    const last = this.#last;
    if (last !== null && sample.atMs <= last.atMs) return;
    this.#last = sample;
    this.#firstAtMs ??= sample.atMs;
    const { atMs, usedBytes, keptBytes } = sample;
    // Those before the first count happened at some time, not now.
    const countedBefore = last?.majorGcs ?? null;
    const isCounted = countedBefore !== null && sample.majorGcs !== null;
    const majorGcs = isCounted ? Math.max(0, sample.majorGcs - countedBefore) : 0;
    this.#put(0, { atMs, lowBytes: usedBytes, highBytes: usedBytes, keptBytes, majorGcs });
  }

  /** The full buckets of a window, oldest first. */
  buckets(window: number): readonly MemoryBucket[] {
    return this.#windows[window]?.buckets ?? [];
  }

  /** Changes when `buckets(window)` does. */
  version(window: number): number {
    return this.#windows[window]?.version ?? 0;
  }

  #put(rung: number, piece: MemoryBucket): void {
    const window = this.#windows[rung];
    if (window === undefined) return;
    const number = Math.floor(piece.atMs / window.widthMs);
    const { open } = window;
    if (open !== null && open.number === number) {
      open.bucket = merged(open.bucket, piece);
      return;
    }
    if (open !== null) this.#close(rung, window, open);
    window.open = { number, bucket: piece };
  }

  #close(rung: number, window: Window, open: NonNullable<Window['open']>): void {
    const bucket = { ...open.bucket, atMs: (open.number + 0.5) * window.widthMs };
    window.buckets.push(bucket);
    if (window.buckets.length > WINDOW_BUCKETS) window.buckets.shift();
    window.version += 1;
    this.#put(rung + 1, bucket);
  }
}

function merged(a: MemoryBucket, b: MemoryBucket): MemoryBucket {
  const kept = a.keptBytes === null || b.keptBytes === null ? null : Math.min(a.keptBytes, b.keptBytes);
  return {
    atMs: a.atMs,
    lowBytes: Math.min(a.lowBytes, b.lowBytes),
    highBytes: Math.max(a.highBytes, b.highBytes),
    keptBytes: kept ?? a.keptBytes ?? b.keptBytes,
    majorGcs: a.majorGcs + b.majorGcs,
  };
}
