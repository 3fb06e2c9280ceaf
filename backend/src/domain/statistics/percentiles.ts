/** Values below which 50, 95 and 99 % of what was measured lies. */
export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** Of several sources: the slowest at each percentile, because percentiles can't be averaged. null of none. */
export function slowest(all: readonly Percentiles[]): Percentiles | null {
  if (all.length === 0) return null;
  const most = (pick: (one: Percentiles) => number): number => Math.max(...all.map(pick));
  return { p50: most(({ p50 }) => p50), p95: most(({ p95 }) => p95), p99: most(({ p99 }) => p99) };
}
