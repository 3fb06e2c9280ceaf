/**
 * The memory that the main thread writes and the agent thread reads: one SharedArrayBuffer of about 20 KB, laid out as
 *
 *   numbers     a slot for each figure (see SLOT)
 *   delays      how late each of the last 64 heartbeats was, ms: beat number n in place n mod 64
 *   latency     finished requests by bucket (latency.ts), since the start
 *   recent      the last 64 requests begun: time, method, whether finished; and their paths as text
 *   breadcrumbs belong to hang/
 *
 * No locks and no atomics: every number is an aligned 8-byte double with a single writer, which the processors that
 * Node runs on never tear, and a reader that sees one figure a moment older than its neighbour does no harm. The one
 * reader to whom consistency matters, the hang watch, reads while the writer stands still.
 */
import { LATENCY_BUCKETS } from './latency.js';
import type { BreadcrumbMemory, Settings } from './seams.js';

/** Places in `numbers`. Times are of clock.ts, 0 for never; counts are since the start of the process. */
export const SLOT = {
  beats: 0,
  beatAtMs: 1,
  /** How long the event loop has been idle in all. */
  idleMs: 2,
  debugged: 3,
  heapUsedBytes: 4,
  heapLimitBytes: 5,
  externalBytes: 6,
  liveHeapBytes: 7,
  majorGcs: 8,
  active: 9,
  unanswered: 10,
  /** When the oldest unanswered request began; 0: there is none. */
  oldestUnansweredAtMs: 11,
  unansweredOverdue: 12,
  lastFinishedAtMs: 13,
  finished: 14,
  aborted: 15,
  /** Five, for 1xx to 5xx. */
  statuses: 16,
  latencySumMs: 21,
  connections: 22,
  /** Left out, or failed, on the main thread. */
  dropped: 23,
  /** Requests begun: the next place in `recent` is this mod 64. */
  begun: 24,
  /** What the supervisor wants, written by the agent thread for the main thread. */
  hangTimeoutMs: 25,
  intervalMs: 26,
  killTimeoutMs: 27,
  /** Requests begun and finished, probes too: each says that the main thread gets on, beat or no beat. */
  steps: 28,
  lastStepAtMs: 29,
  /** Number of the last figures, by the agent thread: a thread that takes another's place goes on from there. */
  seq: 30,
  /** 1 while a supervisor listens; written by the agent thread. */
  heard: 31,
} as const;

const NUMBERS = 32;
export const DELAYS = 64;
export const RECENT = 64;
/** Numbers for each recent request: when it began, place of its method in METHODS (-1: another), 1 when finished. */
export const RECENT_FIELDS = 3;
/** Bytes of text for each recent request; a longer path is cut. */
export const PATH_BYTES = 120;
/** Numbers instead of text: one write less for each request. */
export const METHODS: readonly string[] = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'];
const BREADCRUMB_NUMBERS = 4;
const BREADCRUMB_BYTES = 8 * 1024;

export interface SharedMemory {
  readonly buffer: SharedArrayBuffer;
  readonly numbers: Float64Array;
  readonly delays: Float64Array;
  readonly latency: Float64Array;
  readonly recent: Float64Array;
  /** RECENT × (1 byte of length, then the path, at most PATH_BYTES of Latin-1). */
  readonly paths: Buffer;
  readonly breadcrumbs: BreadcrumbMemory;
}

const DOUBLES = NUMBERS + DELAYS + LATENCY_BUCKETS + RECENT * RECENT_FIELDS + BREADCRUMB_NUMBERS;
const DOUBLE_BYTES = Float64Array.BYTES_PER_ELEMENT;
const TOTAL_BYTES = DOUBLES * DOUBLE_BYTES + RECENT * (PATH_BYTES + 1) + BREADCRUMB_BYTES;

/** A fresh one, or views of the one that the other thread has made. */
export function sharedMemory(buffer = new SharedArrayBuffer(TOTAL_BYTES)): SharedMemory {
  let offset = 0;
  const doubles = (count: number): Float64Array => {
    const view = new Float64Array(buffer, offset, count);
    offset += count * DOUBLE_BYTES;
    return view;
  };
  const numbers = doubles(NUMBERS);
  const delays = doubles(DELAYS);
  const latency = doubles(LATENCY_BUCKETS);
  const recent = doubles(RECENT * RECENT_FIELDS);
  const state = doubles(BREADCRUMB_NUMBERS);
  const paths = Buffer.from(buffer, offset, RECENT * (PATH_BYTES + 1));
  const text = new Uint8Array(buffer, offset + paths.length, BREADCRUMB_BYTES);
  return { buffer, numbers, delays, latency, recent, paths, breadcrumbs: { state, text } };
}

/** The number in a slot; `at` lies within the layout, so there always is one. */
export function read(numbers: Float64Array, at: number): number {
  return numbers[at] ?? 0;
}

/** Adds to a slot. Only the slot's one writer may. */
export function add(numbers: Float64Array, at: number, amount: number): void {
  numbers[at] = read(numbers, at) + amount;
}

/** What the supervisor wants, as the thread has put it into shared memory. */
export function settingsOf({ numbers }: SharedMemory): Settings {
  return {
    hangTimeoutMs: read(numbers, SLOT.hangTimeoutMs),
    intervalMs: read(numbers, SLOT.intervalMs),
    killTimeoutMs: read(numbers, SLOT.killTimeoutMs),
  };
}
