/**
 * Lives of imaginary processes, second by second, for judging what judges memory: five kinds, three of them leaks.
 *
 * The model knows what makes memory hard to read: garbage that piles up until a major collection whose time depends on
 * the heap's size (so that collections become rare as a leak grows), pages that are given back late, buffers outside
 * the heap, load that swings slowly and jumps, requests under way that count as alive, a warm start, noise.
 * Deterministic: one seed, one life.
 */
import type { MemoryLook } from '../../backend/src/domain/memory/memoryTracker.js';

export const KINDS = ['linear', 'stepwise', 'slow', 'sawtooth', 'plateau'] as const;
export type RunKind = (typeof KINDS)[number];

export function isLeak(kind: RunKind): boolean {
  return kind === 'linear' || kind === 'stepwise' || kind === 'slow';
}

export interface MemoryRun {
  readonly kind: RunKind;
  readonly residentLimitBytes: number;
  readonly lengthSeconds: number;
  /** The process after one more second. */
  next(): Second;
}

export interface Second {
  readonly look: MemoryLook;
  /** A limit is met: PM2 or V8 would end it about now. */
  readonly atLimit: boolean;
}

const MB = 1024 * 1024;

export function memoryRun(
  kind: RunKind,
  random: () => number,
  options: { readonly withoutHeapLimit?: boolean } = {},
): MemoryRun {
  const between = (low: number, high: number): number => low + (high - low) * random();
  const logBetween = (low: number, high: number): number => Math.exp(between(Math.log(low), Math.log(high)));
  const chance = (share: number): boolean => random() < share;
  const gauss = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

  const native = between(40, 60) * MB;
  const limit = between(256, 1_024) * MB;
  // A sixth is limited by V8's heap, not by the service's limit.
  const byHeap = isLeak(kind) && !options.withoutHeapLimit && chance(1 / 6);
  const heapLimit = byHeap ? between(0.4, 0.6) * limit : 2_096 * MB;
  const base = between(0.04, 0.15) * limit;
  const perLoad = between(0.01, 0.04) * limit;
  const growFactor = between(1.3, 1.8);
  const garbagePerSecond = logBetween(0.0005, 0.02) * limit;
  const youngBytes = between(1, 16) * MB;
  const noise = between(0.1, 0.6) * MB;
  const room = (byHeap ? heapLimit : limit - native) - base;

  // The leak.
  const outside = !byHeap && chance(0.4);
  const byLoad = chance(0.5);
  const lifeSeconds =
    kind === 'slow'
      ? logBetween(3_600, 36_000)
      : kind === 'linear'
        ? logBetween(300, 2_400)
        : logBetween(400, 3_600);
  const steps = between(12, 40);
  const startsAt = chance(0.5) ? 0 : between(0, 900);
  let leaked = 0;
  let nextStep = 0;

  // Warm-up: up to a share of the limit with all that comes on top.
  const withoutWarm = base + 1.8 * perLoad;
  const warmPeak = between(0.4, 0.8) * limit;
  const warmTo =
    kind === 'plateau'
      ? Math.max(0, (warmPeak - native - youngBytes) / growFactor - withoutWarm)
      : between(0, 0.05) * limit;
  const warmSeconds = kind === 'plateau' ? logBetween(30, 1_800) : between(5, 60);
  const warmLinear = chance(0.5);

  // Sawtooth: collections so rare that teeth are high.
  const toothPeak = between(0.5, 0.85) * limit;
  const toothSeconds = logBetween(20, 900);
  const toothOutside = chance(0.3);

  let load = 1;
  let target = 1;
  const tidePeriod = between(3_600, 6 * 3_600);
  const tidePhase = between(0, 2 * Math.PI);
  let garbage = 0;
  let outsideGarbage = 0;
  let liveAtGc = 0;
  let outsideAtGc = 0;
  let majorGcs = 0;
  let committed = 0;
  let t = 0;

  const warm = (): number => {
    const share = t / warmSeconds;
    return warmTo * (warmLinear ? Math.min(1, share) : 1 - Math.exp(-2 * share));
  };

  const grow = (): void => {
    if (!isLeak(kind) || t < startsAt) return;
    if (kind !== 'stepwise') {
      leaked += (room / lifeSeconds) * (byLoad ? load : 1);
      return;
    }
    if (nextStep === 0) nextStep = t;
    if (t < nextStep) return;
    leaked += (room / steps) * between(0.5, 1.5);
    nextStep = t - (lifeSeconds / steps) * Math.log(1 - random());
  };

  const next = (): Second => {
    t += 1;
    if (chance(1 / 400)) target = between(0.3, 1.7);
    load += (target - load) / 20 + 0.02 * gauss();
    load = Math.max(0.1, load * (1 + 0.00005 * Math.sin((2 * Math.PI * t) / tidePeriod + tidePhase)));
    grow();
    const started = Math.min(1, t / 3);
    const live = started * base + perLoad * load + warm() + (outside ? 0 : leaked);
    const isTooth = kind === 'sawtooth';
    const toothBytes = Math.max(0, toothPeak - native - base - 1.7 * perLoad - warmTo - youngBytes);
    const growth = isTooth ? (toothBytes / toothSeconds) * load : garbagePerSecond * load;
    if (isTooth && toothOutside) outsideGarbage += growth;
    else garbage += growth;
    const cap = isTooth ? toothBytes : Math.max(8 * MB, (growFactor - 1) * liveAtGc);
    // V8 collects as well when 64 MB more are held outside its heap.
    const pressed = outside && leaked - outsideAtGc >= 64 * MB;
    const sinceGc = garbage + Math.max(0, live - liveAtGc);
    const full = isTooth
      ? garbage + outsideGarbage >= cap
      : sinceGc >= cap || live + garbage >= 0.95 * heapLimit;
    if ((full || pressed) && t > 2) {
      garbage = 0;
      outsideGarbage = 0;
      majorGcs += 1;
      outsideAtGc = leaked;
      liveAtGc = live * (1 + 0.01 * gauss()) + 0.1 * youngBytes * random();
    }
    const used = live + garbage + youngBytes * random();
    committed = used > committed ? used : committed + (used - committed) / 30;
    const resident =
      native * (0.7 + 0.3 * started) + committed + outsideGarbage + (outside ? leaked : 0) + noise * gauss();
    const atMs = t * 1_000;
    return {
      look: {
        atMs,
        residentBytes: resident,
        heap: {
          usedBytes: used,
          limitBytes: heapLimit,
          liveBytes: majorGcs === 0 ? null : liveAtGc,
          majorGcs,
        },
      },
      atLimit: resident >= limit || live >= 0.9 * heapLimit,
    };
  };

  const lengthSeconds = isLeak(kind)
    ? Math.round(4 * lifeSeconds + startsAt)
    : Math.round(between(1_800, 10_800));
  return { kind, residentLimitBytes: limit, lengthSeconds, next };
}
