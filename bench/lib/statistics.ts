/** The middle value; of an even count, the mean of the two middle ones. Throws on an empty list. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Linear interpolation between the nearest ranks. `share` 0–1. Throws on an empty list. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const below = sorted[Math.floor(at)];
  const above = sorted[Math.ceil(at)];
  if (below === undefined || above === undefined) throw new Error('no values to take a quantile of');
  return below + (above - below) * (at - Math.floor(at));
}

export function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
