/** What is rare, and what an operator does beside Holdfast: each of these once went wrong. */
import { afterEach, describe, expect, it } from 'vitest';
import type { HoldfastError } from '../../backend/src/domain/errors.js';
import type { ServicePolicy } from '../../backend/src/domain/policy.js';
import { policyOf, World } from './world.js';

const SERVICE = 'api';
const GOOD = { readyAfterMs: 100, exitsAfterMs: null, answers: 'ok' } as const;
let world: World;

async function begin(instances = 2, changes: Partial<ServicePolicy> = {}): Promise<void> {
  world = new World(1, [policyOf(SERVICE, changes)]);
  world.pm2.seed(SERVICE, instances);
  await world.startSupervisor();
  await world.clock.advance(5_000);
}

afterEach(async () => {
  expect(world.rules.broken()).toEqual([]);
  await world.killSupervisor();
});

function service() {
  return world.loop.services.get(SERVICE)!;
}

describe('budgets', () => {
  it('bring the only instance back after a reset, though it was Holdfast that stopped it', async () => {
    await begin(1, { scaling: { ...policyOf(SERVICE).scaling, maxInstances: 1 } });
    world.pm2.behave = () => ({ ...GOOD, exitsAfterMs: 500 });
    world.pm2.kill(world.pm2.alive(SERVICE)[0]!, { exitCode: 1, signal: null });
    await world.clock.advance(10_000);
    expect(service().state()).toBe('quarantined');
    world.pm2.behave = () => GOOD;
    await world.ha.resetFailure(SERVICE, 'test');
    await world.clock.advance(5_000);
    expect(service().state()).toBe('healthy');
  });

  it('are spent also by a service that PM2 does not restart', async () => {
    await begin(2);
    world.pm2.behave = () => ({ ...GOOD, exitsAfterMs: 500, staysDown: true });
    const [row] = world.pm2.alive(SERVICE);
    row!.behaviour = world.pm2.behave(SERVICE);
    world.pm2.kill(row!, { exitCode: 1, signal: null });
    await world.clock.advance(55_000);
    expect(service().state()).toBe('quarantined');
    expect(world.pm2.starts).toBe(3);
    expect(service().serving()).toHaveLength(1);
  });

  it('give a quarantined service its trial though the wall clock was set back', async () => {
    await begin(2);
    world.pm2.behave = () => ({ ...GOOD, exitsAfterMs: 500 });
    world.pm2.kill(world.pm2.alive(SERVICE)[0]!, { exitCode: 1, signal: null });
    await world.clock.advance(10_000);
    expect(service().state()).toBe('quarantined');
    world.pm2.behave = () => GOOD;
    world.clock.setWall(-86_400_000);
    await world.clock.advance(700_000);
    expect(service().state()).toBe('healthy');
  });
});

describe('an operator at the PM2 command line', () => {
  it('stops a service whose instances end one after the other, and they stay stopped', async () => {
    await begin(2);
    const [first, second] = world.pm2.alive(SERVICE);
    world.pm2.operatorStopSlowly(first!, 100);
    world.pm2.operatorStopSlowly(second!, 8_000);
    await world.clock.advance(30_000);
    expect(world.pm2.starts).toBe(0);
    expect(service().state()).toBe('stopped');
    expect(world.eventsOf('service.stoppedByOperator')).toHaveLength(1);
  });

  it('reloads a service, and nobody is charged for it', async () => {
    await begin(2);
    for (let i = 0; i < 5; i++) {
      world.pm2.operatorReload(SERVICE);
      await world.clock.advance(20_000);
    }
    expect(service().state()).toBe('healthy');
    expect(world.loop.failover.attemptsUsed(SERVICE)).toBe(0);
  });

  it('stops one instance: no traffic goes there from the moment PM2 ends it', async () => {
    await begin(2);
    const [first] = world.pm2.alive(SERVICE);
    world.pm2.operatorStopSlowly(first!, 8_000);
    await world.clock.advance(1_100);
    expect(
      service()
        .serving()
        .map(({ pmId }) => pmId),
    ).not.toContain(first!.pmId);
  });
});

describe('management that is switched off', () => {
  it('puts back into traffic what was only withdrawn so far', async () => {
    await begin(3);
    world.loop.reconfigure([
      policyOf(SERVICE, { scaling: { ...policyOf(SERVICE).scaling, maxInstances: 2 } }),
    ]);
    while (service().serving().length === 3) await world.clock.advance(50);
    await world.ha.stop('test');
    await world.clock.advance(10_000);
    expect(world.pm2.alive(SERVICE)).toHaveLength(3);
    expect(service().serving()).toHaveLength(3);
  });
});

describe('a new configuration', () => {
  it('corrects a desired count outside its bounds, also with autoscaling off, and says why', async () => {
    const scaling = { ...policyOf(SERVICE).scaling, autoscale: false };
    await begin(4, { scaling });
    world.loop.reconfigure([policyOf(SERVICE, { scaling: { ...scaling, maxInstances: 2 } })]);
    await world.clock.advance(10_000);
    expect(service().desired).toBe(2);
    expect(world.pm2.alive(SERVICE)).toHaveLength(2);
    const [event] = world.eventsOf('service.scaled');
    expect(event?.data).toMatchObject({ from: 4, to: 2, reason: expect.stringContaining('at most 2') });
  });

  it('applies to the probes of instances that already run', async () => {
    await begin(2);
    const { health } = policyOf(SERVICE);
    const probe = { kind: 'tcp' } as const;
    world.loop.reconfigure([policyOf(SERVICE, { health: { ...health, probe, intervalMs: 2_000 } })]);
    await world.clock.advance(40_000);
    world.pm2.probed.length = 0;
    await world.clock.advance(10_000);
    expect(world.pm2.probed.length).toBeGreaterThanOrEqual(8);
    expect(new Set(world.pm2.probed)).toEqual(new Set(['tcp']));
  });
});

describe('the API', () => {
  it('refuses operations before anything is known of a service', async () => {
    world = new World(1, [policyOf(SERVICE)]);
    world.pm2.seed(SERVICE, 1);
    await world.startSupervisor();
    const refused = await world.ha
      .scale({ direction: 'up', targetInstances: 4, timeoutMs: 60_000 })
      .catch((error: HoldfastError) => error);
    expect(refused).toMatchObject({ code: 'service.not-adopted', status: 503, retryable: true });
    await world.clock.advance(5_000);
    expect(service().desired).toBe(2);
  });

  it('does not make an instance unfit by asking often during one bad moment', async () => {
    await begin(2);
    await world.clock.advance(60_000);
    const [row] = world.pm2.alive(SERVICE);
    world.pm2.setAnswers(row!, 'error');
    const checks = [1, 2, 3, 4, 5].map(() => world.ha.health());
    await world.clock.advance(100);
    const [check] = await Promise.all(checks);
    expect(check?.checks.find(({ name }) => name === `${SERVICE}#${row!.pmId}`)?.ok).toBe(false);
    world.pm2.setAnswers(row!, 'ok');
    await world.clock.advance(20_000);
    expect(world.eventsOf('instance.unfit')).toEqual([]);
  });
});

describe('a list', () => {
  it('that was asked for before a start ended does not make that instance missing', async () => {
    await begin(1, { scaling: { ...policyOf(SERVICE).scaling, maxInstances: 2, autoscale: false } });
    let most = 0;
    for (let i = 0; i < 40; i++) {
      world.pm2.listLagMs = 200;
      const direction = service().desired === 1 ? 'up' : 'down';
      void world.ha.scale({ direction, timeoutMs: 60_000 });
      for (let waited = 0; waited < 5_000; waited += 10) {
        world.loop.observer.poke();
        await world.clock.advance(10);
        most = Math.max(most, world.pm2.alive(SERVICE).length);
      }
    }
    expect(most).toBe(2);
  });
});

describe("PM2's daemon", () => {
  it('that is new is asked for a successor until there is one', async () => {
    await begin(2);
    let attempts = 0;
    world.handOver = () => (++attempts < 3 ? Promise.reject(new Error('PM2 refused')) : Promise.resolve());
    world.pm2.killDaemon();
    await world.clock.advance(20_000);
    expect(attempts).toBe(3);
    expect(world.eventsOf('daemon.unresponsive')).toEqual([]);
    expect(service().serving()).toHaveLength(2);
  });

  it('that is new is left to resurrect what it remembers before anything is added', async () => {
    await begin(3);
    await world.killSupervisor();
    world.pm2.killDaemon();
    void world.pm2.ensureDaemon();
    await world.clock.advance(400);
    world.pm2.seed(SERVICE, 1);
    await world.startSupervisor();
    await world.clock.advance(1_000);
    world.pm2.seed(SERVICE, 2);
    await world.clock.advance(10_000);
    expect(service().desired).toBe(3);
    expect(service().serving()).toHaveLength(3);
    expect(world.pm2.starts).toBe(0);
  });
});
