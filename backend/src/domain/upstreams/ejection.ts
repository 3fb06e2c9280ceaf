/**
 * Passive ejection: an upstream whose real traffic keeps failing is taken out for a time that grows with every
 * repetition, and comes back on probation.
 *
 *            n failures in a row                   time is up
 *     in ──────────────────────────▶ ejected ──────────────────────▶ in, on probation
 *      ▲                                ▲                               │        │
 *      │                                └────────── first failure ──────┘        │
 *      └─────────────────────────────────────────── first success ───────────────┘
 *
 * One success sets the count of failures back to 0; how often it was ejected is forgotten only after it has been in
 * for `maxMs`, so that one which fails every minute stays out longer each time.
 */

export interface EjectionPolicy {
  /** Failures in a row until it goes. 0: never. */
  readonly consecutiveFailures: number;
  /** First time out; doubles with every repetition. */
  readonly baseMs: number;
  readonly maxMs: number;
}

export type EjectionState =
  | {
      readonly kind: 'in';
      readonly failures: number;
      /** Since it came back nothing has succeeded yet. */
      readonly probation: boolean;
      readonly timesEjected: number;
      /** When it came back last; monotonic ms, null when it was never out. */
      readonly backSinceMs: number | null;
    }
  | { readonly kind: 'ejected'; readonly untilMs: number; readonly timesEjected: number };

export const NEVER_EJECTED: EjectionState = {
  kind: 'in',
  failures: 0,
  probation: false,
  timesEjected: 0,
  backSinceMs: null,
};

/** After a request that succeeded there. Results of requests begun before an ejection change nothing. */
export function afterSuccess(state: EjectionState): EjectionState {
  if (state.kind === 'ejected' || (state.failures === 0 && !state.probation)) return state;
  return { ...state, failures: 0, probation: false };
}

/**
 * After a request that failed there.
 * @param mayEject whether the pool can do without it; else it stays in, at the edge.
 */
export function afterFailure(
  state: EjectionState,
  policy: EjectionPolicy,
  mayEject: boolean,
  nowMs: number,
): EjectionState {
  if (state.kind === 'ejected' || policy.consecutiveFailures === 0) return state;
  const failures = Math.min(state.failures + 1, policy.consecutiveFailures);
  if ((failures < policy.consecutiveFailures && !state.probation) || !mayEject) return { ...state, failures };
  const forgotten = state.backSinceMs !== null && nowMs - state.backSinceMs >= policy.maxMs;
  const timesEjected = (forgotten ? 0 : state.timesEjected) + 1;
  const outMs = Math.min(policy.maxMs, policy.baseMs * 2 ** Math.min(30, timesEjected - 1));
  return { kind: 'ejected', untilMs: nowMs + outMs, timesEjected };
}

/** As time passes. */
export function atTime(state: EjectionState, nowMs: number): EjectionState {
  if (state.kind === 'in' || nowMs < state.untilMs) return state;
  return { kind: 'in', failures: 0, probation: true, timesEjected: state.timesEjected, backSinceMs: nowMs };
}

/**
 * Whether one more of a pool may be ejected: afterwards the share of its members that take traffic must not be
 * below `minHealthyShare`, and never none.
 */
export function mayEjectOne(inService: number, total: number, minHealthyShare: number): boolean {
  return inService > 1 && inService - 1 >= minHealthyShare * total;
}
