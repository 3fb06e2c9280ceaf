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
  /**
   * The number of the one that it was to replace, while that still runs: then nothing is missing, and it is no hole
   * until the predecessor has gone.
   */
  readonly replaces: number | null;
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
      /** As in a hole. */
      readonly replaces: number | null;
      readonly trialCharges: readonly Charge[];
      readonly mustLastMs: number;
    } & Held);

export interface LastFailure {
  readonly atMs: number;
  readonly cause: FailureCause;
  readonly detail: string;
  readonly pmId: number;
}

/** What still runs may be better than nothing; what keeps dying is not. */
export function mayFailOpen(cause: FailureCause | undefined): boolean {
  return cause !== 'crashed' && cause !== 'oom-killed' && cause !== 'out-of-memory';
}

/** How many places are empty because their budget is spent. */
export function emptyPlaces(quarantine: Quarantine): number {
  return quarantine.kind === 'none' ? 0 : quarantine.holes.filter(({ replaces }) => replaces === null).length;
}

/** Whether the budget of that one's replacement is spent, or the replacement is on trial. */
export function holdsBack(quarantine: Quarantine, pmId: number): boolean {
  if (quarantine.kind === 'none') return false;
  if (quarantine.kind === 'trial' && quarantine.replaces === pmId) return true;
  return quarantine.holes.some(({ replaces }) => replaces === pmId);
}

/** Predecessors that no longer run have left their places empty. @param running numbers of those that do. */
export function withoutGone(quarantine: Quarantine, running: ReadonlySet<number>): Quarantine {
  if (quarantine.kind === 'none') return quarantine;
  const isGone = ({ replaces }: { replaces: number | null }): boolean =>
    replaces !== null && !running.has(replaces);
  const holes = quarantine.holes.map((hole) => (isGone(hole) ? { ...hole, replaces: null } : hole));
  if (quarantine.kind === 'trial' && isGone(quarantine)) return { ...quarantine, holes, replaces: null };
  return { ...quarantine, holes };
}

/** PM2's daemon is a new one, whose numbers mean other processes. A trial under way ended with the old one. */
export function withoutNumbers(quarantine: Quarantine, nowMs: number): Quarantine {
  if (quarantine.kind === 'none') return quarantine;
  const holes = quarantine.holes.map((hole): Hole => ({ ...hole, pmId: null, replaces: null }));
  if (quarantine.kind === 'quarantined') return { ...quarantine, holes };
  const { sinceMs, reason, trials, trialCharges } = quarantine;
  const tried: Hole = { pmId: null, charges: trialCharges, failOpen: false, replaces: null };
  return { kind: 'quarantined', sinceMs, reason, trials, holes: [tried, ...holes], nextTrialAtMs: nowMs };
}

/** The one on trial is gone, and with it its place: the others wait for theirs. */
export function withoutTrial(quarantine: Extract<Quarantine, { kind: 'trial' }>, nowMs: number): Quarantine {
  const { sinceMs, reason, trials, holes, mustLastMs } = quarantine;
  return { kind: 'quarantined', sinceMs, reason, trials, holes, nextTrialAtMs: nowMs + mustLastMs };
}
