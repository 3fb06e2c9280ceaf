/** What PM2 leaves down as it was told: jobs, stop_exit_codes, schedules. Each intended start is one run. */
import { afterEach, describe, expect, it } from 'vitest';
import type { EndRules } from '../../backend/src/domain/model.js';
import type { Behaviour, Row } from './fakePm2.js';
import { policyOf, World } from './world.js';

const SERVICE = 'job';
const ONE_RUN: EndRules = { autorestart: false, stopExitCodes: [], schedule: null };
const NIGHTLY: EndRules = { ...ONE_RUN, schedule: '0 3 * * *' };
const UNTIL_ZERO: EndRules = { autorestart: true, stopExitCodes: [0], schedule: null };
const RUN: Behaviour = { readyAfterMs: 0, exitsAfterMs: 3_000, answers: 'ok', exitCode: 0, port: null };

let world: World;
afterEach(async () => {
  expect(world.rules.broken()).toEqual([]);
  await world.killSupervisor();
});

const service = () => world.loop.services.get(SERVICE)!;
const charged = () =>
  world.eventsOf('instance.exited').filter(({ data }) => 'charged' in data && data.charged);
const row = (): Row => world.pm2.rows(SERVICE)[0]!;

/** An application that is no job begins with two instances. */
async function begin(run: Partial<Behaviour>, isJob = true): Promise<void> {
  const base = policyOf(SERVICE);
  world = new World(1, [policyOf(SERVICE, { lifecycle: { ...base.lifecycle, isJob } })]);
  world.pm2.behave = () => ({ ...RUN, ...run });
  world.pm2.seed(SERVICE, isJob ? 1 : 2);
  await world.startSupervisor();
}

/** Nothing was started, ended or charged by Holdfast, over a restart of the supervisor, too. */
async function staysAsItIs(state: string): Promise<void> {
  for (const restart of [false, true]) {
    if (restart) {
      await world.killSupervisor();
      await world.startSupervisor();
    }
    await world.clock.advance(120_000);
    expect(service().state()).toBe(state);
    expect(world.pm2.rows(SERVICE)).toHaveLength(service().isJob() ? 1 : 2);
    expect(world.pm2.starts).toBe(0);
    expect(charged()).toEqual([]);
    expect(world.eventsOf('instance.stopped')).toEqual([]);
    expect(world.eventsOf('service.stoppedByOperator')).toEqual([]);
  }
}

describe.each<readonly [string, Partial<Behaviour>, boolean, string]>([
  ['a job that ends with 0', { endRules: ONE_RUN }, true, 'finished'],
  ['a job that fails', { endRules: ONE_RUN, exitCode: 3 }, true, 'unhealthy'],
  ['a job with a schedule', { endRules: NIGHTLY }, true, 'finished'],
  [
    'a job whose code is one of stop_exit_codes',
    { endRules: { ...ONE_RUN, stopExitCodes: [3] }, exitCode: 3 },
    true,
    'finished',
  ],
  ['an application that ends with one of its stop_exit_codes', { endRules: UNTIL_ZERO }, false, 'finished'],
  [
    'a job that ends before the supervisor first looks',
    { endRules: ONE_RUN, exitsAfterMs: 1 },
    true,
    'finished',
  ],
  ['a job that runs for long', { endRules: ONE_RUN, exitsAfterMs: null }, true, 'healthy'],
])('%s', (_, run, isJob, state) => {
  it(`makes one run, and is ${state} then`, async () => {
    await begin(run, isJob);
    await staysAsItIs(state);
  });

  it('is judged the same where the event of its end is lost', async () => {
    await begin(run, isJob);
    world.pm2.eventLoss = 1;
    await staysAsItIs(state);
  });
});

it('lets the next scheduled run of a job come to its end', async () => {
  await begin({ endRules: NIGHTLY });
  await world.clock.advance(60_000);
  for (let night = 0; night < 10; night += 1) {
    world.pm2.scheduledStart(row());
    await world.clock.advance(2_900);
    expect(row().status).toBe('online');
    expect(service().state()).toBe('healthy');
    await world.clock.advance(57_100);
    expect(service().state()).toBe('finished');
  }
  expect(world.pm2.starts).toBe(0);
  expect(charged()).toEqual([]);
});

it('makes no second run of a job for a minimum, a deploy, a failover or a scale-up', async () => {
  const base = policyOf(SERVICE);
  world = new World(1, [
    policyOf(SERVICE, {
      lifecycle: { ...base.lifecycle, isJob: true },
      scaling: { ...base.scaling, minInstances: 3 },
    }),
  ]);
  world.pm2.behave = () => ({ ...RUN, endRules: ONE_RUN, exitsAfterMs: 200_000 });
  world.pm2.seed(SERVICE, 1);
  await world.startSupervisor();
  await world.clock.advance(60_000);
  const request = { serviceName: SERVICE, timeoutMs: 60_000 };
  expect(await world.ha.deploy(request)).toMatchObject({ changed: false, done: true });
  expect(await world.ha.failover(request)).toMatchObject({ changed: false, done: true });
  await expect(world.ha.scale({ ...request, direction: 'up', targetInstances: 4 })).rejects.toMatchObject({
    code: 'service.is-job',
  });
  await world.clock.advance(200_000);
  expect(service().state()).toBe('finished');
  expect(world.pm2.starts).toBe(0);
});

it('tells a job that an operator stopped from one that finished', async () => {
  await begin({ endRules: ONE_RUN, exitsAfterMs: null });
  await world.clock.advance(10_000);
  world.pm2.operatorStop(SERVICE);
  await world.clock.advance(10_000);
  expect(service().state()).toBe('stopped');
});

it('replaces what was killed, though PM2 takes that for exit code 0 and leaves it down', async () => {
  await begin({ endRules: UNTIL_ZERO, exitsAfterMs: null }, false);
  await world.clock.advance(10_000);
  world.pm2.kill(row(), { exitCode: null, signal: 'SIGKILL' });
  await world.clock.advance(10_000);
  expect(service().state()).toBe('healthy');
  expect(world.pm2.starts).toBe(1);
});

it('counts no downtime while a job is finished', async () => {
  await begin({ endRules: ONE_RUN });
  await world.clock.advance(600_000);
  const { services } = await world.ha.metrics();
  expect(services[0]?.highAvailability.availabilityPercent ?? 100).toBe(100);
});

describe('an application that PM2 was told not to start (autostart: false)', () => {
  const ON_REQUEST: EndRules = { autorestart: true, stopExitCodes: [], schedule: null, autostart: false };

  it('stays down, and lacks nothing', async () => {
    const policy = policyOf(SERVICE, { scaling: { ...policyOf(SERVICE).scaling, autoscale: false } });
    world = new World(1, [policy]);
    world.pm2.behave = () => ({ ...RUN, exitsAfterMs: null, endRules: ON_REQUEST });
    for (let count = 0; count < 2; count++) world.pm2.register(SERVICE);
    await world.startSupervisor();
    await staysAsItIs('finished');
    expect(service().view().reason).toMatch(/^PM2 was told not to start it \(autostart: false\)/);
  });
});
