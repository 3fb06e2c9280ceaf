/**
 * The rule in a loop: its action is carried out, things happen to the instances, it is asked again. What no single
 * answer can show: that it never piles up instances, never leaves fewer serving than it found, and comes to rest.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  fitOf,
  happenings,
  inputs,
  liveOf,
  ReconcileWorld,
  targetOf,
} from '../../../../test/support/reconcileWorld.js';
import { reconcile, SURGE } from './reconcile.js';
import type { Action, ReconcileInput } from './action.js';
import type { Slot } from './slot.js';

const stays = ({ state, outdated }: Slot): boolean =>
  !outdated && (state.kind === 'starting' || state.kind === 'fit');

/** Enough for every slot to be started, replaced and stopped several times over. */
const stepsFor = ({ slots, desired }: ReconcileInput): number => 20 * (slots.length + desired + 4);

/** Carries out what the rule says until it holds twice in the same picture; returns every step. */
function settle(world: ReconcileWorld, watch: (before: ReconcileInput, action: Action) => void): void {
  const limit = stepsFor(world.input());
  let held = '';
  for (let step = 0; step < limit; step++) {
    const before = world.input();
    const action = reconcile(before);
    watch(before, action);
    world.apply(action);
    if (action.kind !== 'hold') continue;
    const picture = JSON.stringify([world.slots, world.rollout]);
    if (picture === held && action.untilMs === null) return;
    held = picture;
    world.everybodyStarts();
  }
  throw new Error(`did not come to rest in ${limit} steps: ${JSON.stringify(world.input())}`);
}

const nothing = (): void => undefined;

/** Processes that are not on their way out. */
const runningOf = ({ slots }: ReconcileInput): readonly Slot[] => [
  ...liveOf(slots),
  ...slots.filter(({ state }) => state.kind === 'quarantined' && state.running),
];

describe('when every start succeeds', () => {
  test('it comes to rest with exactly as many fit as wanted, holes left out, and nothing else', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const world = new ReconcileWorld(input);
        settle(world, nothing);
        const after = world.input();
        const target = targetOf(after);
        fc.pre(target > 0);
        expect(fitOf(after.slots)).toHaveLength(target);
        const others = after.slots.filter((slot) => !stays(slot));
        for (const { state } of others) expect(state).toMatchObject({ kind: 'quarantined', running: false });
      }),
      { numRuns: 1_000 },
    );
  });

  test('at rest it stays at rest: the same hold, whatever the time', () => {
    fc.assert(
      fc.property(inputs, fc.nat({ max: 1e9 }), (input, laterMs) => {
        const world = new ReconcileWorld(input);
        settle(world, nothing);
        const first = reconcile(world.input());
        world.nowMs += laterMs;
        expect(first).toMatchObject({ kind: 'hold', untilMs: null });
        expect(reconcile(world.input())).toEqual(first);
      }),
      { numRuns: 300 },
    );
  });

  test('on the way never fewer serve than did at first, or than are wanted', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const world = new ReconcileWorld(input);
        let reached = 0;
        settle(world, (before) => {
          const serving = fitOf(before.slots).length;
          expect(serving).toBeGreaterThanOrEqual(reached);
          reached = Math.max(reached, Math.min(serving, Math.max(1, targetOf(before))));
        });
      }),
      { numRuns: 500 },
    );
  });

  test('a failover or a deploy replaces every one of them, and none of the new', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.constantFrom('failover' as const, 'deploy' as const),
        (count, rollout) => {
          const world = new ReconcileWorld(emptyInput(count));
          settle(world, nothing);
          const old = world.slots;
          world.happen({ kind: 'rollout', rollout });
          let starts = 0;
          settle(world, (before, action) => {
            if (action.kind === 'start') starts += 1;
            expect(fitOf(before.slots).length).toBeGreaterThanOrEqual(count);
            expect(liveOf(before.slots).length).toBeLessThanOrEqual(count + SURGE);
          });
          expect(starts).toBe(count);
          const left = new Set(world.slots.map(({ id }) => id.pmId));
          expect(old.filter(({ id }) => left.has(id.pmId))).toEqual([]);
        },
      ),
      { numRuns: 50 },
    );
  });
});

function emptyInput(desired: number): ReconcileInput {
  const rest = { rollout: null, shrinking: false, holes: 0, trial: null, startNotBeforeMs: 0 };
  return {
    service: 'shop',
    desired,
    slots: [],
    drainGraceMs: 1_000,
    drainTimeoutMs: 10_000,
    nowMs: 0,
    ...rest,
  };
}

describe('whatever happens in between', () => {
  const stories = fc.array(fc.record({ steps: fc.integer({ min: 0, max: 3 }), happening: happenings }), {
    maxLength: 40,
  });

  /** Runs a story and shows every action with the picture before and after it. */
  const through = (
    rule: (before: ReconcileInput, action: Action, after: ReconcileInput) => void,
    runs = 1_000,
  ): void => {
    fc.assert(
      fc.property(inputs, stories, (input, story) => {
        const world = new ReconcileWorld(input);
        for (const { steps, happening } of story) {
          for (let step = 0; step < steps; step++) {
            const before = world.input();
            const action = reconcile(before);
            world.apply(action);
            rule(before, action, world.input());
          }
          world.happen(happening);
        }
      }),
      { numRuns: runs },
    );
  };

  test('never more run than were wanted, or there at first, and one', () => {
    fc.assert(
      fc.property(inputs, stories, (input, story) => {
        const world = new ReconcileWorld(input);
        const back = input.slots.filter(({ state }) => state.kind === 'draining' && state.canReturn !== 'no');
        let most = Math.max(input.desired, runningOf(input).length + back.length + input.holes);
        for (const { steps, happening } of story) {
          for (let step = 0; step < steps; step++) {
            world.apply(reconcile(world.input()));
            expect(runningOf(world.input()).length).toBeLessThanOrEqual(most + SURGE);
          }
          world.happen(happening);
          most = Math.max(most, world.desired);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  test('what is started keeps to the surge over what is wanted now, whatever is there', () => {
    through((before, action) => {
      if (action.kind !== 'start' && action.kind !== 'trial') return;
      expect(runningOf(before).length + 1).toBeLessThanOrEqual(before.desired + SURGE);
    });
  });

  test('no action takes a serving instance away below what is wanted', () => {
    through((before, action, after) => {
      const wanted = Math.max(1, targetOf(before));
      const fitBefore = fitOf(before.slots).length;
      const fitAfter = fitOf(after.slots).length;
      if (fitAfter < fitBefore) {
        expect(action.kind).toBe('withdraw');
        expect(fitAfter).toBeGreaterThanOrEqual(wanted);
      }
    });
  });

  test('what is quarantined runs again only by a trial', () => {
    through((before, action, after) => {
      const quarantined = (slots: readonly Slot[]): ReadonlySet<number> =>
        new Set(slots.filter(({ state }) => state.kind === 'quarantined').map(({ id }) => id.pmId));
      const left = [...quarantined(before.slots)].filter((pmId) => !quarantined(after.slots).has(pmId));
      if (left.length > 0) expect(action.kind).toBe('trial');
      expect(left.length).toBeLessThanOrEqual(1);
    });
  });
});

describe('a canary', () => {
  test('is alone until it has proved itself: no second new one, no old one that serves leaves', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.tuple(fc.constantFrom('ill', 'heals', 'ready', 'crashes'), fc.nat({ max: 8 })), {
          maxLength: 30,
        }),
        (count, faults) => {
          const world = new ReconcileWorld(emptyInput(count));
          settle(world, nothing);
          world.happen({ kind: 'rollout', rollout: 'deploy' });
          for (const [kind, row] of faults) {
            const before = world.input();
            const action = reconcile(before);
            world.apply(action);
            const after = world.input();
            expect(fitOf(after.slots).length).toBe(fitOf(before.slots).length);
            if (before.slots.some(stays)) expect(action.kind).not.toBe('start');
            world.happen({ kind: kind as 'ill', row });
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
