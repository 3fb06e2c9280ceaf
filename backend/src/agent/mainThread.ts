/**
 * Reads what the main thread has left in shared memory. Used in the agent thread; never waits, never fails.
 *
 * What counts as a heartbeat for the hang watch is a turn of the event loop and every request that begins or finishes:
 * under load one turn serves all requests that had arrived before it, one handler after the other, and sixty that take
 * 20 ms each without ever yielding make a turn of more than a second. That is a service with too much to do, not one
 * that hangs: it is for scaling to help, and nothing would be worse than to kill it.
 */
import { nowMs } from './clock.js';
import { METHODS, PATH_BYTES, RECENT, RECENT_FIELDS, read, SLOT, type SharedMemory } from './memory.js';
import type { MainThreadView, RequestUnderWay } from './seams.js';

const MOST_REQUESTS = 10;

/** `startedAtMs`: when the preload ran, for the time before the first heartbeat. */
export function viewMainThread(memory: SharedMemory, startedAtMs: number): MainThreadView {
  const { numbers } = memory;
  return {
    beats: () => {
      const turns = read(numbers, SLOT.beats);
      return turns === 0 ? 0 : turns + read(numbers, SLOT.steps);
    },
    beatAgeMs: () => {
      const lastAtMs = Math.max(read(numbers, SLOT.beatAtMs), read(numbers, SLOT.lastStepAtMs));
      return Math.max(0, nowMs() - (lastAtMs || startedAtMs));
    },
    debugged: () => read(numbers, SLOT.debugged) === 1,
    heapUsedBytes: () => read(numbers, SLOT.heapUsedBytes),
    heapLimitBytes: () => read(numbers, SLOT.heapLimitBytes),
    externalBytes: () => read(numbers, SLOT.externalBytes),
    requests: () => requestsUnderWay(memory),
  };
}

function requestsUnderWay({ numbers, recent, paths }: SharedMemory): RequestUnderWay[] {
  const found: RequestUnderWay[] = [];
  const begun = read(numbers, SLOT.begun);
  const atMs = nowMs();
  for (let number = Math.max(0, begun - RECENT); number < begun; number += 1) {
    const place = number % RECENT;
    const at = place * RECENT_FIELDS;
    if (read(recent, at + 2) === 1) continue;
    const start = place * (PATH_BYTES + 1);
    found.push({
      method: METHODS[read(recent, at + 1)] ?? 'OTHER',
      path: paths.toString('latin1', start + 1, start + 1 + (paths[start] ?? 0)),
      ageMs: Math.max(0, Math.round(atMs - read(recent, at))),
    });
    if (found.length === MOST_REQUESTS) break;
  }
  return found;
}
