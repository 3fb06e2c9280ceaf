/** Instances that have one and the same port: at most one of them gets traffic, and the others are given ports of their own. */
import { afterEach, expect, it } from 'vitest';
import type { Behaviour } from './fakePm2.js';
import { policyOf, World } from './world.js';

const SERVICE = 'api';
const GOOD: Behaviour = { readyAfterMs: 2_000, exitsAfterMs: null, answers: 'ok' };
let world: World;

async function begin(instances: number, others: readonly string[] = []): Promise<void> {
  world = new World(
    1,
    [SERVICE, ...others].map((name) => policyOf(name)),
  );
  world.pm2.behave = () => GOOD;
  for (const name of [SERVICE, ...others]) world.pm2.seed(name, instances);
  await world.startSupervisor();
  await world.clock.advance(20_000);
}

afterEach(async () => {
  expect(world.rules.broken()).toEqual([]);
  await world.killSupervisor();
});

const service = (name = SERVICE) => world.loop.services.get(name)!;
const ports = (name?: string): number =>
  new Set(world.pm2.alive(name ?? SERVICE).map(({ port }) => port)).size;

/** Second by second: as many as it says serve have ports of their own, one too many at most runs, one starts at a time. */
async function watch(seconds: number, wanted: number): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    await world.clock.advance(1_000);
    expect(service().serving().length).toBeLessThanOrEqual(ports());
    expect(world.pm2.alive(SERVICE).length).toBeLessThanOrEqual(wanted + 1);
  }
}

function expectMended(wanted: number): void {
  expect(world.pm2.rows(SERVICE)).toHaveLength(wanted);
  expect(ports()).toBe(wanted);
  expect(service().view()).toMatchObject({ state: 'healthy', serving: wanted, warnings: [] });
  expect(world.loop.failover.attemptsUsed(SERVICE)).toBe(0);
  expect(
    world.pm2
      .alive(SERVICE)
      .map(({ number }) => number)
      .sort(),
  ).toEqual([...Array(wanted).keys()]);
}

it.each([
  ['in cluster mode, where all listen', 2, false],
  ['in fork mode, where all but one end', 2, true],
  ['in cluster mode, where all listen', 4, false],
  ['in fork mode, where all but one end', 4, true],
])('PM2 gives all one port, %s (%i instances)', async (_mode, instances, collide) => {
  await begin(instances);
  world.pm2.portsCollide = collide;
  world.pm2.operatorReloadFile(SERVICE);
  await world.clock.advance(1_500);
  expect(service().view().state).not.toBe('healthy');
  expect(service().view().warnings[0]).toMatch(
    /^pm \d has port 13004, and so has api#\d: it gets no traffic/,
  );
  expect(world.eventsOf('instance.portShared').length).toBeGreaterThan(0);
  await watch(90, instances);
  expectMended(instances);
});

it('the supervisor is killed again and again meanwhile', async () => {
  await begin(3);
  world.pm2.operatorReloadFile(SERVICE);
  for (let kills = 0; kills < 8; kills += 1) {
    await watch(5, 3);
    await world.killSupervisor();
    await world.startSupervisor();
  }
  await watch(60, 3);
  expectMended(3);
});

it('while management is off it is told, and mended once that is on again', async () => {
  await begin(2);
  await world.ha.stop('test');
  world.pm2.operatorReloadFile(SERVICE);
  await watch(30, 2);
  expect(ports()).toBe(1);
  expect(service().view()).toMatchObject({ state: 'degraded', serving: 1 });
  await world.ha.start('test');
  await watch(60, 2);
  expectMended(2);
});

it('one that never listened is replaced when the one that had the port has gone', async () => {
  world = new World(1, [policyOf(SERVICE)]);
  world.pm2.behave = () => GOOD;
  world.pm2.seed(SERVICE, 2);
  const [first, second] = world.pm2.alive(SERVICE);
  second!.port = first!.port;
  second!.behaviour = { ...GOOD, readyAfterMs: 1e12 };
  await world.startSupervisor();
  await world.ha.stop('test');
  await watch(60, 2);
  world.pm2.operatorDelete(first!);
  await world.clock.advance(5_000);
  await world.ha.start('test');
  await world.clock.advance(180_000);
  expect(service().serving().length).toBe(service().desired);
  expect(world.pm2.alive(SERVICE)).not.toContain(second);
});

it('two services have one port: the first that was started has it', async () => {
  await begin(2, ['web']);
  world.pm2.alive('web')[0]!.port = world.pm2.alive(SERVICE)[0]!.port;
  world.pm2.operatorReload('web');
  await world.clock.advance(1_500);
  expect(service().serving()).toHaveLength(2);
  expect(service('web').view().state).not.toBe('healthy');
  await world.clock.advance(60_000);
  expect(service('web').view()).toMatchObject({ state: 'healthy', serving: 2 });
  expect(world.eventsOf('instance.portShared').map(({ data }) => data)).toMatchObject([{ heldBy: 'api#0' }]);
});

it('a trial whose port is taken by now begins on another one', async () => {
  await begin(2);
  world.pm2.behave = () => ({ ...GOOD, exitsAfterMs: 50 });
  const victim = world.pm2.alive(SERVICE)[0]!;
  world.pm2.kill(victim, { exitCode: 1, signal: null });
  await world.clock.advance(30_000);
  expect(service().isQuarantined()).toBe(true);
  world.pm2.behave = () => GOOD;
  world.pm2.alive(SERVICE)[0]!.port = victim.port;
  await world.clock.advance(300_000);
  expect(service().view()).toMatchObject({ state: 'healthy', serving: 2 });
  expect(ports()).toBe(2);
});
