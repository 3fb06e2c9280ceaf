/**
 * Slow start: how much of its share an upstream may take after it came up. A process that has just started has cold
 * caches and code that is not compiled yet; full traffic at once is how a recovered upstream fails again.
 *
 * Linear, from the first moment on: balancing begins it at a sixteenth (balancing/eligible.ts).
 */

/**
 * @param upSinceMs wall clock since when it is up.
 * @param nowMs wall clock.
 * @param slowStartMs duration; 0: none.
 * @returns 0–1; 1 when slow start is over, or when the clock was set back so far that its age can't be known.
 */
export function rampOf(upSinceMs: number, nowMs: number, slowStartMs: number): number {
  const ageMs = nowMs - upSinceMs;
  if (ageMs >= slowStartMs || ageMs < -slowStartMs) return 1;
  return Math.max(ageMs, 0) / slowStartMs;
}
