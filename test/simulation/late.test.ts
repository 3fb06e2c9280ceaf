/** A list of PM2 shows what the supervisor has started or removed before the call that did it has come back. */
import { afterEach, describe, expect, it } from 'vitest';
import type { HoldfastError } from '../../backend/src/domain/errors.js';
import type { Behaviour } from './fakePm2.js';
import { policyOf, World } from './world.js';

const SERVICE = 'api';
const GOOD: Behaviour = { readyAfterMs: 100, exitsAfterMs: null, answers: 'ok' };
let world: World;

afterEach(async () => {
  expect(world.rules.broken()).toEqual([]);
  await world.killSupervisor();
});

async function begin(instances: number, mutationLagMs: number): Promise<void> {
  world = new World(1, [policyOf(SERVICE)]);
  world.pm2.behave = () => GOOD;
  world.pm2.seed(SERVICE, instances);
  await world.startSupervisor();
  await world.clock.advance(30_000);
  world.pm2.mutationLagMs = mutationLagMs;
}

const service = () => world.loop.services.get(SERVICE)!;

/** What becomes of a call, with the time in which it does. */
async function outcome<T>(call: Promise<T>, withinMs: number): Promise<T | HoldfastError | 'under way'> {
  let result: T | HoldfastError | 'under way' = 'under way';
  void call.then(
    (answer) => (result = answer),
    (error: unknown) => (result = error as HoldfastError),
  );
  await world.clock.advance(withinMs);
  return result;
}

describe.each([0, 1_500, 4_000])('with %i ms until a call comes back', (lagMs) => {
  it.each(['error', 'elsewhere'] as const)(
    'a canary whose health path answers "%s" is unfit, gets no traffic and is removed',
    async (answers) => {
      await begin(2, lagMs);
      const before = world.pm2.alive(SERVICE).map(({ pid }) => pid);
      world.pm2.behave = () => ({ ...GOOD, answers });
      const deploy = await outcome(world.ha.deploy({ serviceName: SERVICE, timeoutMs: 600_000 }), 200_000);
      expect(deploy).toMatchObject({ code: 'deploy.canary-failed' });
      expect(world.pm2.alive(SERVICE).map(({ pid }) => pid)).toEqual(before);
      expect(world.eventsOf('instance.unverified')).toEqual([]);
      const served = world
        .eventsOf('instance.serving')
        .map(({ data }) => (data as { instance: { pmId: number } }).instance.pmId);
      expect(Math.max(...served)).toBe(1);
    },
  );

  it('a scale call names the instance that it started, and the one that it stopped', async () => {
    await begin(2, lagMs);
    const up = await outcome(
      world.ha.scale({ direction: 'up', targetInstances: 3, timeoutMs: 600_000 }),
      60_000,
    );
    expect(up).toMatchObject({ done: true, started: [{ pmId: 2 }] });
    const down = await outcome(
      world.ha.scale({ direction: 'down', targetInstances: 2, timeoutMs: 600_000 }),
      60_000,
    );
    expect(down).toMatchObject({ done: true, stopped: [{ pmId: 2 }] });
    expect(service().desired).toBe(2);
  });

  it('a failover names every instance that it replaced', async () => {
    await begin(2, lagMs);
    const failover = await outcome(world.ha.failover({ serviceName: SERVICE, timeoutMs: 600_000 }), 120_000);
    expect(failover).toMatchObject({ done: true, started: [{}, {}], stopped: [{}, {}] });
  });
});

it('a canary that the supervisor did not live to hear of is unfit, too', async () => {
  await begin(2, 3_000);
  world.pm2.behave = () => ({ ...GOOD, answers: 'error' });
  void world.ha.deploy({ serviceName: SERVICE, timeoutMs: 600_000 }).catch(() => undefined);
  await world.clock.advance(1_000);
  expect(world.pm2.alive(SERVICE)).toHaveLength(3);
  await world.killSupervisor();
  await world.startSupervisor();
  await world.clock.advance(200_000);
  expect(world.eventsOf('instance.unverified')).toEqual([]);
  expect(world.pm2.alive(SERVICE).map(({ pmId }) => pmId)).toEqual([0, 1]);
});

it('a replacement whose budget is spent before its start is known leaves the place to the one before it', async () => {
  await begin(2, 3_000);
  const ids = (): readonly number[] => world.pm2.alive(SERVICE).map(({ pmId }) => pmId);
  world.pm2.behave = () => ({ ...GOOD, exitsAfterMs: 70 });
  world.pm2.setAnswers(world.pm2.alive(SERVICE)[0]!, 'error');
  await world.clock.advance(50_000);
  expect(world.loop.failover.quarantine(SERVICE)).toMatchObject({ holes: [{ pmId: 2, replaces: 0 }] });
  expect(ids()).toEqual([0, 1]);
  // Where the health path is gone, too, an instance still answers: it is better than nothing.
  world.pm2.setAnswers(world.pm2.alive(SERVICE)[1]!, 'elsewhere');
  await world.clock.advance(120_000);
  expect(world.eventsOf('service.trialFailed')).not.toEqual([]);
  expect(ids()).toEqual(expect.arrayContaining([0, 1]));
  const failed = world.eventsOf('service.trialFailed').length;
  world.pm2.behave = () => GOOD;
  await world.clock.advance(1_200_000);
  expect(world.eventsOf('service.trialFailed')).toHaveLength(failed);
  expect(world.loop.failover.quarantine(SERVICE)).toEqual({ kind: 'none' });
  expect(service().serving()).toHaveLength(2);
});
