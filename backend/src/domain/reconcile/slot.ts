/** One place of a service as the rules see it: an instance, or what is listed in its stead. */
import type { FailureCause, InstanceId } from '../model.js';

export type SlotState =
  | { readonly kind: 'starting' }
  /** Was there before the supervisor, and its first probe is outstanding: nothing is done to it until then. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'fit' }
  /** Runs, was not started by us, and has never passed the probe: it is left as it is. */
  | { readonly kind: 'unverified' }
  | {
      readonly kind: 'unfit';
      readonly cause: FailureCause;
      readonly detail: string;
      /** It has taken traffic before, and may again when all fail. */
      readonly wasReady: boolean;
    }
  | {
      readonly kind: 'draining';
      readonly sinceMs: number;
      readonly why: string;
      /** Whether every gateway says that nothing is under way there any more; null: there is none to say so. */
      readonly drained: boolean | null;
      /**
       * Whether it could take traffic again. `unknown`: after a restart of the supervisor, its first probe is outstanding.
       * `no`: it does not pass, or it is being ended already.
       */
      readonly canReturn: 'yes' | 'no' | 'unknown';
    }
  /** In PM2's list without a process, and not because Holdfast or an operator wanted it so. */
  | { readonly kind: 'debris'; readonly detail: string }
  /** Ended as PM2 was told to let it (endRules.ts). */
  | { readonly kind: 'ended' }
  /**
   * Its budget is spent. `running`: a process still lives there. `passes`: it has come back by itself, and is left alone.
   * `failOpen`: it is merely unhealthy, so it may be better than nothing while nothing else is fit.
   */
  | {
      readonly kind: 'quarantined';
      readonly running: boolean;
      readonly passes?: boolean;
      readonly failOpen: boolean;
    };

export interface Slot {
  readonly id: InstanceId;
  readonly state: SlotState;
  /** To be replaced though it passes: by a rollout, because its memory nears the limit, or because another one has its port. */
  readonly outdated: boolean;
  /** Why, where it is neither a rollout nor memory. */
  readonly why?: string | null;
  /** The budget of its replacement is spent, or that is on trial: it stays as it is meanwhile. */
  readonly held?: boolean;
  /** On trial beside the one whose place it would take. */
  readonly spare?: boolean;
  /** Its instance number (NODE_APP_INSTANCE), by which applications choose the instance that runs their jobs. */
  readonly number?: number | null;
  /** The number of the one that it was started to replace, while that still runs. */
  readonly replaces?: number | null;
}
