/**
 * Both loops of an instance are alive, probes pass, and still nothing gets done: a promise that nobody settles, a pool
 * whose connections were never given back. What shows is that requests grow older while none finishes.
 *
 * An instance is stalled when at least three requests are overdue (unanswered for 2 s, as the agent counts) and, for
 * long enough, nothing has finished while the oldest went without an answer. Long enough is the longest of
 *
 *   2 s                           less says nothing about a request
 *   twice the usual wait          the longest that was answered in the hour before, in any instance of the service:
 *                                 long polls, reports and slow uploads teach it to be patient
 *   five usual gaps               at the pace at which requests finished before it fell silent, five would have by now.
 *                                 If they came independently, that happens to a healthy one once in 150 such silences
 *                                 (e^-5): the idea of accrual failure detectors (Hayashibara et al., SRDS 2004), with
 *                                 answers in the place of heartbeats
 *
 * Answers whose head has been written (server-sent events, downloads) are not overdue, and probes are not requests.
 * Where nothing is usual, because nothing has finished in the last minute, two minutes must pass: longer than proxies
 * and clients let a request wait.
 *
 * Whoever is stalled gets a replacement, but a new instance does not help when what they all wait for is elsewhere: a
 * database, another service. So after one was condemned, the next follows only if something has finished since, in any
 * instance. Else all stay where they are, and it is said that what they share is to be looked at.
 */
import type { AgentFigures } from '../agents/agent.js';

const FEWEST_OVERDUE = 3;
const SHORTEST_MS = 2_000;
const USUAL_WAITS = 2;
const USUAL_GAPS = 5;
const WITHOUT_PACE_MS = 120_000;
/** A pace from fewer is chance. */
const FEWEST_FINISHED = 10;
const SHORTEST_SPAN_MS = 1_000;
/** Whoever finishes few in so long a time is really slow, or idle. */
const LONG_SPAN_MS = 30_000;

/** What is usual in a service. */
export interface Usual {
  /** Requests that one instance finishes a second. null: not known. */
  readonly paceHz: number | null;
  /** Longest wait for an answer that came. */
  readonly waitMs: number;
}

/** A sentence when that instance is stalled, else null. */
export function judgeStall(figures: AgentFigures, usual: Usual): string | null {
  const { unansweredOverdue, unanswered, oldestUnansweredMs, debugged } = figures;
  if (debugged || unansweredOverdue < FEWEST_OVERDUE || oldestUnansweredMs === null) return null;
  const gapsMs = usual.paceHz === null ? Infinity : (USUAL_GAPS / usual.paceHz) * 1_000;
  const neededMs = Math.max(SHORTEST_MS, USUAL_WAITS * usual.waitMs, Math.min(gapsMs, WITHOUT_PACE_MS));
  // One that has never finished anything has been silent for as long as its oldest request waits.
  const silentMs = figures.sinceFinishedMs ?? oldestUnansweredMs;
  if (silentMs < neededMs || oldestUnansweredMs < neededMs) return null;
  return (
    `${unanswered} requests wait, the oldest for ${seconds(oldestUnansweredMs)}, and none has finished for ` +
    `${seconds(silentMs)}${usualPace(usual.paceHz)}`
  );
}

/**
 * The pace up to the last request that finished, 0 of one that is idle; null when these figures can't tell.
 * @param first of what is remembered of an instance; null where nothing is.
 * @param last the newest of it.
 */
export function paceOf(first: AgentFigures | null, last: AgentFigures | null): number | null {
  if (first === null || last === null) return null;
  const finished = last.finished - first.finished;
  const spanMs = last.atMs - (last.sinceFinishedMs ?? 0) - first.atMs;
  const isKnown = spanMs >= LONG_SPAN_MS || (finished >= FEWEST_FINISHED && spanMs >= SHORTEST_SPAN_MS);
  return isKnown ? (finished / spanMs) * 1_000 : null;
}

/**
 * How long the oldest request of the earlier figures had waited, if it was answered before the later ones; else null.
 * While nothing finishes, a request that is gone was given up by its client.
 */
export function answeredWaitMs(earlier: AgentFigures, later: AgentFigures): number | null {
  const waitedMs = earlier.oldestUnansweredMs;
  if (waitedMs === null || later.finished <= earlier.finished) return null;
  const wouldBeMs = waitedMs + (later.atMs - earlier.atMs);
  const isStillThere = later.oldestUnansweredMs !== null && later.oldestUnansweredMs >= wouldBeMs - JITTER_MS;
  return isStillThere ? null : waitedMs;
}

/** Figures arrive a little earlier or later than they were taken. */
const JITTER_MS = 200;

/** Longer than a replacement takes to serve, so that one that stalls again and again is replaced. */
const GIVEN_UP_MS = 120_000;

/**
 * Whether nothing can finish any more in one that was stalled, because all clients have given up and it gets no new requests.
 * @param idleSinceMs since when no request waits there; null: one does.
 */
export function isGivenUp(idleSinceMs: number | null, nowMs: number): boolean {
  return idleSinceMs !== null && nowMs - idleSinceMs >= GIVEN_UP_MS;
}

export interface StallVerdict {
  /** hold: a replacement would not help. */
  readonly action: 'condemn' | 'hold';
  readonly detail: string;
}

/**
 * What to do about an instance that is stalled.
 * @param condemnedBefore when the last one of the service was condemned for this (same clock as `finishedAtMs`), or null.
 * @param finishedAtMs when a request last finished in any instance of the service that is not stalled; null: never.
 */
export function decideStall(
  sentence: string,
  condemnedBefore: { readonly atMs: number; readonly pmId: number } | null,
  finishedAtMs: number | null,
): StallVerdict {
  if (condemnedBefore === null || (finishedAtMs !== null && finishedAtMs > condemnedBefore.atMs)) {
    return { action: 'condemn', detail: sentence };
  }
  return {
    action: 'hold',
    detail:
      `${sentence}. pm ${condemnedBefore.pmId} was given up for the same, and nothing has finished in any instance ` +
      `since: a shared dependency (database, another service) is the likely cause, and replacing more would not help`,
  };
}

function seconds(durationMs: number): string {
  return `${(durationMs / 1_000).toFixed(1)} s`;
}

function usualPace(paceHz: number | null): string {
  if (paceHz === null || paceHz <= 0) return '';
  return ` where ${paceHz >= 1 ? `${Math.round(paceHz)} a second are` : `one in ${Math.round(1 / paceHz)} s is`} usual`;
}
