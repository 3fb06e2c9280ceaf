/**
 * How a garbage collection is told from a hang.
 *
 * While V8 collects, the main thread lets nobody in, exactly as in native code, so there is nothing to ask. But a
 * collection has marks of its own, and a silence is excused as one only while it bears all of them:
 *
 * - the main thread answers no question: time between a question and a prompt answer is never excused, JavaScript was
 *   running (with every look from 200 ms of silence on, where the heap is large enough for this to matter);
 * - no breadcrumb lies there: the application is not known to wait for a child process or for cryptography;
 * - the process works: it uses at least a fifth of a core while the main thread is not waiting for one, or one of its
 *   threads runs or wants to. (The main thread sleeps while V8's own threads do their part.) Waiting in a system call is
 *   no collection;
 * - and it takes no more CPU, or else no more time, than collecting this heap may take: its size at
 *   MARK_COMPACT_BYTES_PER_SECOND. In no case more than MAX_COLLECTION_MS.
 *
 * So a blocked loop is reported after the time-out whatever the heap; only native code that burns CPU (a huge
 * JSON.parse or sort) gets as much longer as a full collection may take: 0.1 s with a process of 50 MB, 2 s with 1 GB.
 */

/**
 * A full, compacting collection is at least this fast. Measured on Node 20: a heap of 0.92 GB of small linked objects
 * takes 0.45 to 0.56 s with two cores, and 0.7 s of CPU in all, which is 1.3 GB/s on a single core; less than half of
 * that is left for slower machines and worse heaps.
 */
const MARK_COMPACT_BYTES_PER_SECOND = 512 * 1024 * 1024;

/** Nothing is excused for longer, however large the heap. */
const MAX_COLLECTION_MS = 10_000;

export interface Closure {
  /** For how long in this silence questions stayed without an answer. */
  readonly unansweredMs: number;
  readonly hasBreadcrumb: boolean;
  /** CPU time that the main thread used in this silence; null: not known. */
  readonly ranMs: number | null;
  /** Whether the process uses CPU, or wants to. */
  readonly isWorking: boolean;
  /** Of `longestCollectionMs`. */
  readonly longestMs: number;
}

/** For how much of its silence a main thread may have been collecting garbage, ms. */
export function collectingMs(closure: Closure): number {
  const { unansweredMs, hasBreadcrumb, isWorking, ranMs, longestMs } = closure;
  if (hasBreadcrumb || !isWorking) return 0;
  // On a busy machine a collection lasts longer than it runs.
  const mayLastMs = ranMs !== null && ranMs <= longestMs ? MAX_COLLECTION_MS : longestMs;
  return Math.min(unansweredMs, mayLastMs);
}

/** How long a full collection of a heap may take, ms. */
export function longestCollectionMs(heapBytes: number): number {
  return Math.min((heapBytes / MARK_COMPACT_BYTES_PER_SECOND) * 1000, MAX_COLLECTION_MS);
}
