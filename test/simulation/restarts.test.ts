/** A supervisor that is killed and started again goes on where the one before it was, and harms nothing meanwhile. */
import { afterEach, describe, expect, it } from 'vitest';
import type { ServicePolicy } from '../../backend/src/domain/policy.js';
import { BusyGateway } from './busyGateway.js';
import type { Behaviour, Row } from './fakePm2.js';
import { policyOf, World } from './world.js';

const SERVICE = 'api';
const GOOD: Behaviour = { readyAfterMs: 100, exitsAfterMs: null, answers: 'ok' };
const { scaling, health, failure } = policyOf(SERVICE);
let world: World;
let gateway: BusyGateway | null = null;

const service = () => world.loop.services.get(SERVICE)!;
const pmIds = (rows: readonly Row[]): readonly number[] => rows.map(({ pmId }) => pmId);

async function begin(instances: number, changes: Partial<ServicePolicy> = {}): Promise<void> {
  const bounds = { ...scaling, maxInstances: instances, autoscale: false };
  world = new World(1, [policyOf(SERVICE, { scaling: bounds, ...changes })]);
  world.pm2.seed(SERVICE, instances);
  await world.startSupervisor();
  await world.clock.advance(5_000);
}

async function restartSupervisor(awayMs = 300): Promise<void> {
  await world.killSupervisor();
  await world.clock.advance(awayMs);
  await world.startSupervisor();
}

async function until(condition: () => boolean, withinMs = 120_000): Promise<void> {
  for (let waited = 0; !condition() && waited < withinMs; waited += 20) await world.clock.advance(20);
  expect(condition()).toBe(true);
}

/** The numbers of those that were withdrawn from traffic, and of those that were stopped. */
const told = (type: 'instance.withdrawn' | 'instance.stopped'): readonly number[] =>
  world.eventsOf(type).map(({ data }) => (data as { instance: { pmId: number } }).instance.pmId);

afterEach(async () => {
  gateway?.close();
  gateway = null;
  expect(world.rules.broken()).toEqual([]);
  await world.killSupervisor();
});

describe('the supervisor is killed while one replaces another that leaks', () => {
  const isDraining = (): boolean => service().processes.some((one) => service().isDraining(one));

  async function recycle(): Promise<{ readonly leaking: Row; readonly fresh: Row }> {
    await begin(1);
    gateway = new BusyGateway(world);
    const [leaking] = world.pm2.alive(SERVICE);
    world.memory.set(leaking!.pid, 600e6);
    await until(() => world.pm2.alive(SERVICE).length === 2);
    return { leaking: leaking!, fresh: world.pm2.alive(SERVICE)[1]! };
  }

  it.each([0, 20, 60, 120, 140, 300, 1_000, 5_000, 9_900, 10_100])(
    '%i ms after the new one was started: the new one stays, the other one goes, with its grace',
    async (afterMs) => {
      const { leaking, fresh } = await recycle();
      await world.clock.advance(afterMs);
      await restartSupervisor();
      await world.clock.advance(60_000);
      expect(pmIds(world.pm2.alive(SERVICE))).toEqual([fresh.pmId]);
      expect(told('instance.withdrawn')).not.toContain(fresh.pmId);
      expect(told('instance.stopped')).toEqual([leaking.pmId]);
      expect(world.pm2.starts).toBe(1);
    },
  );

  it('what was draining goes on to drain: it gets no traffic, and goes back only if it is needed', async () => {
    const { leaking, fresh } = await recycle();
    await until(isDraining);
    await restartSupervisor();
    await world.clock.advance(1_000);
    expect(pmIds(service().serving() as never)).toEqual([fresh.pmId]);
    world.pm2.behave = () => ({ ...GOOD, readyAfterMs: 20_000 });
    world.pm2.kill(fresh, { exitCode: 1, signal: null });
    await world.clock.advance(1_000);
    expect(pmIds(service().serving() as never)).toEqual([leaking.pmId]);
    await world.clock.advance(60_000);
    expect(pmIds(world.pm2.alive(SERVICE))).toEqual([fresh.pmId]);
  });

  it('and nothing of it could be written down: one of the two serves at every moment', async () => {
    await begin(1);
    gateway = new BusyGateway(world);
    world.store.isStuck = true;
    world.memory.set(world.pm2.alive(SERVICE)[0]!.pid, 600e6);
    await until(isDraining);
    await restartSupervisor();
    world.store.isStuck = false;
    for (let waited = 0; waited < 60_000; waited += 50) {
      await world.clock.advance(50);
      expect(world.pm2.alive(SERVICE).some((row) => world.pm2.serves(row))).toBe(true);
    }
    expect(world.pm2.alive(SERVICE)).toHaveLength(1);
  });
});

describe('what is there when the supervisor comes back', () => {
  it.each(['error', 'never'] as const)(
    'and answers "%s" is taken out of traffic by what its probes say, and not before',
    async (answers) => {
      await begin(2);
      const [ill, well] = world.pm2.alive(SERVICE);
      await world.killSupervisor();
      world.pm2.setAnswers(ill!, answers);
      await world.startSupervisor();
      await world.clock.advance(20);
      expect(told('instance.withdrawn')).toEqual([]);
      await world.clock.advance(60_000);
      expect(told('instance.withdrawn')).toEqual([ill!.pmId]);
      expect(pmIds(world.pm2.alive(SERVICE))).toContain(well!.pmId);
      expect(service().serving()).toHaveLength(2);
    },
  );

  it('one too many is stopped after the grace that gateways need', async () => {
    await begin(3);
    await world.killSupervisor();
    (world.policies as ServicePolicy[])[0] = policyOf(SERVICE, {
      scaling: { ...scaling, maxInstances: 2, autoscale: false },
    });
    await world.startSupervisor();
    await world.clock.advance(20_000);
    const [withdrawn] = world.eventsOf('instance.withdrawn');
    const [stopped] = world.eventsOf('instance.stopped');
    expect(Date.parse(stopped!.at) - Date.parse(withdrawn!.at)).toBeGreaterThanOrEqual(1_000);
  });
});

it('an outage that a restart of the supervisor interrupts counts as one, and a service that is well loses nothing', async () => {
  await begin(1);
  await world.clock.advance(60_000);
  await restartSupervisor();
  await world.clock.advance(5_000);
  const figures = () => world.loop.availability.figures(SERVICE);
  expect(figures().availabilityPercent).toBe(100);
  world.pm2.behave = () => ({ ...GOOD, readyAfterMs: 1e12 });
  world.pm2.kill(world.pm2.alive(SERVICE)[0]!, { exitCode: 0, signal: 'SIGKILL' });
  await world.clock.advance(1_000);
  await restartSupervisor();
  await world.clock.advance(65_000);
  expect(figures().availabilityPercent).toBeGreaterThan(40);
  expect(figures().availabilityPercent).toBeLessThan(60);
});

describe('an instance that takes 80 s to start, with a start time-out of 90 s', () => {
  it.each([0, 20, 60, 79, 85])(
    'is neither charged nor replaced by a supervisor that starts %i s after it',
    async (lateSeconds) => {
      world = new World(1, [
        policyOf(SERVICE, {
          health: { ...health, startTimeoutMs: 90_000 },
          scaling: { ...scaling, autoscale: false },
        }),
      ]);
      world.pm2.behave = () => ({ ...GOOD, readyAfterMs: 80_000 });
      world.pm2.seed(SERVICE, 2);
      await world.clock.advance(lateSeconds * 1_000);
      await world.startSupervisor();
      await world.clock.advance(200_000);
      expect(world.pm2.starts).toBe(0);
      expect(world.eventsOf('instance.unfit')).toEqual([]);
      expect(world.loop.failover.attemptsUsed(SERVICE)).toBe(0);
      expect(service().serving()).toHaveLength(2);
    },
  );

  it('nor by one that was restarted when it was started anew by PM2', async () => {
    await begin(2, { health: { ...health, startTimeoutMs: 90_000 }, failure });
    world.pm2.behave = () => ({ ...GOOD, readyAfterMs: 80_000 });
    world.pm2.kill(world.pm2.alive(SERVICE)[0]!, { exitCode: 0, signal: 'SIGKILL' });
    await world.clock.advance(60_000);
    await restartSupervisor();
    await world.clock.advance(60_000);
    expect(world.pm2.starts).toBe(0);
    expect(world.loop.failover.attemptsUsed(SERVICE)).toBe(0);
    expect(service().serving()).toHaveLength(2);
  });
});
