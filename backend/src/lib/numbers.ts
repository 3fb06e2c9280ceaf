/** Numbers as they are handed out: without the noise of binary fractions (0.1 + 0.2 is 0.30000000000000004). */

/** @param digits behind the point. A figure that is missing stays so; one that is none (NaN, Infinity) is missing. */
export function rounded(value: number, digits: number): number;
export function rounded(value: number | null, digits: number): number | null;
export function rounded(value: number | null, digits: number): number | null {
  return value === null || !Number.isFinite(value) ? null : Number(value.toFixed(digits));
}

/**
 * `part` of `whole` in percent, 0–100, with two digits behind the point; null of nothing. Only all of it reads as 100
 * and only nothing as 0, however close the rest comes.
 */
export function percentOf(part: number, whole: number): number | null {
  if (!(whole > 0)) return null;
  const ratio = part / whole;
  if (ratio <= 0) return 0;
  if (ratio >= 1) return 100;
  return Math.min(99.99, Math.max(0.01, Number((100 * ratio).toFixed(2))));
}
