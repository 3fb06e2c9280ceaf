/**
 * Desired against observed: names the one next action for one service, with its reason. Level-triggered: it looks
 * only at what is, never at how it came to be, so a supervisor that died half-way simply goes on.
 *
 * Slots fall in groups:
 *
 *   keep       starting, unknown, fit, unverified; current   counts towards the target
 *   condemned  unfit, or outdated                            leaves, once its replacement is fit
 *   held       condemned, but the budget of its replacement  counts towards the target, and stays
 *              is spent
 *   spare      on trial beside the one it would replace      counts for nothing until the trial has ended
 *   draining   withdrawn from traffic                        stops after its grace, or goes back into traffic when
 *                                                            fewer than the target serve
 *   debris     listed without a process, not by us           discarded
 *   ended      PM2 leaves it down, as it was told            left alone; its place is not filled
 *   quarantined                                              halted, then left alone; each is a hole, not filled
 *
 * Make before break: a condemned slot goes only while those that serve, without it, still make the target, so
 * there is never more than one surplus instance and never less than what served before. While none is fit, what has
 * served before counts as serving (the gateway fails open), and only what never did may go.
 */
import type { Action, ReconcileInput } from './action.js';
import { cancelDrain, isDraining, nextStopMs, stopDrained } from './draining.js';
import type { DrainingInput } from './draining.js';
import { firstToGo, isToBeHalted, neverServed, youngestFirst } from './leavingOrder.js';
import type { Slot } from './slot.js';
import { groupSlots, isServing, type Groups } from './slotGroups.js';

/** How many instances above the target may run while replacing. */
export const SURGE = 1;

/** The one next action. Never throws, never waits; the caller applies it, observes, and asks again. */
export function reconcile(input: ReconcileInput): Action {
  if (input.isJob === true) return watchJob(input);
  const groups = groupSlots(input.slots);
  const ended = input.slots.filter(({ state }) => state.kind === 'ended').length;
  const target = Math.max(0, input.desired - input.holes - ended);
  return (
    cancelDrain(drainingOf(input, groups, target)) ??
    stopDrained(drainingOf(input, groups, target)) ??
    haltQuarantined(input, groups) ??
    discardDebris(groups) ??
    startTrial(input, groups) ??
    fill(input, groups, target) ??
    removeCondemned(input, groups, target) ??
    removeSurplus(input, groups, target) ??
    settle(input, groups, target)
  );
}

/** How many must serve before anything that serves is taken away. */
function leastServing(target: number): number {
  return Math.max(1, target);
}

function drainingOf(input: ReconcileInput, { draining, serving }: Groups, target: number): DrainingInput {
  return {
    ...input,
    draining: draining.filter(isDraining),
    serving: serving.length,
    least: leastServing(target),
  };
}

/** Its runs are started by PM2's schedule or an operator, and end by themselves. */
function watchJob({ slots }: ReconcileInput): Action {
  const runs = slots.filter(({ state }) => state.kind !== 'ended' && state.kind !== 'debris');
  const reason = runs.length === 0 ? 'a job between two runs' : `a job: ${names(runs)} runs to its end`;
  return { kind: 'hold', untilMs: null, reason };
}

/** What may be better than nothing runs on while nothing serves, as many as are wanted; the youngest goes first. */
function haltQuarantined(
  { slots, desired }: ReconcileInput,
  { serving, failingOpen }: Groups,
): Action | null {
  const mayFailOpen = serving.length === 0 && failingOpen.length <= Math.max(1, desired);
  const victim = slots
    .filter((slot) => isToBeHalted(slot) && !(mayFailOpen && failingOpen.includes(slot)))
    .sort(youngestFirst)[0];
  if (victim === undefined) return null;
  const { id } = victim;
  return { kind: 'halt', target: id, reason: `pm ${id.pmId} is quarantined: its restart budget is spent` };
}

function discardDebris({ debris }: Groups): Action | null {
  const slot = debris[0];
  if (slot?.state.kind !== 'debris') return null;
  return {
    kind: 'discard',
    target: slot.id,
    reason: `pm ${slot.id.pmId} has no process: ${slot.state.detail}`,
  };
}

/** Within the surge, too: while a replacement is under way or too many run, the trial waits. */
function startTrial({ trial, service, desired }: ReconcileInput, { running }: Groups): Action | null {
  if (trial === null || running >= desired + SURGE) return null;
  return {
    kind: 'trial',
    target: trial.target,
    reason: `half-open trial of ${service} after its quarantine`,
  };
}

/** Start what is missing, one at a time and never more than the surge allows. */
function fill(input: ReconcileInput, groups: Groups, target: number): Action | null {
  const { keep, condemned, held, draining } = groups;
  const missing = target - keep.length - held.length;
  if (missing <= 0) return null;
  const present = keep.length + condemned.length + held.length;
  if (present >= target + SURGE || groups.running >= input.desired + SURGE) return null;
  if (isAwaitingCanary(input) && keep.length > 0) return null;
  // One replacement at a time: the one that leaves is still there until it has stopped. While nothing serves, that is
  // not waited for.
  const isReplacement = present >= target;
  if (isReplacement && draining.length > 0 && groups.serving.length > 0) return null;
  const why = whyNothingIsStarted(input, groups);
  if (why !== null) return { kind: 'hold', untilMs: null, reason: why };
  if (input.nowMs < input.startNotBeforeMs) {
    const leftSeconds = ((input.startNotBeforeMs - input.nowMs) / 1000).toFixed(1);
    return {
      kind: 'hold',
      untilMs: input.startNotBeforeMs,
      reason: `backing off: next start in ${leftSeconds} s`,
    };
  }
  const waiting = condemned.filter(({ id }) => !groups.replaced.has(id.pmId));
  const replaced = isReplacement ? firstToGo(waiting) : undefined;
  if (replaced === undefined) {
    const leaving = isReplacement ? `, and ${names(condemned)} is replaced already` : '';
    return { kind: 'start', replaces: null, reason: `${present} of ${target} instances run${leaving}` };
  }
  return {
    kind: 'start',
    replaces: replaced.id,
    reason: `replaces pm ${replaced.id.pmId}: ${whyCondemned(replaced, input)}`,
  };
}

/** Where what runs has never passed the probe, what is started could not pass it either. A deploy finds that out. */
function whyNothingIsStarted(
  { slots, rollout, isStartInDoubt = false }: ReconcileInput,
  { fit }: Groups,
): string | null {
  if (isStartInDoubt) return 'PM2 did not answer in time when one was started, and may have started it';
  const unverified = slots.filter(({ state }) => state.kind === 'unverified');
  if (rollout !== null || unverified.length === 0 || fit.length > 0) return null;
  return `${names(unverified)} never passed the health probe, so nothing is started or replaced that could not pass it either`;
}

function isAwaitingCanary({ rollout }: ReconcileInput): boolean {
  return rollout?.kind === 'deploy' && !rollout.canaryVerified;
}

function whyCondemned({ state, why = null }: Slot, { rollout }: ReconcileInput): string {
  if (state.kind === 'unfit') return `${state.cause}, ${state.detail}`;
  if (why !== null) return why;
  return rollout === null ? 'recycled before its memory limit' : 'superseded by the rollout';
}

function removeCondemned(input: ReconcileInput, groups: Groups, target: number): Action | null {
  const { keep, keepServing, condemned, held, serving } = groups;
  const victim = nextToRemove(groups);
  if (victim === undefined) return null;
  if (keepServing.length + condemned.length + held.length - 1 < target) return null;
  if (victim.state.kind === 'unfit') {
    // Better than nothing while there is nothing else (fail open).
    if (groups.running <= 1 || !maySpare(victim, groups, target)) return null;
  } else if (victim.state.kind === 'unknown') {
    return null;
  } else if (
    (isServing(victim) && serving.length <= leastServing(target)) ||
    (isAwaitingCanary(input) && keep.length > 0)
  ) {
    // What takes traffic now goes only while enough others do, and not before the canary has proved itself.
    return null;
  } else if (isAwaitingCanary(input)) {
    // There is no canary yet, because more run than are wanted: it needs the room.
    const reason = `${condemned.length} instances run, ${target} are wanted`;
    return { kind: 'withdraw', target: victim.id, reason };
  }
  return { kind: 'withdraw', target: victim.id, reason: whyCondemned(victim, input) };
}

/** While something serves, an unfit one takes no traffic. While nothing does, those that have served before share it. */
function maySpare({ state }: Slot, { serving, failingOpen }: Groups, target: number): boolean {
  if (state.kind !== 'unfit' || !state.wasReady || serving.length > 0) return true;
  return failingOpen.length - 1 >= Math.max(1, target);
}

/**
 * One whose replacement serves. Where there is none, more run than are wanted: what never served goes first, and while
 * nothing serves the youngest.
 */
function nextToRemove({ condemned, replaced, serving }: Groups): Slot | undefined {
  const done = condemned.filter(({ id }) => replaced.get(id.pmId) === true);
  if (done.length > 0) return firstToGo(done);
  const unfit = condemned.filter(({ state }) => state.kind === 'unfit');
  if (serving.length === 0 && unfit.length > 0 && !unfit.some(neverServed))
    return [...unfit].sort(youngestFirst)[0];
  return firstToGo(condemned);
}

/**
 * More than wanted: what is unfit first, then what is still starting, then the one with the highest instance number, so that
 * the numbers of the others have no gap. The lowest number stays until it is unfit.
 * Where one is not known yet, its first probe is waited for: it may be the only one that serves.
 */
function removeSurplus(input: ReconcileInput, groups: Groups, target: number): Action | null {
  const { keep, held, serving, condemned, unknown, running } = groups;
  if (keep.length + held.length <= target || isAwaitingCanary(input) || condemned.length > 0) return null;
  if (unknown.length > 0) return null;
  const unfit = held.filter((slot) => slot.state.kind === 'unfit' && maySpare(slot, groups, target));
  const first = [...keep].sort(lastNumberFirst(keep)).at(-1);
  const isFirst = (slot: Slot): boolean => slot === first && (slot.number ?? null) !== null;
  const starting = keep.filter((slot) => slot.state.kind === 'starting' && !isFirst(slot));
  const idle = keep.filter(
    ({ state }) => state.kind === 'fit' || (input.shrinking && state.kind === 'unverified'),
  );
  const candidates = [unfit, starting, idle].find(({ length }) => length > 0) ?? [];
  const victim = [...candidates].sort(lastNumberFirst(keep))[0];
  if (victim === undefined || running <= 1) return null;
  if (isServing(victim) && serving.length <= leastServing(target)) return null;
  return {
    kind: 'withdraw',
    target: victim.id,
    reason: `${keep.length + held.length} instances run, ${target} are wanted`,
  };
}

/** A number that another one has as well first, then the highest; of equals, and without numbers, the youngest. */
function lastNumberFirst(all: readonly Slot[]): (a: Slot, b: Slot) => number {
  const isDouble = ({ id, number = null }: Slot): number =>
    Number(number !== null && all.some((other) => other.id !== id && other.number === number));
  return (a, b) => isDouble(b) - isDouble(a) || (b.number ?? -1) - (a.number ?? -1) || youngestFirst(a, b);
}

function settle(input: ReconcileInput, groups: Groups, target: number): Action {
  const { keep, condemned, held, draining, serving, unknown } = groups;
  const hold = (reason: string, untilMs: number | null = null): Action => ({ kind: 'hold', untilMs, reason });
  const starting = keep.filter(({ state }) => state.kind === 'starting');
  if (starting.length > 0) return hold(`waiting for ${names(starting)} to become ready`);
  if (unknown.length > 0) return hold(`waiting for the first probe of ${names(unknown)}`);
  if (isAwaitingCanary(input) && keep.length > 0) return hold(`watching the canary ${names(keep)}`);
  if (draining.length > 0) {
    const busy = draining.filter(({ state }) => state.kind === 'draining' && state.drained === false);
    const suffix = busy.length === 0 ? '' : `; requests are under way in ${names(busy)}`;
    return hold(`draining ${names(draining)}${suffix}`, nextStopMs(drainingOf(input, groups, target)));
  }
  if (condemned.length > 0) return hold(`${names(condemned)} stays until a replacement is fit`);
  if (held.length > 0) return hold(`${names(held)} stays: the restart budget of its replacement is spent`);
  if (input.holes > 0) return hold(`${serving.length} serving, ${input.holes} quarantined`);
  const ended = input.slots.filter(({ state }) => state.kind === 'ended');
  if (ended.length > 0) return hold(`${serving.length} serving, ${names(ended)} ended as PM2 was told`);
  return hold(serving.length === target ? 'nothing to do' : `${serving.length} of ${target} serving`);
}

function names(slots: readonly Slot[]): string {
  return slots.map(({ id }) => `pm ${id.pmId}`).join(', ');
}
