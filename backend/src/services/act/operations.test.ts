/** Operations where the scenarios don't reach: those that can't succeed, and those that outlast their caller. */
import { afterEach, describe, expect, test } from 'vitest';
import { policyOf, World } from '../../../../test/simulation/world.js';
import { longestStepMs, policyWarnings } from '../../domain/failures/endings.js';
import { HoldfastError } from '../../domain/errors.js';
import type { OperationReport } from '../../domain/model.js';
import type { ServicePolicy } from '../../domain/policy.js';

const SERVICE = 'api';
let world: World;

async function begin(instances: number): Promise<void> {
  world = new World(1, [policyOf(SERVICE)]);
  world.pm2.seed(SERVICE, instances);
  await world.startSupervisor();
  await world.clock.advance(5_000);
}

afterEach(async () => {
  expect(world.pm2.violations).toEqual([]);
  await world.killSupervisor();
});

const service = () => world.loop.services.get(SERVICE)!;
const pmIds = (): number[] => world.pm2.alive(SERVICE).map(({ pmId }) => pmId);

type Outcome = { readonly report: OperationReport } | { readonly error: HoldfastError };

/** Follows an operation to its end on the fake clock. */
async function outcomeOf(
  operation: Promise<OperationReport>,
  withinMs = 300_000,
  stepMs = 100,
): Promise<Outcome> {
  let outcome: Outcome | null = null;
  void operation.then(
    (report) => (outcome = { report }),
    (error: HoldfastError) => (outcome = { error }),
  );
  for (let waited = 0; outcome === null && waited < withinMs; waited += stepMs)
    await world.clock.advance(stepMs);
  if (outcome === null) throw new Error(`no end within ${withinMs} ms: ${service().lastAction.reason}`);
  return outcome;
}

describe('when no instance can be started', () => {
  test.each([
    ['scale-up', 'operation.failed', 502],
    ['failover', 'operation.failed', 502],
    ['deploy', 'deploy.canary-failed', 424],
  ] as const)('a %s fails with the reason, and what was there goes on', async (kind, code, status) => {
    await begin(2);
    const before = pmIds();
    world.pm2.startRefusal = 1;
    const request = { serviceName: SERVICE, timeoutMs: 300_000 };
    const { error } = (await outcomeOf(
      kind === 'scale-up'
        ? world.ha.scale({ ...request, direction: 'up', targetInstances: 4 })
        : world.ha[kind](request),
    )) as { error: HoldfastError };
    expect(error).toMatchObject({ code, status, message: expect.stringContaining('spawn EAGAIN') });
    expect(service()).toMatchObject({ desired: 2, operation: null, rollout: null });
    expect(pmIds()).toEqual(before);
    expect(service().serving()).toHaveLength(2);

    world.pm2.startRefusal = 0;
    const again = await outcomeOf(world.ha.failover(request));
    expect(again).toMatchObject({ report: { done: true } });
  });

  test('a few refusals are not the end of it', async () => {
    await begin(2);
    world.pm2.startRefusal = 1;
    const scaled = world.ha.scale({ direction: 'up', targetInstances: 3, timeoutMs: 300_000 });
    await world.clock.advance(2_000);
    expect(service().refusedStarts?.count).toBeGreaterThan(0);
    world.pm2.startRefusal = 0;
    expect(await outcomeOf(scaled)).toMatchObject({ report: { done: true, toInstances: 3 } });
    expect(service().refusedStarts).toBeNull();
  });

  test('a daemon that is away has refused nothing: the operation waits for it', async () => {
    await begin(2);
    const scaled = world.ha.scale({ direction: 'up', targetInstances: 3, timeoutMs: 600_000 });
    world.pm2.stopDaemon();
    await world.clock.advance(120_000);
    expect(service().operation).not.toBeNull();
    world.pm2.continueDaemon();
    expect(await outcomeOf(scaled)).toMatchObject({ report: { done: true } });
    expect(service().serving()).toHaveLength(3);
  });

  test('a daemon that answers everything but the start in time has refused nothing either', async () => {
    await begin(2);
    const start = world.pm2.startInstance.bind(world.pm2);
    let late = 0;
    world.pm2.startInstance = (name) => {
      if (++late > 8) return start(name);
      return Promise.reject(new HoldfastError('pm2.timeout', 'the daemon did not answer within 5 s'));
    };
    const scaled = world.ha.scale({ direction: 'up', targetInstances: 3, timeoutMs: 600_000 });
    expect(await outcomeOf(scaled)).toMatchObject({ report: { done: true, toInstances: 3 } });
    expect(late).toBe(9);
  });

  test('does not keep a scale-down from its end', async () => {
    await begin(4);
    world.pm2.startRefusal = 1;
    world.pm2.operatorDelete(world.pm2.alive(SERVICE)[0]!);
    await world.clock.advance(60_000);
    world.pm2.operatorDelete(world.pm2.alive(SERVICE)[0]!);
    await world.clock.advance(60_000);
    expect(service().refusedStarts?.count).toBeGreaterThan(3);
    // Two of four run. Three are wanted: nothing is to be taken away, and what is missing is not its concern.
    const scaled = world.ha.scale({ direction: 'down', targetInstances: 3, timeoutMs: 60_000 });
    expect(await outcomeOf(scaled)).toMatchObject({ report: { done: true, toInstances: 3 } });
    expect(service().desired).toBe(3);
    expect(pmIds()).toHaveLength(2);
  });

  test('without an operation it tries on, ever more rarely, and is whole soon after it can', async () => {
    await begin(3);
    world.pm2.startRefusal = 1;
    world.pm2.operatorDelete(world.pm2.alive(SERVICE)[0]!);
    await world.clock.advance(600_000);
    const failed = world.eventsOf('action.failed').length;
    expect(failed).toBeGreaterThan(20);
    expect(failed).toBeLessThan(50);
    world.pm2.startRefusal = 0;
    await world.clock.advance(20_000);
    expect(service().serving()).toHaveLength(3);
  });
});

describe('a caller that waits less than it takes', () => {
  test('is told what is still under way; the operation goes on without it', async () => {
    await begin(3);
    const { report } = (await outcomeOf(world.ha.failover({ serviceName: SERVICE, timeoutMs: 1_000 }))) as {
      report: OperationReport;
    };
    expect(report).toMatchObject({ done: false, kind: 'failover', fromInstances: 3, toInstances: 3 });
    expect(report.pending.join()).toMatch(/\d instances are still to be replaced/);
    expect(report.message).toContain('still under way');
    await world.clock.advance(60_000);
    expect(service().operation).toBeNull();
    expect(world.eventsOf('operation.finished')).toHaveLength(1);
  });

  test('and who asks meanwhile is told which operation is in the way', async () => {
    await begin(2);
    const first = world.ha.failover({ serviceName: SERVICE, timeoutMs: 300_000 });
    await world.clock.advance(500);
    const second = await outcomeOf(world.ha.deploy({ serviceName: SERVICE, timeoutMs: 1_000 }));
    expect(second).toMatchObject({
      error: { code: 'operation.conflict', status: 409, details: { operationId: 'op-1', kind: 'failover' } },
    });
    expect(await outcomeOf(first)).toMatchObject({ report: { done: true, operationId: 'op-1' } });
  });
});

describe('a caller of an operation that was superseded', () => {
  test('is told so, and nothing of the one that took its place', async () => {
    await begin(2);
    // What the instance that failed left behind is waited for.
    world.facts = { ...world.facts, ofExit: () => new Promise(() => undefined) };
    await world.killSupervisor();
    await world.startSupervisor();
    await world.clock.advance(5_000);
    world.pm2.behave = () => ({ readyAfterMs: 6_000, exitsAfterMs: 5_000, answers: 'ok' });
    const scaled = world.ha.scale({ direction: 'up', targetInstances: 3, timeoutMs: 8_000 });
    void scaled.catch(() => undefined);
    await world.clock.advance(6_000);
    world.pm2.behave = () => ({ readyAfterMs: 100, exitsAfterMs: null, answers: 'ok' });
    const deployed = world.ha.deploy({ serviceName: SERVICE, timeoutMs: 120_000 });
    void deployed.catch(() => undefined);
    expect(await outcomeOf(scaled, 30_000)).toMatchObject({ error: { code: 'operation.superseded' } });
  });
});

describe('an operation', () => {
  test('names every instance that it started and stopped', async () => {
    await begin(3);
    const before = world.pm2.alive(SERVICE).map(({ pmId, port }) => ({ pmId, port }));
    const { report } = (await outcomeOf(
      world.ha.scale({ direction: 'down', targetInstances: 1, timeoutMs: 60_000 }),
    )) as { report: OperationReport };
    expect(report.started).toEqual([]);
    const stopped = report.stopped.map(({ pmId, port }) => ({ pmId, port }));
    expect(stopped.sort((a, b) => a.pmId - b.pmId)).toEqual(before.slice(1));
    expect(report.stopped.every(({ pid }) => pid !== null)).toBe(true);
  });

  test('a deploy that finds more running than wanted comes to its end, too', async () => {
    await begin(2);
    await world.ha.stop('test');
    world.pm2.operatorScaleUp(SERVICE);
    world.pm2.operatorScaleUp(SERVICE);
    await world.clock.advance(5_000);
    const before = pmIds();
    expect(before).toHaveLength(4);
    let least = 4;
    const done = outcomeOf(world.ha.deploy({ serviceName: SERVICE, timeoutMs: 300_000 }));
    const watching = world.ha.subscribe(() => (least = Math.min(least, service().serving().length)));
    expect(await done).toMatchObject({ report: { done: true } });
    watching();
    expect(least).toBeGreaterThanOrEqual(2);
    expect(pmIds().filter((pmId) => before.includes(pmId))).toEqual([]);
    expect(service().serving()).toHaveLength(2);
  });

  test('a deploy does not fail because an old instance does', async () => {
    await begin(3);
    const done = outcomeOf(world.ha.deploy({ serviceName: SERVICE, timeoutMs: 300_000 }));
    const [old] = world.pm2.alive(SERVICE);
    world.clock.after(2_000, () => world.pm2.kill(old!, { exitCode: 1, signal: null }));
    expect(await done).toMatchObject({ report: { done: true } });
    const charged = world.eventsOf('instance.exited').filter(({ data }) => 'charged' in data && data.charged);
    expect(charged.map(({ data }) => 'instance' in data && data.instance.pmId)).toEqual([old!.pmId]);
    expect(service().serving()).toHaveLength(3);
  });

  test('a deploy of a service that an operator stopped starts it with the new build', async () => {
    await begin(2);
    world.pm2.operatorStop(SERVICE);
    await world.clock.advance(5_000);
    const done = await outcomeOf(world.ha.deploy({ serviceName: SERVICE, timeoutMs: 300_000 }));
    expect(done).toMatchObject({ report: { done: true } });
    expect(service().state()).toBe('healthy');
    expect(world.pm2.rows(SERVICE)).toHaveLength(2);
  });
});

describe('instances that are all unhealthy', () => {
  test('never run in greater number than wanted and one, however many trials fail', async () => {
    await begin(4);
    world.pm2.behave = () => ({ readyAfterMs: 100, exitsAfterMs: null, answers: 'error' });
    for (const row of world.pm2.alive(SERVICE)) world.pm2.setAnswers(row, 'error');
    for (let waited = 0; waited < 3_600_000; waited += 50) {
      await world.clock.advance(50);
      const draining = service().processes.filter((one) => service().isDraining(one)).length;
      expect(world.pm2.alive(SERVICE).length - draining).toBeLessThanOrEqual(5);
      expect(world.pm2.alive(SERVICE).length).toBeGreaterThan(0);
    }
    expect(world.eventsOf('service.trialFailed').length).toBeGreaterThan(2);
  });
});

describe('an operation whose replacement never gets ready, with settings by which no budget is ever spent', () => {
  const slow: Partial<ServicePolicy> = {
    health: { ...policyOf(SERVICE).health, startTimeoutMs: 200_000 },
  };
  const silent = { readyAfterMs: 1e12, exitsAfterMs: null, answers: 'ok' } as const;
  const good = { readyAfterMs: 100, exitsAfterMs: null, answers: 'ok' } as const;

  async function beginSlow(instances: number): Promise<void> {
    world = new World(1, [policyOf(SERVICE, slow)]);
    world.pm2.seed(SERVICE, instances);
    await world.startSupervisor();
    await world.clock.advance(5_000);
    world.pm2.behave = () => silent;
  }

  const request = { serviceName: SERVICE, timeoutMs: 3_600_000 };
  const operations = {
    'scale-up': () => world.ha.scale({ ...request, direction: 'up', targetInstances: 3 }),
    failover: () => world.ha.failover(request),
    deploy: () => world.ha.deploy(request),
  };

  test('is warned of', () => {
    expect(policyWarnings(policyOf(SERVICE))).toEqual([]);
    expect(policyWarnings(policyOf(SERVICE, slow))).toEqual([
      expect.stringContaining('restartWindow (600 s)'),
    ]);
  });

  test.each(Object.entries(operations))(
    '%s: ends, is taken back, and the old ones serve',
    async (_kind, begin) => {
      await beginSlow(2);
      const before = pmIds();
      const outcome = await outcomeOf(begin(), 2 * longestStepMs(service().policy));
      expect(outcome).toMatchObject({
        error: { code: expect.stringMatching(/operation.failed|canary-failed/) },
      });
      expect(service()).toMatchObject({ operation: null, rollout: null, desired: 2 });
      await world.clock.advance(60_000);
      expect(
        service()
          .serving()
          .map(({ pmId }) => pmId),
      ).toEqual(before);
    },
  );

  test('says what is left of it where it cannot be taken back in time', async () => {
    await beginSlow(2);
    world.pm2.removeInstance = () => Promise.reject(new Error('it does not end'));
    const scaled = operations['scale-up']().catch((error: unknown) => error);
    await world.clock.advance(2 * longestStepMs(service().policy) + 40_000);
    const left = 'taken back. Not all of that is done yet: 2 instances are still to be removed.';
    expect(await scaled).toMatchObject({ message: expect.stringContaining(left) });
  });

  test('ends also over restarts of the supervisor', async () => {
    await beginSlow(2);
    void operations.failover().catch(() => undefined);
    const limitMs = 2 * longestStepMs(service().policy);
    let passedMs = 0;
    for (; passedMs < limitMs && (passedMs === 0 || service().operation !== null); passedMs += 95_000) {
      await world.clock.advance(95_000);
      await world.killSupervisor();
      await world.startSupervisor();
    }
    expect(passedMs).toBeGreaterThan(700_000);
    expect(service().operation).toBeNull();
    await world.clock.advance(5_000);
    expect(service().serving()).toHaveLength(2);
  });

  test.each(Object.entries(operations))('%s: makes way for the deploy that mends it', async (kind, begin) => {
    await beginSlow(2);
    const stuck = begin().catch((error: unknown) => ({ error }));
    await world.clock.advance(30_000);
    // It has only just begun.
    await expect(world.ha.deploy(request)).rejects.toMatchObject({ code: 'operation.conflict' });
    await world.clock.advance(175_000);
    world.pm2.behave = () => good;
    const mending = world.ha.deploy(request);
    void mending.catch(() => undefined);
    await world.clock.advance(120_000);
    expect(await mending).toMatchObject({ done: true, kind: 'deploy' });
    expect(service().desired).toBe(kind === 'scale-up' ? 3 : 2);
    expect(service().serving()).toHaveLength(service().desired);
    expect(pmIds()).toHaveLength(service().desired);
    expect(await stuck).toMatchObject({
      error: { code: kind === 'deploy' ? 'deploy.canary-failed' : 'operation.superseded' },
    });
  });
});
