/**
 * How a garbage collection is told from a hang.
 *
 * While V8 collects, the main thread lets nobody in, exactly as in native code, so there is nothing to ask. But a
 * collection has marks of its own, and a silence is excused as one only while it bears all of them:
 *
 * - the main thread answers no question: time between a question and a prompt answer is never excused, JavaScript was
 *   running (a question is asked with every look from 200 ms of silence on);
 * - no breadcrumb lies there: the application is not known to wait for a child process or for cryptography;
 * - the main thread uses CPU, at least half of a core while it is not waiting for one: waiting in a system call is no
 *   collection;
 * - and it lasts no longer than collecting this heap may take: its size at MARK_COMPACT_BYTES_PER_SECOND, at most
 *   MAX_COLLECTION_MS.
 *
 * So a blocked loop is reported after the time-out whatever the heap; only native code that burns CPU (a huge
 * JSON.parse or sort) gets as much longer as a full collection may take: 40 ms with a heap of 10 MB, 4 s with 1 GB.
 */

/**
 * A full, compacting collection is at least this fast. Measured on Node 20 with one core: 0.6 to 1.3 s for a heap of
 * 1 GB of small linked objects; a third of the slowest is left for slower machines.
 */
const MARK_COMPACT_BYTES_PER_SECOND = 256 * 1024 * 1024;

/** Nothing is excused for longer, however large the heap. */
const MAX_COLLECTION_MS = 10_000;

export interface Closure {
  /** For how long in this silence questions stayed without an answer. */
  readonly unansweredMs: number;
  readonly hasBreadcrumb: boolean;
  /** Share of a core that the main thread used while it had one, 0 to 1; null: not known. */
  readonly cpuShare: number | null;
  /** JavaScript heap at most; 0: not known. */
  readonly heapBytes: number;
}

/** For how much of its silence a main thread may have been collecting garbage, ms. */
export function collectingMs({ unansweredMs, hasBreadcrumb, cpuShare, heapBytes }: Closure): number {
  if (hasBreadcrumb || (cpuShare !== null && cpuShare < 0.5)) return 0;
  return Math.min(unansweredMs, longestCollectionMs(heapBytes));
}

/** How long a full collection of a heap of that size may take, ms. */
export function longestCollectionMs(heapBytes: number): number {
  return Math.min((heapBytes / MARK_COMPACT_BYTES_PER_SECOND) * 1000, MAX_COLLECTION_MS);
}
