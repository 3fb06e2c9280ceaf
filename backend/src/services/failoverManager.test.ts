import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { FakeClock } from '../../../test/simulation/fakeClock.js';
import { policyOf } from '../../../test/simulation/world.js';
import { FAILURE_CAUSES, type FailureCause } from '../domain/model.js';
import { FailoverManager } from './failoverManager.js';
import { failoverSnapshotSchema } from './budgets/failoverSnapshot.js';

const SERVICE = 'api';
const POLICY = policyOf(SERVICE).failure;

/** A manager, with a clock that the test moves. */
function managing(clock = new FakeClock()) {
  const manager = new FailoverManager({ clock, random: () => 0.5 });
  manager.supervise(SERVICE, POLICY);
  const fail = (pmId: number, cause: FailureCause = 'crashed', ranMs = 1_000) =>
    manager.recordFailure(
      { service: SERVICE, pmId, startedAtMs: clock.wallMs() - ranMs },
      cause,
      `${cause} after ${ranMs} ms`,
    );
  const spend = (pmId: number, cause: FailureCause = 'crashed', ranMs = 1_000) => {
    let outcome = fail(pmId, cause, ranMs);
    while (outcome.kind === 'retry') outcome = fail(pmId, cause, ranMs);
    return outcome;
  };
  return { clock, manager, fail, spend };
}

let it: ReturnType<typeof managing>;
beforeEach(() => {
  it = managing();
});

describe('a budget', () => {
  test('is of each slot: one that fails does not spend that of the others', () => {
    for (let pmId = 0; pmId < 4; pmId++) {
      for (let n = 1; n <= 3; n++) expect(it.fail(pmId)).toEqual({ kind: 'retry', attemptsUsed: n });
    }
    expect(it.manager.holes(SERVICE)).toBe(0);
    expect(it.fail(2)).toMatchObject({ kind: 'quarantined', attempts: 3 });
    expect(it.manager.holes(SERVICE)).toBe(1);
  });

  test('goes over to the replacement, which begins where its predecessor ended', () => {
    it.fail(0);
    it.fail(0);
    it.manager.succeed(SERVICE, 0, 7);
    expect(it.manager.attemptsUsed(SERVICE, 0)).toBe(0);
    expect(it.manager.attemptsUsed(SERVICE, 7)).toBe(2);
    it.manager.succeed(SERVICE, 99, 8);
    expect(it.manager.attemptsUsed(SERVICE, 8)).toBe(0);
  });

  test('goes with its slot when that is gone for good', () => {
    it.fail(0);
    it.manager.forgetSlot(SERVICE, 0);
    expect(it.manager.attemptsUsed(SERVICE)).toBe(0);
    expect(it.fail(0)).toEqual({ kind: 'retry', attemptsUsed: 1 });
  });

  test('the first retry is at once; a repeated one, and a start that PM2 refused, wait', async () => {
    it.fail(0);
    expect(it.manager.startNotBeforeMs(SERVICE)).toBe(0);
    it.fail(0);
    expect(it.manager.startNotBeforeMs(SERVICE)).toBe(POLICY.backoffBaseMs / 2);
    // Another one that fails for the first time does not shorten the wait.
    it.fail(1);
    expect(it.manager.startNotBeforeMs(SERVICE)).toBe(POLICY.backoffBaseMs / 2);
    it.manager.delayStart(SERVICE, 100);
    expect(it.manager.startNotBeforeMs(SERVICE)).toBe(POLICY.backoffBaseMs / 2);
    it.manager.delayStart(SERVICE, 4_000);
    expect(it.manager.startNotBeforeMs(SERVICE)).toBe(4_000);
  });

  test('a new policy judges with what is remembered', () => {
    it.fail(0);
    it.manager.supervise(SERVICE, { ...POLICY, maxRestartAttempts: 1 });
    expect(it.fail(0)).toMatchObject({ kind: 'quarantined', attempts: 1 });
  });

  test('memory of slots is bounded: the oldest is forgotten', () => {
    for (let pmId = 0; pmId < 1_200; pmId++) it.fail(pmId);
    const { slots } = it.manager.snapshot()[SERVICE]!;
    expect(slots).toHaveLength(1_000);
    expect(slots[0]?.pmId).toBe(200);
  });

  test('the last failure is told', () => {
    it.fail(3, 'unhealthy', 500);
    expect(it.manager.lastFailure(SERVICE)).toEqual({
      atMs: it.clock.wallMs(),
      cause: 'unhealthy',
      detail: 'unhealthy after 500 ms',
      pmId: 3,
    });
  });
});

describe('quarantine', () => {
  test('is of the slot, with the reason and the time of the trial', () => {
    const { nextTrialMs } = it.spend(0) as { nextTrialMs: number };
    expect(nextTrialMs).toBe(POLICY.restartCooldownMs);
    expect(it.manager.quarantine(SERVICE)).toMatchObject({
      kind: 'quarantined',
      reason: 'crashed: crashed after 1000 ms',
      nextTrialAtMs: it.clock.wallMs() + nextTrialMs,
    });
    expect(it.manager.quarantinedSlot(SERVICE, 0)).not.toBeNull();
    expect(it.manager.quarantinedSlot(SERVICE, 1)).toBeNull();
    expect(it.manager.attemptsUsed(SERVICE, 0)).toBe(POLICY.maxRestartAttempts);
  });

  test.each(FAILURE_CAUSES)('may fail open after %s only when what failed still runs', (cause) => {
    it.spend(0, cause);
    const stillRuns = !['crashed', 'oom-killed', 'out-of-memory'].includes(cause);
    expect(it.manager.quarantinedSlot(SERVICE, 0)?.failOpen).toBe(stillRuns);
  });

  test('a second slot joins it, and waits for the same trial', async () => {
    it.spend(0);
    await it.clock.advance(20_000);
    expect(it.spend(1)).toMatchObject({ nextTrialMs: POLICY.restartCooldownMs - 20_000 });
    expect(it.manager.holes(SERVICE)).toBe(2);
  });

  test('when fewer are wanted, holes go first, and with the last one the quarantine', () => {
    for (const pmId of [0, 1, 2]) it.spend(pmId);
    it.manager.dropHoles(SERVICE, 1, new Set());
    expect(it.manager.holes(SERVICE)).toBe(2);
    expect(it.manager.quarantinedSlot(SERVICE, 0)).not.toBeNull();
    it.manager.dropHoles(SERVICE, 5, new Set());
    expect(it.manager.quarantine(SERVICE)).toEqual({ kind: 'none' });
  });

  test('when fewer are wanted, one that still runs keeps what it was charged', () => {
    it.spend(0);
    it.manager.dropHoles(SERVICE, 1, new Set([0]));
    expect(it.manager.quarantine(SERVICE)).toEqual({ kind: 'none' });
    expect(it.manager.attemptsUsed(SERVICE, 0)).toBe(POLICY.maxRestartAttempts);
  });

  test.each(['leaves', 'runs no longer'])(
    'what the one before was charged beside its replacement goes there when it %s',
    (how) => {
      it.manager.succeed(SERVICE, 0, 1);
      it.manager.recordFailure({ service: SERVICE, pmId: 0, startedAtMs: 0 }, 'not-ready', 'x');
      if (how === 'leaves') it.manager.forgetSlot(SERVICE, 0);
      else it.manager.see(SERVICE, new Set([1]), new Set([0, 1]));
      expect(it.manager.attemptsUsed(SERVICE, 0)).toBe(0);
      expect(it.manager.attemptsUsed(SERVICE, 1)).toBe(1);
    },
  );

  test('goes back to the one before that was without a process for a moment, when its replacement leaves', () => {
    it.manager.recordFailure({ service: SERVICE, pmId: 0, startedAtMs: 0 }, 'unhealthy', 'x');
    it.manager.succeed(SERVICE, 0, 1);
    const both = new Set([0, 1]);
    it.manager.see(SERVICE, new Set([1]), both);
    expect(it.manager.attemptsUsed(SERVICE, 1)).toBe(1);
    it.manager.see(SERVICE, both, both);
    it.manager.forgetSlot(SERVICE, 1);
    expect(it.manager.attemptsUsed(SERVICE, 0)).toBe(1);
  });

  test('ends with the slot that is removed', () => {
    it.spend(0);
    it.manager.forgetSlot(SERVICE, 0);
    expect(it.manager.quarantine(SERVICE)).toEqual({ kind: 'none' });
  });

  test('one that was left running and came back by itself ends it, once it has outlived its failures', () => {
    it.spend(0, 'unhealthy', 30_000);
    expect(it.manager.endedByFitness(SERVICE, 0, 59_999)).toBe(false);
    expect(it.manager.endedByFitness(SERVICE, 1, 1e9)).toBe(false);
    expect(it.manager.endedByFitness(SERVICE, 0, 60_000)).toBe(true);
    expect(it.manager.quarantine(SERVICE)).toEqual({ kind: 'none' });
    expect(it.manager.endedByFitness(SERVICE, 0, 1e9)).toBe(false);
  });

  test('is ended by a reset, which says what it cleared and begins every budget anew', () => {
    it.fail(1);
    it.spend(0);
    expect(it.manager.reset(SERVICE)).toEqual({ attempts: 3, quarantined: true });
    expect(it.manager.reset(SERVICE)).toEqual({ attempts: 0, quarantined: false });
    expect(it.manager.startNotBeforeMs(SERVICE)).toBe(0);
    expect(it.fail(1)).toEqual({ kind: 'retry', attemptsUsed: 1 });
  });
});

describe('a trial', () => {
  const dueIn = async (waitMs: number): Promise<unknown> => {
    await it.clock.advance(waitMs);
    return it.manager.dueTrial(SERVICE);
  };

  test('is due after the cooldown, of the slot that was quarantined first', async () => {
    it.spend(4);
    it.spend(5);
    expect(await dueIn(POLICY.restartCooldownMs - 1)).toBeNull();
    expect(await dueIn(1)).toEqual({ pmId: 4 });
    it.manager.trialStarted(SERVICE, 4);
    expect(it.manager.dueTrial(SERVICE)).toBeNull();
    expect(it.manager.holes(SERVICE)).toBe(1);
    expect(it.manager.quarantinedSlot(SERVICE, 4)).toBeNull();
  });

  test('passes when it outlives its predecessors, and not before', async () => {
    it.spend(0, 'crashed', 30_000);
    await it.clock.advance(POLICY.restartCooldownMs);
    it.manager.trialStarted(SERVICE, 9);
    expect(it.manager.endedByFitness(SERVICE, 9, 59_999)).toBe(false);
    expect(it.manager.endedByFitness(SERVICE, 9, 60_000)).toBe(true);
    expect(it.manager.quarantine(SERVICE)).toEqual({ kind: 'none' });
    // Whoever passed begins with a whole budget.
    expect(it.fail(0)).toEqual({ kind: 'retry', attemptsUsed: 1 });
    expect(it.fail(9)).toEqual({ kind: 'retry', attemptsUsed: 1 });
  });

  test('one failure is enough; the next waits twice as long, and has more to outlive', async () => {
    it.spend(0, 'crashed', 1_000);
    await it.clock.advance(POLICY.restartCooldownMs);
    it.manager.trialStarted(SERVICE, 0);
    expect(it.fail(0, 'crashed', 20_000)).toEqual({
      kind: 'trial-failed',
      nextTrialMs: 2 * POLICY.restartCooldownMs,
    });
    expect(it.manager.quarantinedSlot(SERVICE, 0)).not.toBeNull();
    expect(await dueIn(2 * POLICY.restartCooldownMs)).toEqual({ pmId: 0 });
    it.manager.trialStarted(SERVICE, 0);
    expect(it.manager.quarantine(SERVICE)).toMatchObject({ kind: 'trial', trials: 1, mustLastMs: 40_000 });
  });

  test('that failed quickly does not shorten what the next one has to outlive', async () => {
    it.spend(0, 'crashed', 30_000);
    await it.clock.advance(POLICY.restartCooldownMs);
    it.manager.trialStarted(SERVICE, 0);
    it.fail(0, 'crashed', 100);
    await it.clock.advance(2 * POLICY.restartCooldownMs);
    it.manager.trialStarted(SERVICE, 0);
    expect(it.manager.quarantine(SERVICE)).toMatchObject({ mustLastMs: 60_000 });
  });

  test('is of the next slot after one that failed: what only one suffers from keeps none of the others out', async () => {
    it.spend(0);
    it.spend(1);
    await it.clock.advance(POLICY.restartCooldownMs);
    it.manager.trialStarted(SERVICE, 0);
    it.fail(0);
    expect(await dueIn(2 * POLICY.restartCooldownMs)).toEqual({ pmId: 1 });
    it.manager.trialNotStarted(SERVICE);
    expect(await dueIn(4 * POLICY.restartCooldownMs)).toEqual({ pmId: 0 });
  });

  test('that could not be started counts as failed', async () => {
    it.spend(0);
    await it.clock.advance(POLICY.restartCooldownMs);
    expect(it.manager.trialNotStarted(SERVICE)).toBe(2 * POLICY.restartCooldownMs);
    expect(it.manager.dueTrial(SERVICE)).toBeNull();
    expect(await dueIn(2 * POLICY.restartCooldownMs)).toEqual({ pmId: 0 });
  });

  test.each([
    ['once', () => void it.fail(5)],
    ['until its own budget was spent', () => void it.spend(5)],
  ])(
    'of one that failed before its start was known (%s) has failed, and the next follows',
    async (_, failed) => {
      it.spend(0);
      it.manager.forgetNumbers();
      await it.clock.advance(POLICY.restartCooldownMs);
      failed();
      expect(it.manager.trialStarted(SERVICE, 5)).toMatchObject({ kind: 'trial-failed' });
      expect(it.manager.quarantine(SERVICE)).toMatchObject({ kind: 'quarantined', holes: [{ pmId: 5 }] });
      expect(await dueIn(2 * POLICY.restartCooldownMs)).toEqual({ pmId: 5 });
      expect(it.manager.trialStarted(SERVICE, 5)).toBeNull();
      expect(it.manager.endedByFitness(SERVICE, 5, POLICY.windowMs)).toBe(true);
    },
  );

  test.each([
    [
      'was spent before it was known what it replaces',
      () => {
        it.fail(0, 'unhealthy');
        it.spend(5);
        it.manager.succeed(SERVICE, 0, 5);
        expect(it.manager.isHeld(SERVICE, 0)).toBe(true);
        expect(it.manager.holes(SERVICE)).toBe(0);
        it.manager.see(SERVICE, new Set([0]), new Set([0, 5]));
      },
    ],
    [
      'was spent beside one that failed later and is gone by now',
      () => {
        it.manager.succeed(SERVICE, 0, 5);
        it.spend(5);
        it.fail(0, 'unhealthy');
        it.manager.see(SERVICE, new Set(), new Set([5]));
        expect(it.manager.holes(SERVICE)).toBe(1);
      },
    ],
  ])('is not failed by what was charged to the one before, when the budget %s', async (_, spent) => {
    spent();
    expect(await dueIn(2 * POLICY.restartCooldownMs)).toEqual({ pmId: 5 });
    expect(it.manager.quarantine(SERVICE)).toMatchObject({ holes: [{ charges: { length: 5 } }] });
    expect(it.manager.trialStarted(SERVICE, 5)).toBeNull();
    expect(it.manager.endedByFitness(SERVICE, 5, POLICY.windowMs)).toBe(true);
  });

  test('whose instance was deleted goes with its slot; the other holes stay', async () => {
    it.spend(0);
    it.spend(1);
    await it.clock.advance(POLICY.restartCooldownMs);
    it.manager.trialStarted(SERVICE, 0);
    it.manager.forgetSlot(SERVICE, 0);
    expect(it.manager.quarantine(SERVICE)).toMatchObject({ kind: 'quarantined', holes: [{ pmId: 1 }] });
    expect(await dueIn(POLICY.restartCooldownMs)).toEqual({ pmId: 1 });
    it.manager.trialStarted(SERVICE, 1);
    it.manager.forgetSlot(SERVICE, 1);
    expect(it.manager.quarantine(SERVICE)).toEqual({ kind: 'none' });
  });

  test('a slot that is spent meanwhile becomes a hole beside it', async () => {
    it.spend(0);
    await it.clock.advance(POLICY.restartCooldownMs);
    it.manager.trialStarted(SERVICE, 0);
    expect(it.spend(1)).toMatchObject({ kind: 'quarantined' });
    expect(it.manager.quarantine(SERVICE)).toMatchObject({ kind: 'trial', pmId: 0, holes: [{ pmId: 1 }] });
  });
});

describe("a new daemon's numbers mean other processes", () => {
  test('holes and what they were charged with stay, nameless; the next trial is of a new instance', async () => {
    it.fail(5);
    it.spend(0, 'unhealthy', 30_000);
    it.manager.forgetNumbers();
    expect(it.manager.attemptsUsed(SERVICE, 5)).toBe(0);
    expect(it.manager.quarantinedSlot(SERVICE, 0)).toBeNull();
    expect(it.manager.holes(SERVICE)).toBe(1);
    await it.clock.advance(POLICY.restartCooldownMs);
    expect(it.manager.dueTrial(SERVICE)).toEqual({ pmId: null });
    it.manager.trialStarted(SERVICE, 0);
    expect(it.manager.quarantine(SERVICE)).toMatchObject({ mustLastMs: 60_000 });
  });

  test('a trial that was under way is due again', async () => {
    it.spend(0);
    await it.clock.advance(POLICY.restartCooldownMs);
    it.manager.trialStarted(SERVICE, 0);
    it.manager.forgetNumbers();
    expect(it.manager.holes(SERVICE)).toBe(1);
    expect(it.manager.dueTrial(SERVICE)).toEqual({ pmId: null });
  });
});

// ── whatever happens ──

type Step =
  | {
      readonly kind: 'fail' | 'spend';
      readonly pmId: number;
      readonly cause: FailureCause;
      readonly ranMs: number;
    }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'trial' | 'noTrial' | 'reset' | 'newDaemon' }
  | { readonly kind: 'inherit' | 'forget' | 'fit'; readonly pmId: number; readonly other: number }
  | { readonly kind: 'drop'; readonly count: number };

const pmIds = fc.nat({ max: 4 });
/** Weighted so that half of the stories end in quarantine, and one in ten on trial. */
const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constantFrom('fail' as const, 'spend' as const),
      pmId: pmIds,
      cause: fc.constantFrom(...FAILURE_CAUSES),
      ranMs: fc.nat({ max: 100_000 }),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.nat({ max: 200_000 }) }) },
  { weight: 8, arbitrary: fc.constant<Step>({ kind: 'trial' }) },
  ...(['noTrial', 'reset', 'newDaemon'] as const).map((kind) => fc.constant<Step>({ kind })),
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('inherit' as const, 'forget' as const, 'fit' as const),
      pmId: pmIds,
      other: fc.integer({ min: 5, max: 9 }),
    }),
  },
  fc.record({ kind: fc.constant('drop' as const), count: fc.nat({ max: 2 }) }),
);

/** Does one thing as the services would; returns what the manager answered. */
async function take(
  { clock, manager, fail, spend }: ReturnType<typeof managing>,
  step: Step,
): Promise<unknown> {
  switch (step.kind) {
    case 'fail':
    case 'spend':
      // A slot that is quarantined has nothing left to be charged to.
      if (manager.quarantinedSlot(SERVICE, step.pmId) !== null) return null;
      return (step.kind === 'fail' ? fail : spend)(step.pmId, step.cause, step.ranMs);
    case 'pass':
      return clock.advance(step.ms);
    case 'trial': {
      const due = manager.dueTrial(SERVICE);
      if (due !== null) manager.trialStarted(SERVICE, due.pmId ?? 3);
      return due;
    }
    case 'noTrial':
      return manager.dueTrial(SERVICE) === null ? null : manager.trialNotStarted(SERVICE);
    case 'reset':
      return manager.reset(SERVICE);
    case 'newDaemon':
      return manager.forgetNumbers();
    case 'inherit':
      return manager.succeed(SERVICE, step.pmId, step.other);
    case 'forget':
      return manager.forgetSlot(SERVICE, step.pmId);
    case 'fit':
      return manager.endedByFitness(SERVICE, step.pmId, step.other * 10_000);
    case 'drop':
      return manager.dropHoles(SERVICE, step.count, new Set([step.count]));
  }
}

describe('whatever happens', () => {
  const stories = fc.array(steps, { minLength: 1, maxLength: 40, size: 'max' });

  test('a quarantine has holes, a trial is due only in one, and no budget shows more than it has', async () => {
    await fc.assert(
      fc.asyncProperty(stories, async (story) => {
        const one = managing();
        for (const step of story) {
          await take(one, step);
          const { manager, clock } = one;
          const quarantine = manager.quarantine(SERVICE);
          if (quarantine.kind === 'quarantined') expect(manager.holes(SERVICE)).toBeGreaterThan(0);
          const isDue = quarantine.kind === 'quarantined' && clock.wallMs() >= quarantine.nextTrialAtMs;
          expect(manager.dueTrial(SERVICE) !== null).toBe(isDue);
          for (let pmId = 0; pmId < 10; pmId++) {
            const used = manager.attemptsUsed(SERVICE, pmId);
            expect(used).toBeLessThanOrEqual(POLICY.maxRestartAttempts);
            if (manager.quarantinedSlot(SERVICE, pmId) !== null) expect(used).toBe(POLICY.maxRestartAttempts);
          }
          // One hole a slot: what is quarantined is not quarantined again.
          const named = manager.quarantine(SERVICE);
          const numbers = named.kind === 'none' ? [] : named.holes.flatMap(({ pmId }) => pmId ?? []);
          expect(new Set(numbers).size).toBe(numbers.length);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('a successor that reads what was written judges as its predecessor would have', async () => {
    await fc.assert(
      fc.asyncProperty(stories, stories, async (past, future) => {
        const first = managing();
        for (const step of past) await take(first, step);
        const written: unknown = JSON.parse(JSON.stringify(first.manager.snapshot()));
        const read = failoverSnapshotSchema.parse(written);
        expect(read).toEqual(first.manager.snapshot());

        const twinClock = new FakeClock();
        await twinClock.advance(first.clock.nowMs());
        const successor = managing(twinClock);
        successor.manager.restore(read);
        for (const step of future) {
          expect(await take(successor, step)).toEqual(await take(first, step));
          expect(successor.manager.snapshot()).toEqual(first.manager.snapshot());
          expect(successor.manager.lastFailure(SERVICE)).toEqual(first.manager.lastFailure(SERVICE));
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('what was written', () => {
  test('of a service that is not supervised any more is left out', () => {
    it.spend(0);
    const other = new FailoverManager({ clock: it.clock, random: () => 0.5 });
    other.supervise('web', POLICY);
    other.restore(failoverSnapshotSchema.parse(it.manager.snapshot()));
    expect(other.quarantine('web')).toEqual({ kind: 'none' });
    expect(Object.keys(other.snapshot())).toEqual(['web']);
  });

  test('shares nothing with its reader: what happens later does not change it', () => {
    it.fail(0);
    const before = it.manager.snapshot();
    const copy = structuredClone(before);
    it.spend(0);
    expect(before).toEqual(copy);
  });

  test.each([
    [
      'a number that is not',
      { api: { slots: [{ pmId: 'x', charges: [] }], quarantine: { kind: 'none' }, lastFailure: null } },
    ],
    [
      'an unknown cause',
      {
        api: {
          slots: [{ pmId: 1, charges: [{ atMs: 1, ranMs: 1, cause: 'bored' }] }],
          quarantine: { kind: 'none' },
          lastFailure: null,
        },
      },
    ],
    ['an unknown quarantine', { api: { slots: [], quarantine: { kind: 'lost' }, lastFailure: null } }],
  ])('with %s is not accepted', (_what, damaged) => {
    expect(failoverSnapshotSchema.safeParse(damaged).success).toBe(false);
  });
});
