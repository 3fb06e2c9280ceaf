/**
 * Owner of what is usual in each service (domain/health/stall): the pace at which its instances finish requests and the longest
 * waits that ended well. Told of all figures; says of an instance when it is stalled and what is to be done about it.
 */
import type { AgentFigures } from '../../domain/agents/agent.js';
import { answeredWaitMs, decideStall, judgeStall, paceOf } from '../../domain/health/stall.js';
import type { StallVerdict } from '../../domain/health/stall.js';
import type { AgentMemory } from './agentMemory.js';

interface Habits {
  /** Longest wait that was answered, per minute of the last hour. */
  readonly waits: { readonly minute: number; longestMs: number }[];
  pace: { readonly hz: number; readonly atMs: number } | null;
  /** The last one that was condemned, and when. */
  condemned: { readonly atMs: number; readonly pmId: number } | null;
  /** When anything last finished in an instance that is not stalled. */
  finishedAtMs: number | null;
  /** Whether it was said that the next one is not condemned. */
  isHolding: boolean;
}

const MINUTE_MS = 60_000;
const MINUTES_REMEMBERED = 60;
/** Another instance's pace, for one that has none yet. */
const PACE_VALID_MS = 5 * MINUTE_MS;
const PACE_INTERVAL_MS = 5_000;
/** After this long the next one is tried again, though nothing has finished: it is another day. */
const CONDEMNED_VALID_MS = 10 * MINUTE_MS;

export class StallWatch {
  readonly #services = new Map<string, Habits>();

  /** Learns from the figures that follow `earlier`. */
  learn({ id: { service } }: AgentMemory, earlier: AgentFigures | null, later: AgentFigures): void {
    const habits = this.#habitsOf(service);
    if (earlier === null) return;
    const waitedMs = answeredWaitMs(earlier, later);
    if (waitedMs !== null) noteWait(habits, waitedMs, later.atMs);
    if (later.finished <= earlier.finished) return;
    habits.finishedAtMs = later.atMs;
    habits.isHolding = false;
  }

  /** Whether that instance is stalled, and then what to do. Null: it is not. */
  judge(memory: AgentMemory, figures: AgentFigures): (StallVerdict & { readonly isNews: boolean }) | null {
    const { service, pmId } = memory.id;
    const habits = this.#habitsOf(service);
    const now = figures.atMs;
    if (figures.unansweredOverdue === 0) {
      if (habits.pace === null || now - habits.pace.atMs >= PACE_INTERVAL_MS) notePace(habits, memory, now);
      return null;
    }
    const sentence = judgeStall(figures, {
      paceHz: paceOf(...memory.ends()) ?? recentPace(habits, now),
      waitMs: longestWaitMs(habits, now),
    });
    if (sentence === null) return null;
    const before = habits.condemned;
    const isRecent = before !== null && now - before.atMs < CONDEMNED_VALID_MS;
    const verdict = decideStall(sentence, isRecent ? before : null, habits.finishedAtMs);
    const isNews = verdict.action === 'condemn' || !habits.isHolding;
    habits.isHolding = verdict.action === 'hold';
    if (verdict.action === 'condemn') habits.condemned = { atMs: now, pmId };
    return { ...verdict, isNews };
  }

  /** Services that are not supervised any more. */
  retain(services: ReadonlySet<string>): void {
    for (const name of this.#services.keys()) if (!services.has(name)) this.#services.delete(name);
  }

  #habitsOf(service: string): Habits {
    let habits = this.#services.get(service);
    if (habits === undefined) {
      habits = { waits: [], pace: null, condemned: null, finishedAtMs: null, isHolding: false };
      this.#services.set(service, habits);
    }
    return habits;
  }
}

function noteWait({ waits }: Habits, waitedMs: number, nowMs: number): void {
  const minute = Math.floor(nowMs / MINUTE_MS);
  const last = waits.at(-1);
  if (last?.minute === minute) {
    last.longestMs = Math.max(last.longestMs, waitedMs);
    return;
  }
  waits.push({ minute, longestMs: waitedMs });
  if (waits.length > MINUTES_REMEMBERED) waits.shift();
}

function longestWaitMs({ waits }: Habits, nowMs: number): number {
  const oldest = Math.floor(nowMs / MINUTE_MS) - MINUTES_REMEMBERED;
  return waits.reduce(
    (most, { minute, longestMs }) => (minute > oldest ? Math.max(most, longestMs) : most),
    0,
  );
}

function notePace(habits: Habits, memory: AgentMemory, nowMs: number): void {
  const hz = paceOf(...memory.ends());
  if (hz !== null) habits.pace = { hz, atMs: nowMs };
}

function recentPace({ pace }: Habits, nowMs: number): number | null {
  return pace !== null && nowMs - pace.atMs < PACE_VALID_MS ? pace.hz : null;
}
