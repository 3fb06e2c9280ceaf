/**
 * What all algorithms agree on.
 *
 * Slow start is a gate: whenever it would be its turn, a ramping endpoint is let through with probability `ramp`, so
 * that its share grows as its ramp does, whatever the traffic. (A weight scaled by the ramp would have to be known to
 * every schedule and table as it changes; an endpoint at 1 % would hold a place far in the future long after it is at
 * 100 %.) The gate compares with the others: when it let nobody through, it does not count.
 */
import type { Endpoint } from './picker.js';

/** May be picked for this request at all. */
export function isEligible(endpoint: Endpoint, tried: readonly Endpoint[] | null): boolean {
  return endpoint.available && (tried === null || !tried.includes(endpoint));
}

/** Slow start begins here: less would be no traffic to speak of, and long searches while a whole pool has just started. */
const LEAST_RAMP = 1 / 16;

/** The gate of slow start. @param draw uniform in [0, 1); not asked for those at full share. */
export function passesRamp(endpoint: Endpoint, draw: () => number): boolean {
  return endpoint.ramp >= 1 || draw() < Math.max(endpoint.ramp, LEAST_RAMP);
}

/** How many endpoints in a row the gate may turn away in one pick; the next eligible one is taken. */
export const MOST_TURNED_AWAY = 16;
