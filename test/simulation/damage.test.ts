/**
 * A state file in which one field is damaged, for every field and every kind of garbage: what is bad is named and has its
 * default, all other fields and services are as they were, and the supervisor goes on with them.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { loadState, type PersistedState } from '../../backend/src/services/loop/desiredState.js';
import { policyOf, World } from './world.js';

const T0 = 1_700_000_000_000;
const CHARGES = [
  { atMs: T0 - 60_000, ranMs: 400, cause: 'crashed' as const },
  { atMs: T0 - 30_000, ranMs: 900, cause: 'hung' as const },
];
const TALLY = {
  observedMs: 900,
  servingMs: 800,
  failures: 7,
  recoveries: 6,
  recoveryMs: 500,
  lost: 5,
  scalings: 4,
  scalingMs: 300,
};
const MOVES = {
  lastMove: { atMs: T0 - 9_000, direction: 'up' as const, by: 'operator' as const },
  lastUpAtMs: T0 - 9_000,
  lastAutomaticDownAtMs: T0 - 20_000,
  lastReversalAtMs: T0 - 30_000,
  reversals: 1,
  memoryBlockedSinceMs: T0 - 5_000,
};
const held = { sinceMs: T0 - 50_000, reason: 'crashed: left', trials: 2 };

const asText = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

/** Every field that there is, with something in it that is not its default. */
function wholeState(): PersistedState {
  const of = (kind: 'failover' | 'deploy'): PersistedState['services'][string] => ({
    desired: 3,
    found: 5,
    released: false,
    runningWhenOff: [0, 1],
    provenance: { proven: [0, 1], unverified: [2], ready: ['a#0@1', 'a#1@2'], charged: ['a#1@2'] },
    ends: {
      known: [
        { key: 'a#6@1', end: 'asked' },
        { key: 'a#7@2', end: 'finished' },
      ],
      unasked: [
        { pmId: 6, port: 13_006, end: 'finished' },
        { pmId: 7, port: 13_007, end: 'failed' },
      ],
    },
    leaving: {
      draining: [
        { key: 'a#0@1', why: 'superseded by the rollout' },
        { key: 'a#1@2', why: '3 instances run, 2 are wanted' },
      ],
      recycling: [{ key: 'a#1@2', why: 'it grows' }],
      places: [{ pmId: 4, why: 'the canary did not verify' }],
    },
    unproven: { since: '2026-01-01T00:00:00.000Z', problem: 'The canary did not verify.' },
    incident: { sinceWallMs: T0 - 7_000, isLost: true },
    begun: { kind: 'start', replaces: 1, resumes: 2, before: [0, 1] },
    rollout: { kind, outdated: ['a#0@1', 'a#1@2'], canaryVerified: true },
    operation: {
      id: 'op-1',
      kind,
      reason: 'asked for',
      sinceMs: T0 - 1_000,
      from: 3,
      to: 2,
      started: [
        { pmId: 4, pid: 77, port: 13_004 },
        { pmId: 5, pid: null, port: null },
      ],
      stopped: [{ pmId: 0, pid: 70, port: 13_000 }],
      failure: { code: 'operation.failed', message: 'It does not stay up.' },
      stepsLeft: 2,
      idleMs: 900,
    },
  });
  const hole = (pmId: number) => ({ pmId, charges: CHARGES, failOpen: true, replaces: 1 });
  // Its parts are used more than once above: each place is an object of its own.
  return asText({
    version: 1 as const,
    running: false,
    daemonPid: 1_000,
    services: { api: of('failover'), web: of('deploy') },
    failover: {
      api: {
        slots: [
          { pmId: 1, charges: CHARGES },
          { pmId: 2, charges: CHARGES },
        ],
        successions: [{ pmId: 2, replaces: 1, inherited: CHARGES }],
        quarantine: { kind: 'quarantined', nextTrialAtMs: T0 + 5_000, ...held, holes: [hole(6), hole(7)] },
        lastFailure: { atMs: T0 - 1_000, cause: 'crashed', detail: 'left', pmId: 6 },
      },
      web: {
        slots: [{ pmId: 3, charges: CHARGES }],
        successions: [],
        quarantine: {
          kind: 'trial',
          startedAtMs: T0 - 2_000,
          pmId: 8,
          replaces: 3,
          trialCharges: CHARGES,
          mustLastMs: 20_000,
          ...held,
          holes: [hole(9)],
        },
        lastFailure: null,
      },
    },
    scaling: { services: { api: MOVES, web: MOVES } },
    availability: { api: TALLY, web: TALLY },
  } satisfies PersistedState);
}

/** What means nothing without this field, and goes with it. A list of numbers is such a whole, too. */
const GOES_WITH: readonly (readonly [field: RegExp, levels: number])[] = [
  [/\.operation\.kind$/, 1],
  [/\.rollout\.kind$/, 1],
  [/\.begun\.(kind|before)$/, 1],
  [/\.begun\.before\.\d+$/, 2],
  [/\.incident\.sinceWallMs$/, 1],
  [/\.rollout\.outdated$/, 1],
  [/\.rollout\.outdated\.\d+$/, 2],
  [/\.(draining|recycling|known)\.\d+\.(key|end)$/, 1],
  [/\.runningWhenOff\.\d+$/, 1],
  [/\.(started|stopped|slots|successions|places)\.\d+\.pmId$/, 1],
  [/\.successions\.\d+\.replaces$/, 1],
  [/\.(charges|trialCharges|inherited)\.\d+\.atMs$/, 1],
  [/\.lastFailure\.(atMs|pmId)$/, 1],
  [/\.lastMove\.(atMs|direction)$/, 1],
];

function unitOf(path: string): string {
  const levels = GOES_WITH.find(([field]) => field.test(path))?.[1] ?? 0;
  return path
    .split('.')
    .slice(0, path.split('.').length - levels)
    .join('.');
}

type Tree = Record<string, unknown>;
const parentOf = (root: unknown, path: string): Tree =>
  path
    .split('.')
    .slice(0, -1)
    .reduce((at, key) => at[key] as Tree, root as Tree);
const lastOf = (path: string): string => path.split('.').at(-1)!;

function without(root: unknown, path: string): unknown {
  const parent: unknown = parentOf(root, path);
  if (Array.isArray(parent)) parent.splice(Number(lastOf(path)), 1);
  else delete (parent as Tree)[lastOf(path)];
  return root;
}

/** The paths of all fields, of lists and objects, too. */
function pathsOf(value: unknown, path = ''): string[] {
  if (typeof value !== 'object' || value === null) return [path];
  const inside = Object.entries(value).flatMap(([key, one]) =>
    pathsOf(one, path === '' ? key : `${path}.${key}`),
  );
  return path === '' ? inside : [path, ...inside];
}

const GARBAGE: readonly (readonly [string, unknown])[] = [
  ['text', 'garbage'],
  ['nothing (as NaN is saved)', null],
  ['a negative number', -1],
  ['a fraction', 0.5],
  ['a huge number', 1e308],
  ['true', true],
  ['a list', [[]]],
  ['an object', { deep: { er: 1 } }],
];

/** The other service has the same fields, but for its trial. */
const PATHS = pathsOf(wholeState()).filter(
  (path) => !/^(services|scaling.services|availability)\.web\./.test(path),
);

/** What is in the file when this place is damaged. */
function damaged(path: string, garbage: unknown): unknown {
  const state = wholeState();
  parentOf(state, path)[lastOf(path)] = garbage;
  return asText(state);
}

const storeOf = (state: unknown) => ({
  load: () => Promise.resolve({ state }),
  save: () => Promise.resolve(),
  setAside: () => Promise.resolve('aside'),
  keepCopy: () => Promise.resolve('a copy'),
});

it('reads a whole state as it is, and it has every field', async () => {
  expect(await loadState(storeOf(damaged('running', false)))).toEqual({ state: wholeState(), damaged: null });
  expect(PATHS.length).toBeGreaterThan(120);
});

describe.each(GARBAGE)('%s', (_what, garbage) => {
  it('in any one field costs this field alone, and is named', async () => {
    for (const path of PATHS) {
      const { state, damaged: problem } = await loadState(storeOf(damaged(path, garbage)));
      expect(state, path).not.toBeNull();
      const unit = unitOf(path);
      const isMember = Array.isArray(parentOf(wholeState(), unit));
      const there = parentOf(state, unit);
      // A member of a list that is not usable is not there any more, and the next one is in its place.
      const isGone =
        isMember &&
        (there as unknown as unknown[]).length <
          (parentOf(wholeState(), unit) as unknown as unknown[]).length;
      const rest = isGone ? state : without(state, unit);
      expect(rest, path).toEqual(without(wholeState(), unit));
      if (problem === null) continue;
      expect(problem, path).toEqual({
        movedTo: 'a copy',
        problem: expect.stringContaining(`${path.split('.').slice(0, 3).join('.')}`),
      });
    }
  });
});

describe('a supervisor that finds it', () => {
  let world: World;
  afterEach(() => world.killSupervisor());

  it.each(GARBAGE)('supervises both services, and shows them: %s', async (_what, garbage) => {
    for (const path of PATHS.filter(
      (_path, i) => i % 24 === GARBAGE.findIndex(([, one]) => one === garbage),
    )) {
      world = new World(1, [policyOf('api'), policyOf('web')]);
      for (const name of ['api', 'web']) world.pm2.seed(name, 3);
      world.store.state = damaged(path, garbage);
      await world.startSupervisor();
      await world.clock.advance(1_500);
      const { services } = world.ha.status();
      expect(
        services.map(({ name }) => name),
        path,
      ).toEqual(['api', 'web']);
      world.ha.failoverManager();
      await world.ha.metrics();
      expect(world.eventsOf('state.damaged').length, path).toBeLessThanOrEqual(1);
      // What is written from now on is whole again.
      expect((await loadState(world.store)).damaged, path).toBeNull();
      await world.killSupervisor();
    }
  });
});
