/** Which of several instances leaves first. */
import type { Slot } from './slot.js';

export function youngestFirst(a: Slot, b: Slot): number {
  return b.id.startedAtMs - a.id.startedAtMs || b.id.pmId - a.id.pmId;
}

/**
 * Unfit before merely outdated, and of these the ones that still start: what serves leaves last. Of the unfit first what
 * never served, the youngest of it: it is a replacement that failed.
 */
export function firstToGo(condemned: readonly Slot[]): Slot | undefined {
  return (
    [...condemned].filter(neverServed).sort(youngestFirst)[0] ??
    condemned.find(({ state }) => state.kind === 'unfit') ??
    condemned.find(({ state }) => state.kind === 'starting') ??
    condemned[0]
  );
}

export const neverServed = ({ state }: Slot): boolean => state.kind === 'unfit' && !state.wasReady;

/** Whether a quarantined one still runs, and does not pass. */
export const isToBeHalted = ({ state }: Slot): boolean =>
  state.kind === 'quarantined' && state.running && state.passes !== true;
