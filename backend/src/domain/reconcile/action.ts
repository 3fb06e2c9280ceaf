/** What `reconcile` is asked, and what it answers. */
import type { InstanceId } from '../model.js';
import type { Slot } from './slot.js';

/** Replacing every instance that was there when it began (failover), behind a canary (deploy). */
export interface RolloutStage {
  readonly kind: 'failover' | 'deploy';
  /** Deploy only: false until the first new instance has stayed fit for the canary period. */
  readonly canaryVerified: boolean;
}

export interface ReconcileInput {
  readonly service: string;
  /** How many should serve. */
  readonly desired: number;
  readonly slots: readonly Slot[];
  readonly rollout: RolloutStage | null;
  /** An operator's scale-down is under way: it may take unverified instances, too. */
  readonly shrinking: boolean;
  /** Each start is one run (endRules.ts): it is only watched. Default: false. */
  readonly isJob?: boolean;
  /** Slots whose budget is spent, including those with no process left; not those whose predecessor still runs. */
  readonly holes: number;
  /** A half-open trial is due; `target` is the halted instance to resume, or null to start a new one. */
  readonly trial: { readonly target: InstanceId | null } | null;
  /** PM2 may have carried out the last start, or may still do so: no other one is begun. Default: false. */
  readonly isStartInDoubt?: boolean;
  /** Earliest time for the next start, same clock as nowMs: backoff after failures. */
  readonly startNotBeforeMs: number;
  /** From withdrawal to the stop at the earliest, so that gateways have learnt it. */
  readonly drainGraceMs: number;
  /** … and at the latest, when gateways still have requests under way there. */
  readonly drainTimeoutMs: number;
  readonly nowMs: number;
}

export type Action =
  | { readonly kind: 'start'; readonly replaces: InstanceId | null; readonly reason: string }
  /** The half-open trial of a quarantined slot. */
  | { readonly kind: 'trial'; readonly target: InstanceId | null; readonly reason: string }
  /** Out of traffic; the stop follows after the grace. */
  | { readonly kind: 'withdraw'; readonly target: InstanceId; readonly reason: string }
  /** Back into traffic: it drains and is healthy, and what serves without it is too few. */
  | { readonly kind: 'restore'; readonly target: InstanceId; readonly reason: string }
  | { readonly kind: 'stop'; readonly target: InstanceId; readonly reason: string }
  | { readonly kind: 'discard'; readonly target: InstanceId; readonly reason: string }
  /** Stopped, but left in PM2's list: its budget is spent. */
  | { readonly kind: 'halt'; readonly target: InstanceId; readonly reason: string }
  /** `untilMs`: when to look again at the latest, or null for the usual tick. */
  | { readonly kind: 'hold'; readonly untilMs: number | null; readonly reason: string };
