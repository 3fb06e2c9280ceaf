/**
 * The heartbeat: proof that the main thread's event loop turns, every 50 ms, and the figures that only the main thread
 * can take. A blocked loop does not beat; that, and whether requests begin or finish, is what the agent thread goes by.
 *
 * The loop's delay is how late a beat is. `monitorEventLoopDelay` would measure the same more finely with a timer of its
 * own (100 wake-ups a second at its default) and a baseline of its resolution; twenty samples a second come free.
 *
 * A beat costs a few microseconds: the loop's utilisation 0.1 µs, the heap's statistics 0.4 µs, the debugger's state
 * 0.2 µs, and every fifth time the sweep over the requests under way; every time where beats are rare, because that is
 * when it matters how many requests wait.
 */
import type * as Inspector from 'node:inspector';
import { performance } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import { nowMs } from './clock.js';
import { watchGarbage } from './garbage.js';
import { add, DELAYS, read, SLOT, type SharedMemory } from './memory.js';
import type { RequestWatch } from './requests.js';
import { ownFlags, youngSpaceBytes } from './youngSpace.js';

// As they were before the application: fake timers and other replacements are its own affair.
const { setInterval } = globalThis;
const eventLoopUtilization = performance.eventLoopUtilization.bind(performance);

const BEAT_MS = 50;
/** From one sweep to the next, less half a beat: a timer is never early by more. */
const SWEEP_MS = 5 * BEAT_MS - BEAT_MS / 2;

/** Part of the limit that V8 tells, but not of the one that a process dies of. */
const YOUNG_BYTES = youngSpaceBytes(getHeapStatistics().heap_size_limit, ownFlags(), process.versions.node);

/**
 * Never keeps the process alive. `onFirst` is called with the first heartbeat: the application has been loaded by then, or
 * has given up its thread for the first time.
 */
export function startBeat(memory: SharedMemory, requests: RequestWatch, onFirst: () => void): void {
  const { numbers, delays } = memory;
  const isDebugged = debuggerState();
  let dueAtMs = 0;
  let sweptAtMs = 0;
  const beat = (): void => {
    const beats = read(numbers, SLOT.beats);
    const atMs = nowMs();
    delays[beats % DELAYS] = dueAtMs === 0 ? 0 : Math.max(0, atMs - dueAtMs);
    dueAtMs = atMs + BEAT_MS;
    numbers[SLOT.idleMs] = eventLoopUtilization().idle;
    numbers[SLOT.debugged] = isDebugged() ? 1 : 0;
    noteHeap(numbers);
    if (atMs - sweptAtMs >= SWEEP_MS) {
      sweptAtMs = atMs;
      requests.sweep();
    }
    numbers[SLOT.beats] = beats + 1;
    numbers[SLOT.beatAtMs] = atMs;
    if (beats === 0) onFirst();
  };
  setInterval(guarded(numbers, beat), BEAT_MS).unref();
  watchGarbage(
    guarded(numbers, () => {
      noteHeap(numbers);
      numbers[SLOT.liveHeapBytes] = read(numbers, SLOT.heapUsedBytes);
      add(numbers, SLOT.majorGcs, 1);
    }),
  );
}

function noteHeap(numbers: Float64Array): void {
  const heap = getHeapStatistics();
  numbers[SLOT.heapUsedBytes] = heap.used_heap_size;
  numbers[SLOT.heapLimitBytes] = Math.max(0, heap.heap_size_limit - YOUNG_BYTES);
  numbers[SLOT.externalBytes] = heap.external_memory;
}

/** Whether a debugger may hold the main thread: its port is open. A node built without inspector has none. */
function debuggerState(): () => boolean {
  try {
    const { url } = require('node:inspector') as typeof Inspector;
    return () => url() !== undefined;
  } catch {
    return () => false;
  }
}

function guarded(numbers: Float64Array, run: () => void): () => void {
  return () => {
    try {
      run();
    } catch {
      add(numbers, SLOT.dropped, 1);
    }
  };
}
