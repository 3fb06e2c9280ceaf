/** What an operation has started itself, and what was replaced beside it: only the former is taken back with it. */
import { afterEach, describe, expect, it } from 'vitest';
import type { Behaviour, Row } from './fakePm2.js';
import { policyOf, World } from './world.js';

const SERVICE = 'api';
const GOOD: Behaviour = { readyAfterMs: 100, exitsAfterMs: null, answers: 'ok' };
const request = { serviceName: SERVICE, timeoutMs: 900_000 };
let world: World;

const service = () => world.loop.services.get(SERVICE)!;
const started = () => service().operation?.started.map(({ pmId }) => pmId);

async function begin(instances: number): Promise<void> {
  const scaling = { ...policyOf(SERVICE).scaling, autoscale: false };
  const health = { ...policyOf(SERVICE).health, intervalMs: 1_000 };
  world = new World(1, [policyOf(SERVICE, { scaling, health })]);
  world.pm2.seed(SERVICE, instances);
  await world.startSupervisor();
  await world.clock.advance(5_000);
}

async function until(condition: () => boolean, withinMs = 300_000): Promise<void> {
  for (let waited = 0; !condition() && waited < withinMs; waited += 50) await world.clock.advance(50);
  expect(condition()).toBe(true);
}

afterEach(async () => {
  expect(world.rules.broken()).toEqual([]);
  await world.killSupervisor();
});

describe('a scale-up during which another instance fails', () => {
  it('does not count the replacement as its own', async () => {
    await begin(2);
    const [ill] = world.pm2.alive(SERVICE) as [Row];
    world.pm2.behave = () => ({ ...GOOD, readyAfterMs: 20_000 });
    const grown = world.ha.scale({ ...request, direction: 'up', targetInstances: 3 });
    await until(() => started()?.length === 1);
    world.pm2.setAnswers(ill, 'error');
    await until(() => world.pm2.starts === 2);
    await world.clock.advance(1_000);
    expect(started()).toHaveLength(1);
    expect(await Promise.race([grown, world.clock.advance(120_000)])).toMatchObject({ done: true });
  });

  it('leaves the place of that one in quarantine, and goes on', async () => {
    await begin(2);
    world.pm2.behave = () => ({ ...GOOD, readyAfterMs: 28_000 });
    const grown = world.ha.scale({ ...request, direction: 'up', targetInstances: 3 });
    await until(() => started()?.length === 1);
    const [ill] = world.pm2.alive(SERVICE) as [Row];
    world.pm2.behave = () => ({ ...GOOD, exitsAfterMs: 50 });
    world.pm2.setAnswers(ill, 'error');
    await until(() => world.eventsOf('instance.quarantined').length > 0);
    const { pmId } = (world.eventsOf('instance.quarantined')[0]!.data as { instance: { pmId: number } })
      .instance;
    await until(() => service().operation === null);
    expect(await grown).toMatchObject({ done: true, toInstances: 3 });
    expect(service().desired).toBe(3);
    expect(world.loop.failover.attemptsUsed(SERVICE, pmId)).toBe(3);
    expect(world.loop.failover.quarantine(SERVICE).kind).not.toBe('none');
  });
});

describe('a scale-down during which another instance is replaced', () => {
  it('names neither as its own', async () => {
    await begin(4);
    const [ill] = world.pm2.alive(SERVICE) as [Row];
    world.pm2.setAnswers(ill, 'error');
    await until(() => world.pm2.starts === 1);
    const shrunk = world.ha.scale({ ...request, direction: 'down', targetInstances: 3 });
    await world.clock.advance(60_000);
    const { started: begun, stopped } = await shrunk;
    expect(begun).toEqual([]);
    expect(stopped).toHaveLength(1);
    expect(stopped[0]).not.toMatchObject({ pmId: ill.pmId });
  });
});

it('what failed of a failover goes with it, also while all that it was to replace are ill and calls of PM2 come back late', async () => {
  await begin(2);
  const ill = world.pm2.alive(SERVICE);
  world.pm2.behave = () => ({ ...GOOD, exitsAfterMs: 70 });
  world.pm2.mutationLagMs = 5_000;
  const failed = world.ha.failover(request).catch((thrown: unknown) => thrown);
  for (const row of ill) world.pm2.setAnswers(row, 'error');
  await until(() => world.eventsOf('operation.failed').length > 0);
  const [, , started] = world.pm2.rows(SERVICE) as [Row, Row, Row];
  world.pm2.mutationLagMs = 0;
  await world.clock.advance(2_000);
  expect(await failed).toMatchObject({ code: 'operation.failed' });
  expect(world.pm2.rows(SERVICE)).not.toContain(started);
});

describe('a canary that crashed, and that PM2 has started again', () => {
  async function crashed(): Promise<{ canary: Row; deploy: Promise<unknown> }> {
    await begin(2);
    world.pm2.behave = () => ({ ...GOOD, exitsAfterMs: 1_000 });
    const deploy = world.ha.deploy(request).catch((thrown: unknown) => thrown);
    await until(() => world.pm2.rows(SERVICE).length === 3);
    const canary = world.pm2.rows(SERVICE)[2]!;
    await until(() => canary.restarts === 1);
    // From now on it would do well.
    world.pm2.behave = () => GOOD;
    canary.cancelExit();
    return { canary, deploy };
  }

  it.each(['at once', 'after a restart of the supervisor'])('goes, for that reason, %s', async (when) => {
    const { canary, deploy } = await crashed();
    const others = world.pm2.rows(SERVICE).filter((row) => row !== canary);
    if (when !== 'at once') {
      await world.killSupervisor();
      await world.startSupervisor();
    }
    await world.clock.advance(30_000);
    expect(world.pm2.rows(SERVICE)).toEqual(others);
    expect(world.eventsOf('instance.stopped').map(({ data }) => data)).toMatchObject([
      { instance: { pmId: canary.pmId }, why: 'the canary did not verify' },
    ]);
    if (when === 'at once') expect(await deploy).toMatchObject({ code: 'deploy.canary-failed' });
  });

  it('goes also while one of the others is missing', async () => {
    const { canary } = await crashed();
    const [other] = world.pm2.alive(SERVICE) as [Row];
    world.pm2.operatorDelete(other);
    await world.clock.advance(30_000);
    expect(world.pm2.rows(SERVICE)).not.toContain(canary);
    expect(service().serving()).toHaveLength(2);
  });
});
