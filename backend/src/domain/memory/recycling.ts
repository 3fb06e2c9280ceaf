/**
 * When an instance whose memory leads to a limit is replaced, while it still serves: early enough for the replacement
 * to be there, late enough not to be a nervous habit, and never two at once.
 *
 * One replacement takes a *turn*: start, drain, stop, each as long as the service's policy allows at most. It begins a
 * turn and a margin before the limit is met; the longer the growth was watched, the earlier, because a forecast is off
 * by some share of what it is drawn from. Instances that grow side by side form a queue: the first begins early enough
 * for the last to be in time, a cooldown between any two. The cooldown is cut short, and other services are not waited
 * for, only when somebody would meet the limit meanwhile.
 */
import type { MemoryGrowth } from './memoryTracker.js';
import type { ServicePolicy } from '../policy.js';

/** Share of a limit at which an instance is replaced, whatever its trend: the last line of defence. */
export const RECYCLE_AT = 0.9;
/** What a forecast of a minute or two may be off by; PM2's own look at max_memory_restart, every 30 s, is in it twice. */
const MARGIN_MS = 60_000;
/** Share of the time over which growth was watched. */
const FORECAST_ERROR = 0.15;

export interface Candidate<T> {
  readonly instance: T;
  /** Growth that is sure; null when there is none. */
  readonly growth: MemoryGrowth | null;
  /** RECYCLE_AT of a limit is used. */
  readonly isFull: boolean;
}

export interface RecyclingInput<T> {
  readonly candidates: readonly Candidate<T>[];
  readonly policy: Pick<ServicePolicy, 'health' | 'lifecycle' | 'failure'>;
  /** Since this service last recycled; null: never. */
  readonly sinceLastMs: number | null;
  /** Another service is recycling just now. */
  readonly othersAtWork: boolean;
}

/** Whom to replace now, if anybody. Never throws. */
export function nextToRecycle<T>(input: RecyclingInput<T>): T | null {
  const { candidates, policy, sinceLastMs, othersAtWork } = input;
  const { health, lifecycle, failure } = policy;
  const turnMs = health.startTimeoutMs + lifecycle.drainGraceMs + lifecycle.killTimeoutMs;
  const paceMs = Math.max(turnMs, failure.restartCooldownMs);
  const growing = candidates
    .flatMap(({ instance, growth }) => (growth === null ? [] : [{ instance, growth }]))
    .sort((a, b) => a.growth.etaMs - b.growth.etaMs);
  const isTime = growing.some(
    ({ growth }, place) => growth.etaMs <= aheadMs(growth, turnMs) + place * paceMs,
  );
  const full = candidates.find(({ isFull }) => isFull)?.instance ?? null;
  const next = isTime ? (growing[0]?.instance ?? null) : full;
  if (next === null) return null;

  const coolingMs = sinceLastMs === null ? 0 : Math.max(0, failure.restartCooldownMs - sinceLastMs);
  const waitMs = Math.max(coolingMs, othersAtWork && full === null ? turnMs : 0);
  const cannotWait = growing.some(({ growth }, place) => growth.etaMs < waitMs + (place + 1) * turnMs);
  return waitMs === 0 || cannotWait ? next : null;
}

function aheadMs({ spanMs }: MemoryGrowth, turnMs: number): number {
  return Math.max(turnMs + MARGIN_MS, FORECAST_ERROR * spanMs);
}

/** "resident memory grows 1.2 MB/s, 60 MB below its limit of 512 MB: reached in about 50 s". */
export function describeGrowth({
  limit,
  perSecondBytes,
  usedBytes,
  limitBytes,
  etaMs,
}: MemoryGrowth): string {
  const room = megabytes(Math.max(0, limitBytes - usedBytes));
  const [what, bound] =
    limit === 'heap'
      ? ['live heap', `the ${megabytes(limitBytes)} MB that V8 can hold`]
      : ['resident memory', `its limit of ${megabytes(limitBytes)} MB`];
  return `${what} grows ${rate(perSecondBytes)}, ${room} MB below ${bound}: reached in about ${duration(etaMs)}`;
}

function rate(perSecondBytes: number): string {
  const perSecond = perSecondBytes / 2 ** 20;
  if (perSecond >= 0.1) return `${perSecond.toFixed(1)} MB/s`;
  const perHour = perSecond * 3_600;
  return perHour >= 10 ? `${Math.round(perHour)} MB/h` : `${perHour.toFixed(1)} MB/h`;
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 2 ** 20);
}

function duration(timeMs: number): string {
  const seconds = Math.round(timeMs / 1_000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3_600)} h`;
}
