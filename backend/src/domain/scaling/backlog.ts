/**
 * Work that waits. A saturated process shows 100 % however much waits behind it, so load alone can't tell a service
 * that needs one instance more from one that needs five. What waits is known in two places:
 *
 *   requests that were read and not answered      its agent counts them
 *   connections with bytes that nobody has read   the kernel knows them. Node accepts one connection in each turn of its
 *                                                 loop: under load most of what waits has never reached the process
 *
 * Together, less the request in hand, times the loop's time that a request takes, they are the work that waits, in ms of
 * one core. It counts only where the event loop is what is waited for: saturated, and slow to come round. A request that
 * waits for a database on a loop that has time left is no backlog. Where the kernel says nothing, what waits behind a
 * saturated loop is not known: the loop's delay would be a poor guess, half a second with ten seconds of work behind it.
 *
 * How far off it may be: on a saturated loop a request counts in full, also when it waits for something else just then.
 * Where that takes W of a request's time, that is W / DRAIN_MS of the load too much (Little's law): 5 % for half a
 * second. MAX_WAITING_MS bounds the rest, such as long polls on a loop that is busy with something else.
 */
import type { AgentFigures } from '../agents/agent.js';

/** Within this time the work that waits should be done: `DRAIN_MS` of it needs one core more for that long. */
export const DRAIN_MS = 10_000;
/** Over this time the cost of a request is averaged: so far back figures are looked at. */
export const COST_WINDOW_MS = 10_000;
/** More of it than this, in one instance, counts no more: who has waited so long has gone. */
const MAX_WAITING_MS = 10_000;
/** Over this time an instance is saturated or not: so many figures tell. */
export const RECENT_MS = 1_000;
/** Older figures say nothing about now. */
const STALE_MS = 2_000;
/** A loop that sleeps less than this leaves no room; how busy exactly is a matter of measuring. */
const SATURATED_PERCENT = 95;
/** A loop that comes round faster keeps nobody waiting. */
const SLOW_LOOP_MS = 10;

/** Whether anything may wait for the event loop; null when that is not known. Figures of one instance, oldest first. */
export function isSaturated(figures: readonly AgentFigures[], nowMs: number): boolean | null {
  const latest = figures.at(-1);
  if (latest === undefined || nowMs - latest.atMs > STALE_MS) return null;
  const recent = recentOf(figures, latest);
  if (recent.length < 2) return null;
  const eluPercent = meanOf(recent.map((one) => one.eluPercent));
  return eluPercent >= SATURATED_PERCENT && loopDelayMs(recent) >= SLOW_LOOP_MS;
}

/**
 * The work that waits in one instance, as percent of one core over DRAIN_MS: 0 to 100. null when it is not known.
 * @param figures of this instance, oldest first: COST_WINDOW_MS of them are enough, more do no harm.
 * @param unread connections with bytes that the instance has not read; null when that is not known.
 */
export function backlogPercentOf(
  figures: readonly AgentFigures[],
  unread: number | null,
  nowMs: number,
): number | null {
  const latest = figures.at(-1);
  const saturated = isSaturated(figures, nowMs);
  if (latest === undefined || saturated === null) return null;
  if (!saturated) return 0;
  if (unread === null) return null;
  const waitingMs = (latest.unanswered + unread - 1) * costOfRequestMs(figures, latest);
  return (100 * Math.min(MAX_WAITING_MS, Math.max(0, waitingMs))) / DRAIN_MS;
}

/** What the loop was busy for in the last 10 s, for each request that it finished in them. */
function costOfRequestMs(figures: readonly AgentFigures[], latest: AgentFigures): number {
  let busyMs = 0;
  let finished = 0;
  for (let i = 1; i < figures.length; i++) {
    const [before, at] = [figures[i - 1], figures[i]];
    if (before === undefined || at === undefined || at.atMs <= latest.atMs - COST_WINDOW_MS) continue;
    busyMs += (Math.min(100, at.eluPercent) / 100) * (at.atMs - before.atMs);
    finished += Math.max(0, at.finished - before.finished);
  }
  // One that is not finished costs at least what it has cost so far.
  return busyMs / Math.max(1, finished);
}

function loopDelayMs(recent: readonly AgentFigures[]): number {
  const delays = recent.flatMap(({ delayP50Ms }) => (delayP50Ms === null ? [] : [delayP50Ms]));
  return delays.length === 0 ? 0 : meanOf(delays);
}

function recentOf(figures: readonly AgentFigures[], latest: AgentFigures): readonly AgentFigures[] {
  return figures.filter(({ atMs }) => atMs > latest.atMs - RECENT_MS);
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
