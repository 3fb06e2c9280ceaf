/**
 * Does the memory of a process grow for good, and when does it reach its limit?
 *
 * Memory that grows is no leak: garbage piles up until it is collected (sawtooth), caches fill and are then full
 * (warm-up), a busier hour needs more (a step). Each window of a MemorySeries is judged by itself:
 *
 *   regular    Kendall's tau says that it grows all over the window, and it never fell by much. One step, or one tooth,
 *              doesn't.
 *   lasting    with an agent: at least two major collections happened meanwhile and did not take the growth back.
 *              Without one: nothing as high has come down again before, and only windows of minutes count.
 *   not over   the last quarter of the window grew, too. A cache that is full doesn't.
 *   in reach   the limit is met within four window lengths at that pace. Half a minute says nothing about the next hour;
 *              a window four times as long will.
 *
 * Whether it has been seen for long enough to act on is another question: memoryTracker answers it.
 *
 * The trend is that of the window which sees the limit first. Two limits count: that of the service for the whole
 * process (resident memory, garbage included), and V8's for the JavaScript heap (what is alive in it).
 */
import type { MemoryBucket, MemorySeries } from './memorySeries.js';
import { WINDOW_BUCKETS } from './memorySeries.js';
import { median, trendLine } from './trendLine.js';

export interface Growth {
  readonly slopePerMs: number;
  /** How long it was watched growing so. */
  readonly spanMs: number;
  /** Little is known of the time before: it may have grown so from the start of the process. */
  readonly fromStart: boolean;
  /** How high it may reach at `atMs`: the highest use lately, lifted by what it has grown since, and half a step. */
  readonly reachedBytes: number;
  readonly atMs: number;
  /** The highest use lately, as it was. */
  readonly peakBytes: number;
}

/** Fewest buckets that a judgement is made of. */
const MIN_POINTS = 6;
/** Three steps of the same size have 0.75, two 0.67. */
const MIN_TAU = 0.7;
const MIN_COLLECTIONS = 2;
/** Share of the growth of what is used that must be growth of what is kept. */
const MIN_KEPT_SHARE = 0.5;
/** Of the mean pace, in the last quarter. */
const MIN_LATEST_PACE = 0.25;
/** Share of the growth that may have been lost again for a while. */
const MAX_FALL = 0.4;
/** Window lengths. */
const REACH = 4;
/** Without an agent. */
const CAREFUL = { minTau: 0.85, minPoints: 16, minSpanMs: 90_000 } as const;

/**
 * The growth of `series` in one window that leads to `limitBytes`, or null.
 * @param informed whether samples come from an agent, which knows what is garbage.
 */
export function growthIn(
  series: MemorySeries,
  window: number,
  limitBytes: number,
  informed: boolean,
): Growth | null {
  const buckets = series.buckets(window);
  const first = buckets[0];
  const last = buckets.at(-1);
  if (first === undefined || last === undefined || buckets.length < MIN_POINTS) return null;
  const spanMs = last.atMs - first.atMs;
  const peakBytes = Math.max(...buckets.slice(-WINDOW_BUCKETS / 4).map(({ highBytes }) => highBytes));
  if (!couldReach(buckets, limitBytes - peakBytes)) return null;
  const pace = informed ? informedPace(buckets) : carefulPace(series, buckets, spanMs);
  if (pace === null || pace.slopePerMs <= 0) return null;
  const { slopePerMs, stepBytes } = pace;
  const highest = Math.max(
    ...buckets.slice(buckets.length >> 1).map((bucket) => bucket.highBytes + risen(bucket, last)),
  );
  const reachedBytes = highest + stepBytes / 2;
  if ((limitBytes - reachedBytes) / slopePerMs > REACH * spanMs) return null;
  const fromStart = first.atMs - (series.firstAtMs ?? first.atMs) < spanMs / 2;
  return { slopePerMs, spanMs, fromStart, reachedBytes, atMs: last.atMs, peakBytes };
}

/** What it has risen by since, in what is used and in what is kept: so much higher the same peak would be now. */
function risen(then: MemoryBucket, now: MemoryBucket): number {
  const used = now.lowBytes - then.lowBytes;
  const kept = now.keptBytes === null || then.keptBytes === null ? used : now.keptBytes - then.keptBytes;
  return Math.max(0, Math.min(used, kept));
}

/** Spares most healthy processes the rest: even if all that it moved were growth within half a window. */
function couldReach(buckets: readonly MemoryBucket[], headroomBytes: number): boolean {
  let lowest = Number.POSITIVE_INFINITY;
  let highest = Number.NEGATIVE_INFINITY;
  for (const { lowBytes, keptBytes } of buckets) {
    lowest = Math.min(lowest, lowBytes, keptBytes ?? lowBytes);
    highest = Math.max(highest, lowBytes, keptBytes ?? lowBytes);
  }
  return 2 * REACH * (highest - lowest) >= headroomBytes;
}

function informedPace(buckets: readonly MemoryBucket[]): Pace | null {
  const known = buckets.filter(
    (bucket): bucket is MemoryBucket & { keptBytes: number } => bucket.keptBytes !== null,
  );
  if (known.length < MIN_POINTS) return null;
  const collections = known.slice(1).reduce((total, { majorGcs }) => total + majorGcs, 0);
  if (collections < MIN_COLLECTIONS) return null;
  const kept = known.map(({ atMs, keptBytes }) => ({ atMs, value: keptBytes }));
  const used = known.map(({ atMs, lowBytes }) => ({ atMs, value: lowBytes }));
  const usedPace = regularPace(used, MIN_TAU);
  if (usedPace !== null && riseOf(kept) >= MIN_KEPT_SHARE * riseOf(used)) return usedPace;
  // Where collections leave ever more but nothing more is used, pages were merely not given back yet.
  const isUsed = riseOf(used) >= MIN_KEPT_SHARE * riseOf(kept) && !isOver(used);
  return isUsed ? regularPace(kept, MIN_TAU) : null;
}

/** Nobody says what is garbage: what was as high before and came down again is taken for it. */
function carefulPace(series: MemorySeries, buckets: readonly MemoryBucket[], spanMs: number): Pace | null {
  if (buckets.length < CAREFUL.minPoints || spanMs < CAREFUL.minSpanMs) return null;
  const begin = buckets[0]?.atMs ?? 0;
  const now = buckets.at(-1)?.lowBytes ?? 0;
  for (let window = 0; window < series.windowCount; window += 1) {
    for (const { atMs, highBytes } of series.buckets(window))
      if (atMs < begin && highBytes >= now) return null;
  }
  return regularPace(
    buckets.map(({ atMs, lowBytes }) => ({ atMs, value: lowBytes })),
    CAREFUL.minTau,
  );
}

type Values = readonly { readonly atMs: number; readonly value: number }[];

interface Pace {
  readonly slopePerMs: number;
  /** The largest rise at once, beyond the slope: where growth comes in steps, the next one may come any time. */
  readonly stepBytes: number;
}

/** The pace of growth, where it is regular and not over. */
function regularPace(points: Values, minTau: number): Pace | null {
  const line = trendLine(points);
  const rise = riseOf(points);
  if (line.tau < minTau || line.slopePerMs <= 0 || rise <= 0) return null;
  if (largestFall(points) > MAX_FALL * rise) return null;
  if (isOver(points)) return null;
  const slopePerMs = slopeOfQuarters(points, 1, 3);
  return { slopePerMs, stepBytes: largestStep(points, slopePerMs) };
}

function largestStep(points: Values, slopePerMs: number): number {
  let step = 0;
  let before = points[0];
  for (const point of points) {
    if (before !== undefined) {
      step = Math.max(step, point.value - before.value - slopePerMs * (point.atMs - before.atMs));
    }
    before = point;
  }
  return step;
}

/** Whether the last quarter saw little or nothing of the growth. */
function isOver(points: Values): boolean {
  const latest = valueOfQuarter(points, 3).value - valueOfQuarter(points, 2).value;
  return latest < (MIN_LATEST_PACE * riseOf(points)) / 3;
}

/** From any value to a later one. */
function largestFall(points: Values): number {
  let highest = Number.NEGATIVE_INFINITY;
  let fall = 0;
  for (const { value } of points) {
    highest = Math.max(highest, value);
    fall = Math.max(fall, highest - value);
  }
  return fall;
}

function riseOf(points: Values): number {
  return valueOfQuarter(points, 3).value - valueOfQuarter(points, 0).value;
}

function slopeOfQuarters(points: Values, from: number, to: number): number {
  const a = valueOfQuarter(points, from);
  const b = valueOfQuarter(points, to);
  return (b.value - a.value) / Math.max(1, b.atMs - a.atMs);
}

/** The middle of a quarter of the points. */
function valueOfQuarter(points: Values, quarter: number): { atMs: number; value: number } {
  const begin = Math.floor((quarter * points.length) / 4);
  const part = points.slice(begin, Math.max(begin + 1, Math.floor(((quarter + 1) * points.length) / 4)));
  return { atMs: median(part.map(({ atMs }) => atMs)), value: median(part.map(({ value }) => value)) };
}
