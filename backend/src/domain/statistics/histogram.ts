/**
 * Times as counts in fixed buckets: constant size however many requests there were, one increment to record, and two
 * histograms add up bucket by bucket, which percentiles never do. So workers count, the primary adds, and only what
 * people see is turned into percentiles.
 *
 * The bounds are ten steps a decade (the preferred numbers R10) from 0.1 ms to 100 s: a percentile is off by 13 % at
 * most, and the usual 1, 2.5, 5, 10 … are bounds themselves, so that Prometheus gets exact counts for its coarser
 * buckets.
 */
import type { Percentiles } from './percentiles.js';

/** Upper bounds, inclusive, ms. One more bucket after the last takes everything slower. */
export const LATENCY_BOUNDS_MS: readonly number[] = [
  0.1, 0.125, 0.16, 0.2, 0.25, 0.315, 0.4, 0.5, 0.63, 0.8, 1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3, 8, 10, 12.5,
  16, 20, 25, 31.5, 40, 50, 63, 80, 100, 125, 160, 200, 250, 315, 400, 500, 630, 800, 1_000, 1_250, 1_600,
  2_000, 2_500, 3_150, 4_000, 5_000, 6_300, 8_000, 10_000, 12_500, 16_000, 20_000, 25_000, 31_500, 40_000,
  50_000, 63_000, 80_000, 100_000,
];

const BUCKETS = LATENCY_BOUNDS_MS.length + 1;

/** Plain data: it crosses process boundaries. */
export interface Histogram {
  /** How many fell into each bucket, not cumulative; one entry a bound and one for what is slower. */
  readonly counts: readonly number[];
  /** Sum of all recorded times, ms. */
  readonly sumMs: number;
}

/** One that is counted in; its owner is a hot path. */
export interface MutableHistogram extends Histogram {
  readonly counts: number[];
  sumMs: number;
}

export function createHistogram(): MutableHistogram {
  return { counts: Array.from({ length: BUCKETS }, () => 0), sumMs: 0 };
}

/** Counts one time; a clock that went backwards counts as 0. No allocation, six comparisons. */
export function record(histogram: MutableHistogram, elapsedMs: number): void {
  const valueMs = elapsedMs > 0 ? elapsedMs : 0;
  const bucket = bucketOf(valueMs);
  histogram.counts[bucket] = (histogram.counts[bucket] ?? 0) + 1;
  histogram.sumMs += valueMs;
}

/** The first bucket whose bound is not below `valueMs`. */
function bucketOf(valueMs: number): number {
  let low = 0;
  let high = LATENCY_BOUNDS_MS.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((LATENCY_BOUNDS_MS[middle] ?? Infinity) < valueMs) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** null of none. */
export function meanMsOf(histogram: Histogram): number | null {
  const count = countOf(histogram);
  return count === 0 ? null : histogram.sumMs / count;
}

export function countOf(histogram: Histogram): number {
  return histogram.counts.reduce((total, count) => total + count, 0);
}

/** Both together. */
export function addHistograms(a: Histogram, b: Histogram): Histogram {
  return {
    counts: a.counts.map((count, bucket) => count + (b.counts[bucket] ?? 0)),
    sumMs: a.sumMs + b.sumMs,
  };
}

/** What was recorded after `earlier` was taken of the same growing histogram; never negative. */
export function subtractHistogram(later: Histogram, earlier: Histogram): Histogram {
  return {
    counts: later.counts.map((count, bucket) => Math.max(0, count - (earlier.counts[bucket] ?? 0))),
    sumMs: Math.max(0, later.sumMs - earlier.sumMs),
  };
}

/**
 * The time below which the share `quantile` (0–1) of the recorded ones lies, ms; within a bucket by linear
 * interpolation. null when nothing was recorded. What is slower than the last bound counts as that bound.
 */
export function quantileMs(histogram: Histogram, quantile: number): number | null {
  const total = countOf(histogram);
  if (total === 0) return null;
  const rank = quantile * total;
  let below = 0;
  for (const [bucket, count] of histogram.counts.entries()) {
    if (count > 0 && below + count >= rank) {
      const upperMs = LATENCY_BOUNDS_MS[bucket];
      const lowerMs = bucket === 0 ? 0 : (LATENCY_BOUNDS_MS[bucket - 1] ?? 0);
      if (upperMs === undefined) return lowerMs;
      return lowerMs + (upperMs - lowerMs) * Math.max(0, (rank - below) / count);
    }
    below += count;
  }
  return LATENCY_BOUNDS_MS.at(-1) ?? null;
}

/** What people are shown; null when nothing was recorded. */
export function percentilesOf(histogram: Histogram): Percentiles | null {
  const p50 = quantileMs(histogram, 0.5);
  const p95 = quantileMs(histogram, 0.95);
  const p99 = quantileMs(histogram, 0.99);
  return p50 === null || p95 === null || p99 === null ? null : { p50, p95, p99 };
}

/**
 * How many were recorded up to each of `boundsMs` (ascending, each one of LATENCY_BOUNDS_MS): Prometheus's
 * cumulative buckets, without `+Inf`, which is `countOf`.
 */
export function cumulativeCounts(histogram: Histogram, boundsMs: readonly number[]): number[] {
  const result: number[] = [];
  let bucket = 0;
  let total = 0;
  for (const boundMs of boundsMs) {
    while (bucket < LATENCY_BOUNDS_MS.length && (LATENCY_BOUNDS_MS[bucket] ?? Infinity) <= boundMs) {
      total += histogram.counts[bucket] ?? 0;
      bucket += 1;
    }
    result.push(total);
  }
  return result;
}
