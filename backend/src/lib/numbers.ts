/** Numbers as they are handed out: without the noise of binary fractions (0.1 + 0.2 is 0.30000000000000004). */

/** @param digits behind the point. A figure that is missing stays so; one that is none (NaN, Infinity) is missing. */
export function rounded(value: number, digits: number): number;
export function rounded(value: number | null, digits: number): number | null;
export function rounded(value: number | null, digits: number): number | null {
  return value === null || !Number.isFinite(value) ? null : Number(value.toFixed(digits));
}

const API_DIGITS = 4;

/** For JSON.stringify: every figure that an API hands out goes through here. */
export function withoutNoise(_key: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value) ? rounded(value, API_DIGITS) : value;
}

/**
 * `part` of `whole` in percent, 0–100; null of nothing. Only all of it reads as 100 and only nothing as 0, however close
 * the rest comes.
 * @param digits behind the point.
 */
export function percentOf(part: number, whole: number, digits = 2): number | null {
  if (!(whole > 0)) return null;
  const ratio = part / whole;
  if (ratio <= 0) return 0;
  if (ratio >= 1) return 100;
  const least = 1 / 10 ** digits;
  return rounded(Math.min(100 - least, Math.max(least, 100 * ratio)), digits);
}
