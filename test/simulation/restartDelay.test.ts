/** `pm2 stop` while PM2 waits to start again what crashed: the operator's word counts, whatever came before it. */
import { afterEach, expect, it } from 'vitest';
import { policyOf, World } from './world.js';

const SERVICE = 'api';
let world: World;
afterEach(async () => {
  expect(world.rules.broken()).toEqual([]);
  await world.killSupervisor();
});

const service = () => world.loop.services.get(SERVICE)!;
const charges = () => world.loop.failover.attemptsUsed(SERVICE);

it.each([
  ['and PM2 says so', 0, 300],
  ['and the news of it is lost', 1, 1_500],
])('stays stopped, without a charge for the stop and without a new process, %s', async (_, loss, afterMs) => {
  world = new World(1, [policyOf(SERVICE)]);
  world.pm2.behave = () => ({
    readyAfterMs: 100,
    exitsAfterMs: 4_000,
    answers: 'ok',
    restartDelayMs: 5_000,
  });
  world.pm2.seed(SERVICE, 2);
  await world.startSupervisor();
  await world.clock.advance(4_000);
  expect(world.pm2.rows(SERVICE).map(({ status }) => status)).toEqual(['waiting restart', 'waiting restart']);
  world.pm2.eventLoss = loss;
  await world.clock.advance(afterMs);
  const before = charges();
  world.pm2.operatorStop(SERVICE);
  await world.clock.advance(120_000);
  expect(service().state()).toBe('stopped');
  expect(charges()).toBeLessThanOrEqual(before);
  expect(world.pm2.starts).toBe(0);
  expect(world.pm2.rows(SERVICE).map(({ status }) => status)).toEqual(['stopped', 'stopped']);
  world.pm2.behave = () => ({ readyAfterMs: 100, exitsAfterMs: null, answers: 'ok' });
  world.pm2.operatorStart(SERVICE);
  await world.clock.advance(20_000);
  expect(service().state()).toBe('healthy');
});
