/**
 * What is held of a service whose restart budget is spent. A quarantined slot is a *hole*: counted in the desired
 * number, not filled, until a half-open trial outlives what killed its predecessors.
 */
import type { Charge } from './failover.js';
import type { FailureCause } from './model.js';

export interface Hole {
  /** null when PM2 no longer lists it. */
  readonly pmId: number | null;
  readonly charges: readonly Charge[];
  readonly failOpen: boolean;
}

export interface Held {
  readonly sinceMs: number;
  readonly reason: string;
  readonly holes: readonly Hole[];
  /** Failed trials so far. */
  readonly trials: number;
}

/** Times are wall clock: a quarantine survives the supervisor. */
export type Quarantine =
  | { readonly kind: 'none' }
  | ({ readonly kind: 'quarantined'; readonly nextTrialAtMs: number } & Held)
  | ({
      readonly kind: 'trial';
      readonly startedAtMs: number;
      /** Who is on trial. */
      readonly pmId: number;
      readonly trialCharges: readonly Charge[];
      readonly mustLastMs: number;
    } & Held);

export interface LastFailure {
  readonly atMs: number;
  readonly cause: FailureCause;
  readonly detail: string;
  readonly pmId: number;
}

/** Whoever still runs may be better than nothing; whoever keeps dying is not. */
export function mayFailOpen(cause: FailureCause | undefined): boolean {
  return cause !== 'crashed' && cause !== 'oom-killed' && cause !== 'out-of-memory';
}
