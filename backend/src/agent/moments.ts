/**
 * When to report: at whole multiples of the interval of the wall clock, all agents of a machine at the same moments. What
 * a message costs the supervisor is mostly that it has to wake up for it; so it wakes up once for all of them.
 */

/**
 * Time until the next moment, ms. At least half an interval: a timer that fires a little early must not report twice for
 * the same moment.
 */
export function untilNextMomentMs(intervalMs: number, wallMs: number): number {
  const leftMs = intervalMs - (wallMs % intervalMs);
  return leftMs < intervalMs / 2 ? leftMs + intervalMs : leftMs;
}
