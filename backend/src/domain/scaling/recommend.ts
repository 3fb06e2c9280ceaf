/**
 * The first step of a scaling decision: what the figures ask for, before cooldown and bounds. `scaling.ts` tells
 * the whole rule.
 */
import { DRAIN_MS } from './backlog.js';
import { downWindowFactor } from './memory.js';
import { isNoticed, overloadOf, type Overload } from './overload.js';
import {
  capacityOf,
  CLEARANCE,
  growTargetPercent,
  hold,
  hostRoom,
  onItsWay,
  targetPercent,
  wish,
  type Proposal,
  type Situation,
} from './proposal.js';
import { count, percent, seconds } from './text.js';
import { coveredMs, isStale, meanDemand, meanMemory, peakDemand } from './window.js';

/** After this many down-windows memory alone no longer keeps an idle instance. */
const MEMORY_PATIENCE_WINDOWS = 5;

/** What the figures ask for; a hold where they ask for nothing or are not enough to ask. */
export function recommend(situation: Situation): Proposal {
  const { input, policy, now } = situation;
  const { desired } = input;
  if (desired < policy.minInstances) {
    return wish(policy.minInstances, 'bounds', `${desired} is below the minimum of ${policy.minInstances}`);
  }
  if (desired > policy.maxInstances) {
    return wish(policy.maxInstances, 'bounds', `${desired} is above the maximum of ${policy.maxInstances}`);
  }
  if (now.ready === 0) {
    const text =
      now.starting > 0
        ? `no instance is ready, ${now.starting} starting`
        : 'no instance is ready: there is no load to measure';
    return hold(situation, 'unknown', now.starting > 0 ? 'starting' : 'missing-data', text);
  }
  if (now.known === 0 || isStale(now, input.nowMs, policy.upWindowMs)) {
    return hold(situation, 'unknown', 'missing-data', `no current load figure of ${count(now.ready)}`);
  }
  const overload = overloadOf(input.samples, input.nowMs, policy.upWindowMs);
  const grow = overload === null ? growForLoad(situation) : growForBacklog(situation, overload);
  if (grow !== null) return grow;
  const relieve = growForMemory(situation);
  if (relieve !== null && hasRoomForOne(situation)) return relieve;
  return recommendDown(situation) ?? relieve ?? steady(situation);
}

/** The jump for load above HIGH; null when the load is not above HIGH now. */
function growForLoad(situation: Situation): Proposal | null {
  const { input, policy, now } = situation;
  const high = percent(policy.cpuHighPercent);
  const window = seconds(policy.upWindowMs);
  const loadNow = now.demandPercent / now.ready;
  if (loadNow <= policy.cpuHighPercent) return null;
  const covered = coveredMs(input.samples, input.nowMs, policy.upWindowMs);
  if (covered < policy.upWindowMs) {
    const text = `load ${percent(loadNow)} is above ${high}, watched for ${seconds(covered)} of ${window}`;
    return hold(situation, 'load-high', 'window', text);
  }
  const demand = meanDemand(input.samples, input.nowMs, policy.upWindowMs) ?? 0;
  const load = demand / now.ready;
  if (load <= policy.cpuHighPercent) {
    const text = `load ${percent(loadNow)} is above ${high} now, ${percent(load)} on average over ${window}`;
    return hold(situation, 'load-high', 'window', text);
  }
  const text = `load ${percent(load)} over ${window} is above ${high}`;
  const capacity = capacityOf(situation);
  if (capacity > now.ready && demand / capacity <= policy.cpuHighPercent) {
    const then = `${onItsWay(situation)}, which makes it ${percent(demand / capacity)}`;
    return hold(situation, 'load-high', 'starting', `${text}, but ${then}`);
  }
  // A small jump now would cost a cooldown before the right one.
  if (isNoticed(now))
    return hold(situation, 'load-high', 'window', `${text}; how fast work piles up is being watched`);
  const needed = Math.ceil(demand / growTargetPercent(situation));
  return wish(Math.max(needed, input.desired + 1), 'load-high', text);
}

/** The jump for work that waits; null when the mean load is not above HIGH. */
function growForBacklog(situation: Situation, overload: Overload): Proposal | null {
  const { input, policy, now } = situation;
  const { overMs, loadPercent, arrivingPercent, waitingPercent } = overload;
  if (loadPercent <= policy.cpuHighPercent) return null;
  const waits = seconds(Math.round(((waitingPercent / 100) * DRAIN_MS) / now.ready / 100) * 100);
  const text =
    `load ${percent(loadPercent)} over ${seconds(overMs)} is above ${percent(policy.cpuHighPercent)}, ` +
    `${waits} of work waits in each instance and ${percent(arrivingPercent)} of a core arrives`;
  const needed = Math.ceil(
    Math.max(arrivingPercent / growTargetPercent(situation), (arrivingPercent + waitingPercent) / 100),
  );
  const capacity = capacityOf(situation);
  if (capacity > now.ready && needed <= capacity) {
    return hold(situation, 'load-high', 'starting', `${text}, but ${onItsWay(situation)}`);
  }
  return wish(Math.max(needed, input.desired + 1), 'load-high', text);
}

/** One more for memory above HIGH; null when memory is not above HIGH now. */
function growForMemory(situation: Situation): Proposal | null {
  const { input, policy, now } = situation;
  const high = percent(policy.memoryHighPercent);
  const window = seconds(policy.upWindowMs);
  if (now.memoryPercent === null || now.memoryPercent <= policy.memoryHighPercent) return null;
  const mean = meanMemory(input.samples, input.nowMs, policy.upWindowMs) ?? 0;
  const covered = coveredMs(input.samples, input.nowMs, policy.upWindowMs);
  if (covered < policy.upWindowMs || mean <= policy.memoryHighPercent) {
    const text = `memory ${percent(now.memoryPercent)} is above ${high}, not yet for ${window}`;
    return hold(situation, 'memory-high', 'window', text);
  }
  const text = `memory ${percent(mean)} over ${window} is above ${high}`;
  if (capacityOf(situation) > now.ready) {
    return hold(situation, 'memory-high', 'starting', `${text}, but ${onItsWay(situation)}`);
  }
  return wish(input.desired + 1, 'memory-high', text);
}

/** Whether one more for memory is possible at all. If not, an idle service may still shrink. */
function hasRoomForOne(situation: Situation): boolean {
  const room = hostRoom(situation);
  return situation.input.desired < situation.policy.maxInstances && room !== null && room.instances > 0;
}

/** Fewer for load below LOW over the whole down-window; null when the load is not below LOW now. */
function recommendDown(situation: Situation): Proposal | null {
  const { input, policy, memory, now } = situation;
  const { samples, nowMs, desired } = input;
  const loadNow = (now.demandPercent + 100 * (now.ready - now.known)) / now.ready;
  if (loadNow >= policy.cpuLowPercent) return null;
  const low = percent(policy.cpuLowPercent);
  const figure = `load ${percent(loadNow)} is below ${low}`;
  if (desired <= policy.minInstances) {
    return hold(situation, 'load-low', 'min', `${figure}, ${desired} is the minimum`);
  }
  if (now.starting > 0 || now.ready < desired) {
    return hold(situation, 'load-low', 'starting', `${figure}, but ${onItsWay(situation)}`);
  }
  const windowMs = policy.downWindowMs * downWindowFactor(memory, nowMs);
  const sinceUpMs = memory.lastUpAtMs === null ? windowMs : nowMs - memory.lastUpAtMs;
  const watchedMs = Math.min(coveredMs(samples, nowMs, windowMs), sinceUpMs);
  const lengthened = windowMs > policy.downWindowMs ? ' (longer: it grew again soon after shrinking)' : '';
  if (watchedMs < windowMs) {
    const text = `${figure}, watched for ${seconds(watchedMs)} of ${seconds(windowMs)}${lengthened}`;
    return hold(situation, 'load-low', 'window', text);
  }
  const peak = peakDemand(samples, nowMs, windowMs, policy.upWindowMs) ?? Number.POSITIVE_INFINITY;
  if (peak / now.ready >= policy.cpuLowPercent) {
    const text = `${figure} now, but reached ${percent(peak / now.ready)} within ${seconds(windowMs)}${lengthened}`;
    return hold(situation, 'load-low', 'window', text);
  }
  const text = `load at most ${percent(peak / now.ready)} over ${seconds(windowMs)} is below ${low}${lengthened}`;
  return shrink(situation, peak, text);
}

/** The smallest count that stays clear of HIGH, in CPU first, then in memory. */
function shrink(situation: Situation, peak: number, text: string): Proposal {
  const { input, policy, now } = situation;
  const { desired, nowMs } = input;
  let to = Math.max(policy.minInstances, Math.min(desired - 1, Math.ceil(peak / targetPercent(policy))), 1);
  while (to < desired && peak / to > CLEARANCE * policy.cpuHighPercent) to++;
  if (to >= desired) {
    const then = percent(peak / (desired - 1));
    return hold(situation, 'load-low', 'projection', `${text}, but ${desired - 1} would be at ${then}`);
  }
  const memory = meanMemory(input.samples, nowMs, policy.upWindowMs);
  if (memory === null) {
    return hold(situation, 'load-low', 'missing-data', `${text}, but memory is not known`);
  }
  if (memory < policy.memoryLowPercent) return wish(to, 'load-low', text);
  const total = memory * now.ready;
  while (to < desired && total / to > CLEARANCE * policy.memoryHighPercent) to++;
  if (to < desired) return wish(to, 'load-low', text);
  const since = situation.memory.memoryBlockedSinceMs;
  const patienceMs =
    MEMORY_PATIENCE_WINDOWS * policy.downWindowMs * downWindowFactor(situation.memory, nowMs);
  if (since !== null && nowMs - since >= patienceMs) {
    const waited = `memory stood in the way for ${seconds(nowMs - since)}, which garbage does too`;
    return wish(desired - 1, 'load-low', `${text}; ${waited}`);
  }
  const then = `memory ${percent(memory)} would become ${percent(total / (desired - 1))} with ${desired - 1}`;
  return hold(situation, 'load-low', 'memory', `${text}, but ${then}`);
}

/** Between LOW and HIGH, as far as is known. */
function steady(situation: Situation): Proposal {
  const { policy, now } = situation;
  const load = percent(now.demandPercent / now.ready);
  const silent = now.ready - now.known;
  const band = `${percent(policy.cpuLowPercent)} and ${percent(policy.cpuHighPercent)}`;
  return silent > 0
    ? hold(situation, 'steady', 'missing-data', `load ${load} known, ${silent} of ${count(now.ready)} not`)
    : wish(situation.input.desired, 'steady', `load ${load} is between ${band}`);
}
