const MOST_DOUBLINGS = 50;

/**
 * How long to wait before trying again: exponential with full jitter, a uniform draw from [0, min(cap, base × 2ⁿ)).
 * Full rather than partial jitter because what fails together would otherwise retry together
 * (M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015).
 *
 * @param attempt 0 before the first retry.
 * @param random uniform in [0, 1).
 * @returns milliseconds.
 */
export function fullJitterMs(
  attempt: number,
  limits: { readonly baseMs: number; readonly capMs: number },
  random: () => number,
): number {
  // The exponent is bounded, because 0 × Infinity is not a number.
  return random() * Math.min(limits.capMs, limits.baseMs * 2 ** Math.min(attempt, MOST_DOUBLINGS));
}
