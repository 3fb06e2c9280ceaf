/**
 * What more work arrives than is done, read out of the samples where agents tell of a backlog.
 *
 * Work arrives as fast as it is done, and as fast as the backlog grows on top of that: the one figure that a saturated
 * service can't show by its load. It takes the place of the up-window: a burst that the instances can absorb leaves no
 * queue behind, so a queue that people notice, in every sample of three seconds, says as much as a load above HIGH
 * over ten.
 */
import { DRAIN_MS } from './backlog.js';
import { coveredMs, type LoadSample } from './window.js';

/** How long the backlog must be there; or the up-window, where that is shorter. */
const EVIDENCE_MS = 3_000;
/** Waiting work an instance that is noticed: a quarter of a second. */
const NOTICED_PERCENT = (100 * 250) / DRAIN_MS;

export interface Overload {
  readonly overMs: number;
  /** Mean load of a ready instance meanwhile, percent. */
  readonly loadPercent: number;
  /** What arrives, percent of one core: what is done and what the backlog grows by. */
  readonly arrivingPercent: number;
  /** What waits, percent of one core over DRAIN_MS. */
  readonly waitingPercent: number;
}

/** null: no backlog to speak of, or not for long enough, or no agent that could tell. */
export function overloadOf(
  samples: readonly LoadSample[],
  nowMs: number,
  upWindowMs: number,
): Overload | null {
  const overMs = Math.min(EVIDENCE_MS, upWindowMs);
  const latest = samples.at(-1);
  if (latest === undefined || latest.ready === 0 || coveredMs(samples, nowMs, overMs) < overMs) return null;
  const begin = samples.findLastIndex((sample) => sample.atMs <= nowMs - overMs);
  const evidence = samples.slice(begin + 1);
  if (evidence.length === 0 || !evidence.every(isNoticed)) return null;
  const done = evidence.reduce((sum, sample) => sum + sample.demandPercent, 0) / evidence.length;
  return {
    overMs,
    loadPercent: done / latest.ready,
    arrivingPercent: done + growthPercent(samples[begin], latest),
    waitingPercent: latest.backlogPercent ?? 0,
  };
}

/** Whether what waits at this moment is long enough to be noticed. */
export function isNoticed({ backlogPercent, ready }: LoadSample): boolean {
  return backlogPercent !== null && backlogPercent >= NOTICED_PERCENT * ready;
}

/**
 * By how much of one core the work that arrived exceeded what was done. 0 across a change of instances: what an
 * instance that comes or goes brings or takes was not arriving.
 */
function growthPercent(first: LoadSample | undefined, latest: LoadSample): number {
  if (first === undefined || first.ready !== latest.ready) return 0;
  if (first.backlogPercent === null || latest.backlogPercent === null) return 0;
  const grownPercent = latest.backlogPercent - first.backlogPercent;
  return Math.max(0, (grownPercent * DRAIN_MS) / (latest.atMs - first.atMs));
}
