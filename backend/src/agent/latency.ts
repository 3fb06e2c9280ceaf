/**
 * Bounds of the latency buckets, ms: the same series as domain/statistics/histogram.ts, which the supervisor adds up with. The
 * agent imports nothing of the rest; latency.test.ts keeps the two in step.
 */
export const LATENCY_BOUNDS_MS: readonly number[] = [
  0.1, 0.125, 0.16, 0.2, 0.25, 0.315, 0.4, 0.5, 0.63, 0.8, 1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3, 8, 10, 12.5,
  16, 20, 25, 31.5, 40, 50, 63, 80, 100, 125, 160, 200, 250, 315, 400, 500, 630, 800, 1_000, 1_250, 1_600,
  2_000, 2_500, 3_150, 4_000, 5_000, 6_300, 8_000, 10_000, 12_500, 16_000, 20_000, 25_000, 31_500, 40_000,
  50_000, 63_000, 80_000, 100_000,
];

/** One more than there are bounds: the last takes everything slower. */
export const LATENCY_BUCKETS = LATENCY_BOUNDS_MS.length + 1;

/** The first bucket whose bound is not below `elapsedMs`. */
export function bucketOf(elapsedMs: number): number {
  let low = 0;
  let high = LATENCY_BOUNDS_MS.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((LATENCY_BOUNDS_MS[middle] ?? Infinity) < elapsedMs) low = middle + 1;
    else high = middle;
  }
  return low;
}
