/**
 * What fills the heap, while there still is somebody to ask: from FULL on, V8's sampling heap profiler runs on the main
 * isolate, through an inspector session of this thread (no port opened), and every few seconds what it has seen is
 * sent. When the process then dies of its heap, the supervisor has the last one.
 *
 * The profiler remembers the stack of one allocation in so and so many bytes, and forgets those that were collected:
 * what grows between FULL and the end is what leaks. Samples are so far apart that some MAX_SAMPLES of them make up the
 * whole heap. It costs the application about as much as nothing between samples and some microseconds for each.
 *
 * Only where there is room: a profile takes a few MB outside the heap, so none is taken with less than MIN_ROOM_BYTES
 * left of the machine's memory or the container's.
 */
import type { Session } from 'node:inspector';
import type { HangWatchContext } from '../seams.js';
import { reduceProfile, type ProfileNode } from './profileReduction.js';

/** Heap used, as a share of its limit, at which profiling begins … */
const FULL = 0.85;
/** … and below which it ends. */
const ROOMY = 0.75;
const MAX_SAMPLES = 512;
const MIN_INTERVAL_BYTES = 256 * 1024;
const MIN_ROOM_BYTES = 64 * 1024 * 1024;
const MAX_NODES = 200;
/** From the start to the first profile, which must not come too late for a quick leak. */
const FIRST_AFTER_MS = 1_000;
const EVERY_MS = 3_000;

interface Sampling {
  readonly session: Session;
  nextAtMs: number;
  /** A profile was asked for and has not come. */
  isAsked: boolean;
}

export interface HeapProfiling {
  /** With every look of the watching thread. */
  look(nowMs: number): void;
  /** Ends it and leaves nothing behind. */
  stop(): void;
}

export function createHeapProfiling({ main, send }: Pick<HangWatchContext, 'main' | 'send'>): HeapProfiling {
  let sampling: Sampling | null = null;
  /** An inspector that refused once is not asked again. */
  let isRefused = false;

  const stop = (): void => {
    sampling?.session.post('HeapProfiler.stopSampling');
    sampling?.session.disconnect();
    sampling = null;
  };

  const ask = (current: Sampling, nowMs: number): void => {
    current.isAsked = true;
    current.nextAtMs = nowMs + EVERY_MS;
    current.session.post('HeapProfiler.getSamplingProfile', (error, answer) => {
      current.isAsked = false;
      if (error !== null) return;
      const content = reduceProfile(answer.profile.head as ProfileNode, MAX_NODES);
      send({ type: 'attachment', kind: 'heap-profile', content });
    });
  };

  return {
    look(nowMs) {
      const limitBytes = main.heapLimitBytes();
      const share = limitBytes > 0 ? main.heapUsedBytes() / limitBytes : 0;
      if (sampling === null) {
        if (share < FULL || isRefused || main.debugged() || !hasRoom()) return;
        const session = startSampling(limitBytes);
        isRefused = session === null;
        if (session !== null) sampling = { session, nextAtMs: nowMs + FIRST_AFTER_MS, isAsked: false };
      } else if (share < ROOMY || !hasRoom()) {
        stop();
      } else if (!sampling.isAsked && nowMs >= sampling.nextAtMs) {
        ask(sampling, nowMs);
      }
    },
    stop,
  };
}

function startSampling(heapLimitBytes: number): Session | null {
  try {
    const session = new (process.getBuiltinModule('node:inspector').Session)();
    session.connectToMainThread();
    const samplingInterval = Math.max(MIN_INTERVAL_BYTES, Math.round(heapLimitBytes / MAX_SAMPLES));
    session.post('HeapProfiler.startSampling', { samplingInterval });
    return session;
  } catch {
    return null;
  }
}

/** Of the machine's memory, or of the container's. */
function hasRoom(): boolean {
  const { availableMemory } = process as { availableMemory?: () => number };
  return availableMemory === undefined || availableMemory.call(process) >= MIN_ROOM_BYTES;
}
