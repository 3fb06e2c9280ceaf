/** What the steps of a scaling decision hand to each other, and what they all look at. */
import type { ScalingPolicy } from '../policy.js';
import type { ScalingMemory } from './memory.js';
import { mebibytes, percent } from './text.js';
import type { LoadSample } from './window.js';

/** Share of the host's memory that no new instance may use. */
const HOST_RESERVE = 0.1;

export type LimitedBy =
  | 'autoscale-off'
  | 'cooldown'
  | 'reversal' // the last move was the other way, less than a minute ago
  | 'window' // not long enough yet
  | 'starting' // capacity is on its way
  | 'missing-data'
  | 'projection' // what would remain would be too busy
  | 'memory' // what would remain would be too full
  | 'host-memory'
  | 'max'
  | 'min'
  | 'quarantine'
  | 'operation'
  | 'stopped'
  | 'unverified'
  | 'job' // it runs to its end, once a start
  | 'released';

/** What the decision rests on; with `limitedBy` and `action` it says whether a hold is still the same hold. */
export type ScalingCause =
  'blocked' | 'bounds' | 'load-high' | 'load-low' | 'memory-high' | 'steady' | 'unknown';

export interface ScalingInput {
  /** Monotonic. */
  readonly nowMs: number;
  /** The count wanted so far. */
  readonly desired: number;
  /** Oldest first. */
  readonly samples: readonly LoadSample[];
  /** Null when unknown: growing for load is then not limited by it, growing for memory is refused. */
  readonly host: { readonly memoryTotalBytes: number; readonly memoryAvailableBytes: number } | null;
  /** Why nothing may be moved now, or null. */
  readonly blocked: {
    readonly by: 'quarantine' | 'operation' | 'stopped' | 'unverified' | 'job' | 'released';
    readonly reason: string;
  } | null;
}

/** What a step hands to the next: a wish (`to` may equal `from`), or a hold that ends the walk. */
export interface Proposal {
  readonly to: number;
  readonly cause: ScalingCause;
  /** The figures, without the move: "load 92 % over 10 s is above 80 %". */
  readonly because: string;
  readonly limitedBy: LimitedBy | null;
}

/** Everything the steps look at. */
export interface Situation {
  readonly input: ScalingInput;
  readonly policy: ScalingPolicy;
  readonly memory: ScalingMemory;
  readonly now: LoadSample;
}

/** "Clear of HIGH": at most this share of it. */
export const CLEARANCE = 0.9;

/** The load that a jump aims at, percent: the middle of LOW and HIGH. */
export function targetPercent(policy: ScalingPolicy): number {
  return (policy.cpuLowPercent + policy.cpuHighPercent) / 2;
}

/** The same for growing. Where agents tell what waits, what is seen is all there is: clear of HIGH is low enough. */
export function growTargetPercent({ policy, now }: Situation): number {
  const middle = targetPercent(policy);
  return now.backlogPercent === null ? middle : Math.max(middle, CLEARANCE * policy.cpuHighPercent);
}

export function wish(to: number, cause: ScalingCause, because: string): Proposal {
  return { to, cause, because, limitedBy: null };
}

export function hold(
  situation: Situation,
  cause: ScalingCause,
  limitedBy: LimitedBy,
  because: string,
): Proposal {
  return { to: situation.input.desired, cause, because, limitedBy };
}

export function onItsWay(situation: Situation): string {
  const missing = capacityOf(situation) - situation.now.ready;
  return `${missing} more ${missing === 1 ? 'is' : 'are'} on the way`;
}

/** Instances that serve, will serve, or are being replaced. */
export function capacityOf({ input, now }: Situation): number {
  return Math.max(input.desired, now.ready + now.starting);
}

/** How many more instances the host's memory holds; null when that is not known. */
export function hostRoom(situation: Situation): { readonly instances: number; readonly text: string } | null {
  const { input, now } = situation;
  if (input.host === null || now.memoryBytes === null || now.memoryBytes <= 0) return null;
  const { memoryTotalBytes, memoryAvailableBytes } = input.host;
  const pending = capacityOf(situation) - now.ready;
  const free = memoryAvailableBytes - HOST_RESERVE * memoryTotalBytes;
  const text = `${mebibytes(memoryAvailableBytes)} available, ${percent(HOST_RESERVE * 100)} kept back, ${mebibytes(now.memoryBytes)} an instance`;
  return { instances: Math.max(0, Math.floor(free / now.memoryBytes) - pending), text };
}
