/** How a service fares, as its users would say it: from what could take its traffic, and how its traffic went. */
import type { UpstreamCounters } from './gatewayStats.js';
import { errorsOf, requestsOf } from './trafficCounters.js';

export type Condition = 'up' | 'degraded' | 'down';

export interface ConditionInput {
  /** Upstreams that take traffic. */
  readonly usable: number;
  /** Upstreams that should, and don't: failed checks, ejected. Those that drain are leaving by plan. */
  readonly missing: number;
  /** Its traffic over the last moments. */
  readonly recent: UpstreamCounters;
}

/** Fewer requests than this say nothing: one bad answer of two is no outage. */
const FEWEST_REQUESTS = 20;
const DEGRADED_ERROR_SHARE = 0.05;
const DOWN_ERROR_SHARE = 0.5;

/**
 * - down: nothing takes its traffic, or at least half of it goes wrong.
 * - degraded: part of what should take its traffic doesn't, or 5 % of it go wrong. Also a pool that failed its
 *   checks as a whole and, failing open, still answers.
 */
export function conditionOf({ usable, missing, recent }: ConditionInput): Condition {
  const requests = requestsOf(recent);
  const errorShare = requests < FEWEST_REQUESTS ? 0 : errorsOf(recent) / requests;
  if (errorShare >= DOWN_ERROR_SHARE) return 'down';
  if (usable === 0) return requests >= FEWEST_REQUESTS ? 'degraded' : 'down';
  return missing > 0 || errorShare >= DEGRADED_ERROR_SHARE ? 'degraded' : 'up';
}

/** The condition of several together: up when all are, down when all are. No service at all is down. */
export function overall(conditions: readonly Condition[]): Condition {
  if (conditions.every((each) => each === 'down')) return 'down';
  return conditions.every((each) => each === 'up') ? 'up' : 'degraded';
}
