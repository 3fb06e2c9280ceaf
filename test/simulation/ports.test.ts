/** Instances whose port another process has, an instance or not: they get no traffic, and are replaced by others with ports of their own. */
import { afterEach, describe, expect, it } from 'vitest';
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

describe('a port that another program takes when its instance ends', () => {
  const STRANGER = { by: 'pid 9 (stranger)', isOtherUser: true };
  const SAME_USER = { by: 'pid 8 (npm run dev)', isOtherUser: false };
  const CRASHES: Behaviour = { ...GOOD, exitsAfterMs: 60 };
  const quarantines = (): number => world.eventsOf('instance.quarantined').length;

  /** Kills an instance, and gives its port to that program before PM2 starts it again. @returns the port. */
  function loseOne(program = STRANGER): number {
    const victim = world.pm2.alive(SERVICE)[0]!;
    world.pm2.programs.set(victim.port, program);
    world.pm2.kill(victim, { exitCode: null, signal: 'SIGKILL' });
    return victim.port;
  }

  it.each([
    ['another user', STRANGER],
    ['the same user', SAME_USER],
  ])('of %s: the place gets another port, nothing is charged, and it is told once', async (_who, program) => {
    await begin(2);
    const before = world.pm2.starts;
    const port = loseOne(program);
    await world.clock.advance(500);
    expect(service().view().warnings.join()).toContain(`has port ${port}, and so has ${program.by}`);
    await watch(60, 2);
    expectMended(2);
    expect(world.pm2.alive(SERVICE).map((row) => row.port)).not.toContain(port);
    expect(quarantines()).toBe(0);
    expect(world.pm2.starts - before).toBe(1);
    expect(world.eventsOf('instance.portShared').map(({ data }) => data)).toMatchObject([
      { heldBy: program.by },
    ]);
  });

  it('is not given out again at once when that program has let go of it', async () => {
    await begin(2);
    const first = loseOne();
    await watch(10, 2);
    world.pm2.programs.clear();
    const second = loseOne();
    await watch(20, 2);
    world.pm2.programs.clear();
    expect(
      [first, second].filter((port) => world.pm2.alive(SERVICE).some((row) => row.port === port)),
    ).toEqual([]);
    await watch(60, 2);
    const third = loseOne();
    await watch(20, 2);
    expect(
      world.pm2
        .alive(SERVICE)
        .map(({ port }) => port)
        .filter((port) => port !== third),
    ).toContain(Math.min(first, second));
  });

  it('again and again: the budget is never touched', async () => {
    await begin(2);
    for (let times = 0; times < 8; times += 1) {
      loseOne();
      await watch(25, 2);
    }
    expectMended(2);
    expect(quarantines()).toBe(0);
  });

  it('and leaves while nothing may be replaced: the instance has its port back, and serves', async () => {
    await begin(2);
    await world.ha.stop('test');
    const port = loseOne();
    await watch(20, 2);
    expect(service().serving()).toHaveLength(1);
    world.pm2.programs.clear();
    await watch(20, 2);
    expect(
      service()
        .serving()
        .map((one) => one.port),
    ).toContain(port);
    expect(service().view().warnings).toEqual([]);
  });

  it('is no excuse for an application that fails on any other port, too: it is quarantined', async () => {
    await begin(2);
    const before = world.pm2.starts;
    world.pm2.behave = () => CRASHES;
    loseOne(SAME_USER);
    await watch(50, 2);
    expect(service().isQuarantined()).toBe(true);
    expect(service().serving()).toHaveLength(1);
    expect(world.pm2.starts - before).toBeLessThanOrEqual(3);
    world.pm2.behave = () => GOOD;
    await watch(300, 2);
    expectMended(2);
  });

  it.each([
    ['another user: it is tried on, with pauses', STRANGER, 0],
    ['the same user, which may be a child of it: that has an end', SAME_USER, 1],
  ])('before the new instance listens, each time, of %s', async (_what, program, quarantined) => {
    await begin(2);
    const before = world.pm2.starts;
    world.pm2.behave = () => {
      const newest = world.pm2.rows(SERVICE).at(-1)!;
      if (world.pm2.rows(SERVICE).length > 2) world.pm2.programs.set(newest.port, program);
      return GOOD;
    };
    loseOne(program);
    await watch(30, 2);
    expect(quarantines()).toBe(quarantined);
    expect(service().serving()).toHaveLength(1);
    expect(world.pm2.starts - before).toBeLessThanOrEqual(8);
    world.pm2.behave = () => GOOD;
    await watch(300, 2);
    expectMended(2);
  });

  it('and all others are taken as well: that is said, and nothing is charged', async () => {
    await begin(2);
    const own = new Set(world.pm2.alive(SERVICE).map(({ port }) => port));
    for (let port = 13_004; port <= 13_099; port += 1)
      if (!own.has(port)) world.pm2.programs.set(port, STRANGER);
    loseOne();
    await watch(30, 2);
    expect(service().view().diagnosis?.what).toContain('No free port');
    expect(service().serving()).toHaveLength(1);
    expect(quarantines()).toBe(0);
    world.pm2.programs.delete(13_050);
    await watch(60, 2);
    expectMended(2);
  });
});
