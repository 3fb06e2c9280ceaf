/**
 * When is the silence of a main thread a hang? The rule, on plain numbers; ./index.ts looks and acts.
 *
 *               beat stays away           counted silence reaches the time-out
 *      alive ──────────────────▶ silent ──────────────────────────────────────▶ hung
 *        ▲                          │                                             │
 *        └────────── a beat ────────┴──────── a beat: recovered ──────────────────┘
 *
 * What counts is not the age of the last beat but the part of it in which the main thread could have run:
 *
 * - Time in which *the watching thread itself* was not scheduled is left out: it compares its own looks. When they are
 *   further apart than MAX_GAP_MS, the whole process was stopped (SIGSTOP, a frozen container, a machine without CPU),
 *   and of that time the main thread may have missed no more than the watcher.
 * - Time in which the main thread waited for a CPU, if it hardly ever got one (STARVED), and at most one more
 *   time-out: where a thread hardly runs, the machine is to blame, and killing processes makes it slower; but a service
 *   that gets no CPU at all serves nobody either. A thread that had its share of a busy machine is judged by the clock.
 * - Time that a garbage collection may have taken, see ./collection.ts.
 *
 * While a debugger is attached, or may be, silence means nothing: whatever was seen before is forgotten.
 */

import { TICK_MS } from '../seams.js';

/** Looks further apart than this mean that the watcher itself was held up; what is beyond TICK_MS is left out. */
const MAX_GAP_MS = 200;

/** Share of the time watched for which a main thread waited for a CPU, from which on that is an excuse. */
const STARVED = 0.8;

export interface Look {
  /** Monotonic clock of the watching thread. */
  readonly nowMs: number;
  /** How many times the main thread's heart has beaten; 0: the application is still loading, for as long as it likes. */
  readonly beat: number;
  /** Since that beat. */
  readonly beatAgeMs: number;
  readonly debugged: boolean;
  /** For how long the kernel's word on the main thread was followed in this silence … */
  readonly watchedMs: number;
  /** … and how much of that it waited for a CPU. */
  readonly queuedMs: number;
  /** How much of this silence may have been garbage collection. */
  readonly collectingMs: number;
  /** Counted silence that is a hang. */
  readonly timeoutMs: number;
}

interface Silence {
  readonly beat: number;
  readonly lookedAtMs: number;
  /** Of the watcher's clock: when that beat came. */
  readonly beatAtMs: number;
  /** Since that beat: for how long the watcher was held up. */
  readonly lostMs: number;
}

export type State =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'alive'; readonly beat: number; readonly lookedAtMs: number }
  | (Silence & { readonly kind: 'silent' })
  | (Silence & { readonly kind: 'hung'; readonly hang: number });

export type Finding =
  | { readonly kind: 'nothing' }
  /** Long enough to look closer, not long enough to judge. */
  | { readonly kind: 'suspicious' }
  | { readonly kind: 'hung'; readonly hang: number }
  | { readonly kind: 'recovered'; readonly hang: number; readonly silentMs: number };

export const INITIAL: State = { kind: 'unknown' };

const NOTHING: Finding = { kind: 'nothing' };

/**
 * One look.
 *
 * @param hangs how many hangs this process has had before; the next one gets the next number.
 */
export function step(state: State, look: Look, hangs: number): { state: State; finding: Finding } {
  if (look.debugged || look.beat === 0) return { state: INITIAL, finding: NOTHING };
  const alive: State = { kind: 'alive', beat: look.beat, lookedAtMs: look.nowMs };
  if (state.kind === 'unknown') return { state: firstSight(look), finding: NOTHING };
  if (state.beat !== look.beat) return { state: alive, finding: farewell(state, look) };

  const silence = endure(state, look);
  if (state.kind === 'hung')
    return { state: { ...silence, kind: 'hung', hang: state.hang }, finding: NOTHING };

  const silentMs = look.nowMs - silence.beatAtMs - silence.lostMs;
  const isStarved = look.queuedMs >= STARVED * look.watchedMs;
  const starvedMs = isStarved ? Math.min(look.queuedMs, look.timeoutMs) : 0;
  const excusedMs = Math.max(starvedMs, look.collectingMs);
  if (silentMs - excusedMs >= look.timeoutMs) {
    const hang = hangs + 1;
    return { state: { ...silence, kind: 'hung', hang }, finding: { kind: 'hung', hang } };
  }
  const suspicious = silentMs >= suspiciousAfterMs(look.timeoutMs);
  return {
    state: { ...silence, kind: 'silent' },
    finding: suspicious ? { kind: 'suspicious' } : NOTHING,
  };
}

/** Silence from before we began to watch is left out: nobody has asked what it was. */
function firstSight({ beat, nowMs, beatAgeMs }: Look): State {
  return { kind: 'silent', beat, lookedAtMs: nowMs, beatAtMs: nowMs - beatAgeMs, lostMs: beatAgeMs };
}

/** Four missed beats, or half of a very short time-out. */
function suspiciousAfterMs(timeoutMs: number): number {
  return Math.min(200, timeoutMs / 2);
}

/** The same beat as before: the silence goes on. */
function endure(state: Exclude<State, { kind: 'unknown' }>, look: Look): Silence {
  const gapMs = look.nowMs - state.lookedAtMs;
  const lostNowMs = gapMs > MAX_GAP_MS ? gapMs - TICK_MS : 0;
  const isNew = state.kind === 'alive';
  return {
    beat: look.beat,
    lookedAtMs: look.nowMs,
    beatAtMs: isNew ? look.nowMs - look.beatAgeMs : state.beatAtMs,
    lostMs: (isNew ? 0 : state.lostMs) + lostNowMs,
  };
}

/** A new beat. It was silent until then, whatever may speak for it. */
function farewell(state: Exclude<State, { kind: 'unknown' }>, look: Look): Finding {
  if (state.kind !== 'hung') return NOTHING;
  return { kind: 'recovered', hang: state.hang, silentMs: look.nowMs - look.beatAgeMs - state.beatAtMs };
}
