/**
 * Arithmetic on what gateway workers count. Workers come and go, and so do the rows in their reports; the totals of
 * the gateway must grow on regardless. So what is added up is never a worker's counter itself but what it grew by
 * since that worker's last report.
 */
import type { AnswerClasses, UpstreamCounters } from './gatewayStats.js';
import { addHistograms, countOf, createHistogram, subtractHistogram } from './histogram.js';

export const NO_ANSWERS: AnswerClasses = [0, 0, 0, 0, 0];

export const NO_TRAFFIC: UpstreamCounters = {
  answers: NO_ANSWERS,
  failures: 0,
  retries: 0,
  ejections: 0,
  connectionsOpened: 0,
  latency: createHistogram(),
};

export function addAnswers(a: AnswerClasses, b: AnswerClasses): AnswerClasses {
  return [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4]];
}

/** What `later` has more than `earlier`; never negative. */
export function subtractAnswers(later: AnswerClasses, earlier: AnswerClasses): AnswerClasses {
  const less = (index: 0 | 1 | 2 | 3 | 4): number => Math.max(0, later[index] - earlier[index]);
  return [less(0), less(1), less(2), less(3), less(4)];
}

export function sumOfAnswers(answers: AnswerClasses): number {
  return answers[0] + answers[1] + answers[2] + answers[3] + answers[4];
}

export function addCounters(a: UpstreamCounters, b: UpstreamCounters): UpstreamCounters {
  return {
    answers: addAnswers(a.answers, b.answers),
    failures: a.failures + b.failures,
    retries: a.retries + b.retries,
    ejections: a.ejections + b.ejections,
    connectionsOpened: a.connectionsOpened + b.connectionsOpened,
    latency: addHistograms(a.latency, b.latency),
  };
}

/** What `later` has more than `earlier`, of the same growing counters; never negative. */
export function subtractCounters(later: UpstreamCounters, earlier: UpstreamCounters): UpstreamCounters {
  return {
    answers: subtractAnswers(later.answers, earlier.answers),
    failures: Math.max(0, later.failures - earlier.failures),
    retries: Math.max(0, later.retries - earlier.retries),
    ejections: Math.max(0, later.ejections - earlier.ejections),
    connectionsOpened: Math.max(0, later.connectionsOpened - earlier.connectionsOpened),
    latency: subtractHistogram(later.latency, earlier.latency),
  };
}

/**
 * What a row of a worker grew by since its previous report; `null` when it did not change. A counter below the
 * previous one was begun anew (the upstream left and came back): then all of it is growth.
 */
export function growth(now: UpstreamCounters, before: UpstreamCounters | undefined): UpstreamCounters | null {
  const base = before === undefined || isRestarted(now, before) ? NO_TRAFFIC : before;
  const grown = subtractCounters(now, base);
  return isEmpty(grown) ? null : grown;
}

function isRestarted(now: UpstreamCounters, before: UpstreamCounters): boolean {
  return (
    now.failures < before.failures ||
    now.connectionsOpened < before.connectionsOpened ||
    now.answers.some((count, index) => count < (before.answers[index] ?? 0))
  );
}

function isEmpty(counters: UpstreamCounters): boolean {
  const { failures, retries, ejections, connectionsOpened } = counters;
  const others = failures + retries + ejections + connectionsOpened;
  return others === 0 && sumOfAnswers(counters.answers) === 0 && countOf(counters.latency) === 0;
}

/** Attempts that were answered or failed for good; what was repeated elsewhere is counted there. */
export function requestsOf({ answers, failures, retries }: UpstreamCounters): number {
  return sumOfAnswers(answers) + Math.max(0, failures - retries);
}

/** Of them, those that went wrong: 5xx, or no answer and no other attempt. */
export function errorsOf({ answers, failures, retries }: UpstreamCounters): number {
  return answers[4] + Math.max(0, failures - retries);
}
