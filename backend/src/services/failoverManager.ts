/**
 * Which instances are unfit to be given another chance: the owner of restart budgets and quarantines.
 *
 * Per service:
 *
 *   none ──a slot's budget is spent──▶ quarantined ──cooldown over──▶ trial ──outlives its predecessors──▶ none
 *     ▲                                    ▲                            │
 *     └────────── reset-failure ───────────┴──────── trial fails ───────┘
 *
 * A quarantined slot is a *hole*: counted in the desired number, not filled. It touches no process itself; the
 * reconciler halts what is quarantined and carries out the trial that is due.
 *
 * When a replacement spends the budget while its predecessor still runs (`budgetSlots`), nothing is missing: the
 * predecessor stays as it is, and no other replacement is started until a trial passes.
 */
import { charge, isTrialDue, trialDelayMs } from '../domain/failures/failover.js';
import { trialStableMs, withinWindow, type Charge } from '../domain/failures/failover.js';
import {
  afterFailedTrial,
  beginTrial,
  emptyPlaces,
  holeOf,
  holdsBack,
  holesToDrop,
  inheritedTrial,
  mayFailOpen,
  spentBy,
  withCharges,
  withoutGone,
  withoutNumbers,
  withoutPlaces,
  withoutTrial,
  withPredecessor,
  withReturned,
} from '../domain/failures/quarantine.js';
import type { Hole, LastFailure, Quarantine } from '../domain/failures/quarantine.js';
import type { FailureCause, InstanceId } from '../domain/model.js';
import type { FailurePolicy } from '../domain/policy.js';
import type { Clock } from '../ports.js';
import { BudgetSlots } from './budgets/budgetSlots.js';
import { restoredQuarantine } from './budgets/failoverSnapshot.js';
import type { FailoverSnapshot } from './budgets/failoverSnapshot.js';

interface Budget {
  policy: FailurePolicy;
  readonly slots: BudgetSlots;
  quarantine: Quarantine;
  /** Clock.nowMs() before which no start is tried. */
  startNotBeforeMs: number;
  lastFailure: LastFailure | null;
}

export type FailureOutcome =
  | { readonly kind: 'retry'; readonly attemptsUsed: number }
  | { readonly kind: 'quarantined'; readonly nextTrialMs: number; readonly attempts: number }
  | { readonly kind: 'trial-failed'; readonly nextTrialMs: number };

export class FailoverManager {
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #services = new Map<string, Budget>();

  constructor(options: { readonly clock: Clock; readonly random: () => number }) {
    this.#clock = options.clock;
    this.#random = options.random;
  }

  /** Adds a service, or gives a known one a new policy; what it remembers stays. */
  supervise(service: string, policy: FailurePolicy): void {
    const known = this.#services.get(service);
    if (known !== undefined) {
      known.policy = policy;
      return;
    }
    this.#services.set(service, {
      policy,
      slots: new BudgetSlots(),
      quarantine: { kind: 'none' },
      startNotBeforeMs: 0,
      lastFailure: null,
    });
  }

  /** Charges one failure to its slot and says what follows. */
  recordFailure(id: InstanceId, cause: FailureCause, detail: string): FailureOutcome {
    const record = this.#record(id.service);
    const atMs = this.#clock.wallMs();
    record.lastFailure = { atMs, cause, detail, pmId: id.pmId };
    const failure: Charge = { atMs, cause, ranMs: Math.max(0, atMs - id.startedAtMs) };
    if (record.quarantine.kind === 'trial' && record.quarantine.pmId === id.pmId) {
      return { kind: 'trial-failed', nextTrialMs: this.#trialFailed(record, record.quarantine, failure) };
    }
    const { charges, verdict } = charge(
      record.slots.chargesOf(id.pmId),
      failure,
      record.policy,
      this.#random(),
    );
    if (verdict.kind === 'retry') {
      record.slots.set(id.pmId, charges);
      record.startNotBeforeMs = Math.max(record.startNotBeforeMs, this.#clock.nowMs() + verdict.backoffMs);
      return { kind: 'retry', attemptsUsed: charges.length };
    }
    const nextTrialMs = this.#quarantine(record, id, charges, `${cause}: ${detail}`);
    return { kind: 'quarantined', nextTrialMs, attempts: verdict.attempts };
  }

  #quarantine(record: Budget, id: InstanceId, charges: readonly Charge[], reason: string): number {
    record.slots.delete(id.pmId);
    const replaces = record.slots.predecessorOf(id.pmId);
    const hole: Hole = { pmId: id.pmId, charges, failOpen: mayFailOpen(charges.at(-1)?.cause), replaces };
    const { quarantine } = record;
    const now = this.#clock.wallMs();
    if (quarantine.kind === 'none') {
      const delayMs = trialDelayMs(0, record.policy, this.#random());
      record.quarantine = {
        kind: 'quarantined',
        sinceMs: now,
        reason,
        holes: [hole],
        trials: 0,
        nextTrialAtMs: now + delayMs,
      };
      return delayMs;
    }
    record.quarantine = { ...quarantine, holes: [...quarantine.holes, hole] };
    return quarantine.kind === 'quarantined'
      ? Math.max(0, quarantine.nextTrialAtMs - now)
      : quarantine.mustLastMs;
  }

  #trialFailed(record: Budget, trial: Extract<Quarantine, { kind: 'trial' }>, failure: Charge): number {
    const trials = trial.trials + 1;
    const delayMs = trialDelayMs(trials, record.policy, this.#random());
    record.quarantine = afterFailedTrial(trial, failure, this.#clock.wallMs() + delayMs);
    return delayMs;
  }

  /** Whose trial is due (`pmId` null: that of a new instance), or null when none is. */
  dueTrial(service: string): { readonly pmId: number | null } | null {
    const { quarantine, policy } = this.#record(service);
    if (quarantine.kind !== 'quarantined') return null;
    if (!isTrialDue(quarantine.nextTrialAtMs, this.#clock.wallMs(), policy)) return null;
    return { pmId: quarantine.holes[0]?.pmId ?? null };
  }

  /**
   * @param present numbers of those that run: one that was not halted is replaced by the one on trial.
   * @returns what followed at once: it had failed before its start was known. null: it is on trial.
   */
  trialStarted(
    service: string,
    pmId: number,
    present: ReadonlySet<number> = new Set(),
  ): FailureOutcome | null {
    const record = this.#record(service);
    const { quarantine } = record;
    if (quarantine.kind !== 'quarantined') return null;
    const { trial, failure } = beginTrial(quarantine, pmId, present, {
      charges: record.slots.chargesOf(pmId),
      policy: record.policy,
      nowMs: this.#clock.wallMs(),
    });
    record.slots.delete(pmId);
    record.quarantine = trial;
    if (failure === null) return null;
    return { kind: 'trial-failed', nextTrialMs: this.#trialFailed(record, trial, failure) };
  }

  /** A trial that could not even be started counts as failed. */
  trialNotStarted(service: string): number {
    const record = this.#record(service);
    const { quarantine } = record;
    if (quarantine.kind !== 'quarantined') return 0;
    const trials = quarantine.trials + 1;
    const delayMs = trialDelayMs(trials, record.policy, this.#random());
    const [first, ...others] = quarantine.holes;
    const holes = first === undefined ? others : [...others, first];
    record.quarantine = { ...quarantine, holes, trials, nextTrialAtMs: this.#clock.wallMs() + delayMs };
    return delayMs;
  }

  /**
   * Whether an instance that has been fit for `fitForMs` thereby ends the quarantine: the one on trial, or a
   * quarantined one that was left running and came back by itself. Ends it when so.
   */
  endedByFitness(service: string, pmId: number, fitForMs: number): boolean {
    const record = this.#record(service);
    const { quarantine } = record;
    if (quarantine.kind === 'none') return false;
    const hole = quarantine.holes.find((candidate) => candidate.pmId === pmId);
    const onTrial = quarantine.kind === 'trial' && quarantine.pmId === pmId;
    if (!onTrial && hole === undefined) return false;
    const mustLastMs = onTrial ? quarantine.mustLastMs : trialStableMs(hole?.charges ?? [], record.policy);
    if (fitForMs < mustLastMs) return false;
    this.#clear(record);
    return true;
  }

  /** A replacement shares its predecessor's slot from now on, and has its charges. It may be quarantined by then. */
  succeed(service: string, fromPmId: number, toPmId: number): void {
    const record = this.#record(service);
    record.slots.succeed(fromPmId, toPmId);
    record.quarantine = withCharges(withPredecessor(record.quarantine, toPmId, fromPmId), record.slots);
  }

  /** The number of the one that it was started to replace, while that still runs. */
  predecessorOf(service: string, pmId: number): number | null {
    return this.#record(service).slots.predecessorOf(pmId);
  }

  /** One that replaces none fills the place of one that is gone, and has its charges. False when there is no such place. */
  fillGap(service: string, toPmId: number, present: ReadonlySet<number>): boolean {
    return this.#record(service).slots.fillGap(toPmId, present);
  }

  /** Whether another one was started in its place. */
  isReplaced(service: string, pmId: number): boolean {
    return this.#record(service).slots.successorOf(pmId) !== null;
  }

  /** PM2 or an operator brought an empty place back to life: it is filled, and has the charges of what was there. */
  fillHole(service: string, pmId: number): void {
    const record = this.#record(service);
    if (record.quarantine.kind === 'none') return;
    const filled = holeOf(record.quarantine.holes, pmId);
    if (filled === undefined) return;
    record.slots.add(pmId, filled.charges);
    this.#withHoles(record, (holes) => holes.filter((hole) => hole !== filled));
  }

  /** Which numbers have a process, and which are listed at all. */
  see(service: string, running: ReadonlySet<number>, listed: ReadonlySet<number>): void {
    const record = this.#record(service);
    const { quarantine, slots } = record;
    // What was started in the place of the one on trial is on trial now: that has not survived.
    const heir =
      quarantine.kind === 'trial' && !listed.has(quarantine.pmId) ? slots.successorOf(quarantine.pmId) : null;
    slots.see(running, listed);
    const inherited = heir === null ? quarantine : inheritedTrial(quarantine, heir, this.#clock.wallMs());
    record.quarantine = withCharges(withReturned(withoutGone(inherited, running), slots), slots);
  }

  /**
   * That one is gone for good: its charges and its hole with it, unless its predecessor is still there and has them
   * again.
   * @param forgiven what it failed of was the fault of a build that is taken back: only what it inherited goes back.
   */
  forgetSlot(service: string, pmId: number, forgiven = false): void {
    const record = this.#record(service);
    const { slots, quarantine } = record;
    slots.forget(pmId, forgiven);
    const spent = forgiven ? null : spentBy(quarantine, pmId);
    // The place is not empty: its predecessor still runs there, and has what was charged to the place.
    if (spent?.replaces != null) slots.add(spent.replaces, spent.charges);
    this.#withHoles(record, (holes) => holes.filter((hole) => hole.pmId !== pmId));
    if (quarantine.kind === 'trial' && quarantine.pmId === pmId) {
      record.quarantine = withoutTrial(quarantine, this.#clock.wallMs());
      this.#withHoles(record, (holes) => holes);
    }
  }

  /**
   * When fewer are wanted, empty places go first, the latest of them.
   * @param running numbers that have a process: one that was not halted yet stays, and so do its charges.
   */
  dropHoles(service: string, count: number, running: ReadonlySet<number>): void {
    const record = this.#record(service);
    if (record.quarantine.kind === 'none') return;
    const dropped = new Set(holesToDrop(record.quarantine.holes, count, running));
    for (const { pmId, charges } of dropped) {
      if (pmId !== null && running.has(pmId)) record.slots.set(pmId, charges);
    }
    this.#withHoles(record, (holes) => withoutPlaces(holes, dropped, running));
  }

  #withHoles(record: Budget, change: (holes: readonly Hole[]) => readonly Hole[]): void {
    const { quarantine } = record;
    if (quarantine.kind === 'none') return;
    const holes = change(quarantine.holes);
    if (holes.length === 0 && quarantine.kind === 'quarantined') this.#clear(record);
    else record.quarantine = { ...quarantine, holes };
  }

  /** PM2's daemon is a new one: its numbers mean other processes now. Holes and their charges stay. */
  forgetNumbers(): void {
    for (const record of this.#services.values()) {
      record.slots.forgetNumbers();
      record.quarantine = withoutNumbers(record.quarantine, this.#clock.wallMs());
    }
  }

  /** Clears attempts and quarantine. */
  reset(service: string): { readonly attempts: number; readonly quarantined: boolean } {
    const record = this.#record(service);
    const attempts = this.attemptsUsed(service);
    const quarantined = record.quarantine.kind !== 'none';
    this.#clear(record);
    record.slots.clearCharges();
    record.startNotBeforeMs = 0;
    return { attempts, quarantined };
  }

  quarantine(service: string): Quarantine {
    return this.#record(service).quarantine;
  }

  /** How many places are empty because their budget is spent. */
  holes(service: string): number {
    return emptyPlaces(this.#record(service).quarantine);
  }

  /** Whether the budget of its replacement is spent, or that is on trial: it stays as it is meanwhile. */
  isHeld(service: string, pmId: number): boolean {
    return holdsBack(this.#record(service).quarantine, pmId);
  }

  /** Whether that one is on trial beside the one whose place it would take. */
  isSpare(service: string, pmId: number): boolean {
    const { quarantine } = this.#record(service);
    return quarantine.kind === 'trial' && quarantine.pmId === pmId && quarantine.replaces !== null;
  }

  /** Whether that slot is quarantined, and if so whether it may stay while nothing else is fit. */
  quarantinedSlot(service: string, pmId: number): { readonly failOpen: boolean } | null {
    const { quarantine } = this.#record(service);
    if (quarantine.kind === 'none') return null;
    const hole = quarantine.holes.find((candidate) => candidate.pmId === pmId);
    // Beside the one that it was to replace it is of no use.
    return hole === undefined ? null : { failOpen: hole.failOpen && hole.replaces === null };
  }

  attemptsUsed(service: string, pmId?: number): number {
    const { slots, policy, quarantine } = this.#record(service);
    const now = this.#clock.wallMs();
    const count = (charges: readonly Charge[]): number =>
      Math.min(policy.maxRestartAttempts, withinWindow(charges, policy, now).length);
    if (pmId !== undefined) {
      if (this.quarantinedSlot(service, pmId) !== null) return policy.maxRestartAttempts;
      return count(slots.chargesOf(pmId));
    }
    const held = quarantine.kind !== 'none' && quarantine.holes.length > 0 ? policy.maxRestartAttempts : 0;
    return Math.max(held, ...slots.all().map(count), 0);
  }

  startNotBeforeMs(service: string): number {
    return this.#record(service).startNotBeforeMs;
  }

  /** A start that failed outright (no port, PM2 refused): try again a little later. */
  delayStart(service: string, delayMs: number): void {
    const record = this.#record(service);
    record.startNotBeforeMs = Math.max(record.startNotBeforeMs, this.#clock.nowMs() + delayMs);
  }

  lastFailure(service: string): LastFailure | null {
    return this.#record(service).lastFailure;
  }

  snapshot(): FailoverSnapshot {
    return Object.fromEntries(
      [...this.#services].map(([service, { slots, quarantine, lastFailure }]) => [
        service,
        { ...slots.snapshot(), quarantine, lastFailure },
      ]),
    ) as FailoverSnapshot;
  }

  restore(snapshot: FailoverSnapshot): void {
    for (const [service, { quarantine, lastFailure, ...slots }] of Object.entries(snapshot)) {
      const record = this.#services.get(service);
      if (record === undefined) continue;
      record.slots.restore(slots);
      record.quarantine = restoredQuarantine(quarantine, record.policy);
      record.lastFailure = lastFailure;
    }
  }

  #clear(record: Budget): void {
    record.quarantine = { kind: 'none' };
    record.startNotBeforeMs = 0;
  }

  #record(service: string): Budget {
    const record = this.#services.get(service);
    if (record === undefined) throw new Error(`bug: ${service} is not supervised`);
    return record;
  }
}
