/**
 * How many instances a service should have: a pure rule in three visible steps, each of which can say that it
 * was the one to hold the service back (`limitedBy`).
 *
 *   recommend   what the figures ask for, over the up-window or the down-window
 *   stabilise   cooldown, no turning back within a minute, operations under way
 *   limit       min, max, and the memory that the host has left
 *
 * Up: the mean load over the up-window, and the load now, are above HIGH. One burst does not lift the mean over
 * a whole window; a sustained burn does, once. The jump is `ceil(demand / target)`, where the target is the
 * middle of LOW and HIGH: as far from growing again as from shrinking again. A saturated process shows 100 %
 * however much waits behind it, so one jump grows at most 1 / target-fold (about × 1.8 with the defaults); a
 * larger step takes several, a cooldown apart. Whoever cannot wait for that sets a shorter cooldown: turning
 * back is guarded on its own, so a short cooldown does not make the count swing.
 *
 * With agents, on Linux, the work that waits is known (scaling/backlog.ts), and how fast it grows (scaling/overload.ts): three
 * seconds of it are enough, and one jump takes what arrives at the target, and what arrives and waits within DRAIN_MS.
 * No margin is needed then for what could not be seen: the target is clear of HIGH, and no lower.
 *
 * Down: over the whole down-window the highest up-window-long mean stayed below LOW, and what remains would stay
 * clear of HIGH in CPU and in memory. Memory below LOW never objects, and memory in the way is listened to for
 * MEMORY_PATIENCE_WINDOWS down-windows at most: Node gives garbage back late or never.
 *
 * Growing is decided on a window measured in seconds and shrinking on minutes because the costs differ: too few
 * instances hurt users now, too many cost memory for a while.
 */
import type { ScalingPolicy } from '../policy.js';
import { REVERSAL_GUARD_MS, type ScalingMemory } from './memory.js';
import {
  hold,
  hostRoom,
  growTargetPercent,
  type LimitedBy,
  type Proposal,
  type ScalingCause,
  type ScalingInput,
  type Situation,
} from './proposal.js';
import { recommend } from './recommend.js';
import { count, percent, seconds } from './text.js';
import { shownBacklog, shownLoad, type LoadSample } from './window.js';

export type { LimitedBy, ScalingCause, ScalingInput } from './proposal.js';

/** Long enough that a burst of a few seconds starts nothing, short enough that users wait seconds, not minutes. */
export const DEFAULT_UP_WINDOW_MS = 10_000;
/** A minute of quiet before capacity is given back; 2 or 4 after shrinking turned out to be too early. */
export const DEFAULT_DOWN_WINDOW_MS = 60_000;

export interface Decision {
  readonly action: 'up' | 'down' | 'hold';
  readonly from: number;
  readonly to: number;
  readonly cause: ScalingCause;
  /** One sentence for a person, with the figures. A hold starts with "hold:". */
  readonly reason: string;
  /** What held it back, also when it moved less far than asked; null when nothing did. */
  readonly limitedBy: LimitedBy | null;
  readonly inputs: {
    /** Mean over the ready instances with a figure. */
    readonly loadPercent: number | null;
    /** Mean over the ready instances, of one core over 10 s; null where no agent tells. */
    readonly backlogPercent: number | null;
    readonly memoryPercent: number | null;
    readonly ready: number;
    readonly starting: number;
  };
}

/**
 * Decides for one service at one moment. Pure and total: bad figures give a hold that says so.
 * With `policy.autoscale` false the answer is always a hold that tells what would have been done.
 */
export function decide(input: ScalingInput, policy: ScalingPolicy, memory: ScalingMemory): Decision {
  const now = input.samples.at(-1) ?? nothingSampled(input.nowMs);
  const situation: Situation = { input, policy, memory, now };
  const { blocked } = input;
  if (blocked !== null) {
    return explain(hold(situation, 'blocked', blocked.by, blocked.reason), situation);
  }
  const proposal = recommend(situation);
  const stable = proposal.limitedBy === null ? stabilise(proposal, situation) : proposal;
  const final = stable.limitedBy === null ? limit(stable, situation) : stable;
  return explain(final, situation);
}

// ── stabilise ────────────────────────────────────────────────────────────────────────────────────────────────

function stabilise(proposal: Proposal, situation: Situation): Proposal {
  const { input, policy, memory } = situation;
  const { desired, nowMs } = input;
  if (proposal.to === desired) return proposal;
  const wanted = `${proposal.because}, which asks for ${count(proposal.to)}`;
  if (!policy.autoscale) {
    return { ...proposal, to: desired, limitedBy: 'autoscale-off', because: `autoscaling is off; ${wanted}` };
  }
  if (proposal.cause === 'bounds' || memory.lastMove === null) return proposal;
  const sinceMs = nowMs - memory.lastMove.atMs;
  if (sinceMs < policy.cooldownMs) {
    const left = seconds(policy.cooldownMs - sinceMs);
    return { ...proposal, to: desired, limitedBy: 'cooldown', because: `cooldown ${left} left; ${wanted}` };
  }
  const direction = proposal.to > desired ? 'up' : 'down';
  if (direction !== memory.lastMove.direction && sinceMs < REVERSAL_GUARD_MS) {
    const left = seconds(REVERSAL_GUARD_MS - sinceMs);
    const text = `no turning back for another ${left} after going ${memory.lastMove.direction}; ${wanted}`;
    return { ...proposal, to: desired, limitedBy: 'reversal', because: text };
  }
  return proposal;
}

// ── limit ────────────────────────────────────────────────────────────────────────────────────────────────────

function limit(proposal: Proposal, situation: Situation): Proposal {
  const { input, policy } = situation;
  const { desired } = input;
  if (proposal.to <= desired || proposal.cause === 'bounds') return proposal;
  let { to, limitedBy } = proposal;
  let note = '';
  if (to > policy.maxInstances) {
    note =
      desired === policy.maxInstances
        ? `, ${desired} is the maximum`
        : `, limited to the maximum of ${policy.maxInstances}`;
    to = policy.maxInstances;
    limitedBy = 'max';
  }
  const room = hostRoom(situation);
  if (room === null && proposal.cause === 'memory-high' && to > desired) {
    const text = `${proposal.because}, but it is not known whether the host has room`;
    return { ...proposal, to: desired, limitedBy: 'missing-data', because: text };
  }
  if (room !== null && to > desired + room.instances) {
    to = desired + room.instances;
    limitedBy = 'host-memory';
    note = `, limited by the host's memory: ${room.text}`;
  }
  return { ...proposal, to, limitedBy, because: proposal.because + note };
}

// ── explain ──────────────────────────────────────────────────────────────────────────────────────────────────

function explain(proposal: Proposal, situation: Situation): Decision {
  const { input, now } = situation;
  const from = input.desired;
  const { to, cause, because, limitedBy } = proposal;
  const inputs = {
    loadPercent: shownLoad(now),
    backlogPercent: shownBacklog(now),
    memoryPercent: now.memoryPercent,
    ready: now.ready,
    starting: now.starting,
  };
  if (to === from) {
    return { action: 'hold', from, to, cause, reason: `hold: ${because}`, limitedBy, inputs };
  }
  const aim = cause === 'load-high' ? ` for a target of ${percent(growTargetPercent(situation))}` : '';
  const reason = `${because}: ${from} → ${count(to)}${aim}`;
  return { action: to > from ? 'up' : 'down', from, to, cause, reason, limitedBy, inputs };
}

function nothingSampled(nowMs: number): LoadSample {
  return {
    atMs: nowMs,
    ready: 0,
    starting: 0,
    known: 0,
    demandPercent: 0,
    backlogPercent: null,
    memoryPercent: null,
    memoryBytes: null,
  };
}
