import { afterEach, describe, expect, it } from 'vitest';
import type { HoldfastError } from '../../backend/src/domain/errors.js';
import type { OperationReport } from '../../backend/src/domain/model.js';
import { policyOf, World } from './world.js';

const SERVICE = 'api';
let world: World;

async function begin(instances = 2, changes = {}): Promise<void> {
  world = new World(1, [policyOf(SERVICE, changes)]);
  world.pm2.seed(SERVICE, instances);
  await world.startSupervisor();
  await world.clock.advance(5_000);
}

afterEach(async () => {
  expect(world.rules.broken()).toEqual([]);
  await world.killSupervisor();
});

function service() {
  return world.loop.services.get(SERVICE)!;
}

/** Follows an operation to its end on the fake clock. */
async function ended(operation: Promise<OperationReport>, withinMs = 300_000): Promise<OperationReport> {
  const outcome = operation.then(
    (report) => ({ report }),
    (error: unknown) => ({ error }),
  );
  let result: Awaited<typeof outcome> | undefined;
  void outcome.then((value) => (result = value));
  for (let waited = 0; result === undefined && waited < withinMs; waited += 100)
    await world.clock.advance(100);
  if (result === undefined) throw new Error('the operation did not end');
  if ('error' in result) throw result.error as HoldfastError;
  return result.report;
}

describe('a supervisor that starts', () => {
  it('adopts what runs and serves it', async () => {
    await begin(2);
    expect(service().desired).toBe(2);
    expect(service().serving()).toHaveLength(2);
    expect(world.pm2.starts).toBe(0);
  });

  it('starts what is missing after the boot grace', async () => {
    await begin(0);
    expect(service().serving()).toHaveLength(2);
  });

  it('waits for PM2 to bring up the rest of the ecosystem before it counts', async () => {
    world = new World(1, [policyOf(SERVICE)]);
    world.pm2.seed(SERVICE, 1);
    await world.startSupervisor();
    await world.clock.advance(1_000);
    world.pm2.seed(SERVICE, 1);
    await world.clock.advance(5_000);
    expect(world.pm2.starts).toBe(0);
    expect(service().serving()).toHaveLength(2);
  });
});

describe('scaling', () => {
  it('grows by one decision under load and shrinks after the down-window, with no reversal within 60 s', async () => {
    await begin(1, {});
    await ended(world.ha.scale({ direction: 'down', targetInstances: 1, timeoutMs: 60_000 }));
    await world.clock.advance(65_000);
    world.cpu.set(SERVICE, 100);
    await world.clock.advance(15_000);
    const ups = world
      .eventsOf('service.scaled')
      .filter(({ data }) => 'to' in data && data.to > (data as { from: number }).from);
    expect(ups).toHaveLength(1);
    expect(service().desired).toBe(2);
    expect(service().serving()).toHaveLength(2);
    world.cpu.set(SERVICE, 2);
    const upAtMs = world.clock.nowMs();
    while (service().desired > 1 && world.clock.nowMs() < upAtMs + 600_000) await world.clock.advance(1_000);
    expect(service().desired).toBe(1);
    expect(world.clock.nowMs() - upAtMs).toBeGreaterThan(60_000);
    await world.clock.advance(5_000);
    expect(world.pm2.alive(SERVICE)).toHaveLength(1);
  });

  it('answers a manual scale-up when the new instances serve', async () => {
    await begin(1);
    const report = await ended(world.ha.scale({ direction: 'up', targetInstances: 4, timeoutMs: 60_000 }));
    expect(report).toMatchObject({ done: true, toInstances: 4 });
    expect(service().serving()).toHaveLength(4);
  });

  it('withdraws before it stops, and waits the grace between', async () => {
    await begin(3);
    const operation = world.ha.scale({ direction: 'down', targetInstances: 2, timeoutMs: 60_000 });
    await world.clock.advance(500);
    expect(service().serving()).toHaveLength(2);
    expect(world.pm2.alive(SERVICE)).toHaveLength(3);
    expect(await ended(operation)).toMatchObject({ done: true });
    expect(world.pm2.alive(SERVICE)).toHaveLength(2);
  });

  it('refuses what is out of bounds or the wrong way, and a second operation', async () => {
    await begin(2);
    const codeOf = (target: number, direction: 'up' | 'down') =>
      world.ha
        .scale({ direction, targetInstances: target, timeoutMs: 1000 })
        .catch((e: HoldfastError) => e.code);
    expect(await codeOf(5, 'up')).toBe('scale.above-max');
    expect(await codeOf(1, 'up')).toBe('scale.not-above-current');
    expect(await codeOf(0, 'down')).toBe('scale.below-min');
    expect(await codeOf(3, 'down')).toBe('scale.not-below-current');
    const first = world.ha.scale({ direction: 'up', timeoutMs: 60_000 });
    expect(await codeOf(4, 'up')).toBe('operation.conflict');
    await ended(first);
  });

  it.each(['up', 'down'] as const)(
    'scale-%s to the number there is changes nothing, and says so',
    async (direction) => {
      await begin(2);
      const started = world.pm2.starts;
      const ask = () => world.ha.scale({ direction, targetInstances: 2, timeoutMs: 1000 });
      expect(await ask()).toMatchObject({
        changed: false,
        done: true,
        message: 'api already has 2 instances',
        toInstances: 2,
        started: [],
        stopped: [],
      });
      await world.clock.advance(10_000);
      expect(world.eventsOf('operation.started')).toEqual([]);
      expect(world.pm2.starts).toBe(started);
      expect(service().serving()).toHaveLength(2);
    },
  );

  it('takes back a scale-up whose instances do not stay up', async () => {
    await begin(2);
    world.pm2.behave = () => ({ readyAfterMs: 100, exitsAfterMs: 50, answers: 'ok' });
    await expect(ended(world.ha.scale({ direction: 'up', timeoutMs: 60_000 }))).rejects.toMatchObject({
      code: 'operation.failed',
    });
    expect(service().desired).toBe(2);
    expect(service().serving()).toHaveLength(2);
    expect(world.pm2.alive(SERVICE)).toHaveLength(2);
  });
});

describe('failures', () => {
  it('leaves a plain exit to PM2, counts it and verifies the recovery', async () => {
    await begin(2);
    const [row] = world.pm2.alive(SERVICE);
    world.pm2.kill(row!, { exitCode: 1, signal: null });
    await world.clock.advance(2_000);
    expect(service().serving()).toHaveLength(2);
    expect(world.loop.failover.attemptsUsed(SERVICE, row!.pmId)).toBe(1);
    expect(world.eventsOf('service.recovered')).toHaveLength(0);
    await world.clock.advance(12_000);
    expect(world.eventsOf('service.recovered')).toHaveLength(1);
  });

  it('spends no budget on kills from outside, however many', async () => {
    await begin(2);
    for (let i = 0; i < 20; i++) {
      const rows = world.pm2.alive(SERVICE);
      world.pm2.kill(rows[i % rows.length]!, { exitCode: 0, signal: 'SIGKILL' });
      await world.clock.advance(1_500);
    }
    expect(service().serving()).toHaveLength(2);
    expect(world.loop.failover.attemptsUsed(SERVICE)).toBe(0);
  });

  it('quarantines an instance that dies 30 s after every start, and a trial brings it back when mended', async () => {
    await begin(2);
    const [row] = world.pm2.alive(SERVICE);
    const victim = row!.pmId;
    world.pm2.behave = () => ({ readyAfterMs: 100, exitsAfterMs: 30_000, answers: 'ok' });
    world.pm2.kill(row!, { exitCode: 1, signal: null });
    await world.clock.advance(150_000);
    expect(service().state()).toBe('quarantined');
    expect(service().serving()).toHaveLength(1);
    expect(service().find(victim)?.status).toBe('stopped');
    const startsBefore = world.pm2.starts;
    await world.clock.advance(40_000);
    expect(world.pm2.starts - startsBefore).toBeLessThanOrEqual(1);
    world.pm2.behave = () => ({ readyAfterMs: 100, exitsAfterMs: null, answers: 'ok' });
    await world.clock.advance(600_000);
    expect(service().state()).toBe('healthy');
    expect(service().serving()).toHaveLength(2);
  });

  it('claims no recovery while a trial is under way', async () => {
    await begin(2);
    const [row] = world.pm2.alive(SERVICE);
    world.pm2.behave = () => ({ readyAfterMs: 100, exitsAfterMs: 30_000, answers: 'ok' });
    world.pm2.kill(row!, { exitCode: 1, signal: null });
    await world.clock.advance(100_000);
    const before = world.eventsOf('service.recovered').length;
    await world.clock.advance(300_000);
    expect(world.eventsOf('service.trialFailed').length).toBeGreaterThan(0);
    expect(world.eventsOf('service.recovered')).toHaveLength(before);
  });

  it('ends a quarantine by reset-failure', async () => {
    await begin(2);
    const [row] = world.pm2.alive(SERVICE);
    world.pm2.behave = () => ({ readyAfterMs: 50, exitsAfterMs: 500, answers: 'ok' });
    world.pm2.kill(row!, { exitCode: 1, signal: null });
    await world.clock.advance(10_000);
    expect(service().state()).toBe('quarantined');
    world.pm2.behave = () => ({ readyAfterMs: 50, exitsAfterMs: null, answers: 'ok' });
    expect(await world.ha.resetFailure(SERVICE, 'test')).toMatchObject({ cleared: { quarantined: true } });
    await world.clock.advance(5_000);
    expect(service().state()).toBe('healthy');
    expect(world.pm2.rows(SERVICE)).toHaveLength(2);
  });

  it.each(['error', 'never'] as const)(
    'replaces an instance that answers %s, new one first',
    async (answers) => {
      await begin(2);
      const [row] = world.pm2.alive(SERVICE);
      world.pm2.setAnswers(row!, answers);
      let least = 2;
      for (let waited = 0; waited < 60_000; waited += 200) {
        await world.clock.advance(200);
        least = Math.min(least, world.pm2.alive(SERVICE).length);
      }
      expect(least).toBe(2);
      expect(world.pm2.alive(SERVICE).map(({ pmId }) => pmId)).not.toContain(row!.pmId);
      expect(service().serving()).toHaveLength(2);
    },
  );

  it('keeps the last instance though it is unhealthy, and does not restart all at once', async () => {
    await begin(2);
    world.pm2.behave = () => ({ readyAfterMs: 100, exitsAfterMs: null, answers: 'error' });
    for (const row of world.pm2.alive(SERVICE)) world.pm2.setAnswers(row, 'error');
    for (let waited = 0; waited < 600_000; waited += 1_000) {
      await world.clock.advance(1_000);
      expect(world.pm2.alive(SERVICE).length).toBeGreaterThanOrEqual(2);
      expect(world.pm2.alive(SERVICE).length).toBeLessThanOrEqual(3);
    }
  });

  it('recycles an instance near its memory limit, new one first', async () => {
    await begin(2, { memoryLimitBytes: 62e6 });
    await world.clock.advance(20_000);
    const after = world.pm2.alive(SERVICE).map(({ pmId }) => pmId);
    expect(after).toHaveLength(2);
    expect(after.filter((pmId) => pmId <= 1)).toHaveLength(1);
  });
});

describe('rollouts', () => {
  it('replaces every instance one at a time, never serving fewer', async () => {
    await begin(3);
    const before = world.pm2.alive(SERVICE).map(({ pmId }) => pmId);
    const operation = world.ha.failover({ serviceName: SERVICE, timeoutMs: 300_000 });
    let done = false;
    void operation.then(() => (done = true));
    while (!done) {
      await world.clock.advance(100);
      expect(service().serving().length).toBeGreaterThanOrEqual(3);
      expect(world.pm2.alive(SERVICE).length).toBeLessThanOrEqual(4);
    }
    const report = await operation;
    expect(report.started).toHaveLength(3);
    expect(report.stopped.map(({ pmId }) => pmId).sort()).toEqual([...before].sort());
  });

  it.each([
    ['crashes', { readyAfterMs: 100, exitsAfterMs: 40, answers: 'ok' }],
    ['never listens', { readyAfterMs: 1e9, exitsAfterMs: null, answers: 'ok' }],
    ['answers 500', { readyAfterMs: 100, exitsAfterMs: null, answers: 'error' }],
  ] as const)('removes the canary of a build that %s; the old instances stay', async (_name, behaviour) => {
    await begin(2);
    const before = world.pm2.alive(SERVICE).map(({ pmId }) => pmId);
    world.pm2.behave = () => behaviour;
    await expect(ended(world.ha.deploy({ serviceName: SERVICE, timeoutMs: 300_000 }))).rejects.toMatchObject({
      code: 'deploy.canary-failed',
      status: 424,
    });
    expect(world.pm2.alive(SERVICE).map(({ pmId }) => pmId)).toEqual(before);
    expect(service().serving()).toHaveLength(2);
    expect(service().state()).toBe('healthy');
  });

  it('rolls a good build behind its canary', async () => {
    await begin(2);
    const report = await ended(world.ha.deploy({ serviceName: SERVICE, timeoutMs: 300_000 }));
    expect(report.started).toHaveLength(2);
    expect(report.durationMs).toBeGreaterThanOrEqual(5_000);
    expect(service().serving()).toHaveLength(2);
  });
});

describe('the supervisor itself', () => {
  it.each([50, 400, 1_500])(
    'ends a failover that its predecessor began %i ms before it died',
    async (afterMs) => {
      await begin(3);
      const before = world.pm2.alive(SERVICE).map(({ pmId }) => pmId);
      void world.ha.failover({ serviceName: SERVICE, timeoutMs: 300_000 }).catch(() => undefined);
      await world.clock.advance(afterMs);
      await world.killSupervisor();
      await world.clock.advance(800);
      await world.startSupervisor();
      await world.clock.advance(60_000);
      expect(service().operation).toBeNull();
      expect(service().serving()).toHaveLength(3);
      expect(world.pm2.alive(SERVICE).filter(({ pmId }) => before.includes(pmId))).toHaveLength(0);
    },
  );

  it('takes back an instance whose scale-up its predecessor died before writing down', async () => {
    await begin(3);
    world.store.isStuck = true;
    void world.ha.scale({ direction: 'up', timeoutMs: 300_000 }).catch(() => undefined);
    await world.clock.advance(400);
    expect(world.pm2.alive(SERVICE)).toHaveLength(4);
    await world.killSupervisor();
    world.store.isStuck = false;
    await world.startSupervisor();
    await world.clock.advance(30_000);
    expect(service().desired).toBe(3);
    expect(service().serving()).toHaveLength(3);
    expect(world.pm2.alive(SERVICE)).toHaveLength(3);
  });

  it('remembers quarantine and desired count', async () => {
    await begin(3);
    const [row] = world.pm2.alive(SERVICE);
    world.pm2.behave = () => ({ readyAfterMs: 50, exitsAfterMs: 200, answers: 'ok' });
    world.pm2.kill(row!, { exitCode: 1, signal: null });
    await world.clock.advance(10_000);
    await world.killSupervisor();
    await world.startSupervisor();
    await world.clock.advance(5_000);
    expect(service().state()).toBe('quarantined');
    expect(service().desired).toBe(3);
    expect(world.pm2.alive(SERVICE)).toHaveLength(2);
  });

  it('lets an operator stop a service through PM2 and does not fight', async () => {
    await begin(2);
    world.pm2.operatorStop(SERVICE);
    await world.clock.advance(60_000);
    expect(service().state()).toBe('stopped');
    expect(world.pm2.alive(SERVICE)).toHaveLength(0);
    world.pm2.operatorStart(SERVICE);
    await world.clock.advance(10_000);
    expect(service().state()).toBe('healthy');
    expect(world.loop.failover.attemptsUsed(SERVICE)).toBe(0);
  });

  it('does nothing while switched off, and takes over what it then finds', async () => {
    await begin(2);
    await world.ha.stop('test');
    world.pm2.operatorScaleUp(SERVICE);
    await world.clock.advance(10_000);
    expect(world.pm2.alive(SERVICE)).toHaveLength(3);
    await world.ha.start('test');
    await world.clock.advance(5_000);
    expect(service().desired).toBe(3);
    expect(world.pm2.alive(SERVICE)).toHaveLength(3);
  });
});

describe("PM2's daemon", () => {
  it('stopped for 30 s: says so, does nothing, judges nobody', async () => {
    await begin(2);
    const before = world.pm2.alive(SERVICE).map(({ pmId }) => pmId);
    world.pm2.stopDaemon();
    await world.clock.advance(30_000);
    expect(world.ha.status().daemon.state).toBe('unresponsive');
    world.pm2.continueDaemon();
    await world.clock.advance(10_000);
    expect(world.ha.status().daemon.state).toBe('connected');
    expect(world.pm2.alive(SERVICE).map(({ pmId }) => pmId)).toEqual(before);
    expect(service().serving()).toHaveLength(2);
    expect(world.loop.failover.attemptsUsed(SERVICE)).toBe(0);
  });

  it('killed: brought back with the desired count, at nobody’s expense', async () => {
    await begin(3);
    world.pm2.killDaemon();
    await world.clock.advance(10_000);
    expect(service().serving()).toHaveLength(3);
    expect(world.loop.failover.attemptsUsed(SERVICE)).toBe(0);
  });
});
