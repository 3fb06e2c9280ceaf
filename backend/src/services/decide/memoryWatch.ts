/**
 * The owner of memory trends: looks at every process once a second, from inside where there is an agent, from outside
 * where there is none, and has an instance replaced before it meets a limit (domain/memory/recycling says when). What a
 * replacement is, and that it comes first, the reconciler knows.
 *
 * Recycling costs the slot no budget: the instance did nothing wrong yet, and a leak must not end in a quarantine. It
 * shows in events, in the counter here, and as a black box.
 */
import type { AgentFigures } from '../../domain/agents/agent.js';
import { heapRoomBytes, MemoryTracker } from '../../domain/memory/memoryTracker.js';
import type { MemoryLook, MemoryTrend } from '../../domain/memory/memoryTracker.js';
import { instanceKey } from '../../domain/model.js';
import type { ManagedProcess } from '../../domain/model.js';
import { describeGrowth, nextToRecycle, RECYCLE_AT } from '../../domain/memory/recycling.js';
import type { Candidate } from '../../domain/memory/recycling.js';
import type { Clock } from '../../ports.js';
import type { SupervisedService } from '../service/supervisedService.js';

export interface MemoryWatchOptions {
  readonly clock: Clock;
  /** Not older than some seconds; null where there is no agent. */
  readonly figures: (process: ManagedProcess) => AgentFigures | null;
  /** Replace that one, new first. */
  readonly recycle: (service: SupervisedService, process: ManagedProcess, why: string) => void;
}

/** Looks closer together than this see the same figures. */
const MIN_LOOK_GAP_MS = 900;

interface Watched {
  readonly tracker: MemoryTracker;
  look: MemoryLook;
}

interface Recycled {
  readonly atMs: number;
  readonly count: number;
}

export class MemoryWatch {
  readonly #options: MemoryWatchOptions;
  readonly #watched = new Map<string, Watched>();
  readonly #recycled = new Map<string, Recycled>();
  #lookedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: MemoryWatchOptions) {
    this.#options = options;
  }

  /** How many instances of that service were recycled in this life of the supervisor. */
  recycled(service: string): number {
    return this.#recycled.get(service)?.count ?? 0;
  }

  /** Called with every list: takes figures in, and recycles where it is time, unless `running` is false. */
  review(services: readonly SupervisedService[], running: boolean): void {
    const nowMs = this.#options.clock.nowMs();
    if (nowMs - this.#lookedAtMs >= MIN_LOOK_GAP_MS) {
      this.#lookedAtMs = nowMs;
      this.#look(services, nowMs);
    }
    for (const service of services) {
      if (running && service.letGo === null) this.#reviewService(service, services, nowMs);
      // What was decided before management was switched off may not be true any more when it is back.
      else if (service.operation === null) service.leaving.stopRecycling();
    }
  }

  #look(services: readonly SupervisedService[], nowMs: number): void {
    const present = new Set<string>();
    for (const service of services) {
      const trends = new Map<string, MemoryTrend>();
      for (const process of service.processes) {
        const look = this.#lookAt(service, process, nowMs);
        if (look === null) continue;
        const key = instanceKey(process);
        present.add(key);
        const tracker = this.#watched.get(key)?.tracker ?? new MemoryTracker();
        tracker.observe(look);
        this.#watched.set(key, { tracker, look });
        trends.set(key, tracker.trend(service.policy.memoryLimitBytes));
      }
      service.noteMemory(trends);
    }
    for (const key of this.#watched.keys()) if (!present.has(key)) this.#watched.delete(key);
  }

  #lookAt(service: SupervisedService, process: ManagedProcess, nowMs: number): MemoryLook | null {
    if (process.pid === null) return null;
    const inside = this.#options.figures(process);
    const residentBytes = inside?.rssBytes ?? service.figuresOf(process)?.memoryBytes ?? null;
    if (residentBytes === null) return null;
    const heap =
      inside === null || inside.heapUsedBytes === null || inside.heapLimitBytes === null
        ? null
        : {
            usedBytes: inside.heapUsedBytes,
            limitBytes: inside.heapLimitBytes,
            liveBytes: inside.liveHeapBytes,
            majorGcs: inside.majorGcs,
          };
    return { atMs: nowMs, residentBytes, heap };
  }

  /** One at a time in a service, and not while an operation moves it anyway. */
  #reviewService(service: SupervisedService, all: readonly SupervisedService[], nowMs: number): void {
    if (service.leaving.isRecycling() || service.operation !== null) return;
    // Its replacement could not be verified, or an earlier one's failed.
    if (service.isQuarantined()) return;
    const unverified = new Set(service.unverified().map(({ process }) => process));
    const verified = service.serving().filter((process) => !unverified.has(process));
    const candidates = verified.map((process) => this.#candidate(service, process));
    const last = this.#recycled.get(service.name);
    const process = nextToRecycle({
      candidates,
      policy: service.policy,
      sinceLastMs: last === undefined ? null : nowMs - last.atMs,
      othersAtWork: all.some((other) => other !== service && other.leaving.isRecycling()),
    });
    if (process === null) return;
    this.#recycled.set(service.name, { atMs: nowMs, count: (last?.count ?? 0) + 1 });
    this.#options.recycle(service, process, this.#why(service, process));
  }

  #candidate(service: SupervisedService, process: ManagedProcess): Candidate<ManagedProcess> {
    const trend = service.memoryTrendOf(process);
    const growth = trend.kind === 'growing' && trend.sure ? trend : null;
    return { instance: process, growth, isFull: this.#fullness(service, process) !== null };
  }

  #why(service: SupervisedService, process: ManagedProcess): string {
    const trend = service.memoryTrendOf(process);
    if (trend.kind === 'growing' && trend.sure) return describeGrowth(trend);
    return this.#fullness(service, process) ?? 'its memory nears the limit';
  }

  /** What is nearly full, and how full; null when nothing is. */
  #fullness(service: SupervisedService, process: ManagedProcess): string | null {
    const look = this.#watched.get(instanceKey(process))?.look;
    if (look === undefined) return null;
    const { memoryLimitBytes } = service.policy;
    const { residentBytes, heap } = look;
    if (residentBytes >= RECYCLE_AT * memoryLimitBytes)
      return `${share(residentBytes, memoryLimitBytes)} used`;
    const live = heap?.liveBytes ?? null;
    if (heap === null || live === null) return null;
    const roomBytes = heapRoomBytes(heap.limitBytes);
    return live >= RECYCLE_AT * roomBytes
      ? `${share(live, roomBytes)} for JavaScript objects are alive`
      : null;
  }
}

function share(bytes: number, limitBytes: number): string {
  return `${mebibytes(bytes)} of ${mebibytes(limitBytes)}`;
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 1024 / 1024)} MB`;
}
