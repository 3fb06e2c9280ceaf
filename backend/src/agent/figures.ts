/** Turns what lies in shared memory into the `figures` that the supervisor gets (protocol.ts). In the agent thread. */
import { nowMs } from './clock.js';
import { LATENCY_BUCKETS } from './latency.js';
import { add, DELAYS, read, SLOT, type SharedMemory } from './memory.js';
import type { Figures } from './protocol.js';

const BEAT_MS = 50;
/** A heartbeat that is older says that the loop is busy right now. */
const STALE_MS = 3 * BEAT_MS;

export class FiguresReader {
  readonly #memory: SharedMemory;
  readonly #startedAtMs: number;
  readonly #clock: () => number;
  readonly #latencyBefore = new Float64Array(LATENCY_BUCKETS);
  #latencySumBeforeMs = 0;
  #beatsBefore = 0;
  #elu = { untilMs: 0, idleMs: 0, value: 1 };

  constructor(memory: SharedMemory, startedAtMs: number, clock = nowMs) {
    this.#memory = memory;
    this.#startedAtMs = startedAtMs;
    this.#clock = clock;
    this.#elu.untilMs = startedAtMs;
  }

  /** Of the time since the call before. `dropped`: what the agent thread has left out. */
  next(dropped: number): Figures {
    const { numbers } = this.#memory;
    const atMs = this.#clock();
    const beatAtMs = read(numbers, SLOT.beatAtMs) || this.#startedAtMs;
    const beatAgeMs = Math.max(0, atMs - beatAtMs);
    const aliveAtMs = Math.max(beatAtMs, read(numbers, SLOT.lastStepAtMs));
    const oldestAtMs = read(numbers, SLOT.oldestUnansweredAtMs);
    const lastFinishedAtMs = read(numbers, SLOT.lastFinishedAtMs);
    add(numbers, SLOT.seq, 1);
    return {
      type: 'figures',
      seq: read(numbers, SLOT.seq),
      beatAgeMs: Math.max(0, Math.round(atMs - aliveAtMs)),
      elu: this.#utilisation(atMs, beatAtMs),
      ...this.#delays(beatAgeMs),
      rssBytes: process.memoryUsage.rss(),
      heapUsedBytes: read(numbers, SLOT.heapUsedBytes) || null,
      heapLimitBytes: read(numbers, SLOT.heapLimitBytes) || null,
      liveHeapBytes: read(numbers, SLOT.liveHeapBytes) || null,
      majorGcs: read(numbers, SLOT.majorGcs),
      externalBytes: read(numbers, SLOT.beats) === 0 ? null : read(numbers, SLOT.externalBytes),
      active: read(numbers, SLOT.active),
      unanswered: read(numbers, SLOT.unanswered),
      oldestUnansweredMs: oldestAtMs === 0 ? null : Math.max(0, Math.round(atMs - oldestAtMs)),
      unansweredOverdue: read(numbers, SLOT.unansweredOverdue),
      sinceFinishedMs: lastFinishedAtMs === 0 ? null : Math.max(0, Math.round(atMs - lastFinishedAtMs)),
      finished: read(numbers, SLOT.finished),
      aborted: read(numbers, SLOT.aborted),
      statuses: [0, 1, 2, 3, 4].map((place) => read(numbers, SLOT.statuses + place)) as [
        number,
        number,
        number,
        number,
        number,
      ],
      ...this.#latency(),
      connections: read(numbers, SLOT.connections),
      debugged: read(numbers, SLOT.debugged) === 1,
      dropped: dropped + read(numbers, SLOT.dropped),
    };
  }

  /**
   * The loop's idle time is known as of the last heartbeat, so utilisation is told up to there; when that is stale, up
   * to now, because a loop that does not come round has not been idle.
   */
  #utilisation(atMs: number, beatAtMs: number): number {
    const untilMs = atMs - beatAtMs > STALE_MS ? atMs : beatAtMs;
    const idleMs = read(this.#memory.numbers, SLOT.idleMs);
    const elapsedMs = untilMs - this.#elu.untilMs;
    if (elapsedMs > 0) {
      const busy = 1 - (idleMs - this.#elu.idleMs) / elapsedMs;
      this.#elu = { untilMs, idleMs, value: Math.round(Math.min(1, Math.max(0, busy)) * 1_000) / 1_000 };
    }
    return this.#elu.value;
  }

  /** Of the heartbeats since the call before, and of the one that is overdue now. */
  #delays(beatAgeMs: number): Pick<Figures, 'delayP50Ms' | 'delayP99Ms' | 'delayMaxMs'> {
    const { numbers, delays } = this.#memory;
    const beats = read(numbers, SLOT.beats);
    const late: number[] = beatAgeMs > 2 * BEAT_MS ? [beatAgeMs - BEAT_MS] : [];
    for (let beat = Math.max(this.#beatsBefore, beats - DELAYS); beat < beats; beat += 1) {
      late.push(read(delays, beat % DELAYS));
    }
    this.#beatsBefore = beats;
    late.sort((a, b) => a - b);
    const at = (share: number): number | null => {
      const delayMs = late[Math.ceil(share * late.length) - 1];
      return delayMs === undefined ? null : Math.round(delayMs * 10) / 10;
    };
    return { delayP50Ms: at(0.5), delayP99Ms: at(0.99), delayMaxMs: at(1) };
  }

  #latency(): Pick<Figures, 'latency' | 'latencySumMs'> {
    const { numbers, latency: counts } = this.#memory;
    const latency: number[] = [];
    for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket += 1) {
      const count = read(counts, bucket);
      const more = count - read(this.#latencyBefore, bucket);
      if (more > 0) latency.push(bucket, more);
      this.#latencyBefore[bucket] = count;
    }
    const sumMs = read(numbers, SLOT.latencySumMs);
    const latencySumMs = Math.round((sumMs - this.#latencySumBeforeMs) * 10) / 10;
    this.#latencySumBeforeMs = sumMs;
    return { latency, latencySumMs };
  }
}
