/**
 * Is one instance fit for traffic? A state machine fed by probe results, with rise and fall:
 *
 *   starting ──rise passes──▶ fit ──fall failures──▶ unfit ──rise passes──▶ fit
 *      └── start time-out (or, when it was already running when first seen, fall failures) ──▶ unfit
 *
 *   fit ──an agent says that it hangs, is stopped, stalls──▶ unfit
 *
 * Both counters are of *consecutive* results: the opposite result resets them. "Unsettled" means that the last
 * result contradicts the state; probes then come at the fast interval, so that a doubt is resolved in seconds.
 */
import type { FailureCause, Fitness } from './model.js';
import type { HealthPolicy } from './policy.js';

export type HealthState =
  | {
      readonly kind: 'starting';
      readonly sinceMs: number;
      /** Already running when the supervisor first saw it: no start-up excuse for failing. */
      readonly adopted: boolean;
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
      readonly kind: 'unfit';
      readonly sinceMs: number;
      readonly passes: number;
      readonly cause: FailureCause;
      readonly detail: string;
      /** Passing probes say nothing: they passed all the time. Only whoever condemned it can take that back. */
      readonly held?: true;
    };

/** The part of a probe's result that matters here. */
export type Verdict =
  { readonly ok: true } | { readonly ok: false; readonly timedOut: boolean; readonly detail: string };

export function starting(nowMs: number, adopted: boolean): HealthState {
  return { kind: 'starting', sinceMs: nowMs, adopted, passes: 0, failures: 0, problem: null };
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
  return state.kind === 'starting' ? { ...state, passes, failures: 0, problem: null } : { ...state, passes };
}

function afterFailure(
  state: HealthState,
  verdict: Extract<Verdict, { ok: false }>,
  policy: HealthPolicy,
  nowMs: number,
): HealthState {
  const cause: FailureCause = verdict.timedOut ? 'unresponsive' : 'unhealthy';
  if (state.kind === 'unfit') return { ...state, passes: 0 };
  const failures = state.failures + 1;
  if (state.kind === 'fit' || state.adopted) {
    if (failures >= policy.fall) {
      const detail = `${failures} probes in a row failed: ${verdict.detail}`;
      return { kind: 'unfit', sinceMs: nowMs, passes: 0, cause, detail };
    }
    return state.kind === 'fit'
      ? { ...state, failures, problem: verdict.detail }
      : { ...state, passes: 0, failures, problem: verdict.detail };
  }
  return afterTime({ ...state, passes: 0, failures, problem: verdict.detail }, policy, nowMs);
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
  if (state.kind === 'unfit' || (state.kind === 'starting' && !state.adopted)) return null;
  return { kind: 'unfit', sinceMs: nowMs, passes: 0, cause, detail, ...(held ? { held } : {}) };
}

/** Passing probes bring it back from now on. */
export function released(state: HealthState): HealthState {
  if (state.kind !== 'unfit') return state;
  const { held: _held, ...rest } = state;
  return rest;
}

/** A starting instance that took too long is unfit, whether or not a probe said so. */
export function afterTime(state: HealthState, policy: HealthPolicy, nowMs: number): HealthState {
  if (state.kind !== 'starting' || nowMs - state.sinceMs < policy.startTimeoutMs) return state;
  const detail = `not ready ${Math.round(policy.startTimeoutMs / 1000)} s after its start: ${state.problem ?? 'no probe passed'}`;
  return { kind: 'unfit', sinceMs: nowMs, passes: 0, cause: 'not-ready', detail };
}

/** Whether the last result contradicts the state. */
export function isUnsettled(state: HealthState): boolean {
  switch (state.kind) {
    case 'starting':
      return true;
    case 'fit':
      return state.failures > 0;
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
    case 'unfit':
      return { kind: 'unfit', sinceMs: state.sinceMs, cause: state.cause, detail: state.detail };
  }
}
