/** Instance numbers (NODE_APP_INSTANCE), by which applications choose the instance that runs their jobs. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Behaviour, Row } from './fakePm2.js';
import { policyOf, World } from './world.js';

const SERVICE = 'api';
const GOOD: Behaviour = { readyAfterMs: 3_000, exitsAfterMs: null, answers: 'ok' };
let world: World;

beforeEach(async () => {
  world = new World(1, [policyOf(SERVICE)]);
  world.pm2.behave = () => GOOD;
  world.pm2.seed(SERVICE, 3);
  await world.startSupervisor();
  await world.clock.advance(20_000);
});

afterEach(async () => {
  expect(world.rules.broken()).toEqual([]);
  await world.killSupervisor();
});

const numbers = (): readonly number[] =>
  world.pm2
    .alive(SERVICE)
    .map(({ number }) => number)
    .sort();
const byNumber = (number: number): Row => world.pm2.alive(SERVICE).find((row) => row.number === number)!;
const scaleDown = (targetInstances: number): Promise<unknown> =>
  world.ha.scale({ direction: 'down', serviceName: SERVICE, targetInstances, timeoutMs: 600_000 });

async function restartSupervisor(): Promise<void> {
  await world.killSupervisor();
  await world.startSupervisor();
}

const changes: readonly (readonly [what: string, happens: () => void | Promise<void>])[] = [
  ['a deploy', () => void world.ha.deploy({ serviceName: SERVICE, timeoutMs: 600_000 })],
  ['a failover', () => void world.ha.failover({ serviceName: SERVICE, timeoutMs: 600_000 })],
  ['a crash of number 0', () => world.pm2.kill(byNumber(0), { exitCode: 1, signal: null })],
  ['a hang of number 0', () => world.pm2.setAnswers(byNumber(0), 'never')],
  ['a hang of number 1', () => world.pm2.setAnswers(byNumber(1), 'never')],
  ['the end of number 0 by `pm2 delete`', () => world.pm2.operatorDelete(byNumber(0))],
  [
    'a hang of number 0 that ends before its replacement is ready',
    async () => {
      const row = byNumber(0);
      world.pm2.setAnswers(row, 'never');
      const starts = world.pm2.starts;
      while (world.pm2.starts === starts) await world.clock.advance(250);
      world.pm2.setAnswers(row, 'ok');
    },
  ],
  [
    'a restart of the supervisor amid a deploy',
    async () => {
      void world.ha.deploy({ serviceName: SERVICE, timeoutMs: 600_000 }).catch(() => undefined);
      await world.clock.advance(12_000);
      await restartSupervisor();
    },
  ],
];

it.each(changes)(
  '%s leaves the numbers as they are, and number 0 is the last to be scaled away',
  async (_what, happens) => {
    await happens();
    await world.clock.advance(200_000);
    expect(numbers()).toEqual([0, 1, 2]);
    void scaleDown(2);
    await world.clock.advance(60_000);
    expect(numbers()).toEqual([0, 1]);
    void scaleDown(1);
    await world.clock.advance(60_000);
    expect(numbers()).toEqual([0]);
  },
);

it('number 0 does not go when PM2 restarts it in the middle of a scale-down', async () => {
  void scaleDown(1);
  world.pm2.kill(byNumber(0), { exitCode: 0, signal: 'SIGKILL' });
  await world.clock.advance(60_000);
  expect(numbers()).toEqual([0]);
  expect(world.loop.services.get(SERVICE)!.serving()).toHaveLength(1);
});
