/**
 * What a scaling decision looks at: a history of samples, and the few figures read out of it.
 *
 * A sample keeps *demand* (the sum of the load of the ready instances), not the mean. Divided by today's number
 * of ready instances it tells what load the same work would be now, so a window may span a scale move or a crash
 * without old samples, taken over fewer or more instances, faking a high or a low.
 *
 * A ready instance without a figure counts 0 % where growing is considered and 100 % where shrinking is: whatever
 * it is really doing, its silence cannot be the cause of a move.
 */
import type { InstanceView } from '../views/serviceView.js';

/** What a sample takes of an instance: an InstanceView has it all, and costs far more to make every second. */
export type InstanceLoad = Pick<
  InstanceView,
  'serving' | 'draining' | 'quarantined' | 'cpuPercent' | 'memoryBytes' | 'eluPercent' | 'backlogPercent'
> & { readonly fitness: Pick<InstanceView['fitness'], 'kind'> };

export interface LoadSample {
  /** Monotonic. */
  readonly atMs: number;
  readonly ready: number;
  /** Launched and not yet verified. */
  readonly starting: number;
  /** Ready instances with a load figure; 0 means that nothing is known about this moment. */
  readonly known: number;
  /** Sum over the known ones of max(CPU of one core, event-loop utilisation), percent. */
  readonly demandPercent: number;
  /** Sum of the work that waits in ready instances (backlog.ts), percent; null when no agent tells of one. */
  readonly backlogPercent: number | null;
  /** Mean RSS of the ready instances as percent of their limit; null when none is known. */
  readonly memoryPercent: number | null;
  /** The same mean in bytes. */
  readonly memoryBytes: number | null;
}

/**
 * A window with a hole longer than half of itself does not count as covered; within these limits: a few missed
 * ticks are no hole in a short window, and a quarter of a minute is one in a long window.
 */
const MIN_HOLE_MS = 3_000;
const MAX_HOLE_MS = 15_000;

/** Load of one instance: the busier of its CPU and its event loop; null when neither is known. */
function loadOf(instance: InstanceLoad): number | null {
  if (instance.cpuPercent === null) return instance.eluPercent;
  if (instance.eluPercent === null) return instance.cpuPercent;
  return Math.max(instance.cpuPercent, instance.eluPercent);
}

/**
 * One moment of one service.
 * @param memoryLimitBytes memory of one instance counted as 100 %.
 */
export function sampleOf(
  instances: readonly InstanceLoad[],
  memoryLimitBytes: number,
  nowMs: number,
): LoadSample {
  let ready = 0;
  let starting = 0;
  let known = 0;
  let demandPercent = 0;
  let backlogPercent: number | null = null;
  let memoryKnown = 0;
  let memorySumBytes = 0;
  for (const instance of instances) {
    if (!instance.serving) {
      if (instance.fitness.kind === 'starting' && !instance.draining && !instance.quarantined) starting++;
      continue;
    }
    ready++;
    const load = loadOf(instance);
    if (load !== null) {
      known++;
      demandPercent += load;
    }
    if (instance.backlogPercent !== null) {
      backlogPercent = (backlogPercent ?? 0) + instance.backlogPercent;
    }
    if (instance.memoryBytes !== null) {
      memoryKnown++;
      memorySumBytes += instance.memoryBytes;
    }
  }
  const memoryBytes = memoryKnown === 0 ? null : memorySumBytes / memoryKnown;
  const memoryPercent =
    memoryBytes === null || memoryLimitBytes <= 0 ? null : (100 * memoryBytes) / memoryLimitBytes;
  return { atMs: nowMs, ready, starting, known, demandPercent, backlogPercent, memoryPercent, memoryBytes };
}

/** Mean load over the instances with a figure; null when there is none. */
export function shownLoad(sample: LoadSample): number | null {
  return sample.known === 0 ? null : sample.demandPercent / sample.known;
}

/** Mean backlog over the ready instances; null when no agent tells of one. */
export function shownBacklog({ backlogPercent, ready }: LoadSample): number | null {
  return backlogPercent === null || ready === 0 ? null : backlogPercent / ready;
}

/** At least this much is demanded: the silent count nothing. */
function demandFloor(sample: LoadSample): number {
  return sample.demandPercent;
}

/** At most this much is demanded: the silent count as busy. */
function demandCeiling(sample: LoadSample): number {
  return sample.demandPercent + 100 * (sample.ready - sample.known);
}

/** Whether a sample is too old to stand for now. */
export function isStale(sample: LoadSample, nowMs: number, windowMs: number): boolean {
  return nowMs - sample.atMs > Math.max(MIN_HOLE_MS, windowMs);
}

/** The samples of the last `windowMs`, oldest first. */
function within(samples: readonly LoadSample[], nowMs: number, windowMs: number): readonly LoadSample[] {
  return samples.slice(samples.findLastIndex((sample) => sample.atMs <= nowMs - windowMs) + 1);
}

/**
 * How much of the last `windowMs` known samples cover without a hole, in ms: `windowMs` when all of it. A sample
 * stands for the time since the one before it.
 */
export function coveredMs(samples: readonly LoadSample[], nowMs: number, windowMs: number): number {
  const holeMs = Math.max(MIN_HOLE_MS, Math.min(MAX_HOLE_MS, windowMs / 2));
  let reachMs = nowMs;
  for (let i = samples.length - 1; i >= 0; i--) {
    const sample = samples[i];
    if (sample === undefined || sample.known === 0) continue;
    if (reachMs - sample.atMs > holeMs) break;
    reachMs = sample.atMs;
    if (reachMs <= nowMs - windowMs) return windowMs;
  }
  return nowMs - reachMs;
}

/** Mean of the demand that is certain over the last `windowMs`; null when nothing is known. */
export function meanDemand(samples: readonly LoadSample[], nowMs: number, windowMs: number): number | null {
  return meanOf(within(samples, nowMs, windowMs), demandFloor);
}

/**
 * The highest demand possible over the last `windowMs`, as the mean over blocks of `blockMs`: one busy second
 * (a collection, a cron job) is not a peak, ten are. Null when nothing is known.
 */
export function peakDemand(
  samples: readonly LoadSample[],
  nowMs: number,
  windowMs: number,
  blockMs: number,
): number | null {
  const blocks = new Map<number, LoadSample[]>();
  for (const sample of within(samples, nowMs, windowMs)) {
    const index = Math.floor((nowMs - sample.atMs) / Math.max(1, blockMs));
    const block = blocks.get(index);
    if (block === undefined) blocks.set(index, [sample]);
    else block.push(sample);
  }
  let peak: number | null = null;
  for (const block of blocks.values()) {
    const mean = meanOf(block, demandCeiling);
    if (mean !== null && (peak === null || mean > peak)) peak = mean;
  }
  return peak;
}

/** Mean memory over the last `windowMs`, percent of the limit; null when nothing is known. */
export function meanMemory(samples: readonly LoadSample[], nowMs: number, windowMs: number): number | null {
  let sum = 0;
  let count = 0;
  for (const { memoryPercent } of within(samples, nowMs, windowMs)) {
    if (memoryPercent === null) continue;
    sum += memoryPercent;
    count++;
  }
  return count === 0 ? null : sum / count;
}

function meanOf(samples: readonly LoadSample[], figure: (sample: LoadSample) => number): number | null {
  let sum = 0;
  let count = 0;
  for (const sample of samples) {
    if (sample.known === 0) continue;
    sum += figure(sample);
    count++;
  }
  return count === 0 ? null : sum / count;
}
