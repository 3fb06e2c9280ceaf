/**
 * One instance's memory: takes a look after the other, and says what becomes of it (domain/memory/memoryTrend). Bounded: two
 * series of a fixed size.
 */
import { MemorySeries } from './memorySeries.js';
import { growthIn } from './memoryTrend.js';
import type { Growth } from './memoryTrend.js';

/** What is known of a process at one moment. */
export interface MemoryLook {
  /** Monotonic. */
  readonly atMs: number;
  /** Resident memory of the whole process. */
  readonly residentBytes: number;
  /** From inside; null without an agent. */
  readonly heap: {
    readonly usedBytes: number;
    /** For old objects: --max-old-space-size. */
    readonly limitBytes: number;
    /** Right after the last major garbage collection; null before the first. */
    readonly liveBytes: number | null;
    readonly majorGcs: number;
  } | null;
}

export type MemoryTrend =
  /** Watched for too short a time, or not at all. */
  | { readonly kind: 'unknown' }
  /** No growth that leads to a limit in the foreseeable future. */
  | { readonly kind: 'steady' }
  | {
      readonly kind: 'growing';
      /** The limit that is met first: the service's for resident memory, or V8's for the live heap. */
      readonly limit: 'resident' | 'heap';
      readonly perSecondBytes: number;
      /** The highest lately, garbage included (resident); what is alive (heap). */
      readonly usedBytes: number;
      readonly limitBytes: number;
      /** Until the limit is met at this pace; 0 when it is met. */
      readonly etaMs: number;
      /** Over how long it was seen to grow. */
      readonly spanMs: number;
      /** It has grown so for so long that it is no warm-up. */
      readonly sure: boolean;
    };

export type MemoryGrowth = Extract<MemoryTrend, { kind: 'growing' }>;

/** Shorter than this, nothing is said. */
const MIN_WATCHED_MS = 20_000;
/**
 * Share of the room for old objects that may be alive before V8 finds collecting futile and ends the process: it gave up
 * at 85 % of 100 MB, whose pages were not all full, and at 99 % of 200 MB.
 */
const HEAP_FULL_AT = 0.85;
/** Share of the time for which it was seen to grow that may be left, for it to be sure … */
const SURE_REACH = 0.8;
/** … where it has done nothing else since it is watched: a warm-up looks the same until it is over … */
const SURE_REACH_FROM_START = 0.5;
/** … and of the limit, how much must really be in use: pools and caches that fill with the load end below that. */
const SURE_USE = 0.75;

interface Use {
  /** Where growth has led to by now. */
  readonly reachedBytes: number;
  /** What was seen. */
  readonly seenBytes: number;
}

interface Fit {
  readonly version: number;
  readonly limitBytes: number;
  readonly growth: Growth | null;
}

/** How much may be alive in a heap whose room for old objects (--max-old-space-size) is `limitBytes`. */
export function heapRoomBytes(limitBytes: number): number {
  return HEAP_FULL_AT * limitBytes;
}

export class MemoryTracker {
  readonly #resident = new MemorySeries();
  readonly #heap = new MemorySeries();
  readonly #fits = new Map<MemorySeries, (Fit | undefined)[]>([
    [this.#resident, []],
    [this.#heap, []],
  ]);
  #firstAtMs: number | null = null;
  #last: MemoryLook | null = null;
  /** When the live heap was last measured. */
  #liveAtMs = 0;
  /** As last said: looks that know nothing of the heap may lie between two that do. */
  #majorGcs: number | null = null;

  /** A look that is not newer than the last one is ignored. */
  observe(look: MemoryLook): void {
    const { atMs, residentBytes, heap } = look;
    if (this.#last !== null && atMs <= this.#last.atMs) return;
    if (heap !== null && heap.majorGcs !== this.#majorGcs) this.#liveAtMs = atMs;
    const majorGcs = heap?.majorGcs ?? this.#majorGcs;
    this.#majorGcs = majorGcs;
    this.#firstAtMs ??= atMs;
    this.#last = look;
    const live = heap?.liveBytes ?? null;
    const garbageBytes = heap === null || live === null ? null : Math.max(0, heap.usedBytes - live);
    const keptBytes = garbageBytes === null ? null : residentBytes - garbageBytes;
    this.#resident.add({ atMs, usedBytes: residentBytes, keptBytes, majorGcs });
    if (heap === null || live === null) return;
    this.#heap.add({ atMs, usedBytes: heap.usedBytes, keptBytes: live, majorGcs });
  }

  /** @param residentLimitBytes that of the service. */
  trend(residentLimitBytes: number): MemoryTrend {
    const last = this.#last;
    if (last === null || last.atMs - (this.#firstAtMs ?? last.atMs) < MIN_WATCHED_MS)
      return { kind: 'unknown' };
    const resident = this.#residentTrend(last, residentLimitBytes);
    const heap = this.#heapTrend(last);
    if (resident === null || heap === null) return resident ?? heap ?? { kind: 'steady' };
    if (resident.sure !== heap.sure) return resident.sure ? resident : heap;
    return resident.etaMs <= heap.etaMs ? resident : heap;
  }

  #residentTrend({ atMs, heap }: MemoryLook, limitBytes: number): MemoryGrowth | null {
    const useOf = ({ reachedBytes, slopePerMs, atMs: then, peakBytes }: Growth): Use => ({
      reachedBytes: reachedBytes + slopePerMs * (atMs - then),
      seenBytes: peakBytes,
    });
    return this.#soonest(this.#resident, { name: 'resident', bytes: limitBytes }, heap !== null, useOf);
  }

  /** The live heap is known only after a collection: what it grew since then is added. */
  #heapTrend({ atMs, heap }: MemoryLook): MemoryGrowth | null {
    const live = heap?.liveBytes ?? null;
    if (heap === null || live === null) return null;
    const limit = { name: 'heap', bytes: heapRoomBytes(heap.limitBytes) } as const;
    const mostBytes = Math.max(heap.usedBytes, live);
    return this.#soonest(this.#heap, limit, true, ({ slopePerMs }) => ({
      reachedBytes: Math.min(mostBytes, live + slopePerMs * (atMs - this.#liveAtMs)),
      seenBytes: live,
    }));
  }

  #soonest(
    series: MemorySeries,
    limit: { readonly name: MemoryGrowth['limit']; readonly bytes: number },
    informed: boolean,
    useOf: (growth: Growth) => Use,
  ): MemoryGrowth | null {
    const limitBytes = limit.bytes;
    let soonest: MemoryGrowth | null = null;
    for (let window = 0; window < series.windowCount; window += 1) {
      const growth = this.#growth(series, window, limitBytes, informed);
      if (growth === null) continue;
      const { slopePerMs, spanMs, fromStart } = growth;
      const { reachedBytes, seenBytes } = useOf(growth);
      const etaMs = Math.round(Math.max(0, limitBytes - reachedBytes) / slopePerMs);
      const sure =
        etaMs <= (fromStart ? SURE_REACH_FROM_START : SURE_REACH) * spanMs &&
        seenBytes >= SURE_USE * limitBytes;
      if (soonest !== null && (soonest.sure === sure ? soonest.etaMs <= etaMs : soonest.sure)) continue;
      const perSecondBytes = Math.round(slopePerMs * 1_000);
      const usedBytes = Math.round(reachedBytes);
      soonest = {
        kind: 'growing',
        limit: limit.name,
        perSecondBytes,
        usedBytes,
        limitBytes,
        etaMs,
        spanMs,
        sure,
      };
    }
    return soonest;
  }

  /** Computed anew only when the window has changed. */
  #growth(series: MemorySeries, window: number, limitBytes: number, informed: boolean): Growth | null {
    const fits = this.#fits.get(series) ?? [];
    const version = series.version(window);
    const known = fits[window];
    if (known !== undefined && known.version === version && known.limitBytes === limitBytes)
      return known.growth;
    const growth = growthIn(series, window, limitBytes, informed);
    fits[window] = { version, limitBytes, growth };
    return growth;
  }
}
