/**
 * Restart budgets: how often a failing instance is given another chance, and what happens when that is spent.
 *
 * A *slot* is one place of a service: a pmId and whoever replaces it. Each failure that the instance itself is to
 * blame for is charged to its slot; charges older than the window are forgotten (the sliding window of Erlang/OTP
 * supervisors, which, unlike PM2's own counter, does not care how old the process was when it failed). A spent slot
 * is quarantined: not restarted, not replaced. After a cooldown one half-open trial is made; it must outlive what
 * killed its predecessors before the slot is whole again.
 */
import { judgeRun, RESTARTED } from './endRules.js';
import type { EndRules, RunEnd } from '../model.js';
import type { FailureCause } from '../model.js';
import type { FailurePolicy } from '../policy.js';

export interface Charge {
  /** Wall clock, so that budgets survive a supervisor restart. */
  readonly atMs: number;
  /** How long the instance had run; a trial must outlive it. */
  readonly ranMs: number;
  readonly cause: FailureCause;
}

/** What remains of a slot's charges. Clock jumps backwards don't make charges immortal. */
export function withinWindow(
  charges: readonly Charge[],
  policy: FailurePolicy,
  nowMs: number,
): readonly Charge[] {
  return charges.filter((charge) => Math.abs(nowMs - charge.atMs) < policy.windowMs);
}

/** Beyond that every wait is as long as it may be; without a bound 0 × 2^1024 would not be a number. */
const MOST_DOUBLINGS = 50;

export type BudgetVerdict =
  /** Try again; a replacement waits this long first (a restart by PM2 has already happened). */
  | { readonly kind: 'retry'; readonly backoffMs: number }
  | { readonly kind: 'spent'; readonly attempts: number };

/**
 * Charges one failure: `maxRestartAttempts` failures are retried, the next one is one too many. The first retry is
 * immediate; later ones back off exponentially with full jitter, so that instances that failed together don't return
 * together. A tenth of the window is the longest wait.
 * @param random in [0, 1).
 */
export function charge(
  charges: readonly Charge[],
  failure: Charge,
  policy: FailurePolicy,
  random: number,
): { readonly charges: readonly Charge[]; readonly verdict: BudgetVerdict } {
  const recent = [...withinWindow(charges, policy, failure.atMs), failure];
  if (recent.length > policy.maxRestartAttempts) {
    return { charges: recent, verdict: { kind: 'spent', attempts: policy.maxRestartAttempts } };
  }
  const backoffMs = longestBackoffMs(recent.length, policy) * random;
  return { charges: recent, verdict: { kind: 'retry', backoffMs } };
}

/** The first retry is immediate, the second waits up to the base, each later one up to twice as long. */
function longestBackoffMs(
  failures: number,
  policy: Pick<FailurePolicy, 'windowMs' | 'backoffBaseMs'>,
): number {
  if (failures <= 1) return 0;
  const doublings = Math.min(failures - 2, MOST_DOUBLINGS);
  return Math.min(policy.windowMs / 10, policy.backoffBaseMs * 2 ** doublings);
}

/** The longest waits before so many retries together. */
export function longestBackoffsMs(
  retries: number,
  policy: Pick<FailurePolicy, 'windowMs' | 'backoffBaseMs'>,
): number {
  return Array.from({ length: retries }, (_, i) => longestBackoffMs(i + 1, policy)).reduce(
    (a, b) => a + b,
    0,
  );
}

/** Wait before the n-th half-open trial (0-based): doubles each time, at most ten cooldowns, ±10 % jitter. */
export function trialDelayMs(trials: number, policy: FailurePolicy, random: number): number {
  // Bounded before it is multiplied: 0 × 2^1024 is not a number.
  const factor = Math.min(2 ** Math.min(trials, 4), 10);
  return policy.restartCooldownMs * factor * (0.9 + 0.2 * random);
}

/**
 * Whether the wait for a trial is over. One that is longer than any wait can be means that the wall clock was set back.
 */
export function isTrialDue(nextTrialAtMs: number, nowMs: number, policy: FailurePolicy): boolean {
  const longestMs = Math.max(policy.restartCooldownMs * 10 * 1.1, policy.stableMs, policy.windowMs);
  return nowMs >= nextTrialAtMs || nextTrialAtMs - nowMs > longestMs;
}

/**
 * How long a trial must stay fit. Twice the longest life among the failures that spent the budget: a process that
 * dies 30 s after every start does not pass by surviving 10 s.
 */
export function trialStableMs(charges: readonly Charge[], policy: FailurePolicy): number {
  const longest = charges.reduce((most, { ranMs }) => Math.max(most, ranMs), 0);
  return Math.max(policy.stableMs, Math.min(2 * longest, policy.windowMs));
}

/** Signals that people and other programs send; a process that ends by one of them was not itself at fault. */
const SENT_FROM_OUTSIDE = new Set(['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT']);

/** Whether being unfit for that reason is an instance's own fault: a SIGSTOP comes from outside, like a kill. */
export function isOwnFault(cause: FailureCause): boolean {
  return cause !== 'stopped';
}

export type ExitVerdict =
  | { readonly charged: false; readonly why: 'asked' | 'killed' }
  /** PM2 leaves it down, as it was told, and so does Holdfast. */
  | { readonly charged: false; readonly why: 'run-ended'; readonly run: RunEnd }
  | { readonly charged: true; readonly cause: 'crashed' | 'oom-killed' }
  | { readonly charged: true; readonly cause: 'out-of-memory'; readonly limitBytes: number };

/** How V8 ends a process whose heap is full: abort(), which some builds compile to a trap. 128 + n is a shell's word for it. */
const ABORTS = new Set(['SIGABRT', 'SIGTRAP', 'SIGILL']);
const ABORT_CODES = new Set([134, 133, 132]);

export interface HeapUse {
  readonly usedBytes: number;
  /** Of old objects: --max-old-space-size. */
  readonly limitBytes: number;
}

/** Between the last figures and the end a heap can still grow a lot, but not from nearly empty. */
const FULL_HEAP_SHARE = 0.6;

/** Whether a heap is so full that V8 may have given up on it a moment later. */
export function isHeapFull({ usedBytes, limitBytes }: HeapUse): boolean {
  return usedBytes >= FULL_HEAP_SHARE * limitBytes;
}

/**
 * Whether an exit is the instance's own fault. A kill from outside says nothing about the program, so it costs no
 * budget, unless it was the kernel's answer to running out of memory.
 */
export function judgeExit(exit: {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly asked: boolean;
  readonly oomKilled: boolean;
  /** The JavaScript heap in the last figures of its agent; null where there are none. */
  readonly heap: HeapUse | null;
  /** What PM2 does after it. Default: it restarts it. */
  readonly endRules?: EndRules | undefined;
}): ExitVerdict {
  if (exit.asked) return { charged: false, why: 'asked' };
  const run = judgeRun(exit.endRules ?? RESTARTED, exit);
  if (run !== null) return { charged: false, why: 'run-ended', run };
  const aborted = exit.signal === null ? ABORT_CODES.has(exit.exitCode ?? 0) : ABORTS.has(exit.signal);
  if (aborted && exit.heap !== null && isHeapFull(exit.heap)) {
    return { charged: true, cause: 'out-of-memory', limitBytes: exit.heap.limitBytes };
  }
  if (exit.signal === 'SIGKILL' && exit.oomKilled) return { charged: true, cause: 'oom-killed' };
  if (exit.signal !== null && SENT_FROM_OUTSIDE.has(exit.signal)) return { charged: false, why: 'killed' };
  return { charged: true, cause: 'crashed' };
}
