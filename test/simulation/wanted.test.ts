/** What is wanted of a service is what an operator or the autoscaler last said, whatever else happens to it. */
import { afterEach, describe, expect, it } from 'vitest';
import type { ServicePolicy } from '../../backend/src/domain/policy.js';
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

it('what has failed while management was off is wanted, also where its end is not judged yet', async () => {
  await begin(3, 0);
  await world.ha.stop('test');
  world.pm2.eventLoss = 1;
  const [dying] = world.pm2.alive(SERVICE) as [Row];
  dying.behaviour = { ...GOOD, staysDown: true };
  world.pm2.kill(dying, { exitCode: 1, signal: null });
  while (service().find(dying.pmId)?.status !== 'errored') await world.clock.advance(10);
  expect(world.eventsOf('instance.exited')).toEqual([]);
  await world.ha.start('test');
  await world.clock.advance(20_000);
  expect(service().desired).toBe(3);
  expect(service().serving()).toHaveLength(3);
});

describe('while management is off', () => {
  it.each<readonly [string, number, () => Promise<unknown>]>([
    ['a scale-up by the API', 3, () => scaleTo('up', 3)],
    [
      'a scale-down by the API, after a scale-up',
      2,
      async () => {
        await world.ha.start('test');
        await scaleTo('up', 4);
        await world.ha.stop('test');
        await scaleTo('down', 2);
      },
    ],
    [
      'a failover, which gives every instance another number',
      2,
      () => ended(world.ha.failover({ serviceName: SERVICE, timeoutMs: 60_000 })),
    ],
    [
      'a scale-up that began before',
      3,
      async () => {
        await world.ha.start('test');
        world.pm2.behave = () => ({ ...GOOD, readyAfterMs: 5_000 });
        const scaled = scaleTo('up', 3);
        await world.clock.advance(200);
        await world.ha.stop('test');
        await scaled;
      },
    ],
    [
      'a release, one taken away through PM2, and an adoption',
      1,
      async () => {
        await world.ha.release(SERVICE, 'test');
        world.pm2.operatorDelete(world.pm2.alive(SERVICE)[0]!);
        await world.clock.advance(5_000);
        await world.ha.adopt(SERVICE, 'test');
      },
    ],
    ['`pm2 stop` of the whole service', 2, () => Promise.resolve(world.pm2.operatorStop(SERVICE))],
    [
      'a crash that PM2 gives up, and a restart by an operator',
      2,
      async () => {
        world.pm2.behave = () => ({ ...GOOD, staysDown: true });
        const [row] = world.pm2.alive(SERVICE);
        row!.behaviour = { ...GOOD, staysDown: true };
        world.pm2.kill(row!, { exitCode: 1, signal: null });
        await world.clock.advance(3_000);
        await world.ha.start('test');
        await world.ha.stop('test');
        row!.status = 'stopped';
        world.pm2.operatorStart(SERVICE);
      },
    ],
  ])('%s is counted once: %i are wanted when it is switched on', async (_name, desired, happens) => {
    await begin(2, 0);
    await world.ha.stop('test');
    await happens();
    await world.clock.advance(5_000);
    await world.ha.start('test');
    await world.clock.advance(5_000);
    world.pm2.operatorStart(SERVICE);
    await world.clock.advance(20_000);
    expect(service().desired).toBe(desired);
    expect(service().serving()).toHaveLength(desired);
  });

  it('a quarantined instance that an operator starts again has spent its budget still', async () => {
    await begin(2, 1);
    await offAndOn(() => world.pm2.operatorStart(SERVICE));
    expect(world.loop.failover.holes(SERVICE)).toBe(0);
    expect(service().serving()).toHaveLength(2);
    world.pm2.kill(world.pm2.alive(SERVICE)[1]!, { exitCode: 1, signal: null });
    await world.clock.advance(2_000);
    expect(world.loop.failover.holes(SERVICE)).toBe(1);
  });
});

/** Lets time pass until that call has been answered. */
async function ended<T>(call: Promise<T>): Promise<T> {
  let isOver = false;
  void call.finally(() => (isOver = true)).catch(() => undefined);
  for (let waited = 0; !isOver && waited < 60_000; waited += 250) await world.clock.advance(250);
  return call;
}

const scaleTo = (direction: 'up' | 'down', targetInstances: number): Promise<unknown> =>
  ended(world.ha.scale({ direction, targetInstances, serviceName: SERVICE, timeoutMs: 60_000 }));

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

describe('more than the maximum run when Holdfast first looks', () => {
  const { isMaximumSet: _set, ...byDefault } = scaling;

  async function first(bounds: ServicePolicy['scaling']): Promise<void> {
    world = new World(1, [policyOf(SERVICE, { scaling: bounds })]);
    world.pm2.seed(SERVICE, 6);
    await world.startSupervisor();
  }

  it('the default maximum makes room for them, also after a restart of the supervisor', async () => {
    await first(byDefault);
    const before = world.pm2.alive(SERVICE).map(({ pid }) => pid);
    const isAsItWas = (): void => {
      expect(world.pm2.alive(SERVICE).map(({ pid }) => pid)).toEqual(before);
      expect(service().view()).toMatchObject({ desired: 6, serving: 6, max: 6 });
    };
    await world.clock.advance(60_000);
    isAsItWas();
    await world.killSupervisor();
    await world.startSupervisor();
    await world.clock.advance(60_000);
    isAsItWas();
    expect(world.eventsOf('service.scaled')).toEqual([]);
    // What is set afterwards holds.
    world.loop.reconfigure([policyOf(SERVICE, { scaling: { ...scaling, maxInstances: 5 } })]);
    await world.clock.advance(20_000);
    expect(service().view()).toMatchObject({ desired: 5, serving: 5, max: 5 });
  });

  it('a maximum that was set holds, and it is told which and why before any is stopped', async () => {
    await first({ ...scaling, maxInstances: 5, boundsWarning: 'The file says 6.' });
    await world.clock.advance(30_000);
    expect(service().view()).toMatchObject({ desired: 5, serving: 5, warnings: ['The file says 6.'] });
    const types = world.history.events.map(({ type }) => type);
    expect(types.indexOf('service.scaled')).toBeLessThan(types.indexOf('instance.stopped'));
    expect(world.eventsOf('service.scaled').map(({ data }) => data)).toMatchObject([
      { from: 6, to: 5, reason: 'the configuration allows at most 5 instances (maxInstances)' },
    ]);
  });

  it('taken back after they were released, they are what is wanted', async () => {
    await first({ ...byDefault, maxInstances: 6 });
    await world.clock.advance(5_000);
    await world.ha.release(SERVICE, 'test');
    world.pm2.operatorScaleUp(SERVICE);
    await world.clock.advance(5_000);
    await world.ha.adopt(SERVICE, 'test');
    await world.clock.advance(30_000);
    expect(service().view()).toMatchObject({ desired: 7, serving: 7, max: 7 });
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
