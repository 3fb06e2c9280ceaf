/** A service without a PORT: a worker, or processes that share one port of PM2's cluster mode. PM2's word is its health. */
import { afterEach, expect, it } from 'vitest';
import { policyOf, World } from './world.js';

const SERVICE = 'shared';
let world: World;

afterEach(async () => {
  expect(world.rules.broken()).toEqual([]);
  await world.killSupervisor();
});

it('is kept at its number, scaled and replaced, and no instance of it is probed', async () => {
  world = new World(1, [policyOf(SERVICE, { ports: null })]);
  world.pm2.behave = () => ({ readyAfterMs: 0, exitsAfterMs: null, answers: 'never', port: null });
  world.pm2.seed(SERVICE, 2);
  await world.startSupervisor();
  await world.clock.advance(60_000);
  const service = world.loop.services.get(SERVICE)!;
  expect(service.state()).toBe('healthy');
  const up = world.ha.scale({ direction: 'up', serviceName: SERVICE, targetInstances: 3, timeoutMs: 60_000 });
  await world.clock.advance(30_000);
  expect(await up).toMatchObject({ done: true, toInstances: 3 });
  const before = world.pm2.alive(SERVICE).map(({ pid }) => pid);
  const over = world.ha.failover({ serviceName: SERVICE, timeoutMs: 120_000 });
  await world.clock.advance(120_000);
  expect(await over).toMatchObject({ done: true });
  expect(world.pm2.alive(SERVICE)).toHaveLength(3);
  expect(world.pm2.alive(SERVICE).filter(({ pid }) => before.includes(pid))).toEqual([]);
  world.pm2.kill(world.pm2.alive(SERVICE)[0]!, { exitCode: null, signal: 'SIGKILL' });
  await world.clock.advance(30_000);
  expect(service.view()).toMatchObject({ state: 'healthy', serving: 3 });
  expect(world.pm2.probed).toEqual([]);
});
