/**
 * What is held of a service whose restart budget is spent. A quarantined slot is a *hole*: counted in the desired
 * number, not filled, until a half-open trial outlives what killed its predecessors.
 */
import { trialStableMs } from './failover.js';
import type { Charge } from './failover.js';
import type { FailureCause } from '../model.js';
import type { FailurePolicy } from '../policy.js';

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

/** The one that an instance of that number fills: its own, or one whose number means nothing any more. */
export function holeOf(holes: readonly Hole[], pmId: number): Hole | undefined {
  return (
    holes.find((hole) => hole.pmId === pmId) ??
    holes.find((hole) => hole.pmId === null && hole.replaces === null)
  );
}

/** So many empty places: the latest of them, and those in which one still runs at last. */
export function holesToDrop(
  holes: readonly Hole[],
  count: number,
  running: ReadonlySet<number>,
): readonly Hole[] {
  const lives = ({ pmId }: Hole): boolean => pmId !== null && running.has(pmId);
  const empty = holes.filter(({ replaces }) => replaces === null);
  const inOrder = [...empty.filter(lives), ...empty.filter((hole) => !lives(hole))];
  return inOrder.slice(Math.max(0, inOrder.length - count));
}

/** Those places are dropped, and what was to replace one of them with it, unless it still runs. */
export function withoutPlaces(
  holes: readonly Hole[],
  dropped: ReadonlySet<Hole>,
  running: ReadonlySet<number>,
): readonly Hole[] {
  const numbers = [...dropped].flatMap(({ pmId }) => (pmId === null || running.has(pmId) ? [] : pmId));
  const gone = new Set(numbers);
  return holes.filter((hole) => !dropped.has(hole) && !(hole.replaces !== null && gone.has(hole.replaces)));
}

/** Whether the budget of that one's replacement is spent, or the replacement is on trial. */
export function holdsBack(quarantine: Quarantine, pmId: number): boolean {
  if (quarantine.kind === 'none') return false;
  if (quarantine.kind === 'trial' && quarantine.replaces === pmId) return true;
  return quarantine.holes.some(({ replaces }) => replaces === pmId);
}

/** What was charged to a quarantined place, and the number of the predecessor that still runs there; null: none does. */
type Spent = Pick<Hole, 'charges' | 'replaces'>;

/** … to the place of that one, which is quarantined or on trial; null: it is neither. */
export function spentBy(quarantine: Quarantine, pmId: number): Spent | null {
  if (quarantine.kind === 'none') return null;
  if (quarantine.kind === 'trial' && quarantine.pmId === pmId) {
    return { charges: quarantine.trialCharges, replaces: quarantine.replaces };
  }
  return quarantine.holes.find((hole) => hole.pmId === pmId) ?? null;
}

type Placed = Pick<Hole, 'replaces'>;

/** Whether what it was to replace is quarantined, or on trial, itself: that has their place, which is empty once. */
function isSecond({ replaces }: Placed, quarantine: Exclude<Quarantine, { kind: 'none' }>): boolean {
  if (replaces === null) return false;
  if (quarantine.kind === 'trial' && quarantine.pmId === replaces) return true;
  return quarantine.holes.some(({ pmId }) => pmId === replaces);
}

/** Predecessors that no longer run have left their places empty. @param running numbers of those that do. */
export function withoutGone(quarantine: Quarantine, running: ReadonlySet<number>): Quarantine {
  if (quarantine.kind === 'none') return quarantine;
  const isGone = (one: Placed): boolean =>
    one.replaces !== null && !running.has(one.replaces) && !isSecond(one, quarantine);
  const holes = quarantine.holes.map((hole) => (isGone(hole) ? { ...hole, replaces: null } : hole));
  if (quarantine.kind === 'trial' && isGone(quarantine)) return { ...quarantine, holes, replaces: null };
  return { ...quarantine, holes };
}

/** Predecessors that run again fill their places. @param slots `predecessorOf`: the number of the one that runs there; null: none. */
export function withReturned(
  quarantine: Quarantine,
  slots: { readonly predecessorOf: (pmId: number) => number | null },
): Quarantine {
  if (quarantine.kind === 'none') return quarantine;
  const returned = ({ pmId, replaces }: Pick<Hole, 'pmId' | 'replaces'>): number | null =>
    replaces ?? (pmId === null ? null : slots.predecessorOf(pmId));
  const holes = quarantine.holes.map((hole) => ({ ...hole, replaces: returned(hole) }));
  if (quarantine.kind === 'trial') return { ...quarantine, holes, replaces: returned(quarantine) };
  return { ...quarantine, holes };
}

/** PM2's daemon is a new one, whose numbers mean other processes. A trial under way ended with the old one. */
export function withoutNumbers(quarantine: Quarantine, nowMs: number): Quarantine {
  if (quarantine.kind === 'none') return quarantine;
  const first = quarantine.holes.filter((hole) => !isSecond(hole, quarantine));
  const holes = first.map((hole): Hole => ({ ...hole, pmId: null, replaces: null }));
  if (quarantine.kind === 'quarantined') return { ...quarantine, holes };
  const { sinceMs, reason, trials, trialCharges } = quarantine;
  const tried: Hole = { pmId: null, charges: trialCharges, failOpen: false, replaces: null };
  return { kind: 'quarantined', sinceMs, reason, trials, holes: [tried, ...holes], nextTrialAtMs: nowMs };
}

type OnTrial = Extract<Quarantine, { kind: 'trial' }>;

/** The budget of that number was spent before it was known what it replaces: the predecessor still runs in that place. */
export function withPredecessor(quarantine: Quarantine, pmId: number, replaces: number): Quarantine {
  if (quarantine.kind === 'none') return quarantine;
  const holes = quarantine.holes.map((hole) => (hole.pmId === pmId ? { ...hole, replaces } : hole));
  return { ...quarantine, holes };
}

/**
 * What comes to a place that is quarantined or on trial is kept with it: it is no failure of the next one tried there.
 * @param slots `take`: what else was charged to that number, and is not kept there any more.
 */
export function withCharges(
  quarantine: Quarantine,
  slots: { readonly take: (pmId: number) => readonly Charge[] },
): Quarantine {
  if (quarantine.kind === 'none') return quarantine;
  const holes = quarantine.holes.map((hole) =>
    hole.pmId === null ? hole : { ...hole, charges: [...slots.take(hole.pmId), ...hole.charges] },
  );
  if (quarantine.kind === 'quarantined') return { ...quarantine, holes };
  const trialCharges = [...slots.take(quarantine.pmId), ...quarantine.trialCharges];
  return { ...quarantine, holes, trialCharges };
}

/**
 * The first hole is tried.
 * @param present numbers of those that run: one that was not halted is replaced by the one on trial.
 * @param own `charges`: to the number of the one on trial, which it can only have failed of before its start was known.
 * @returns `failure`: the last of these.
 */
export function beginTrial(
  { sinceMs, reason, trials, holes: [first, ...others] }: Extract<Quarantine, { kind: 'quarantined' }>,
  pmId: number,
  present: ReadonlySet<number>,
  own: { readonly charges: readonly Charge[]; readonly policy: FailurePolicy; readonly nowMs: number },
): { readonly trial: OnTrial; readonly failure: Charge | null } {
  const former = first?.pmId ?? null;
  const isBeside = former !== null && former !== pmId && present.has(former);
  const inherited = first?.charges ?? [];
  const spent = others.filter((hole) => hole.pmId === pmId).flatMap(({ charges }) => charges);
  const meanwhile = [...spent, ...own.charges];
  const trial: OnTrial = {
    kind: 'trial',
    sinceMs,
    reason,
    holes: others.filter((hole) => hole.pmId !== pmId),
    trials,
    startedAtMs: own.nowMs,
    pmId,
    replaces: isBeside ? former : (first?.replaces ?? null),
    trialCharges: [...inherited, ...meanwhile.slice(0, -1)],
    mustLastMs: trialStableMs(inherited, own.policy),
  };
  return { trial, failure: meanwhile.at(-1) ?? null };
}

/** The one on trial has failed as well. */
export function afterFailedTrial(
  { pmId, replaces, sinceMs, reason, trials, trialCharges, holes }: OnTrial,
  failure: Charge,
  nextTrialAtMs: number,
): Quarantine {
  const charges = [...trialCharges, failure];
  const hole: Hole = { pmId, charges, failOpen: mayFailOpen(failure.cause), replaces };
  // At the end of the row: what only this slot suffers from must not keep the others from their trial.
  return {
    kind: 'quarantined',
    sinceMs,
    reason,
    holes: [...holes, hole],
    trials: trials + 1,
    nextTrialAtMs,
  };
}

/** The one on trial has left without having passed, and another one has its place. */
export function inheritedTrial(quarantine: Quarantine, pmId: number, nowMs: number): Quarantine {
  return quarantine.kind === 'trial' ? { ...quarantine, pmId, startedAtMs: nowMs } : quarantine;
}

/** The one on trial is gone, and with it its place: the others wait for theirs. */
export function withoutTrial(quarantine: OnTrial, nowMs: number): Quarantine {
  const { sinceMs, reason, trials, holes, mustLastMs } = quarantine;
  return { kind: 'quarantined', sinceMs, reason, trials, holes, nextTrialAtMs: nowMs + mustLastMs };
}
