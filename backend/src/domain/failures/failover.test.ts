import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { charge, judgeExit, trialDelayMs, trialStableMs, withinWindow } from './failover.js';
import type { BudgetVerdict, Charge } from './failover.js';
import type { FailurePolicy } from '../policy.js';

const POLICY: FailurePolicy = {
  maxRestartAttempts: 3,
  windowMs: 600_000,
  restartCooldownMs: 60_000,
  backoffBaseMs: 1_000,
  stableMs: 10_000,
};
const at = (atMs: number, ranMs = 1_000): Charge => ({ atMs, ranMs, cause: 'crashed' });

/** Charges one failure after the other; the verdicts, each with its time. */
function fail(timesMs: readonly number[], policy: FailurePolicy, random = 0.5) {
  let charges: readonly Charge[] = [];
  return timesMs.map((atMs) => {
    const after = charge(charges, at(atMs), policy, random);
    charges = after.charges;
    return { atMs, verdict: after.verdict, charges };
  });
}

const policies: fc.Arbitrary<FailurePolicy> = fc.record({
  maxRestartAttempts: fc.integer({ min: 0, max: 10 }),
  windowMs: fc.integer({ min: 1_000, max: 3_600_000 }),
  restartCooldownMs: fc.integer({ min: 1_000, max: 600_000 }),
  backoffBaseMs: fc.integer({ min: 0, max: 60_000 }),
  stableMs: fc.integer({ min: 0, max: 600_000 }),
});
const randoms = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
/** Pauses from none to a few windows. */
const pauses = fc.array(fc.oneof(fc.nat({ max: 5_000 }), fc.nat({ max: 4_000_000 })), { maxLength: 60 });

/** Times from pauses, beginning at 0. */
const timesOf = (gaps: readonly number[]): number[] => {
  let now = 0;
  return gaps.map((gap) => (now += gap));
};

describe('a restart budget', () => {
  test('retries as often as allowed, and is spent by the next failure', () => {
    const verdicts = fail([0, 1_000, 2_000, 3_000], POLICY).map(({ verdict }) => verdict);
    expect(verdicts.map(({ kind }) => kind)).toEqual(['retry', 'retry', 'retry', 'spent']);
    expect(verdicts[3]).toEqual({ kind: 'spent', attempts: 3 });
  });

  test('with no attempts allowed the first failure spends it', () => {
    expect(fail([0], { ...POLICY, maxRestartAttempts: 0 })[0]?.verdict).toEqual({
      kind: 'spent',
      attempts: 0,
    });
  });

  test('forgets what is a window old, to the millisecond', () => {
    expect(withinWindow([at(0)], POLICY, POLICY.windowMs - 1)).toHaveLength(1);
    expect(withinWindow([at(0)], POLICY, POLICY.windowMs)).toHaveLength(0);
    const loop = fail([0, 1, 2, POLICY.windowMs], POLICY);
    expect(loop[3]?.verdict.kind).toBe('retry');
    // What is kept counts in its own time: only the first one has been forgotten.
    expect(loop[3]?.charges.map(({ atMs }) => atMs)).toEqual([1, 2, POLICY.windowMs]);
  });

  test('does not care how old the instance was: failing every 30 s spends it', () => {
    const every30s = fail([30_000, 60_000, 90_000, 120_000], POLICY);
    expect(every30s.at(-1)?.verdict.kind).toBe('spent');
  });

  test('the first retry is immediate, later ones back off exponentially up to a tenth of the window', () => {
    const waits = fail([0, 1, 2, 3, 4, 5, 6, 7, 8], { ...POLICY, maxRestartAttempts: 99 }, 1).map(
      ({ verdict }) => (verdict.kind === 'retry' ? verdict.backoffMs : null),
    );
    expect(waits).toEqual([0, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
  });

  test('full jitter: instances that failed together do not return together', () => {
    const waits = [0, 0.25, 0.5].map((random) => fail([0, 1, 2], POLICY, random).at(-1)!.verdict);
    expect(waits).toEqual([
      { kind: 'retry', backoffMs: 0 },
      { kind: 'retry', backoffMs: 500 },
      { kind: 'retry', backoffMs: 1_000 },
    ]);
  });

  test('never more retries within any window than are allowed', () => {
    fc.assert(
      fc.property(policies, pauses, randoms, (policy, gaps, random) => {
        const retries = fail(timesOf(gaps), policy, random)
          .filter(({ verdict }) => verdict.kind === 'retry')
          .map(({ atMs }) => atMs);
        for (const endMs of retries) {
          const inWindow = retries.filter((atMs) => atMs <= endMs && endMs - atMs < policy.windowMs);
          expect(inWindow.length).toBeLessThanOrEqual(policy.maxRestartAttempts);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('is spent exactly when one more than allowed failed within a window', () => {
    fc.assert(
      fc.property(policies, pauses, (policy, gaps) => {
        const timesMs = timesOf(gaps);
        fail(timesMs, policy).forEach(({ atMs, verdict }, index) => {
          const recent = timesMs.slice(0, index + 1).filter((time) => atMs - time < policy.windowMs);
          expect(verdict.kind).toBe(recent.length > policy.maxRestartAttempts ? 'spent' : 'retry');
        });
      }),
      { numRuns: 500 },
    );
  });

  test('a backoff is never negative, never above its bound, and a quiet window ends it', () => {
    const waitOf = (verdict: BudgetVerdict): number => (verdict.kind === 'retry' ? verdict.backoffMs : 0);
    fc.assert(
      fc.property(policies, pauses, randoms, (policy, gaps, random) => {
        const timesMs = timesOf(gaps);
        for (const { verdict, charges } of fail(timesMs, policy, random)) {
          const bound = Math.min(policy.windowMs / 10, policy.backoffBaseMs * 2 ** (charges.length - 2));
          expect(waitOf(verdict)).toBeGreaterThanOrEqual(0);
          expect(waitOf(verdict)).toBeLessThanOrEqual(charges.length === 1 ? 0 : bound);
        }
        fc.pre(policy.maxRestartAttempts > 0);
        const later = fail([...timesMs, (timesMs.at(-1) ?? 0) + policy.windowMs], policy, random).at(-1);
        expect(later).toMatchObject({ verdict: { kind: 'retry', backoffMs: 0 } });
      }),
      { numRuns: 500 },
    );
  });

  test('a clock that jumps never leaves a charge for longer than a window on either side', () => {
    fc.assert(
      fc.property(
        policies,
        fc.array(fc.integer({ min: -10_000_000, max: 10_000_000 }), { maxLength: 40 }),
        (policy, timesMs) => {
          const kept = fail(timesMs, policy);
          for (const { atMs, charges } of kept) {
            for (const one of charges) expect(Math.abs(atMs - one.atMs)).toBeLessThan(policy.windowMs);
            expect(charges.at(-1)?.atMs).toBe(atMs);
          }
          // Whatever was charged under a clock that was hours ahead is forgotten when it is set right.
          const last = kept.at(-1);
          if (last === undefined) return;
          expect(withinWindow(last.charges, policy, last.atMs - 2 * policy.windowMs)).toEqual([]);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('what it is given stays as it was', () => {
    const charges = Object.freeze([Object.freeze(at(0))]);
    expect(charge(charges, at(1), POLICY, 0.5).charges).toEqual([at(0), at(1)]);
    expect(charges).toEqual([at(0)]);
  });
});

describe('a half-open trial', () => {
  test('waits one cooldown, then twice as long each time, at most ten', () => {
    const delays = [0, 1, 2, 3, 4, 5, 6].map((trials) => trialDelayMs(trials, POLICY, 0.5) / 60_000);
    expect(delays).toEqual([1, 2, 4, 8, 10, 10, 10]);
  });

  test('the wait keeps within 10 % of its step, however many trials failed', () => {
    fc.assert(
      fc.property(policies, fc.nat({ max: 5_000 }), randoms, (policy, trials, random) => {
        const { restartCooldownMs } = policy;
        const delayMs = trialDelayMs(trials, policy, random);
        expect(delayMs).toBeGreaterThan(0.9 * restartCooldownMs - 1);
        expect(delayMs).toBeLessThan(1.1 * 10 * restartCooldownMs + 1);
        const middle = trialDelayMs(trials, policy, 0.5);
        expect(Math.abs(delayMs - middle)).toBeLessThan(0.1 * middle + 1);
        expect(trialDelayMs(trials + 1, policy, random)).toBeGreaterThanOrEqual(delayMs);
      }),
    );
  });

  test('must outlive what killed its predecessors: twice the longest of them', () => {
    expect(trialStableMs([at(0, 30_000), at(1, 5_000)], POLICY)).toBe(60_000);
    expect(trialStableMs([at(0, 100)], POLICY)).toBe(POLICY.stableMs);
    expect(trialStableMs([], POLICY)).toBe(POLICY.stableMs);
    // One that ran for days before it began to fail does not put the service on trial for days.
    expect(trialStableMs([at(0, 86_400_000)], POLICY)).toBe(POLICY.windowMs);
  });

  test('outlives every predecessor that lived for less than a window, and the stable period', () => {
    fc.assert(
      fc.property(policies, fc.array(fc.nat({ max: 8_000_000 })), (policy, lives) => {
        const mustLastMs = trialStableMs(
          lives.map((ranMs) => at(0, ranMs)),
          policy,
        );
        expect(mustLastMs).toBeGreaterThanOrEqual(policy.stableMs);
        expect(mustLastMs).toBeLessThanOrEqual(Math.max(policy.stableMs, policy.windowMs));
        for (const ranMs of lives) {
          if (ranMs > 0 && ranMs < policy.windowMs) expect(mustLastMs).toBeGreaterThan(ranMs);
        }
      }),
    );
  });
});

describe('whose fault an exit is', () => {
  const own = { charged: true, cause: 'crashed' };
  const killed = { charged: false, why: 'killed' };
  const askedFor = { charged: false, why: 'asked' };
  test.each([
    ['it left by itself', { signal: null, asked: false, oomKilled: false }, own],
    ['a bug killed it', { signal: 'SIGSEGV', asked: false, oomKilled: false }, own],
    ['it aborted', { signal: 'SIGABRT', asked: false, oomKilled: false }, own],
    ['kill -9', { signal: 'SIGKILL', asked: false, oomKilled: false }, killed],
    ['kill', { signal: 'SIGTERM', asked: false, oomKilled: false }, killed],
    ['Ctrl-C', { signal: 'SIGINT', asked: false, oomKilled: false }, killed],
    ['a terminal that closed', { signal: 'SIGHUP', asked: false, oomKilled: false }, killed],
    ['kill -QUIT', { signal: 'SIGQUIT', asked: false, oomKilled: false }, killed],
    [
      'the kernel, for memory',
      { signal: 'SIGKILL', asked: false, oomKilled: true },
      { ...own, cause: 'oom-killed' },
    ],
    [
      'SIGTERM while another one was OOM-killed',
      { signal: 'SIGTERM', asked: false, oomKilled: true },
      killed,
    ],
    ['a crash while another one was OOM-killed', { signal: null, asked: false, oomKilled: true }, own],
    ['pm2 stop', { signal: 'SIGINT', asked: true, oomKilled: false }, askedFor],
    ['pm2 stop that needed SIGKILL', { signal: 'SIGKILL', asked: true, oomKilled: true }, askedFor],
    ['pm2 stop, answered with exit code 1', { signal: null, asked: true, oomKilled: false }, askedFor],
  ] as const)('%s', (_how, exit, verdict) => {
    expect(judgeExit({ exitCode: null, heap: null, ...exit })).toEqual(verdict);
  });

  const full = { usedBytes: 500e6, limitBytes: 512e6 };
  const half = { usedBytes: 250e6, limitBytes: 512e6 };
  const outOfMemory = { charged: true, cause: 'out-of-memory', limitBytes: 512e6 };
  test.each([
    ['an abort with a full heap', { signal: 'SIGABRT', exitCode: null, heap: full }, outOfMemory],
    ['the same, as a shell tells it', { signal: null, exitCode: 134, heap: full }, outOfMemory],
    ['a trap with a full heap', { signal: 'SIGTRAP', exitCode: null, heap: full }, outOfMemory],
    ['an abort with a heap that has room', { signal: 'SIGABRT', exitCode: null, heap: half }, own],
    ['an abort of who knows what', { signal: 'SIGABRT', exitCode: null, heap: null }, own],
    ['a plain exit with a full heap', { signal: null, exitCode: 1, heap: full }, own],
    ['kill -9 with a full heap', { signal: 'SIGKILL', exitCode: null, heap: full }, killed],
  ] as const)('%s', (_how, exit, verdict) => {
    expect(judgeExit({ asked: false, oomKilled: false, ...exit })).toEqual(verdict);
  });
});
