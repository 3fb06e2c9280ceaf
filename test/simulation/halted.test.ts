/** What Holdfast stopped is started again some day, and what an operator stopped is not: whatever comes in between. */
import { afterEach, describe, expect, it } from 'vitest';
import type { ServicePolicy } from '../../backend/src/domain/policy.js';
import type { Behaviour, Row } from './fakePm2.js';
import { policyOf, World } from './world.js';

const SERVICE = 'api';
const GOOD: Behaviour = { readyAfterMs: 100, exitsAfterMs: null, answers: 'ok' };
const CRASHES: Behaviour = { ...GOOD, exitsAfterMs: 300 };
let world: World;

const service = () => world.loop.services.get(SERVICE)!;
const isQuarantined = (): boolean => world.loop.failover.quarantine(SERVICE).kind === 'quarantined';

afterEach(async () => {
  expect(world.rules.broken()).toEqual([]);
  await world.killSupervisor();
});

/** `wanted` run, and then all that crash are halted; what is started later is good. */
async function begin(
  wanted: number,
  crashing: number = wanted,
  changes: Partial<ServicePolicy> = {},
): Promise<void> {
  const scaling = { ...policyOf(SERVICE).scaling, maxInstances: wanted, autoscale: false };
  world = new World(1, [policyOf(SERVICE, { scaling, ...changes })]);
  world.pm2.seed(SERVICE, wanted);
  await world.startSupervisor();
  await world.clock.advance(5_000);
  world.pm2.behave = () => CRASHES;
  for (const row of world.pm2.alive(SERVICE).slice(0, crashing)) {
    world.pm2.kill(row, { exitCode: 1, signal: null });
  }
  for (let waited = 0; waited < 30_000 && world.loop.failover.holes(SERVICE) < crashing; waited += 100) {
    await world.clock.advance(100);
  }
  await world.clock.advance(500);
  expect(world.loop.failover.holes(SERVICE)).toBe(crashing);
  expect(world.pm2.alive(SERVICE)).toHaveLength(wanted - crashing);
  world.pm2.behave = () => GOOD;
}

async function restartSupervisor(): Promise<void> {
  await world.killSupervisor();
  await world.clock.advance(300);
  await world.startSupervisor();
}

/** The machine is started anew, and PM2 brings back the list that was saved. */
async function reboot(saved: readonly Row[], stepMs = 0): Promise<void> {
  await world.killSupervisor();
  world.pm2.killDaemon();
  void world.pm2.ensureDaemon();
  await world.clock.advance(400);
  for (const [i, row] of saved.entries()) {
    world.pm2.resurrect(row);
    if (i === 0) await world.startSupervisor();
    await world.clock.advance(stepMs);
  }
}

const saved = (): readonly Row[] => world.pm2.rows(SERVICE).map((row) => ({ ...row }));

async function expectWhole(wanted: number): Promise<void> {
  await world.clock.advance(1_200_000);
  expect(service().view().reason).toBe('nothing to do');
  expect(service().state()).toBe('healthy');
  expect(service().serving()).toHaveLength(wanted);
  expect(world.pm2.rows(SERVICE)).toHaveLength(wanted);
}

describe.each([1, 2])('%i wanted, and all are halted', (wanted) => {
  const paths: readonly (readonly [string, () => Promise<void>])[] = [
    ['the supervisor is restarted', restartSupervisor],
    [
      'management is switched off, the failures are reset, the supervisor is restarted, management is switched on',
      async () => {
        await world.ha.stop('test');
        await world.ha.resetFailure(SERVICE, 'test');
        await world.clock.advance(5_000);
        await restartSupervisor();
        await world.clock.advance(5_000);
        await world.ha.start('test');
      },
    ],
    ...[0, 100, 1_000, 1_400].map(
      (afterMs) =>
        [
          `the failures are reset, and the supervisor is killed ${afterMs} ms later`,
          async () => {
            await world.ha.resetFailure(SERVICE, 'test');
            await world.clock.advance(afterMs);
            await restartSupervisor();
          },
        ] as const,
    ),
    [
      'the failures are reset twice, with a restart of the supervisor in between, while management is off',
      async () => {
        await world.ha.stop('test');
        await restartSupervisor();
        await world.ha.resetFailure(SERVICE, 'test');
        await restartSupervisor();
        await world.ha.resetFailure(SERVICE, 'test');
        await world.ha.start('test');
      },
    ],
    ['the machine is rebooted, with a list that PM2 saved meanwhile', () => reboot(saved())],
    ['the machine is rebooted, and PM2 takes its time', () => reboot(saved(), 1_500)],
    [
      'the failures are reset, and the machine is rebooted at once',
      async () => {
        const list = saved();
        await world.ha.resetFailure(SERVICE, 'test');
        await reboot(list);
      },
    ],
    [
      'the machine is rebooted twice',
      async () => {
        await reboot(saved());
        await world.clock.advance(600);
        await reboot(saved());
      },
    ],
    [
      'the machine is rebooted, with a list that PM2 saved before',
      () => reboot(saved().map((row) => ({ ...row, status: 'online' as const }))),
    ],
  ];

  it.each(paths)('%s: all come back', async (_name, happens) => {
    await begin(wanted);
    await happens();
    await expectWhole(wanted);
  });
});

describe('one of two is halted', () => {
  it('and a reboot with a list saved before starts both again: none is stopped for that', async () => {
    await begin(2, 1);
    await reboot(saved().map((row) => ({ ...row, status: 'online' as const })));
    for (let waited = 0; waited < 60_000; waited += 500) {
      await world.clock.advance(500);
      expect(world.pm2.alive(SERVICE)).toHaveLength(2);
    }
    await expectWhole(2);
  });

  it('and that one crashes again after such a reboot: its budget is spent still', async () => {
    await begin(2, 1);
    await reboot(saved().map((row) => ({ ...row, status: 'online' as const })));
    await world.clock.advance(5_000);
    expect(isQuarantined()).toBe(false);
    const again = world.pm2.alive(SERVICE).find(({ port }) => port === 13_004);
    world.pm2.kill(again!, { exitCode: 1, signal: null });
    await world.clock.advance(2_000);
    expect(isQuarantined()).toBe(true);
    await expectWhole(2);
  });

  it('and an operator stops the service: it stays stopped, over a restart and a reset, until it is started', async () => {
    await begin(2, 1);
    world.pm2.operatorStop(SERVICE);
    await world.clock.advance(5_000);
    expect(service().state()).toBe('stopped');
    await restartSupervisor();
    await world.ha.resetFailure(SERVICE, 'test');
    await world.clock.advance(300_000);
    expect(world.pm2.alive(SERVICE)).toEqual([]);
    expect(service().state()).toBe('stopped');
    world.pm2.operatorStart(SERVICE);
    await expectWhole(2);
  });
});

it('what an operator stopped before a reboot stays stopped', async () => {
  world = new World(1, [policyOf(SERVICE)]);
  world.pm2.seed(SERVICE, 2);
  await world.startSupervisor();
  await world.clock.advance(5_000);
  world.pm2.operatorStop(SERVICE);
  await world.clock.advance(5_000);
  await reboot(saved());
  await world.clock.advance(300_000);
  expect(world.pm2.alive(SERVICE)).toEqual([]);
  expect(service().state()).toBe('stopped');
});

it('what an operator had stopped starts one after the other: nothing of it is taken away or added meanwhile', async () => {
  world = new World(1, [policyOf(SERVICE)]);
  world.pm2.seed(SERVICE, 3);
  await world.startSupervisor();
  await world.clock.advance(10_000);
  world.pm2.operatorStop(SERVICE);
  await world.clock.advance(10_000);
  expect(service().view().state).toBe('stopped');
  world.pm2.operatorStartSlowly(SERVICE, 700);
  await world.clock.advance(20_000);
  expect(world.pm2.alive(SERVICE).map(({ pmId }) => pmId)).toEqual([0, 1, 2]);
  expect(world.pm2.starts).toBe(0);
});
