/**
 * What fills the heap, while there still is somebody to ask: from FULL on, V8's sampling heap profiler runs, and every
 * few seconds what it has seen is sent. When the process then dies of its heap, the supervisor has the last one.
 *
 * The profiler remembers the stack of one allocation in so and so many bytes, and forgets those that were collected:
 * what grows between FULL and the end is what leaks. Samples are so far apart that MAX_SAMPLES of them make up the whole
 * heap, so it costs next to nothing until a profile is asked for: V8 makes a full collection then (0.1 s for a heap of
 * 200 MB). So the next one waits for PATIENCE times as long as the last one took.
 *
 * Runs on the main thread, with an inspector session of its own: the end of a process waits for sessions of other
 * threads, and this one stays open. Only where somebody listens, no debugger is at work, and there is room: a profile
 * takes a few MB, so none is taken with less than MIN_ROOM_BYTES left of the machine's memory or the container's.
 */
import type { Session } from 'node:inspector';
import { nowMs } from '../clock.js';
import type { Attachment } from '../protocol.js';
import { reduceProfile, type ProfileNode } from './profileReduction.js';

// As they were before the application: fake timers and other replacements are its own affair.
const { setInterval } = globalThis;

/**
 * Heap used, as a share of what it may hold, at which profiling begins: well before 80 %, from where on V8 gives up on a
 * heap whose collections free next to nothing ("ineffective mark-compacts near heap limit") …
 */
const FULL = 0.7;
/** … and below which it ends. */
const ROOMY = 0.6;
const MAX_SAMPLES = 512;
const MIN_INTERVAL_BYTES = 128 * 1024;
const MIN_ROOM_BYTES = 64 * 1024 * 1024;
const MAX_NODES = 200;
const LOOK_EVERY_MS = 500;
/** Between two profiles at least: the first must not come too late for a quick leak, the last not be too old. */
const MIN_PAUSE_MS = 2_500;
/** About 3 % of the time goes into profiles at most. */
const PATIENCE = 30;

export interface HeapProfilingContext {
  heapUsedBytes(): number;
  heapLimitBytes(): number;
  debugged(): boolean;
  /** Whether a supervisor listens. */
  isHeard(): boolean;
  /** Passed to the supervisor by the agent thread. */
  announce(message: Attachment): void;
  /** An error of the profiler or of ours, to be counted. */
  failed(): void;
}

/** On the main thread, once. Never keeps the process alive, never throws. */
export function startHeapProfiling(context: HeapProfilingContext): void {
  let sampling: { readonly session: Session; nextAtMs: number } | null = null;
  let isRefused = false;

  const look = (): void => {
    const limitBytes = context.heapLimitBytes();
    const share = limitBytes > 0 ? context.heapUsedBytes() / limitBytes : 0;
    const isWanted = share >= (sampling === null ? FULL : ROOMY) && context.isHeard() && !context.debugged();
    if (!isWanted || !hasRoom()) {
      sampling?.session.disconnect();
      sampling = null;
    } else if (sampling === null) {
      sampling = { session: startSampling(limitBytes), nextAtMs: 0 };
    } else if (nowMs() >= sampling.nextAtMs) {
      const startedAtMs = nowMs();
      sendProfile(sampling.session, context);
      const tookMs = nowMs() - startedAtMs;
      sampling.nextAtMs = nowMs() + Math.max(MIN_PAUSE_MS, PATIENCE * tookMs);
    }
  };
  setInterval(() => {
    if (isRefused) return;
    try {
      look();
    } catch {
      // No inspector in this build, or one that may not be used: it stays so.
      isRefused = true;
      context.failed();
    }
  }, LOOK_EVERY_MS).unref();
}

function startSampling(heapLimitBytes: number): Session {
  const session = new (process.getBuiltinModule('node:inspector').Session)();
  session.connect();
  const samplingInterval = Math.max(MIN_INTERVAL_BYTES, Math.round(heapLimitBytes / MAX_SAMPLES));
  session.post('HeapProfiler.startSampling', { samplingInterval });
  return session;
}

function sendProfile(session: Session, { announce, failed }: HeapProfilingContext): void {
  // Within one thread, the answer comes before `post` returns.
  session.post('HeapProfiler.getSamplingProfile', (error, answer) => {
    if (error !== null) {
      failed();
      return;
    }
    const head = answer.profile.head as ProfileNode;
    // Nothing was sampled that is still alive.
    if (head.children.length === 0) return;
    const content = reduceProfile(head, MAX_NODES);
    announce({ type: 'attachment', kind: 'heap-profile', content });
  });
}

/** Of the machine's memory, or of the container's. */
function hasRoom(): boolean {
  const { availableMemory } = process as { availableMemory?: () => number };
  return availableMemory === undefined || availableMemory.call(process) >= MIN_ROOM_BYTES;
}
