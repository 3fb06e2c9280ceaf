/**
 * Is one instance fit for traffic? A state machine fed by probe results, with rise and fall:
 *
 *   starting ──rise passes──▶ fit ──fall failures──▶ unfit ──rise passes──▶ fit
 *      ├── start time-out, or fall failures of one that was ready before ──▶ unfit
 *      └── never passed, and not started by Holdfast ──▶ unverified ──rise passes──▶ fit
 *
 *   fit, unverified ──an agent says that it hangs, is stopped, stalls──▶ unfit
 *
 * *Unverified* is what runs without ever having passed our probe although Holdfast did not start it: the probe may be
 * wrong as well as the instance. It keeps what it had: Holdfast does not stop or replace it for that, and it gets traffic for as
 * long as it answers at all.
 *
 * Both counters are of *consecutive* results: the opposite result resets them. "Unsettled" means that the last
 * result contradicts the state; probes then come at the fast interval, so that a doubt is resolved in seconds.
 */
import type { FailureCause, Fitness } from '../model.js';
import type { HealthPolicy } from '../policy.js';

/** What is known of an instance before its first probe. */
export type Origin =
  /** Started by Holdfast, or by PM2 in a place whose processes pass: it has its start time-out, then it is unfit. */
  | 'started'
  /** Started by PM2 in a place where none has passed yet: it has its start time-out, then it may be unverified. */
  | 'launched'
  /** Was there before Holdfast, and has never passed: no start time-out, and never unfit by probes. */
  | 'found'
  /** Passed in a former life of the supervisor: no start time-out, unfit after `fall` failures. */
  | 'known';

export type HealthState =
  | {
      readonly kind: 'starting';
      readonly sinceMs: number;
      readonly origin: Origin;
      /** It ran when this supervisor first looked. */
      readonly adopted: boolean;
      /** When it must have passed; the process may be older than `sinceMs`. */
      readonly deadlineMs: number;
      readonly passes: number;
      readonly failures: number;
      readonly problem: string | null;
    }
  | {
      readonly kind: 'fit';
      readonly sinceMs: number;
      readonly failures: number;
      readonly problem: string | null;
    }
  | {
      readonly kind: 'unverified';
      readonly sinceMs: number;
      readonly passes: number;
      /** Results in a row without any answer. */
      readonly silences: number;
      /** Whether it answers, if not as the probe expects. Only then it gets traffic. */
      readonly answers: boolean;
      readonly detail: string;
    }
  | {
      readonly kind: 'unfit';
      readonly sinceMs: number;
      readonly passes: number;
      readonly cause: FailureCause;
      readonly detail: string;
      /** It has taken traffic before: it goes only when something better is there. */
      readonly wasReady: boolean;
      /** Passing probes say nothing: they passed all the time. Only whoever condemned it can take that back. */
      readonly held?: true;
      /** It was unverified: when what it was condemned for is over, it is so again. */
      readonly unverified?: true;
    };

/** The part of a probe's result that matters here. */
export type Verdict =
  | { readonly ok: true }
  | {
      readonly ok: false;
      readonly timedOut: boolean;
      /** Something came back, though not what was expected. */
      readonly answered: boolean;
      readonly detail: string;
    };

/**
 * @param ageMs how long the process has run when it is first seen: its start time-out began then.
 * @param adopted whether it ran when this supervisor first looked.
 */
export function starting(
  nowMs: number,
  origin: Origin,
  policy: HealthPolicy,
  ageMs = 0,
  adopted = false,
): HealthState {
  // Also the oldest gets time for `fall` probes: one that failed says nothing.
  const leastMs = Math.min(policy.startTimeoutMs, policy.fall * policy.fastIntervalMs);
  const deadlineMs = nowMs + Math.max(leastMs, policy.startTimeoutMs - Math.max(0, ageMs));
  const none = { passes: 0, failures: 0, problem: null };
  return { kind: 'starting', sinceMs: nowMs, origin, adopted, deadlineMs, ...none };
}

/** The state after one probe result. */
export function afterProbe(
  state: HealthState,
  verdict: Verdict,
  policy: HealthPolicy,
  nowMs: number,
): HealthState {
  return verdict.ok ? afterPass(state, policy, nowMs) : afterFailure(state, verdict, policy, nowMs);
}

function afterPass(state: HealthState, policy: HealthPolicy, nowMs: number): HealthState {
  if (state.kind === 'fit') return state.failures === 0 ? state : { ...state, failures: 0, problem: null };
  if (state.kind === 'unfit' && state.held === true) return state;
  const passes = state.passes + 1;
  if (passes >= policy.rise) return { kind: 'fit', sinceMs: nowMs, failures: 0, problem: null };
  if (state.kind === 'unverified') return { ...state, passes, silences: 0, answers: true };
  return state.kind === 'starting' ? { ...state, passes, failures: 0, problem: null } : { ...state, passes };
}

function afterFailure(
  state: HealthState,
  verdict: Extract<Verdict, { ok: false }>,
  policy: HealthPolicy,
  nowMs: number,
): HealthState {
  if (state.kind === 'unfit') return { ...state, passes: 0 };
  if (state.kind === 'unverified') {
    const silences = verdict.answered ? 0 : state.silences + 1;
    const answers = verdict.answered || (state.answers && silences < policy.fall);
    return { ...state, passes: 0, silences, answers, detail: verdict.detail };
  }
  const failures = state.failures + 1;
  if (failures >= policy.fall) {
    if (state.kind === 'fit' || state.origin === 'known') {
      const detail = `${failures} probes in a row failed: ${verdict.detail}`;
      const cause: FailureCause = verdict.timedOut ? 'unresponsive' : 'unhealthy';
      return { kind: 'unfit', sinceMs: nowMs, passes: 0, cause, detail, wasReady: true };
    }
    const isLate = state.origin === 'launched' && nowMs >= state.deadlineMs;
    if (state.origin === 'found' || (isLate && verdict.answered)) return unverified(verdict, nowMs);
  }
  const failed = { failures, problem: verdict.detail };
  if (state.kind === 'fit') return { ...state, ...failed };
  return afterTime({ ...state, passes: 0, ...failed }, policy, nowMs);
}

function unverified(
  { answered, detail }: { readonly answered: boolean; readonly detail: string },
  nowMs: number,
): HealthState {
  return { kind: 'unverified', sinceMs: nowMs, passes: 0, silences: 0, answers: answered, detail };
}

/**
 * Unfit at once, on better evidence than a probe's. Null when that changes nothing: it is unfit already, or has never
 * been fit, and whoever is starting may block as long as its start may take.
 * @param held whether probes pass all the same, so that they must not bring it back.
 */
export function condemned(
  state: HealthState,
  { cause, detail, held }: { readonly cause: FailureCause; readonly detail: string; readonly held: boolean },
  nowMs: number,
): HealthState | null {
  if (state.kind === 'unfit') return null;
  if (state.kind === 'starting' && !wasThere(state)) return null;
  const isUnverified = state.kind === 'unverified' || (state.kind === 'starting' && state.origin === 'found');
  const base = { kind: 'unfit', sinceMs: nowMs, passes: 0, cause, detail, wasReady: true } as const;
  return { ...base, ...(held ? { held } : {}), ...(isUnverified ? { unverified: true } : {}) };
}

/** What it was condemned for is over: passing probes bring it back from now on; unverified it is again at once. */
export function released(state: HealthState, nowMs: number): HealthState {
  if (state.kind !== 'unfit') return state;
  if (state.unverified === true) return unverified({ answered: true, detail: state.detail }, nowMs);
  const { held: _held, ...rest } = state;
  return rest;
}

/** A starting instance that took too long is unfit, whether or not a probe said so. */
export function afterTime(state: HealthState, policy: HealthPolicy, nowMs: number): HealthState {
  if (state.kind !== 'starting' || nowMs < state.deadlineMs) return state;
  const problem = state.problem ?? 'no probe passed';
  if (state.origin === 'found') return unverified({ answered: true, detail: problem }, nowMs);
  const wasReady = state.origin === 'known';
  const detail = `not ready ${Math.round(policy.startTimeoutMs / 1000)} s after its start: ${problem}`;
  return { kind: 'unfit', sinceMs: nowMs, passes: 0, cause: 'not-ready', detail, wasReady };
}

/** Whether it ran before it was first seen. */
export function wasThere({ origin }: Extract<HealthState, { kind: 'starting' }>): boolean {
  return origin === 'found' || origin === 'known';
}

/** Whether it may be serving for all that is known: it ran before it was first seen, and no probe has said otherwise. */
export function isUnknown(state: HealthState): boolean {
  return state.kind === 'starting' && (wasThere(state) || (state.adopted && state.failures === 0));
}

/** Whether traffic may go there, by what is known of its health. */
export function mayServe(state: HealthState | null): boolean {
  return state?.kind === 'fit' || (state?.kind === 'unverified' && state.answers);
}

/** Whether the last result contradicts the state. */
export function isUnsettled(state: HealthState): boolean {
  switch (state.kind) {
    case 'starting':
      return true;
    case 'fit':
      return state.failures > 0;
    case 'unverified':
      return state.passes > 0 || state.silences > 0 || !state.answers;
    case 'unfit':
      return state.passes > 0;
  }
}

/** First pause between probes of a starting instance; grows with its age to the fast interval. */
const READINESS_INTERVAL_MS = 20;

/**
 * Pause before the next probe, ms. A starting instance is asked often at first, because every millisecond counts
 * until it serves; steady states are asked at the interval, ±10 % so that instances don't beat in step.
 * @param random in [0, 1).
 */
export function probeDelayMs(
  state: HealthState,
  policy: HealthPolicy,
  nowMs: number,
  random: number,
): number {
  const jitter = 0.9 + 0.2 * random;
  if (state.kind === 'starting') {
    const ageMs = nowMs - state.sinceMs;
    return Math.min(policy.fastIntervalMs, Math.max(READINESS_INTERVAL_MS, ageMs / 10));
  }
  // An unfit one is about to be replaced: knowing early that it came back saves a replacement.
  if (isUnsettled(state) || state.kind === 'unfit') return policy.fastIntervalMs * jitter;
  return policy.intervalMs * jitter;
}

export function fitnessOf(state: HealthState): Fitness {
  switch (state.kind) {
    case 'starting':
      return { kind: 'starting' };
    case 'fit':
      return { kind: 'fit', sinceMs: state.sinceMs };
    case 'unverified':
      return {
        kind: 'unverified',
        sinceMs: state.sinceMs,
        answers: state.answers,
        detail: state.detail,
      };
    case 'unfit':
      return { kind: 'unfit', sinceMs: state.sinceMs, cause: state.cause, detail: state.detail };
  }
}
