/**
 * What becomes of instances that were withdrawn from traffic: they are stopped after their grace, or go back into
 * traffic. They were withdrawn because enough others served; when one of those fails meanwhile, they are needed again.
 */
import type { Action, ReconcileInput } from './action.js';
import type { Slot, SlotState } from './slot.js';

type Draining = Slot & { readonly state: Extract<SlotState, { kind: 'draining' }> };

export interface DrainingInput extends Pick<ReconcileInput, 'drainGraceMs' | 'drainTimeoutMs' | 'nowMs'> {
  readonly draining: readonly Draining[];
  /** How many take traffic now. */
  readonly serving: number;
  /** How many must, before anything that could is stopped. */
  readonly least: number;
}

export function isDraining(slot: Slot): slot is Draining {
  return slot.state.kind === 'draining';
}

/** First what is not to be replaced anyway, then what was withdrawn last. */
export function cancelDrain({ draining, serving, least }: DrainingInput): Action | null {
  if (serving >= least) return null;
  const [best] = draining
    .filter(({ state }) => state.canReturn === 'yes')
    .sort((a, b) => Number(a.outdated) - Number(b.outdated) || b.state.sinceMs - a.state.sinceMs);
  if (best === undefined) return null;
  const reason = `${serving} of ${least} serve, so pm ${best.id.pmId} stays`;
  return { kind: 'restore', target: best.id, reason };
}

export function stopDrained(input: DrainingInput): Action | null {
  const next = input.draining.find(({ state }) => input.nowMs >= stopAtMs(state, input));
  return next === undefined ? null : { kind: 'stop', target: next.id, reason: next.state.why };
}

/** When the next of them stops; null while only probes can tell. */
export function nextStopMs(input: DrainingInput): number | null {
  const nextMs = Math.min(...input.draining.map(({ state }) => stopAtMs(state, input)));
  return nextMs === Number.POSITIVE_INFINITY ? null : nextMs;
}

/** When it stops, unless it is reported to be drained before. */
function stopAtMs(
  { sinceMs, drained, canReturn }: Draining['state'],
  { serving, least, drainGraceMs, drainTimeoutMs }: DrainingInput,
): number {
  // Too few serve, and its first probe tells whether it could.
  if (canReturn === 'unknown' && serving < least) return Number.POSITIVE_INFINITY;
  return sinceMs + (drained === false ? Math.max(drainGraceMs, drainTimeoutMs) : drainGraceMs);
}
