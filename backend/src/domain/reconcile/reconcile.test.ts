import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  deepFreeze,
  DRAIN_TIMEOUT_MS,
  fitOf,
  GRACE_MS,
  idOf,
  inputOf,
  inputs,
  liveOf,
  NOW_MS,
  outdated,
  slotsOf,
  targetOf,
  UNFIT,
} from '../../../../test/support/reconcileWorld.js';
import { reconcile, SURGE } from './reconcile.js';
import type { Action, ReconcileInput, RolloutStage } from './action.js';
import type { Slot } from './slot.js';

const FAILOVER: RolloutStage = { kind: 'failover', canaryVerified: true };
const BEFORE_CANARY: RolloutStage = { kind: 'deploy', canaryVerified: false };

const next = (desired: number, slots: readonly Slot[], rest: Partial<ReconcileInput> = {}): Action =>
  reconcile(inputOf(desired, slots, rest));

describe('starting what is missing', () => {
  test('starts one at a time and says how many run', () => {
    const action = next(3, slotsOf('fit'));
    expect(action).toEqual({ kind: 'start', replaces: null, reason: '1 of 3 instances run' });
  });

  test('counts those that are starting: nothing is started twice', () => {
    const action = next(2, slotsOf('fit', 'starting'));
    expect(action).toEqual({ kind: 'hold', untilMs: null, reason: 'waiting for pm 1 to become ready' });
  });

  test('waits for the backoff and says how long', () => {
    const action = next(2, slotsOf('fit'), { startNotBeforeMs: NOW_MS + 1_500 });
    expect(action).toEqual({
      kind: 'hold',
      untilMs: NOW_MS + 1_500,
      reason: 'backing off: next start in 1.5 s',
    });
    expect(next(2, slotsOf('fit'), { startNotBeforeMs: NOW_MS }).kind).toBe('start');
  });

  test('does not fill a hole', () => {
    const action = next(2, slotsOf('fit', 'quarantined'));
    expect(action).toEqual({ kind: 'hold', untilMs: null, reason: '1 serving, 1 quarantined' });
  });

  test('starts what is missing though another one drains', () => {
    expect(next(2, slotsOf('fit', 'draining')).kind).toBe('start');
  });
});

describe('replacing', () => {
  test('starts the new one first and names whom it replaces and why', () => {
    expect(next(2, slotsOf('fit', 'unfit'))).toEqual({
      kind: 'start',
      replaces: idOf(1),
      reason: 'replaces pm 1: unhealthy, HTTP 503',
    });
  });

  test('keeps the ill one until the new one is fit', () => {
    expect(next(2, slotsOf('fit', 'unfit', 'starting')).kind).toBe('hold');
    expect(next(2, slotsOf('fit', 'unfit', 'fit'))).toEqual({
      kind: 'withdraw',
      target: idOf(1),
      reason: 'unhealthy, HTTP 503',
    });
  });

  test('replaces one at a time, the unfit before the outdated', () => {
    const [first, second, third] = slotsOf('fit', 'unfit', 'fit');
    const slots = [outdated(first!), outdated(second!), outdated(third!)];
    expect(next(3, slots, { rollout: FAILOVER })).toMatchObject({ kind: 'start', replaces: idOf(1) });
    const begun = [...slots, { id: idOf(9), state: { kind: 'starting' }, outdated: false } as const];
    expect(next(3, begun, { rollout: FAILOVER }).kind).toBe('hold');
  });

  test('begins the next replacement only when the one that leaves has stopped', () => {
    const [ill, , draining] = slotsOf('unfit', 'fit', 'draining');
    const action = next(2, [ill!, ...slotsOf('unfit', 'fit').slice(1), draining!]);
    expect(action).toEqual({
      kind: 'hold',
      untilMs: NOW_MS + GRACE_MS / 2,
      reason: 'draining pm 2',
    });
  });

  test('an unhealthy instance that is all there is stays: better than nothing', () => {
    expect(next(1, slotsOf('unfit'), { startNotBeforeMs: NOW_MS + 1 }).kind).toBe('hold');
    expect(next(0, slotsOf('unfit')).kind).toBe('hold');
    expect(next(1, slotsOf('unfit', 'unfit')).kind).toBe('withdraw');
  });

  test('says why one that serves is to leave', () => {
    const slots = slotsOf('fit', 'fit').map(outdated);
    expect(next(2, slots, { rollout: FAILOVER }).reason).toBe('replaces pm 0: superseded by the rollout');
    expect(next(2, slots).reason).toBe('replaces pm 0: recycled before its memory limit');
  });

  test('of the outdated, those that do not serve yet leave first', () => {
    const [serving, starting, fresh] = slotsOf('fit', 'starting', 'fit');
    const slots = [outdated(serving!), outdated(starting!), fresh!];
    expect(next(2, slots, { rollout: FAILOVER })).toMatchObject({ kind: 'withdraw', target: idOf(1) });
  });
});

describe('a deploy', () => {
  const old = (count: number): Slot[] =>
    slotsOf(...Array.from({ length: count }, () => 'fit' as const)).map(outdated);
  const canary = (kind: 'starting' | 'fit'): Slot => ({ id: idOf(9), state: { kind }, outdated: false });

  test('starts one canary', () => {
    expect(next(2, old(2), { rollout: BEFORE_CANARY })).toMatchObject({ kind: 'start', replaces: idOf(0) });
    const { kind, reason } = next(2, [...old(1), canary('fit')], { rollout: BEFORE_CANARY });
    expect({ kind, reason }).toEqual({ kind: 'hold', reason: 'watching the canary pm 9' });
  });

  test('leaves the old ones alone until the canary has proved itself', () => {
    const slots = [...old(2), canary('fit')];
    expect(next(2, slots, { rollout: BEFORE_CANARY }).kind).toBe('hold');
    expect(next(2, slots, { rollout: { kind: 'deploy', canaryVerified: true } })).toEqual({
      kind: 'withdraw',
      target: idOf(0),
      reason: 'superseded by the rollout',
    });
  });

  test('that finds more running than wanted makes room for the canary first', () => {
    expect(next(2, old(3), { rollout: BEFORE_CANARY })).toMatchObject({
      kind: 'withdraw',
      reason: '3 instances run, 2 are wanted',
    });
  });
});

describe('shrinking', () => {
  test('takes the youngest, whose caches are the coldest', () => {
    const slots = slotsOf('fit', 'fit', 'fit');
    expect(next(2, slots)).toEqual({
      kind: 'withdraw',
      target: idOf(2),
      reason: '3 instances run, 2 are wanted',
    });
    const reversed = slots.map((slot, i) => ({ ...slot, id: idOf(slot.id.pmId, 3 - i) }));
    expect(next(2, reversed)).toMatchObject({ kind: 'withdraw', target: idOf(0, 3) });
    const sameAge = slots.map((slot) => ({ ...slot, id: idOf(slot.id.pmId, 7) }));
    expect(next(2, sameAge)).toMatchObject({ target: idOf(2, 7) });
  });

  test('takes one that is still starting before any that serves', () => {
    const slots = slotsOf('starting', 'fit', 'fit');
    expect(next(2, slots)).toMatchObject({ kind: 'withdraw', target: idOf(0) });
  });

  test('waits until those that are to leave anyway have left', () => {
    const slots = slotsOf('starting', 'starting', 'unfit');
    expect(next(1, slots)).toMatchObject({ kind: 'hold', reason: 'waiting for pm 0, pm 1 to become ready' });
  });

  test('of several that drain, looks again when the first is done', () => {
    const draining = (pmId: number, sinceMs: number): Slot => ({
      id: idOf(pmId),
      state: { kind: 'draining', sinceMs, why: 'to shrink', drained: null, canReturn: 'no' },
      outdated: false,
    });
    const slots = [...slotsOf('fit'), draining(1, NOW_MS - 100), draining(2, NOW_MS - 900)];
    expect(next(1, slots)).toEqual({
      kind: 'hold',
      untilMs: NOW_MS + 100,
      reason: 'draining pm 1, pm 2',
    });
  });

  test('never takes the last one that serves, even when none is wanted', () => {
    expect(next(0, slotsOf('fit')).kind).toBe('hold');
  });

  test('stops what was withdrawn when its grace is over, and not before', () => {
    const [slot] = slotsOf('draining');
    const since = (sinceMs: number): Slot => ({
      ...slot!,
      state: { kind: 'draining', sinceMs, why: 'to shrink', drained: null, canReturn: 'no' },
    });
    const fit = slotsOf('fit', 'fit').slice(1);
    expect(next(1, [since(NOW_MS - GRACE_MS), ...fit])).toEqual({
      kind: 'stop',
      target: idOf(0),
      reason: 'to shrink',
    });
    expect(next(1, [since(NOW_MS - GRACE_MS + 1), ...fit])).toMatchObject({
      kind: 'hold',
      untilMs: NOW_MS + 1,
    });
  });

  describe('with gateways in front', () => {
    const fit = slotsOf('fit', 'fit').slice(1);
    const withdrawn = (agoMs: number, drained: boolean | null): Slot => ({
      id: idOf(0),
      state: { kind: 'draining', sinceMs: NOW_MS - agoMs, why: 'to shrink', drained, canReturn: 'no' },
      outdated: false,
    });

    test('waits for the requests that are under way', () => {
      expect(next(1, [withdrawn(GRACE_MS, false), ...fit])).toEqual({
        kind: 'hold',
        untilMs: NOW_MS - GRACE_MS + DRAIN_TIMEOUT_MS,
        reason: 'draining pm 0; requests are under way in pm 0',
      });
    });

    test('stops as soon as every gateway says it is drained, but not within the grace', () => {
      expect(next(1, [withdrawn(GRACE_MS, true), ...fit])).toMatchObject({ kind: 'stop', target: idOf(0) });
      expect(next(1, [withdrawn(GRACE_MS - 1, true), ...fit]).kind).toBe('hold');
    });

    test('waits no longer than the kill time-out', () => {
      expect(next(1, [withdrawn(DRAIN_TIMEOUT_MS, false), ...fit])).toMatchObject({ kind: 'stop' });
      expect(next(1, [withdrawn(DRAIN_TIMEOUT_MS - 1, false), ...fit]).kind).toBe('hold');
    });

    test('a grace that is longer than the time-out holds', () => {
      const rest = { drainTimeoutMs: GRACE_MS / 2 };
      expect(next(1, [withdrawn(GRACE_MS - 1, false), ...fit], rest).kind).toBe('hold');
      expect(next(1, [withdrawn(GRACE_MS, false), ...fit], rest).kind).toBe('stop');
    });
  });
});

describe('quarantine', () => {
  const quarantined = (running: boolean, failOpen: boolean): Slot => ({
    id: idOf(5),
    state: { kind: 'quarantined', running, failOpen },
    outdated: false,
  });

  test('halts what still runs', () => {
    expect(next(2, [...slotsOf('fit'), quarantined(true, false)])).toEqual({
      kind: 'halt',
      target: idOf(5),
      reason: 'pm 5 is quarantined: its restart budget is spent',
    });
    expect(next(1, [quarantined(true, false)]).kind).toBe('halt');
  });

  test('lets an unhealthy one run while nobody else is fit', () => {
    expect(next(1, [quarantined(true, true)]).kind).toBe('hold');
    expect(next(2, [...slotsOf('starting'), quarantined(true, true)]).kind).toBe('hold');
    expect(next(2, [...slotsOf('fit'), quarantined(true, true)]).kind).toBe('halt');
  });

  test('halts unhealthy ones beyond what is wanted: failed trials do not pile up', () => {
    const slots = [...slotsOf('unfit'), quarantined(true, true)];
    expect(next(1, slots).kind).toBe('halt');
    expect(next(2, slots).kind).not.toBe('halt');
    // The one that is starting may turn out to be the better one.
    const onTrial = [...slotsOf('unfit', 'starting'), quarantined(true, true)];
    expect(next(2, onTrial).kind).toBe('hold');
  });

  test('one that passes again is not halted, and takes its part of the surge', () => {
    const state = { kind: 'quarantined', running: true, passes: true, failOpen: false } as const;
    const passing: Slot = { id: idOf(5), state, outdated: false };
    const slots = slotsOf('fit', 'unfit', 'unfit', 'unfit').map((slot, n) => ({ ...slot, held: n > 1 }));
    expect(next(4, slots).kind).toBe('start');
    // Its predecessor still runs, so its place is not empty.
    expect(next(4, [...slots, passing], { holes: 0 }).kind).toBe('hold');
  });

  test('a trial waits while the surge is taken', () => {
    const slots = slotsOf('fit', 'unfit', 'starting');
    const trial = { target: null };
    expect(next(3, slots, { holes: 1, trial }).kind).toBe('trial');
    expect(next(2, slots, { holes: 1, trial }).kind).toBe('withdraw');
  });

  test('makes the trial that is due, of the halted one or of a new one', () => {
    const slots = [...slotsOf('fit'), quarantined(false, false)];
    expect(next(2, slots, { trial: { target: idOf(5) } })).toMatchObject({ kind: 'trial', target: idOf(5) });
    expect(next(2, slotsOf('fit'), { holes: 1, trial: { target: null } })).toMatchObject({
      kind: 'trial',
      target: null,
    });
  });
});

test('a row without a process is discarded and says what PM2 said', () => {
  expect(next(2, slotsOf('fit', 'debris'))).toEqual({
    kind: 'discard',
    target: idOf(1),
    reason: 'pm 1 has no process: PM2 says errored',
  });
});

test('whole: holds until something changes', () => {
  expect(next(2, slotsOf('fit', 'fit'))).toEqual({ kind: 'hold', untilMs: null, reason: 'nothing to do' });
});

describe('whatever the picture', () => {
  const always = (rule: (input: ReconcileInput, action: Action) => void): void => {
    fc.assert(
      fc.property(inputs, (input) => {
        rule(input, reconcile(deepFreeze(input)));
      }),
      { numRuns: 2_000 },
    );
  };
  const slotAt = ({ slots }: ReconcileInput, action: Action): Slot | undefined =>
    'target' in action && action.target !== null
      ? slots.find(({ id }) => id.pmId === action.target?.pmId)
      : undefined;

  test('the same input gives the same answer, and the input stays as it was', () => {
    always((input, action) => expect(reconcile(structuredClone(input))).toEqual(action));
  });

  test('every answer has a reason that can be read', () => {
    always((_input, { reason }) => {
      expect(reason.length).toBeGreaterThan(8);
      expect(reason).not.toMatch(/undefined|NaN|Infinity|\[object|-\d/);
    });
  });

  test('every target is in the picture and in a state that the action is for', () => {
    const fitting: Record<string, readonly string[]> = {
      withdraw: ['starting', 'fit', 'unfit'],
      restore: ['draining'],
      stop: ['draining'],
      discard: ['debris'],
      halt: ['quarantined'],
      trial: ['quarantined'],
    };
    always((input, action) => {
      if (!('target' in action) || action.target === null) return;
      const slot = slotAt(input, action);
      expect(slot?.id).toEqual(action.target);
      expect(fitting[action.kind]).toContain(slot?.state.kind);
    });
  });

  test('what serves is withdrawn only while as many as wanted, and at least one, still serve', () => {
    always((input, action) => {
      if (action.kind !== 'withdraw' || slotAt(input, action)?.state.kind !== 'fit') return;
      expect(fitOf(input.slots).length - 1).toBeGreaterThanOrEqual(Math.max(1, targetOf(input)));
    });
  });

  test('what drains goes back into traffic when too few serve and it could, and only then', () => {
    always((input, action) => {
      const isShort = fitOf(input.slots).length < Math.max(1, targetOf(input));
      const could = input.slots.some(({ state }) => state.kind === 'draining' && state.canReturn === 'yes');
      expect(action.kind === 'restore').toBe(isShort && could);
    });
  });

  test('the last one that runs is never withdrawn', () => {
    always((input, action) => {
      if (action.kind === 'withdraw' && targetOf(input) > 0)
        expect(liveOf(input.slots).length).toBeGreaterThan(1);
    });
  });

  test('a start never makes more than the target and the surge, and only a replacement takes the surge', () => {
    always((input, action) => {
      if (action.kind !== 'start') return;
      const live = liveOf(input.slots).length;
      expect(live + 1).toBeLessThanOrEqual(targetOf(input) + SURGE);
      expect(action.replaces !== null).toBe(live >= targetOf(input));
      expect(input.nowMs).toBeGreaterThanOrEqual(input.startNotBeforeMs);
    });
  });

  test('a replacement is for one that is to leave, and begins while another one leaves only if nothing serves', () => {
    always((input, action) => {
      if (action.kind !== 'start' || action.replaces === null) return;
      const replaced = input.slots.find(({ id }) => id.pmId === action.replaces?.pmId);
      expect(replaced?.outdated === true || replaced?.state.kind === 'unfit').toBe(true);
      const leaves = input.slots.some(({ state }) => state.kind === 'draining');
      expect(leaves && fitOf(input.slots).length > 0).toBe(false);
    });
  });

  test('nothing is started when those that are here to stay are enough', () => {
    always((input, action) => {
      const stay = input.slots.filter(
        ({ state, outdated }) => !outdated && (state.kind === 'starting' || state.kind === 'fit'),
      );
      if (stay.length >= targetOf(input)) expect(action.kind).not.toBe('start');
    });
  });

  test('a trial is made when one is due, and only then', () => {
    always((input, action) => {
      expect(input.trial === null && action.kind === 'trial').toBe(false);
      if (action.kind === 'trial') expect(action.target).toEqual(input.trial?.target);
      const isFull = liveOf(input.slots).length > input.desired;
      if (input.trial !== null && !isFull) expect(action.kind).not.toBe('start');
    });
  });

  test('before the canary has proved itself nobody leaves on its behalf, and there is one canary', () => {
    always((input, action) => {
      if (input.rollout?.kind !== 'deploy' || input.rollout.canaryVerified) return;
      const fresh = input.slots.filter(
        ({ state, outdated }) => !outdated && (state.kind === 'starting' || state.kind === 'fit'),
      );
      if (fresh.length === 0) return;
      expect(action.kind).not.toBe('start');
      if (action.kind === 'withdraw') expect(slotAt(input, action)?.state.kind).toBe('unfit');
    });
  });

  test('what is quarantined is halted unless it is better than nothing', () => {
    always((input, action) => {
      const running = input.slots.filter(({ state }) => state.kind === 'quarantined' && state.running);
      const many = liveOf(input.slots).length + running.length > input.desired;
      if (action.kind === 'halt') {
        const slot = slotAt(input, action);
        expect(running).toContain(slot);
        if (fitOf(input.slots).length === 0 && !many) expect(slot?.state).toMatchObject({ failOpen: false });
      }
      if (action.kind === 'hold') {
        const left = input.slots.filter(({ state }) => state.kind === 'quarantined' && state.running);
        for (const { state } of left) expect(state).toMatchObject({ failOpen: true });
        if (left.length > 0) expect(fitOf(input.slots)).toEqual([]);
      }
    });
  });

  test('what has drained, and what has no process, does not wait, unless its first probe decides', () => {
    always((input, action) => {
      const { slots, nowMs, drainGraceMs, drainTimeoutMs } = input;
      if (action.kind !== 'hold') return;
      const isShort = fitOf(slots).length < Math.max(1, targetOf(input));
      for (const { state } of slots) {
        expect(state.kind).not.toBe('debris');
        if (state.kind !== 'draining' || (isShort && state.canReturn === 'unknown')) continue;
        const mostMs = state.drained === false ? drainTimeoutMs : drainGraceMs;
        expect(nowMs - state.sinceMs).toBeLessThan(mostMs);
      }
    });
  });

  test('a hold that names a time names one to come', () => {
    always((input, action) => {
      if (action.kind === 'hold' && action.untilMs !== null)
        expect(action.untilMs).toBeGreaterThan(input.nowMs);
    });
  });
});

describe('two that are to be replaced, and what replaces one of them', () => {
  const [a, b, c, d] = slotsOf(UNFIT, UNFIT, 'fit', 'starting');
  const neverServed = { ...b!, state: { ...UNFIT, wasReady: false } } as Slot;

  test('the one whose replacement serves leaves, not the other one', () => {
    for (const replaces of [0, 1]) {
      const action = next(2, [a!, neverServed, { ...c!, replaces }]);
      expect(action).toMatchObject({ kind: 'withdraw', target: { pmId: replaces } });
    }
  });

  test('the next start replaces the other one, and where there is none it fills a gap', () => {
    for (const [replaces, other] of [
      [1, 0],
      [0, 1],
    ] as const) {
      const action = next(3, [a!, neverServed, { ...d!, replaces }]);
      expect(action).toMatchObject({ kind: 'start', replaces: { pmId: other } });
    }
    expect(next(2, [a!, { ...d!, replaces: 0 }])).toMatchObject({ kind: 'start', replaces: null });
  });
});
