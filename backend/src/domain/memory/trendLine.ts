/**
 * How fast something grows, and whether it does so at all, from a few dozen points that may be noisy: the Theil–Sen
 * estimator and Kendall's tau (the Mann–Kendall trend test), both from the same look at all pairs of points.
 *
 * The slope is the median of the slopes between any two points, so up to 29 % of the points may be anything at all
 * without moving it far (Theil 1950, Sen 1968, "Estimates of the regression coefficient based on Kendall's tau").
 * Tau is the share of pairs that rise minus the share of those that fall: 1 for what only grows, 0 for noise, and at
 * most 0.5 for what stepped up once (Mann 1945, Kendall 1948).
 */

export interface Point {
  /** Any monotonic clock, ms. */
  readonly atMs: number;
  readonly value: number;
}

export interface TrendLine {
  /** Units of the values per ms. */
  readonly slopePerMs: number;
  /** −1 to 1. */
  readonly tau: number;
}

/** The trend of `points`, oldest first. Costs n² / 2: meant for some dozens. 0 and 0 for fewer than two. */
export function trendLine(points: readonly Point[]): TrendLine {
  const slopes: number[] = [];
  let balance = 0;
  for (const [index, later] of points.entries()) {
    for (let before = 0; before < index; before += 1) {
      const earlier = points[before];
      if (earlier === undefined || later.atMs <= earlier.atMs) continue;
      slopes.push((later.value - earlier.value) / (later.atMs - earlier.atMs));
      balance += Math.sign(later.value - earlier.value);
    }
  }
  if (slopes.length === 0) return { slopePerMs: 0, tau: 0 };
  return { slopePerMs: median(slopes), tau: balance / slopes.length };
}

/** The middle value, or the mean of the two in the middle. @throws RangeError for none. */
export function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  const upper = sorted[sorted.length >> 1];
  const lower = sorted[(sorted.length - 1) >> 1];
  if (upper === undefined || lower === undefined) throw new RangeError('There is no median of nothing.');
  return (upper + lower) / 2;
}
