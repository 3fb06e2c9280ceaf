/** A failure is charged once, and what was charged stays with its place, whatever comes and goes there. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Behaviour, Row } from './fakePm2.js';
import { policyOf, World } from './world.js';

const SERVICE = 'api';
const GOOD: Behaviour = { readyAfterMs: 100, exitsAfterMs: null, answers: 'ok' };
let world: World;

async function begin(): Promise<void> {
  const scaling = { ...policyOf(SERVICE).scaling, maxInstances: 2, autoscale: false };
  const health = { ...policyOf(SERVICE).health, intervalMs: 1_000 };
  world = new World(1, [policyOf(SERVICE, { scaling, health })]);
  world.pm2.seed(SERVICE, 2);
  await world.startSupervisor();
  await world.clock.advance(5_000);
}

afterEach(async () => {
  expect(world.rules.broken()).toEqual([]);
  await world.killSupervisor();
});

const first = (): Row => world.pm2.alive(SERVICE)[0]!;
const used = (): number => world.loop.failover.attemptsUsed(SERVICE);

describe.each(['error', 'never'] as const)(
  'an instance that answers "%s" for a while, again and again',
  (answers) => {
    it('and is well again before its replacement is ready: it ends in quarantine all the same', async () => {
      await begin();
      world.pm2.behave = () => ({ ...GOOD, readyAfterMs: 6_000 });
      const ill = first();
      for (let time = 0; time < 6 && world.loop.failover.quarantine(SERVICE).kind === 'none'; time++) {
        world.pm2.setAnswers(ill, answers);
        while (world.pm2.alive(SERVICE).length < 3 && world.clock.nowMs() < 600_000) {
          await world.clock.advance(250);
          if (world.loop.failover.quarantine(SERVICE).kind !== 'none') break;
        }
        world.pm2.setAnswers(ill, 'ok');
        await world.clock.advance(30_000);
      }
      expect(world.eventsOf('service.quarantined')).toHaveLength(1);
      expect(world.pm2.starts).toBeLessThanOrEqual(4);
    });
  },
);

it('one that is ill when the supervisor is restarted is not charged for the same again', async () => {
  await begin();
  // What is started does not come up in time to replace it.
  world.pm2.behave = () => ({ ...GOOD, readyAfterMs: 20_000 });
  world.pm2.setAnswers(first(), 'error');
  await world.clock.advance(6_000);
  expect(used()).toBe(1);
  for (let life = 0; life < 4; life++) {
    await world.killSupervisor();
    await world.startSupervisor();
    await world.clock.advance(2_000);
    expect(used()).toBe(1);
  }
});

it('… nor is it one more failure in the figures, and its recovery counts from the first', async () => {
  await begin();
  world.pm2.behave = () => ({ ...GOOD, readyAfterMs: 20_000 });
  world.pm2.setAnswers(first(), 'error');
  await world.clock.advance(6_000);
  await world.killSupervisor();
  await world.startSupervisor();
  await world.clock.advance(60_000);
  const { failures, recoveries, mttrMs } = world.loop.availability.figures(SERVICE);
  expect({ failures, recoveries }).toEqual({ failures: 1, recoveries: 1 });
  expect(mttrMs).toBeGreaterThan(20_000);
});

it('one that was stopped from outside, which costs nothing, and then crashes is charged for that', async () => {
  await begin();
  const key = world.loop.services.get(SERVICE)!.processes[0]!;
  const { service, pmId, startedAtMs } = key;
  world.pm2.behave = () => ({ ...GOOD, readyAfterMs: 20_000 });
  world.loop.health.condemn(`${service}#${pmId}@${startedAtMs}`, {
    cause: 'stopped',
    detail: 'SIGSTOP',
    held: true,
  });
  await world.clock.advance(500);
  expect(used()).toBe(0);
  world.pm2.kill(first(), { exitCode: 1, signal: null });
  await world.clock.advance(500);
  expect(used()).toBe(1);
});

it('one whose end is known is not judged by a list that was asked for before', async () => {
  await begin();
  const dying = first();
  dying.behaviour = { ...GOOD, staysDown: true };
  const list = world.pm2.list.bind(world.pm2);
  world.pm2.list = async () => {
    const rows = await list();
    if (dying.status === 'online') world.pm2.kill(dying, { exitCode: 1, signal: null });
    else await world.clock.sleep(500);
    return rows;
  };
  await world.clock.advance(5_000);
  expect(world.eventsOf('instance.exited')).toHaveLength(1);
  expect(world.eventsOf('instance.unfit')).toEqual([]);
  expect(used()).toBe(1);
});

describe('what is charged to a place that two instances share', () => {
  beforeEach(async () => {
    await begin();
    world.pm2.behave = () => ({ ...GOOD, readyAfterMs: 20_000 });
  });

  it('stays with the one before when its replacement is on trial, and an operator deletes that', async () => {
    world.pm2.behave = () => ({ ...GOOD, exitsAfterMs: 3_000, readyAfterMs: 20_000 });
    world.pm2.setAnswers(first(), 'error');
    while (world.loop.failover.quarantine(SERVICE).kind !== 'trial') await world.clock.advance(500);
    const onTrial = world.pm2.alive(SERVICE).at(-1)!;
    world.pm2.operatorDelete(onTrial);
    await world.clock.advance(2_000);
    expect(world.loop.failover.quarantine(SERVICE).kind).toBe('none');
    expect(used()).toBe(3);
  });

  it('stays when fewer are wanted before it was halted', async () => {
    world.pm2.behave = () => ({ ...GOOD, exitsAfterMs: 50 });
    await world.ha.stop('test');
    world.pm2.kill(first(), { exitCode: 1, signal: null });
    while (world.loop.failover.holes(SERVICE) === 0) await world.clock.advance(20);
    const crashing = world.pm2.alive(SERVICE)[0]!.pmId;
    void world.ha.scale({ direction: 'down', targetInstances: 1, timeoutMs: 60_000 }).catch(() => undefined);
    await world.clock.advance(5);
    expect(world.loop.failover.attemptsUsed(SERVICE, crashing)).toBe(3);
  });
});

describe('a place whose instance and its replacement both spend the budget', () => {
  beforeEach(async () => {
    const scaling = { ...policyOf(SERVICE).scaling, maxInstances: 3, autoscale: false };
    world = new World(1, [policyOf(SERVICE, { scaling })]);
    world.pm2.seed(SERVICE, 3);
    await world.startSupervisor();
    await world.clock.advance(5_000);
    const ill = first();
    world.pm2.behave = () => ({ ...GOOD, exitsAfterMs: 50 });
    world.pm2.setAnswers(ill, 'error');
    const { failover } = world.loop;
    while (failover.quarantine(SERVICE).kind === 'none') await world.clock.advance(100);
    world.pm2.kill(ill, { exitCode: 1, signal: null });
    while (failover.quarantinedSlot(SERVICE, ill.pmId) === null) await world.clock.advance(100);
    await world.clock.advance(3_000);
    world.pm2.behave = () => GOOD;
  });

  it('is one empty place: no other one is taken away for it, and what goes elsewhere is replaced', async () => {
    const others = world.pm2.alive(SERVICE);
    expect(others).toHaveLength(2);
    expect(world.loop.failover.holes(SERVICE)).toBe(1);
    await world.clock.advance(20_000);
    expect(world.pm2.alive(SERVICE)).toEqual(others);
    world.pm2.operatorDelete(others[0]!);
    await world.clock.advance(5_000);
    expect(world.pm2.alive(SERVICE)).toHaveLength(2);
  });

  it('goes with what was there when fewer are wanted', async () => {
    const others = world.pm2.alive(SERVICE);
    void world.ha.scale({ direction: 'down', targetInstances: 2, timeoutMs: 60_000 }).catch(() => undefined);
    await world.clock.advance(10_000);
    expect(world.loop.failover.quarantine(SERVICE).kind).toBe('none');
    expect(world.pm2.rows(SERVICE)).toEqual(others);
  });

  it('is filled by the trial', async () => {
    await world.clock.advance(300_000);
    expect(world.loop.services.get(SERVICE)!.view()).toMatchObject({ state: 'healthy', serving: 3 });
    expect(world.pm2.rows(SERVICE)).toHaveLength(3);
  });
});

it('one that is kept because its replacement spent the budget, and leaves when fewer are wanted, takes no other one along', async () => {
  const scaling = { ...policyOf(SERVICE).scaling, maxInstances: 3, autoscale: false };
  world = new World(1, [policyOf(SERVICE, { scaling })]);
  world.pm2.seed(SERVICE, 3);
  await world.startSupervisor();
  await world.clock.advance(5_000);
  const [ill, ...others] = world.pm2.alive(SERVICE);
  world.pm2.behave = () => ({ ...GOOD, exitsAfterMs: 50 });
  world.pm2.setAnswers(ill!, 'error');
  while (world.loop.failover.quarantine(SERVICE).kind === 'none') await world.clock.advance(100);
  await world.clock.advance(1_000);
  void world.ha.scale({ direction: 'down', targetInstances: 2, timeoutMs: 60_000 }).catch(() => undefined);
  await world.clock.advance(20_000);
  expect(world.pm2.alive(SERVICE)).toEqual(others);
});

it('one that is stopped for a moment has its place again, though its replacement has spent the budget', async () => {
  await begin();
  const both = world.pm2.alive(SERVICE);
  const [ill] = both;
  world.pm2.behave = () => ({ ...GOOD, exitsAfterMs: 50 });
  world.pm2.setAnswers(ill!, 'error');
  while (world.loop.failover.quarantine(SERVICE).kind === 'none') await world.clock.advance(100);
  await world.clock.advance(1_000);
  world.pm2.operatorStopSlowly(ill!, 1);
  await world.clock.advance(1_100);
  expect(world.loop.failover.holes(SERVICE)).toBe(1);
  world.pm2.behave = () => GOOD;
  world.pm2.operatorRestart(ill!);
  await world.clock.advance(5_000);
  expect(world.loop.failover.holes(SERVICE)).toBe(0);
  expect(world.pm2.alive(SERVICE)).toEqual(both);
});

describe('a replacement that fails before its start has come back', () => {
  /** Both instances of the service have failed: the first twice, the second once. */
  async function begun(fails: () => void): Promise<{ readonly gone: Row; readonly replaced: Row }> {
    await begin();
    const [gone, replaced] = world.pm2.alive(SERVICE) as [Row, Row];
    for (let time = 0; time < 2; time++) {
      world.pm2.kill(gone, { exitCode: 1, signal: null });
      await world.clock.advance(3_000);
    }
    const start = world.pm2.startInstance.bind(world.pm2);
    world.pm2.startInstance = (name, replaces) => {
      if (replaces?.pmId === replaced.pmId) fails();
      return start(name, replaces);
    };
    world.pm2.setAnswers(replaced, 'error');
    return { gone, replaced };
  }

  it('while another place becomes empty: each place keeps what was charged to it', async () => {
    let crashes = 0;
    const { gone } = await begun(() => {
      world.pm2.operatorDelete(gone);
      world.loop.observer.poke();
      world.pm2.mutationLagMs = 100;
      crashes = 2; // asked for twice at a start
    });
    // PM2 starts it again, and then it stays up.
    world.pm2.behave = () => (crashes-- > 0 ? { ...GOOD, exitsAfterMs: 1 } : GOOD);
    await world.clock.advance(20_000);
    const [replacement, filler] = world.pm2.alive(SERVICE);
    expect(world.pm2.starts).toBe(2);
    expect(world.loop.failover.attemptsUsed(SERVICE, replacement!.pmId)).toBe(2);
    expect(world.loop.failover.attemptsUsed(SERVICE, filler!.pmId)).toBe(2);
  });

  it.each([0, 30, 130])(
    'and the supervisor is killed %i ms after it began: the place keeps it',
    async (afterMs) => {
      let killed = false;
      const { replaced } = await begun(() => void (killed = true));
      world.pm2.behave = () => ({ ...GOOD, readyAfterMs: 3_000 });
      while (!killed) await world.clock.advance(5);
      await world.clock.advance(afterMs);
      await world.killSupervisor();
      await world.clock.advance(500);
      await world.startSupervisor();
      await world.clock.advance(30_000);
      const alive = world.pm2.alive(SERVICE);
      expect(alive).toHaveLength(2);
      expect(alive).not.toContain(replaced);
      const used = alive.map(({ pmId }) => world.loop.failover.attemptsUsed(SERVICE, pmId));
      expect(used.toSorted()).toEqual([1, 2]);
    },
  );
});

/** `row` is taken out of its place, for reasons that are no fault of its own, before it has survived its trial. */
const outOfItsPlace: readonly (readonly [string, (row: Row) => Promise<void>])[] = [
  [
    'stopped by a signal',
    ({ service, pmId, startedAtMs }) => {
      const key = `${service}#${pmId}@${startedAtMs}`;
      world.loop.health.condemn(key, { cause: 'stopped', detail: 'SIGSTOP', held: true });
      return world.clock.advance(5_000);
    },
  ],
  [
    'recycled',
    ({ service, pmId, startedAtMs }) => {
      const supervised = world.loop.services.get(SERVICE)!;
      supervised.leaving.recycle({ service, pmId, startedAtMs }, 'its memory nears the limit');
      return world.clock.advance(5_000);
    },
  ],
];

it.each(outOfItsPlace)('one on trial that is %s leaves the trial to what replaces it', async (_how, take) => {
  await begin();
  world.pm2.behave = () => ({ ...GOOD, exitsAfterMs: 10_000 });
  world.pm2.kill(first(), { exitCode: 1, signal: null });
  while (world.loop.failover.quarantine(SERVICE).kind !== 'trial') await world.clock.advance(500);
  await world.clock.advance(1_000);
  const { pmId: number } = world.loop.failover.quarantine(SERVICE) as { pmId: number };
  const onTrial = world.pm2.alive(SERVICE).find(({ pmId }) => pmId === number)!;
  world.pm2.behave = () => GOOD;
  onTrial.cancelExit();
  await take(onTrial);
  expect(world.pm2.alive(SERVICE)).not.toContain(onTrial);
  const heir = world.pm2.alive(SERVICE).at(-1)!;
  expect(world.loop.failover.quarantine(SERVICE)).toMatchObject({ kind: 'trial', pmId: heir.pmId });
  // It has to survive twice as long as what was charged.
  await world.clock.advance(15_000);
  expect(world.loop.failover.quarantine(SERVICE).kind).toBe('trial');
  await world.clock.advance(10_000);
  expect(world.loop.failover.quarantine(SERVICE).kind).toBe('none');
});
