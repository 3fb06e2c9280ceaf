/** What was there before Holdfast: it is not harmed, it is told what is wrong with it, and it can be let go again. */
import { afterEach, describe, expect, it } from 'vitest';
import type { HoldfastError } from '../../backend/src/domain/errors.js';
import type { ServicePolicy } from '../../backend/src/domain/policy.js';
import type { Behaviour } from './fakePm2.js';
import { policyOf, World } from './world.js';

const SERVICE = 'legacy';
const GOOD: Behaviour = { readyAfterMs: 100, exitsAfterMs: null, answers: 'ok' };
/** It serves on /, and answers 404 on /health. */
const WITHOUT_PATH: Behaviour = { ...GOOD, answers: 'elsewhere' };
const HOUR_MS = 3_600_000;
/** Longer than all that Holdfast waits for, such as the longest pause before a trial (10 min). */
const LONG_MS = 1_200_000;
let world: World;

/** The application has run for an hour when the supervisor starts, unless told otherwise. */
async function adopt(
  behaviour: Behaviour,
  {
    instances = 2,
    ageMs = HOUR_MS,
    ...changes
  }: Partial<ServicePolicy> & { instances?: number; ageMs?: number } = {},
): Promise<void> {
  world = new World(1, [policyOf(SERVICE, changes)]);
  world.pm2.behave = () => behaviour;
  world.pm2.seed(SERVICE, instances);
  await world.clock.advance(ageMs);
  await world.startSupervisor();
  await world.clock.advance(5_000);
}

afterEach(async () => {
  expect(world.rules.broken()).toEqual([]);
  await world.killSupervisor();
});

const service = () => world.loop.services.get(SERVICE)!;
const pids = (): readonly number[] => world.pm2.alive(SERVICE).map(({ pid }) => pid);
const states = (): readonly string[] =>
  service()
    .view()
    .instances.map(({ fitness }) => fitness.kind);

async function restartSupervisor(): Promise<void> {
  await world.killSupervisor();
  await world.startSupervisor();
}

describe('an application that answers and never passes the probe', () => {
  it.each([
    ['for an hour', HOUR_MS],
    ['for a second', 1_000],
    ['not at all yet', 0],
  ])('and has run %s keeps serving for as long as it is watched', async (_name, ageMs) => {
    await adopt(WITHOUT_PATH, { ageMs });
    const before = pids();
    await world.clock.advance(40_000);
    for (let watched = 0; watched < HOUR_MS; watched += 60_000) {
      await world.clock.advance(60_000);
      expect(pids()).toEqual(before);
      expect(service().serving()).toHaveLength(2);
    }
    expect(world.pm2.starts).toBe(0);
    expect(service().state()).toBe('unverified');
    expect(world.loop.failover.attemptsUsed(SERVICE)).toBe(0);
    expect(world.eventsOf('instance.unfit')).toEqual([]);
  });

  it('is told once an instance, with what was asked, what came, and what to set', async () => {
    await adopt(WITHOUT_PATH);
    await world.clock.advance(LONG_MS);
    const told = world.eventsOf('instance.unverified');
    expect(told).toHaveLength(2);
    const text = expect.stringMatching(
      /GET http:\/\/127\.0\.0\.1:13004\/health: HTTP 404, expected 200–399; set healthPath of legacy/,
    );
    expect(told[0]?.data).toMatchObject({ instance: { pmId: 0, port: 13_004 }, detail: text });
    expect(service().view().reason).toEqual(text);
    const check = world.ha.health();
    await world.clock.advance(50);
    expect((await check).status).toBe('degraded');
    expect(world.ha.failoverManager().services[0]?.instances[0]).toMatchObject({ state: 'unverified' });
  });

  it.each([0, 100, 1_000, 40_000, 400_000])(
    'keeps serving over restarts of the supervisor, %i ms after its start',
    async (afterMs) => {
      await adopt(WITHOUT_PATH);
      const before = pids();
      for (let life = 0; life < 5; life++) {
        await world.clock.advance(afterMs);
        await restartSupervisor();
      }
      await world.clock.advance(LONG_MS);
      expect(pids()).toEqual(before);
      expect(service().serving()).toHaveLength(2);
    },
  );

  it('serves again a moment after it exited by itself, and exits are charged as ever', async () => {
    await adopt(WITHOUT_PATH);
    world.pm2.kill(world.pm2.alive(SERVICE)[0]!, { exitCode: 1, signal: null });
    await world.clock.advance(3_000);
    expect(service().serving()).toHaveLength(2);
    expect(world.loop.failover.attemptsUsed(SERVICE, 0)).toBe(1);
    await restartSupervisor();
    await world.clock.advance(LONG_MS);
    expect(states()).toEqual(['unverified', 'unverified']);
    expect(world.pm2.starts).toBe(0);
  });

  it('is verified as soon as the configuration names a path that it answers', async () => {
    await adopt(WITHOUT_PATH);
    const before = pids();
    for (const row of world.pm2.alive(SERVICE)) world.pm2.setAnswers(row, 'ok');
    const { health } = policyOf(SERVICE);
    const probe = { ...health.probe, path: '/' } as typeof health.probe;
    world.loop.reconfigure([policyOf(SERVICE, { health: { ...health, probe } })]);
    await world.clock.advance(3_000);
    expect(service().state()).toBe('healthy');
    expect(pids()).toEqual(before);
  });

  it('that passed once is judged like any other from then on, also by the next supervisor', async () => {
    await adopt(GOOD);
    await restartSupervisor();
    const [row] = world.pm2.alive(SERVICE);
    world.pm2.setAnswers(row!, 'error');
    await world.clock.advance(60_000);
    expect(world.pm2.alive(SERVICE).map(({ pmId }) => pmId)).toEqual([1, 2]);
    expect(world.eventsOf('instance.unverified')).toEqual([]);
  });

  it('that stops answering gets no traffic, and is left alone', async () => {
    await adopt(WITHOUT_PATH);
    const before = pids();
    world.pm2.setAnswers(world.pm2.alive(SERVICE)[0]!, 'never');
    await world.clock.advance(120_000);
    expect(
      service()
        .serving()
        .map(({ pmId }) => pmId),
    ).toEqual([1]);
    world.pm2.setAnswers(world.pm2.alive(SERVICE)[0]!, 'elsewhere');
    await world.clock.advance(10_000);
    expect(service().serving()).toHaveLength(2);
    expect(pids()).toEqual(before);
  });

  it('is neither scaled by load nor recycled for its memory', async () => {
    await adopt(WITHOUT_PATH, { memoryLimitBytes: 62e6 });
    const before = pids();
    for (const load of [100, 1]) {
      world.cpu.set(SERVICE, load);
      await world.clock.advance(600_000);
      expect(pids()).toEqual(before);
    }
    expect(world.ha.loadBalancer().services[0]?.last?.limitedBy).toBe('unverified');
  });
});

describe('what an operator asks of a service that is unverified', () => {
  const refusal = (asked: Promise<unknown>) =>
    asked.then(
      () => null,
      (error: HoldfastError) => error,
    );

  it('failover and scale-up are refused: a new one could not pass either', async () => {
    await adopt(WITHOUT_PATH);
    const before = pids();
    const calls = [
      world.ha.failover({ serviceName: SERVICE, timeoutMs: 60_000 }),
      world.ha.scale({ direction: 'up', serviceName: SERVICE, timeoutMs: 60_000 }),
    ];
    for (const call of calls) {
      expect(await refusal(call)).toMatchObject({ code: 'service.unverified', status: 409 });
    }
    expect(pids()).toEqual(before);
  });

  it('a deploy is tried behind its canary; while that can not pass the old ones stay', async () => {
    await adopt(WITHOUT_PATH);
    const before = pids();
    const deploy = refusal(world.ha.deploy({ serviceName: SERVICE, timeoutMs: 600_000 }));
    await world.clock.advance(120_000);
    expect(await deploy).toMatchObject({ code: 'deploy.canary-failed', status: 424 });
    await world.clock.advance(LONG_MS);
    expect(pids()).toEqual(before);
    expect(service().serving()).toHaveLength(2);
    expect(world.loop.failover.attemptsUsed(SERVICE)).toBe(0);
  });

  it('… also after the next supervisor has come, and one that PM2 restarted meanwhile', async () => {
    await adopt(WITHOUT_PATH);
    const deploy = refusal(world.ha.deploy({ serviceName: SERVICE, timeoutMs: 600_000 }));
    await world.clock.advance(5_000);
    world.pm2.kill(world.pm2.alive(SERVICE)[0]!, { exitCode: 0, signal: 'SIGKILL' });
    await world.clock.advance(120_000);
    expect(await deploy).toMatchObject({ code: 'deploy.canary-failed' });
    const before = pids();
    expect(before).toHaveLength(2);
    await restartSupervisor();
    await world.clock.advance(LONG_MS);
    expect(pids()).toEqual(before);
    expect(states()).toEqual(['unverified', 'unverified']);
    expect(world.loop.failover.attemptsUsed(SERVICE)).toBe(0);
  });

  it('a deploy of a build that passes replaces them', async () => {
    await adopt(WITHOUT_PATH);
    world.pm2.behave = () => GOOD;
    const deploy = world.ha.deploy({ serviceName: SERVICE, timeoutMs: 600_000 });
    await world.clock.advance(120_000);
    expect(await deploy).toMatchObject({ done: true });
    expect(service().state()).toBe('healthy');
    expect(world.pm2.alive(SERVICE).map(({ pmId }) => pmId)).toEqual([2, 3]);
  });

  it('a scale-down takes one, drained, and never the last', async () => {
    await adopt(WITHOUT_PATH, { instances: 3 });
    const shrink = world.ha.scale({ direction: 'down', targetInstances: 1, timeoutMs: 60_000 });
    await world.clock.advance(30_000);
    expect(await shrink).toMatchObject({ done: true });
    expect(world.pm2.alive(SERVICE).map(({ pmId }) => pmId)).toEqual([0]);
  });
});

describe('every instance is unhealthy', () => {
  it.each(['elsewhere', 'error'] as const)(
    'and answers %s, and so does what is started: no original is stopped, for an hour',
    async (answers) => {
      await adopt(GOOD, { instances: 3 });
      const before = pids();
      world.pm2.behave = () => ({ ...GOOD, answers });
      for (const row of world.pm2.alive(SERVICE)) world.pm2.setAnswers(row, answers);
      for (let watched = 0; watched < HOUR_MS; watched += 500) {
        await world.clock.advance(500);
        const alive = pids();
        expect(
          before.every((pid) => alive.includes(pid)),
          `after ${watched} ms`,
        ).toBe(true);
      }
      for (const row of world.pm2.alive(SERVICE)) world.pm2.setAnswers(row, 'ok');
      world.pm2.behave = () => GOOD;
      await world.clock.advance(LONG_MS);
      expect(service().state()).toBe('healthy');
      expect(service().serving()).toHaveLength(3);
    },
    60_000,
  );
});

describe('a service that is removed from the configuration and deleted in PM2', () => {
  it.each([false, true])('stays away (supervisor restarted: %s)', async (isRestarted) => {
    await adopt(GOOD);
    world.unconfigured.add(SERVICE);
    for (const row of world.pm2.alive(SERVICE)) world.pm2.operatorDelete(row);
    if (isRestarted) await restartSupervisor();
    await world.clock.advance(120_000);
    expect(world.pm2.rows(SERVICE)).toEqual([]);
    expect(world.pm2.starts).toBe(0);
    expect(world.eventsOf('service.unconfigured').length).toBeGreaterThan(0);
    expect(service().state()).toBe('released');
  });

  it.each([
    ['and PM2 lists it again: it is taken care of again', () => world.pm2.seed(SERVICE, 3), 3],
    ['and an operator adopts it: it is started', () => world.ha.adopt(SERVICE, 'test'), 2],
  ] as const)('is configured again, %s', async (_how, comesBack, wanted) => {
    await adopt(GOOD);
    world.unconfigured.add(SERVICE);
    for (const row of world.pm2.alive(SERVICE)) world.pm2.operatorDelete(row);
    await world.clock.advance(30_000);
    expect(service().state()).toBe('released');
    await expect(world.ha.adopt(SERVICE, 'test')).rejects.toMatchObject({ code: 'service.not-configured' });
    world.unconfigured.delete(SERVICE);
    await comesBack();
    await world.clock.advance(30_000);
    expect(service().state()).toBe('healthy');
    expect(service().desired).toBe(wanted);
    world.pm2.operatorDelete(world.pm2.alive(SERVICE)[0]!);
    await world.clock.advance(10_000);
    expect(service().serving()).toHaveLength(wanted);
  });

  it('is started again while it is configured', async () => {
    await adopt(GOOD);
    for (const row of world.pm2.alive(SERVICE)) world.pm2.operatorDelete(row);
    await world.clock.advance(10_000);
    expect(service().serving()).toHaveLength(2);
  });
});

describe('a service that is released', () => {
  it('is left alone by everything, over a restart of the supervisor, until it is adopted again', async () => {
    await adopt(GOOD);
    expect(await world.ha.release(SERVICE, 'test')).toMatchObject({ released: true, changed: true });
    expect(await world.ha.release(SERVICE, 'test')).toMatchObject({ released: true, changed: false });
    await restartSupervisor();
    await world.clock.advance(2_000);
    expect(service().state()).toBe('released');
    const starts = world.pm2.starts;
    world.pm2.setAnswers(world.pm2.alive(SERVICE)[0]!, 'error');
    world.cpu.set(SERVICE, 100);
    await world.clock.advance(120_000);
    world.pm2.operatorDelete(world.pm2.alive(SERVICE)[1]!);
    await world.clock.advance(120_000);
    expect(world.pm2.alive(SERVICE).map(({ pmId }) => pmId)).toEqual([0]);
    expect(world.pm2.starts).toBe(starts);
    expect(world.eventsOf('instance.unfit')).toEqual([]);
    expect(service().view().reason).toMatch(/^released by an operator.*holdfast adopt legacy/);
    await expect(world.ha.deploy({ serviceName: SERVICE, timeoutMs: 1_000 })).rejects.toMatchObject({
      code: 'service.not-managed',
      status: 409,
    });
    world.pm2.setAnswers(world.pm2.alive(SERVICE)[0]!, 'ok');
    world.cpu.set(SERVICE, 50);
    expect(await world.ha.adopt(SERVICE, 'test')).toMatchObject({ released: false, changed: true });
    await world.clock.advance(60_000);
    expect(service().state()).toBe('healthy');
    expect(service().desired).toBe(1);
  });

  it('serves on as before, also what was on its way out', async () => {
    await adopt(GOOD, { instances: 3 });
    const shrink = world.ha
      .scale({ direction: 'down', timeoutMs: 60_000 })
      .catch((error: HoldfastError) => error);
    await world.clock.advance(200);
    const refused = await world.ha.release(SERVICE, 'test').catch((error: HoldfastError) => error);
    expect(refused).toMatchObject({ code: 'operation.conflict' });
    await world.clock.advance(10_000);
    await shrink;
    await world.ha.release(SERVICE, 'test');
    await world.clock.advance(10_000);
    expect(service().serving()).toHaveLength(2);
  });
});

it('waits while PM2 still starts the applications of a file, one after the other', async () => {
  world = new World(1, [policyOf('first'), policyOf('later')]);
  world.pm2.seed('first', 2);
  await world.startSupervisor();
  for (let second = 0; second < 9; second += 1) {
    for (const row of world.pm2.rows('first')) row.status = 'launching';
    await world.clock.advance(1_000);
  }
  for (const row of world.pm2.rows('first')) row.status = 'online';
  world.pm2.seed('later', 2);
  await world.clock.advance(20_000);
  expect(world.pm2.starts).toBe(0);
  expect(world.pm2.alive('later')).toHaveLength(2);
});

it('starts what is missing, when PM2 has started nothing for a moment', async () => {
  world = new World(1, [policyOf('first'), policyOf('later')]);
  world.pm2.seed('first', 2);
  await world.startSupervisor();
  await world.clock.advance(20_000);
  expect(world.pm2.alive('later')).toHaveLength(2);
});
