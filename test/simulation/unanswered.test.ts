/** PM2 carries out a start whose call has run out of time: what it starts has its place, and nothing is started twice. */
import { afterEach, describe, expect, it } from 'vitest';
import type { Behaviour, Row } from './fakePm2.js';
import { policyOf, World } from './world.js';

const SERVICE = 'api';
const GOOD: Behaviour = { readyAfterMs: 100, exitsAfterMs: null, answers: 'ok' };
const request = { serviceName: SERVICE, timeoutMs: 900_000 };
let world: World;

const service = () => world.loop.services.get(SERVICE)!;
const newest = (): Row => world.pm2.rows(SERVICE).at(-1)!;
const used = (row: Row): number => world.loop.failover.attemptsUsed(SERVICE, row.pmId);

async function begin(): Promise<void> {
  const scaling = { ...policyOf(SERVICE).scaling, autoscale: false };
  const health = { ...policyOf(SERVICE).health, intervalMs: 1_000 };
  world = new World(1, [policyOf(SERVICE, { scaling, health })]);
  world.pm2.seed(SERVICE, 2);
  await world.startSupervisor();
  await world.clock.advance(5_000);
}

async function until(condition: () => boolean, withinMs = 300_000): Promise<void> {
  for (let waited = 0; !condition() && waited < withinMs; waited += 1) await world.clock.advance(1);
  expect(condition()).toBe(true);
}

afterEach(async () => {
  expect(world.rules.broken()).toEqual([]);
  expect(world.pm2.violations).toEqual([]);
  await world.killSupervisor();
});

/** What keeps the answer to a start, or to a trial, away; the supervisor is asked for one before. */
const WAYS: readonly { readonly what: string; readonly keep: (kind: 'start' | 'trial') => Promise<void> }[] =
  [
    {
      what: 'the daemon is stopped in the middle of the call, and goes on',
      keep: async (kind) => {
        await until(() => service().underWay === kind);
        // By then it was asked for a list, and it takes longer than this to start something.
        await world.clock.advance(10);
        world.pm2.stopDaemon();
        await world.clock.advance(20_000);
        world.pm2.continueDaemon();
      },
    },
    {
      what: 'the daemon goes on, and lists it only a second later',
      keep: async (kind) => {
        world.pm2.keepsUnread = true;
        await until(() => service().underWay === kind);
        await world.clock.advance(10);
        world.pm2.stopDaemon();
        await world.clock.advance(20_000);
        world.pm2.continueDaemon();
        await until(() => world.loop.observer.isConnected());
        await world.clock.advance(1_000);
        world.pm2.carryOutUnread();
      },
    },
    {
      what: 'the answer takes longer than is waited for',
      keep: async (kind) => {
        world.pm2.mutationLagMs = 60_000;
        await until(() => service().underWay === kind);
        await until(() => service().underWay !== kind);
        world.pm2.mutationLagMs = 0;
      },
    },
  ];

describe.each(WAYS)('$what', ({ keep }) => {
  it('a replacement has the place of the one that it replaces, with its charges', async () => {
    await begin();
    const [ill, well] = world.pm2.alive(SERVICE) as [Row, Row];
    world.pm2.setAnswers(ill, 'error');
    await keep('start');
    await world.clock.advance(7_000);
    expect(used(newest())).toBe(1);
    await world.clock.advance(60_000);
    expect(world.pm2.starts).toBe(1);
    expect(world.pm2.alive(SERVICE)).toEqual([well, newest()]);
    expect(used(newest())).toBe(1);
  });

  it('one that fills the place of another has its charges, and is no more than that', async () => {
    await begin();
    const [dying] = world.pm2.alive(SERVICE) as [Row];
    dying.behaviour = { ...GOOD, staysDown: true };
    world.pm2.kill(dying, { exitCode: 1, signal: null });
    await keep('start');
    await world.clock.advance(60_000);
    expect(world.pm2.starts).toBe(1);
    expect(used(newest())).toBe(1);
    expect(service().serving()).toHaveLength(2);
  });

  it('a scaling names it as started, and is done', async () => {
    await begin();
    const grown = world.ha.scale({ ...request, direction: 'up', targetInstances: 3 });
    await keep('start');
    await world.clock.advance(60_000);
    expect(await grown).toMatchObject({ done: true, started: [{ pmId: newest().pmId }] });
    expect(world.pm2.starts).toBe(1);
    expect(service().desired).toBe(3);
  });

  it('a canary whose build is bad is no part of the service', async () => {
    await begin();
    const before = world.pm2.alive(SERVICE);
    world.pm2.behave = () => ({ ...GOOD, answers: 'error' });
    const deployed = world.ha.deploy(request).catch((thrown: unknown) => thrown);
    await keep('start');
    await world.clock.advance(200_000);
    expect(await deployed).toMatchObject({ code: 'deploy.canary-failed' });
    expect(world.pm2.alive(SERVICE)).toEqual(before);
    expect(world.eventsOf('instance.unverified')).toEqual([]);
  });

  it('a trial is one, and ends the quarantine', async () => {
    await begin();
    world.pm2.behave = () => ({ ...GOOD, exitsAfterMs: 50 });
    world.pm2.kill(world.pm2.alive(SERVICE)[0]!, { exitCode: 1, signal: null });
    await until(() => world.loop.failover.quarantine(SERVICE).kind === 'quarantined');
    world.pm2.behave = () => GOOD;
    const startsBefore = world.pm2.starts;
    await keep('trial');
    await world.clock.advance(200_000);
    expect(world.pm2.starts).toBe(startsBefore + 1);
    expect(world.eventsOf('service.trialFailed')).toEqual([]);
    expect(world.loop.failover.quarantine(SERVICE).kind).toBe('none');
    expect(service().serving()).toHaveLength(2);
  });
});

it('a trial that PM2 did not carry out counts as failed, and another one follows', async () => {
  await begin();
  world.pm2.behave = () => ({ ...GOOD, exitsAfterMs: 50 });
  world.pm2.kill(world.pm2.alive(SERVICE)[0]!, { exitCode: 1, signal: null });
  await until(() => world.loop.failover.quarantine(SERVICE).kind === 'quarantined');
  world.pm2.behave = () => GOOD;
  world.pm2.keepsUnread = true;
  await WAYS[0]!.keep('trial');
  await world.clock.advance(8_000);
  expect(world.loop.failover.quarantine(SERVICE)).toMatchObject({ kind: 'quarantined', trials: 1 });
  await world.clock.advance(600_000);
  expect(service().serving()).toHaveLength(2);
});
