/** What was withdrawn from traffic is needed again when what was to serve instead of it fails before it has stopped. */
import { afterEach, describe, expect, it } from 'vitest';
import type { ServicePolicy } from '../../backend/src/domain/policy.js';
import { BusyGateway } from './busyGateway.js';
import type { Behaviour, Row } from './fakePm2.js';
import { policyOf, World } from './world.js';

const SERVICE = 'api';
const GOOD: Behaviour = { readyAfterMs: 100, exitsAfterMs: null, answers: 'ok' };
let world: World;
let gateway: BusyGateway;

const service = () => world.loop.services.get(SERVICE)!;
const isDraining = (): boolean => service().processes.some((one) => service().isDraining(one));
const draining = (): Row =>
  world.pm2
    .alive(SERVICE)
    .find(({ pmId, startedAtMs }) => service().isDraining({ service: SERVICE, pmId, startedAtMs }))!;
const others = (row: Row): readonly Row[] => world.pm2.alive(SERVICE).filter((one) => one !== row);

async function begin(instances: number, changes: Partial<ServicePolicy> = {}): Promise<void> {
  const scaling = { ...policyOf(SERVICE).scaling, maxInstances: instances, autoscale: false };
  world = new World(1, [policyOf(SERVICE, { scaling, ...changes })]);
  world.pm2.seed(SERVICE, instances);
  await world.startSupervisor();
  await world.clock.advance(5_000);
  gateway = new BusyGateway(world);
}

async function until(condition: () => boolean, withinMs = 120_000): Promise<void> {
  for (let waited = 0; !condition() && waited < withinMs; waited += 50) await world.clock.advance(50);
  expect(condition()).toBe(true);
}

/** For how long nothing would answer a request, over that time. */
async function outageMs(durationMs: number): Promise<number> {
  let outage = 0;
  for (let waited = 0; waited < durationMs; waited += 50) {
    await world.clock.advance(50);
    const answers = service()
      .serving()
      .some(({ pmId }) => world.pm2.rows(SERVICE).some((row) => row.pmId === pmId && world.pm2.serves(row)));
    if (!answers) outage += 50;
  }
  return outage;
}

afterEach(async () => {
  gateway.close();
  expect(world.rules.broken()).toEqual([]);
  await world.killSupervisor();
});

const failures: readonly (readonly [string, (row: Row) => void, number])[] = [
  ['hangs', (row) => world.pm2.setAnswers(row, 'never'), 8_500],
  ['answers 500', (row) => world.pm2.setAnswers(row, 'error'), 3_500],
  ['crashes and does not come back', (row) => die(row), 300],
];

function die(row: Row): void {
  world.pm2.behave = () => ({ ...GOOD, readyAfterMs: 1e9 });
  world.pm2.kill(row, { exitCode: 1, signal: null });
}

/** Probed every second, so that it is noticed while the other one still drains. */
const health = { ...policyOf(SERVICE).health, intervalMs: 1_000, timeoutMs: 2_000 };

describe.each(failures)('while one drains, what serves instead %s', (_name, fail, noticedMs) => {
  it('after a scale-down to one: the one that drains stays, and the other one goes', async () => {
    await begin(2, { health });
    const shrink = world.ha.scale({ direction: 'down', targetInstances: 1, timeoutMs: 300_000 });
    await until(isDraining);
    const kept = draining();
    const [failed] = others(kept);
    fail(failed!);
    expect(await outageMs(60_000)).toBeLessThanOrEqual(noticedMs);
    expect(world.pm2.alive(SERVICE)).toEqual([kept]);
    expect(await shrink).toMatchObject({ done: true, toInstances: 1 });
    expect(service().desired).toBe(1);
  });

  it('after a scale-down to two: two go on serving', async () => {
    await begin(3, { health });
    const shrink = world.ha.scale({ direction: 'down', targetInstances: 2, timeoutMs: 300_000 });
    await until(isDraining);
    const kept = draining();
    fail(others(kept)[0]!);
    await world.clock.advance(noticedMs + 100);
    expect(service().serving()).toHaveLength(2);
    await world.clock.advance(60_000);
    expect(world.pm2.alive(SERVICE)).toContain(kept);
    expect(await shrink).toMatchObject({ done: true });
  });

  it('in a deploy with one wanted: the old one stays', async () => {
    await begin(1, { health });
    const [old] = world.pm2.alive(SERVICE);
    const deploy = world.ha.deploy({ serviceName: SERVICE, timeoutMs: 600_000 }).catch(() => undefined);
    await until(isDraining);
    expect(draining()).toBe(old);
    fail(others(old!)[0]!);
    expect(await outageMs(60_000)).toBeLessThanOrEqual(noticedMs);
    expect(service().serving().length).toBeGreaterThanOrEqual(1);
    world.pm2.behave = () => GOOD;
    for (const row of others(old!)) world.pm2.setAnswers(row, 'ok');
    await world.clock.advance(300_000);
    await deploy;
    expect(service().operation).toBeNull();
    expect(service().serving()).toHaveLength(1);
  });

  it('in a recycling with one wanted: the one that leaks stays until the next one serves', async () => {
    await begin(1, { health });
    const [leaking] = world.pm2.alive(SERVICE);
    world.loop.reconfigure([{ ...world.policies[0]!, memoryLimitBytes: 62e6 }]);
    await until(isDraining);
    fail(others(leaking!)[0]!);
    // What takes its place is good again.
    await world.clock.advance(1_000);
    world.pm2.behave = () => GOOD;
    expect(await outageMs(60_000)).toBeLessThanOrEqual(noticedMs);
    expect(service().serving()).toHaveLength(1);
  });
});

it('tells that it stays, and why', async () => {
  await begin(2, { health });
  void world.ha.scale({ direction: 'down', targetInstances: 1, timeoutMs: 300_000 });
  await until(isDraining);
  const kept = draining();
  world.pm2.setAnswers(others(kept)[0]!, 'error');
  await world.clock.advance(20_000);
  expect(world.eventsOf('instance.restored').map(({ data }) => data)).toMatchObject([
    { instance: { pmId: kept.pmId }, why: `0 of 1 serve, so pm ${kept.pmId} stays` },
  ]);
});

it('when the one that drains does not answer either, a new one is started without waiting for its end', async () => {
  await begin(2, { health });
  void world.ha.scale({ direction: 'down', targetInstances: 1, timeoutMs: 300_000 });
  await until(isDraining);
  const leaves = draining();
  for (const row of world.pm2.alive(SERVICE)) world.pm2.setAnswers(row, 'error');
  await until(() => world.pm2.starts === 1, 6_000);
  expect(world.pm2.alive(SERVICE)).toContain(leaves);
  await world.clock.advance(60_000);
  expect(service().serving()).toHaveLength(1);
  expect(world.pm2.rows(SERVICE)).toHaveLength(1);
});
