/**
 * That everything which is begun has an end: how long one step of an operation may take, and whether the restart budget of an
 * instance that never gets ready can be spent at all.
 */
import { longestBackoffsMs } from './failover.js';
import type { FailurePolicy, HealthPolicy, ServicePolicy } from '../policy.js';

/** More attempts than any operation waits for. */
const MOST_ATTEMPTS = 10;
/** For calls of PM2 that are refused or late. */
const SLACK_MS = 60_000;

/**
 * How long an operation may go without coming closer to its goal: as long as all attempts at one replacement can take, each
 * until it has failed and is removed, and then the canary period and the stop of the instance that it replaces.
 */
export function longestStepMs({ health, failure, lifecycle }: ServicePolicy): number {
  const attempts = Math.min(failure.maxRestartAttempts, MOST_ATTEMPTS) + 1;
  const drainMs = Math.max(lifecycle.drainGraceMs, lifecycle.killTimeoutMs);
  const attemptMs = health.startTimeoutMs + lifecycle.killTimeoutMs;
  const lastMs = lifecycle.canaryMs + drainMs + lifecycle.killTimeoutMs;
  return attempts * attemptMs + longestBackoffsMs(attempts, failure) + lastMs + SLACK_MS;
}

/**
 * How far apart the first and the last failure lie that spend the budget of an instance that never gets ready. As long as
 * the window or longer: the first is forgotten before the last, and the instance is started again for ever.
 */
export function slowestSpendingMs(
  failure: Pick<FailurePolicy, 'maxRestartAttempts' | 'windowMs' | 'backoffBaseMs'>,
  startTimeoutMs: number,
): number {
  const { maxRestartAttempts: attempts } = failure;
  return attempts * startTimeoutMs + longestBackoffsMs(attempts, failure);
}

/** What is wrong with these settings in view of each other, a sentence each. */
export function policyWarnings({
  health,
  failure,
}: {
  readonly health: Pick<HealthPolicy, 'startTimeoutMs'>;
  readonly failure: Pick<FailurePolicy, 'maxRestartAttempts' | 'windowMs' | 'backoffBaseMs'>;
}): readonly string[] {
  const { maxRestartAttempts, windowMs } = failure;
  const spendingMs = slowestSpendingMs(failure, health.startTimeoutMs);
  if (spendingMs < windowMs) return [];
  return [
    `An instance that never gets ready is never quarantined, and started again for ever: ` +
      `maxRestartAttempts (${maxRestartAttempts}) failures that each take startTimeout (${seconds(health.startTimeoutMs)}), and the waits between ` +
      `them, lie up to ${seconds(spendingMs)} apart, and failures older than restartWindow (${seconds(windowMs)}) are forgotten. ` +
      `Make restartWindow longer than ${seconds(spendingMs)}, or startTimeout shorter.`,
  ];
}

function seconds(durationMs: number): string {
  return `${Math.round(durationMs / 100) / 10} s`;
}
