/** Restarts that PM2 makes by itself: told as what they are, charged to no build, and seen when they do not end. */
import { afterEach, describe, expect, it } from 'vitest';
import type { RestartCause } from '../../backend/src/domain/failures/restarts.js';
import type { Row } from './fakePm2.js';
import { policyOf, World } from './world.js';

const SERVICE = 'api';
const WATCH: RestartCause = { by: 'watch', path: 'logs/app.log' };
const MEMORY: RestartCause = { by: 'memory', memoryBytes: 90 * 1024 ** 2, limitBytes: 80 * 1024 ** 2 };
let world: World;

afterEach(async () => {
  expect(world.rules.broken()).toEqual([]);
  await world.killSupervisor();
});

const service = () => world.loop.services.get(SERVICE)!;
const row = (): Row => world.pm2.rows(SERVICE)[0]!;
const exits = () => world.eventsOf('instance.exited').map(({ data }) => data);
const told = () => world.eventsOf('service.restartedOverAndOver').map(({ data }) => data);

async function begin(instances: number): Promise<void> {
  const scaling = { ...policyOf(SERVICE).scaling, autoscale: false };
  world = new World(1, [policyOf(SERVICE, { scaling })]);
  world.pm2.behave = () => ({ readyAfterMs: 100, exitsAfterMs: null, answers: 'ok' });
  world.pm2.seed(SERVICE, instances);
  await world.startSupervisor();
  await world.clock.advance(10_000);
}

it.each<[string, RestartCause, number, number, RegExp]>([
  ["PM2's watch", WATCH, 2, 0, /^PM2's watch restarts it: logs\/app\.log changed$/],
  ['max_memory_restart', MEMORY, 2, 0, /memory of 90 MB exceeds max_memory_restart \(80 MB\)$/],
  ['max_memory_restart, slowly', MEMORY, 2, 4_000, /memory of 90 MB exceeds/],
  ['max_memory_restart of the only one', MEMORY, 1, 4_000, /memory of 90 MB exceeds/],
])('%s is told as what it is, and charged to no budget', async (_name, cause, instances, tookMs, why) => {
  await begin(instances);
  world.pm2.restartByItself(row(), cause, tookMs);
  const states = new Set<string>();
  for (let waited = 0; waited < 15_000; waited += 250) {
    await world.clock.advance(250);
    states.add(service().state());
  }
  expect(exits()).toMatchObject([{ charged: false, why: expect.stringMatching(why) }]);
  expect(states).not.toContain('stopped');
  expect(world.eventsOf('service.stoppedByOperator')).toEqual([]);
  expect(service().state()).toBe('healthy');
  expect(told()).toEqual([]);
});

it('a restart for memory is no stop by an operator, also where the other instances were stopped by one', async () => {
  await begin(2);
  const [first, second] = world.pm2.rows(SERVICE);
  world.pm2.operatorStopSlowly(second!, 0);
  await world.clock.advance(5_000);
  world.pm2.restartByItself(first!, MEMORY, 5_000);
  await world.clock.advance(3_000);
  expect(service().state()).not.toBe('stopped');
  await world.clock.advance(20_000);
  expect(world.eventsOf('service.stoppedByOperator')).toEqual([]);
});

describe('an instance that is restarted over and over', () => {
  /** Every 0.7 s, for that long. */
  async function restart(forMs: number, how: () => void): Promise<void> {
    for (let time = 0; time < forMs; time += 700) {
      how();
      await world.clock.advance(700);
    }
  }

  it.each<[string, () => void, RegExp]>([
    [
      "by PM2's watch",
      () => world.pm2.restartByItself(row(), WATCH),
      /app\.log changed\. Name that path in ignore_watch/,
    ],
    ['for its memory', () => world.pm2.restartByItself(row(), MEMORY), /Raise max_memory_restart/],
    ['by a script', () => world.pm2.operatorRestart(row()), /through PM2, and not by Holdfast/],
  ])('%s is seen and named, once, and is charged to no budget', async (_name, how, says) => {
    await begin(2);
    await restart(20_000, how);
    expect(service().state()).toBe('degraded');
    expect(service().view().reason).toMatch(/^pm 0 was restarted \d+ times within a minute/);
    expect(service().view().reason).toMatch(says);
    expect(told()).toEqual([{ service: SERVICE, detail: expect.stringMatching(says) }]);
    expect(exits().filter((data) => 'charged' in data && data.charged)).toEqual([]);
    expect(world.loop.failover.attemptsUsed(SERVICE, 0)).toBe(0);
    await world.clock.advance(70_000);
    expect(service().state()).toBe('healthy');
    // It may begin again, and is told again.
    await restart(10_000, how);
    expect(told()).toHaveLength(2);
  });

  it('is none when an operator restarts it four times in a minute', async () => {
    await begin(2);
    for (let time = 0; time < 4; time++) {
      world.pm2.operatorRestart(row());
      await world.clock.advance(10_000);
    }
    expect(service().state()).toBe('healthy');
    expect(told()).toEqual([]);
  });
});
