/**
 * The supervisor is killed and restarted at every persistence point: the run without a kill says how many times the state
 * is written, and each of these writes is a point. Twice for each: right after the state was written, and right before, so
 * that the successor finds the state of the point before. What comes of it is the same as without. `HOLDFAST_SHOW=1`
 * prints the points, each by the event that it follows.
 */
import { expect, it } from 'vitest';
import type { Behaviour } from './fakePm2.js';
import { policyOf, World } from './world.js';

const SERVICE = 'api';
const OLD: Behaviour = { readyAfterMs: 100, exitsAfterMs: null, answers: 'ok' };
/** Told from the old build by its time to start. */
const NEW: Behaviour = { ...OLD, readyAfterMs: 150 };
const BEGIN_MS = 5_000;
const AWAY_MS = 500;

interface Scenario {
  readonly instances: number;
  /** At BEGIN_MS: what is asked for, or what happens. */
  readonly begin: (world: World) => unknown;
  /** What happens to the application later, at times from the start. */
  readonly later?: readonly (readonly [atMs: number, happens: (world: World) => void])[];
  readonly lengthMs: number;
  /** Events that some of its points follow. */
  readonly points: readonly string[];
}

const request = { serviceName: SERVICE, timeoutMs: 300_000 };
const builds = (behaviour: Behaviour) => (world: World) => void (world.pm2.behave = () => behaviour);

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'scale-up': {
    instances: 2,
    begin: (world) => world.ha.scale({ ...request, direction: 'up', targetInstances: 4 }),
    lengthMs: 40_000,
    points: ['operation.started', 'instance.started'],
  },
  'scale-down, with the drain of what leaves': {
    instances: 4,
    begin: (world) => world.ha.scale({ ...request, direction: 'down', targetInstances: 2 }),
    lengthMs: 40_000,
    points: ['instance.withdrawn', 'instance.stopped', 'operation.finished'],
  },
  failover: {
    instances: 3,
    begin: (world) => world.ha.failover(request),
    lengthMs: 40_000,
    points: ['operation.started', 'instance.started', 'instance.stopped'],
  },
  'deploy of a good build': {
    instances: 2,
    begin: (world) => {
      builds(NEW)(world);
      return world.ha.deploy(request);
    },
    lengthMs: 40_000,
    points: ['operation.started', 'instance.started', 'instance.stopped'],
  },
  'deploy of a bad build': {
    instances: 2,
    begin: (world) => {
      builds({ ...NEW, exitsAfterMs: 1_000 })(world);
      return world.ha.deploy(request);
    },
    lengthMs: 40_000,
    points: ['operation.started', 'instance.started'],
  },
  recycling: {
    instances: 2,
    begin: (world) => {
      const [{ pid } = { pid: 0 }] = world.pm2.alive(SERVICE);
      world.memory.set(pid, 500 * 1024 * 1024);
    },
    lengthMs: 60_000,
    points: ['instance.started', 'instance.stopped'],
  },
  'quarantine, and the trial that ends it': {
    instances: 3,
    begin: (world) => {
      builds({ ...OLD, exitsAfterMs: 200 })(world);
      world.pm2.kill(world.pm2.alive(SERVICE)[0]!, { exitCode: 1, signal: null });
    },
    later: [[40_000, builds(OLD)]],
    lengthMs: 140_000,
    points: ['service.quarantined', 'service.trialStarted', 'service.reset'],
  },
};

interface Kill {
  /** At which write, 1 for the first after BEGIN_MS. */
  readonly at: number;
  readonly when: 'before it is written' | 'after it is written';
}

/** @returns what came of it, and the points that were passed. */
async function run(scenario: Scenario, kill: Kill | null) {
  const world = new World(1, [policyOf(SERVICE)]);
  world.cpu.set(SERVICE, 50);
  world.pm2.seed(SERVICE, scenario.instances);
  await world.startSupervisor();
  await world.clock.advance(BEGIN_MS);
  const before = outcomeOf(world);
  const points: string[] = [];
  let isDead = false;
  let written: unknown = world.store.state;
  const { onSaved } = world.store;
  world.store.onSaved = (state) => {
    onSaved(state);
    if (isDead) return;
    points.push(world.history.events.at(-1)?.type ?? 'nothing');
    if (points.length === kill?.at) {
      isDead = true;
      if (kill.when === 'before it is written') world.store.state = written;
      // What it knows is ahead of what is written, either way: what comes of it is compared here.
      world.store.isCurrent = false;
      queueMicrotask(() => void world.killSupervisor());
    }
    written = world.store.state;
  };
  const later = [...(scenario.later ?? [])];
  void Promise.resolve(scenario.begin(world)).catch(() => undefined);
  let wasDead = false;
  while (world.clock.nowMs() < scenario.lengthMs) {
    await world.clock.advance(100);
    while (later[0] !== undefined && later[0][0] <= world.clock.nowMs()) later.shift()![1](world);
    if (!isDead || wasDead) continue;
    wasDead = true;
    await world.clock.advance(AWAY_MS);
    await world.startSupervisor();
  }
  const broken = world.rules.broken();
  const outcome = outcomeOf(world);
  await world.killSupervisor();
  return { outcome, before, points, broken };
}

function outcomeOf({ loop, pm2 }: World) {
  const service = loop.services.get(SERVICE)!;
  const { desired, serving, state, operation } = service.view();
  const alive = pm2.alive(SERVICE).map(({ behaviour }) => behaviour.readyAfterMs);
  return {
    desired,
    serving,
    state,
    operation: operation?.kind ?? null,
    rollout: service.rollout,
    builds: alive.toSorted((a, b) => a - b),
    originals: pm2.alive(SERVICE).filter(({ isOurs }) => !isOurs).length,
    listed: pm2.rows(SERVICE).length,
  };
}

it.each(Object.entries(SCENARIOS))(
  '%s: killed at every persistence point, with the same outcome',
  async (name, scenario) => {
    const { outcome, before, points, broken } = await run(scenario, null);
    expect(broken).toEqual([]);
    expect(outcome).toMatchObject({ operation: null, rollout: null, state: 'healthy' });
    if (process.env['HOLDFAST_SHOW'] !== undefined) console.table(points.map((after) => ({ name, after })));
    expect(points).toEqual(expect.arrayContaining([...scenario.points]));
    for (const at of points.keys()) {
      for (const when of ['before it is written', 'after it is written'] as const) {
        const killed = await run(scenario, { at: at + 1, when });
        const where = `${name}: killed at point ${at + 1} (${points[at]}), ${when}`;
        expect(killed.broken, where).toEqual([]);
        // What was asked for and never written down was not answered either: it may have never been asked for.
        const isLost = when === 'before it is written' && at === 0;
        const allowed = isLost ? [outcome, before] : [outcome];
        expect(allowed, where).toContainEqual(killed.outcome);
      }
    }
  },
);
