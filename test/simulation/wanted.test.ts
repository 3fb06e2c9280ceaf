/** What is wanted of a service is what an operator or the autoscaler last said, whatever else happens to it. */
import { afterEach, describe, expect, it } from 'vitest';
import type { Behaviour, Row } from './fakePm2.js';
import { policyOf, World } from './world.js';

const SERVICE = 'api';
const GOOD: Behaviour = { readyAfterMs: 100, exitsAfterMs: null, answers: 'ok' };
let world: World;

afterEach(async () => {
  expect(world.rules.broken()).toEqual([]);
  await world.killSupervisor();
});

const service = () => world.loop.services.get(SERVICE)!;
const scaling = { ...policyOf(SERVICE).scaling, autoscale: false };
/** No trial comes in between. */
const failure = { ...policyOf(SERVICE).failure, restartCooldownMs: 3_600_000 };

/** `wanted` run, and the last `quarantined` of them are halted because they keep crashing. */
async function begin(wanted: number, quarantined: number): Promise<void> {
  world = new World(1, [policyOf(SERVICE, { scaling, failure })]);
  world.pm2.seed(SERVICE, wanted);
  await world.startSupervisor();
  await world.clock.advance(5_000);
  const doomed = world.pm2
    .alive(SERVICE)
    .slice(wanted - quarantined)
    .map(({ pmId }) => pmId);
  for (let crash = 0; crash < 5; crash++) {
    for (const row of world.pm2.alive(SERVICE).filter(({ pmId }) => doomed.includes(pmId))) {
      world.pm2.kill(row, { exitCode: 1, signal: null });
    }
    await world.clock.advance(1_500);
  }
  expect(world.loop.failover.holes(SERVICE)).toBe(quarantined);
}

async function offAndOn(meanwhile: () => void = () => undefined): Promise<void> {
  await world.ha.stop('test');
  await world.clock.advance(3_000);
  meanwhile();
  await world.clock.advance(3_000);
  await world.ha.start('test');
  await world.clock.advance(20_000);
}

describe('management switched off and on again', () => {
  it.each([
    [4, 2],
    [3, 2],
    [2, 1],
    [4, 0],
  ])('changes nothing where %i are wanted and %i are quarantined', async (wanted, quarantined) => {
    await begin(wanted, quarantined);
    for (let time = 0; time < 3; time++) {
      await offAndOn();
      expect(service().desired).toBe(wanted);
      expect(service().serving()).toHaveLength(wanted - quarantined);
    }
    await world.ha.resetFailure(SERVICE, 'test');
    await world.clock.advance(20_000);
    expect(service().serving()).toHaveLength(wanted);
  });

  it('in the middle of a replacement does not count the surplus one', async () => {
    await begin(2, 0);
    world.pm2.behave = () => ({ ...GOOD, readyAfterMs: 8_000 });
    world.pm2.setAnswers(world.pm2.alive(SERVICE)[0]!, 'error');
    while (world.pm2.alive(SERVICE).length < 3) await world.clock.advance(500);
    await offAndOn();
    expect(service().desired).toBe(2);
    expect(service().serving()).toHaveLength(2);
  });

  it.each<readonly [string, number, (rows: readonly Row[]) => void]>([
    ['one that was added', 3, () => world.pm2.operatorScaleUp(SERVICE)],
    ['one that was deleted', 1, ([row]) => world.pm2.operatorDelete(row!)],
  ])('takes over %s meanwhile', async (_name, desired, change) => {
    await begin(2, 0);
    await offAndOn(() => change(world.pm2.alive(SERVICE)));
    expect(service().desired).toBe(desired);
    expect(service().serving()).toHaveLength(desired);
  });
});

describe('new bounds while something is quarantined', () => {
  it('hold at once, and the empty places go first', async () => {
    await begin(4, 2);
    world.loop.reconfigure([policyOf(SERVICE, { failure, scaling: { ...scaling, maxInstances: 3 } })]);
    await world.clock.advance(10_000);
    expect(service().desired).toBe(3);
    expect(service().serving()).toHaveLength(2);
    world.loop.reconfigure([policyOf(SERVICE, { failure, scaling: { ...scaling, maxInstances: 2 } })]);
    await world.clock.advance(10_000);
    expect(service().desired).toBe(2);
    expect(service().serving()).toHaveLength(2);
    world.loop.reconfigure([policyOf(SERVICE, { failure, scaling: { ...scaling, minInstances: 3 } })]);
    await world.clock.advance(10_000);
    expect(service().desired).toBe(3);
    expect(service().serving()).toHaveLength(3);
  });

  it('hold over a restart of the supervisor, too', async () => {
    await begin(4, 2);
    await world.killSupervisor();
    (world.policies as unknown[])[0] = policyOf(SERVICE, {
      failure,
      scaling: { ...scaling, maxInstances: 3 },
    });
    await world.startSupervisor();
    await world.clock.advance(20_000);
    expect(service().desired).toBe(3);
    expect(service().serving()).toHaveLength(2);
  });
});

describe('instances that leak while the build on disk is bad', () => {
  it('go on serving, all of them: what failed to replace one lowers nothing', async () => {
    await begin(4, 0);
    const before = world.pm2.alive(SERVICE).map(({ pid }) => pid);
    world.pm2.behave = () => ({ ...GOOD, exitsAfterMs: 40 });
    world.loop.reconfigure([policyOf(SERVICE, { scaling, memoryLimitBytes: 62e6 })]);
    await world.clock.advance(600_000);
    expect(world.pm2.starts).toBeGreaterThan(0);
    expect(world.pm2.alive(SERVICE).map(({ pid }) => pid)).toEqual(expect.arrayContaining(before));
    expect(service().desired).toBe(4);
    expect(service().serving().length).toBeGreaterThanOrEqual(4);
  });
});
