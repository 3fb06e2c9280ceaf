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
export function viewMainThread(memory: SharedMemory, startedAtMs: number, clock = nowMs): MainThreadView {
  const { numbers } = memory;
  const signs = new Signs(numbers, startedAtMs, clock);
  return {
    beats: () => signs.count(),
    beatAgeMs: () => signs.ageMs(),
    debugged: () => read(numbers, SLOT.debugged) === 1,
    heapUsedBytes: () => read(numbers, SLOT.heapUsedBytes),
    heapLimitBytes: () => read(numbers, SLOT.heapLimitBytes),
    externalBytes: () => read(numbers, SLOT.externalBytes),
    requests: () => requestsUnderWay(memory, clock()),
  };
}

/**
 * Signs of life: how many, and how old the last one is. Not every request that is counted reads the clock (requests.ts),
 * so a sign that came without a time counts as of the look before, which is the longest ago that it can have been.
 */
class Signs {
  readonly #numbers: Float64Array;
  readonly #startedAtMs: number;
  readonly #clock: () => number;
  #counted = 0;
  #lookedAtMs = 0;
  /** The last sign is not older than this. */
  #notBeforeMs = 0;

  constructor(numbers: Float64Array, startedAtMs: number, clock: () => number) {
    this.#numbers = numbers;
    this.#startedAtMs = startedAtMs;
    this.#clock = clock;
  }

  count(): number {
    const turns = read(this.#numbers, SLOT.beats);
    return turns === 0 ? 0 : turns + read(this.#numbers, SLOT.steps);
  }

  ageMs(): number {
    const atMs = this.#clock();
    const counted = this.count();
    if (counted !== this.#counted) this.#notBeforeMs = this.#lookedAtMs;
    this.#counted = counted;
    this.#lookedAtMs = atMs;
    const toldMs = Math.max(read(this.#numbers, SLOT.beatAtMs), read(this.#numbers, SLOT.lastStepAtMs));
    return Math.max(0, atMs - Math.max(toldMs || this.#startedAtMs, this.#notBeforeMs));
  }
}

function requestsUnderWay({ numbers, recent, paths }: SharedMemory, atMs: number): RequestUnderWay[] {
  const found: RequestUnderWay[] = [];
  const begun = read(numbers, SLOT.begun);
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
