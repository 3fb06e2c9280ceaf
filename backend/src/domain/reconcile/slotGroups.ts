/** The groups in which slots fall (reconcile.ts), and what is counted of them. */
import { isToBeHalted } from './leavingOrder.js';
import type { Slot } from './slot.js';

export interface Groups {
  readonly keep: readonly Slot[];
  readonly keepServing: readonly Slot[];
  readonly unknown: readonly Slot[];
  readonly condemned: readonly Slot[];
  /** Numbers whose replacement is there, and whether it serves. */
  readonly replaced: ReadonlyMap<number, boolean>;
  readonly held: readonly Slot[];
  readonly draining: readonly Slot[];
  readonly debris: readonly Slot[];
  /** Fit ones, outdated included: those that can take traffic now. */
  readonly fit: readonly Slot[];
  /** The same, and the unverified. */
  readonly serving: readonly Slot[];
  /** What could serve while nothing is fit, because it has served before. */
  readonly failingOpen: readonly Slot[];
  /** Processes that are not on their way out, quarantined ones that still run included. */
  readonly running: number;
}

export const isServing = ({ state }: Slot): boolean => state.kind === 'fit' || state.kind === 'unverified';

export function groupSlots(slots: readonly Slot[]): Groups {
  const living = slots.filter(({ state }) =>
    ['starting', 'unknown', 'fit', 'unverified', 'unfit'].includes(state.kind),
  );
  const isCondemned = ({ state, outdated }: Slot): boolean => state.kind === 'unfit' || outdated;
  const placed = living.filter(({ spare }) => spare !== true);
  const keep = placed.filter((slot) => !isCondemned(slot));
  const stillRunning = slots.filter(({ state }) => state.kind === 'quarantined' && state.running);
  const replaced = keep.flatMap((slot) =>
    slot.replaces == null ? [] : [[slot.replaces, isServing(slot)] as const],
  );
  return {
    keep,
    replaced: new Map(replaced.toSorted(([, a], [, b]) => Number(a) - Number(b))),
    keepServing: keep.filter(isServing),
    unknown: keep.filter(({ state }) => state.kind === 'unknown'),
    condemned: placed.filter((slot) => isCondemned(slot) && slot.held !== true),
    held: placed.filter((slot) => isCondemned(slot) && slot.held === true),
    draining: slots.filter(({ state }) => state.kind === 'draining'),
    debris: slots.filter(({ state }) => state.kind === 'debris'),
    fit: living.filter(({ state }) => state.kind === 'fit'),
    serving: living.filter(isServing),
    failingOpen: slots.filter(
      (slot) =>
        (slot.state.kind === 'unfit' && slot.state.wasReady) ||
        slot.state.kind === 'unknown' ||
        (slot.state.kind === 'quarantined' && slot.state.failOpen && isToBeHalted(slot)),
    ),
    running: living.length + stillRunning.length,
  };
}

/**
 * How many places are empty because their budget is spent. Where as many live as are wanted, nothing is missing, whatever is
 * still remembered of places that are gone.
 * @param holes as many are remembered.
 */
export function emptyPlacesAmong(slots: readonly Slot[], desired: number, holes: number): number {
  const { keep, held, condemned, replaced } = groupSlots(slots);
  const ended = slots.filter(({ state }) => state.kind === 'ended').length;
  const leaving = condemned.filter(({ id }) => !replaced.has(id.pmId)).length;
  return Math.min(holes, Math.max(0, desired - (keep.length + held.length + leaving + ended)));
}
