/** What is charged to whom, once, and when a recovery counts. Real parts, a clock and lists that the test holds. */
import { beforeEach, describe, expect, test } from 'vitest';
import { FakeClock } from '../../../../test/simulation/fakeClock.js';
import { policyOf } from '../../../../test/simulation/world.js';
import { agentFigures } from '../../../../test/support/agentFigures.js';
import { steadyHealth } from '../../../../test/support/steadyHealth.js';
import { MemoryBlackBoxes, noStderr } from '../../../../test/support/memoryBlackBoxes.js';
import { noFacts } from '../../../../test/support/noFacts.js';
import { recordedEvents, silentLogger } from '../../../../test/support/recordedEvents.js';
import type { AgentRecord } from '../../domain/agents/agent.js';
import { instanceKey } from '../../domain/model.js';
import type { ManagedProcess } from '../../domain/model.js';
import type { HostMeter, ProcessExit } from '../../ports.js';
import { AvailabilityKeeper } from '../observe/availabilityKeeper.js';
import { BlackBox } from '../blackBox/blackBox.js';
import { Diagnostician } from '../diagnosis/diagnostician.js';
import { FailoverManager } from '../failoverManager.js';
import { FailureWatch } from './failureWatch.js';
import { Operations } from '../act/operations.js';
import { SupervisedService } from '../service/supervisedService.js';
import { TrafficFeed } from '../observe/trafficFeed.js';

const SERVICE = 'api';
const POLICY = policyOf(SERVICE, { memoryLimitBytes: 100e6 });
const SICK = {
  kind: 'unfit',
  sinceMs: 0,
  passes: 0,
  cause: 'unhealthy',
  detail: 'HTTP 503',
  wasReady: true,
} as const;

async function watching() {
  const clock = new FakeClock();
  const events = recordedEvents(clock);
  const failover = new FailoverManager({ clock, random: () => 0.5 });
  failover.supervise(SERVICE, POLICY.failure);
  const health = steadyHealth(clock);
  const traffic = new TrafficFeed({ clock, events: events.log, onDrained: () => undefined });
  const service = new SupervisedService(POLICY, {
    clock,
    failover,
    health,
    traffic,
    agents: { presence: () => 'absent' },
    diagnostician: { of: () => null },
    startWarnings: () => [],
  });
  const host: { oomKills: number | null } = { oomKills: 5 };
  const hostMeter: HostMeter = {
    figures: () => {
      throw new Error('not asked for here');
    },
    oomKills: () => host.oomKills,
  };
  const availability = new AvailabilityKeeper(clock);
  const operations = new Operations({
    clock,
    events: events.log,
    failover,
    health,
    diagnostician: { about: () => Promise.resolve(null) },
    newId: () => 'op-1',
    setDesired: (one, to) => void (one.desired = to),
    onChange: () => Promise.resolve(),
  });
  const blackBoxes = new MemoryBlackBoxes();
  const inside = new Map<string, AgentRecord>();
  const blackBox = new BlackBox({
    clock,
    events: events.log,
    failover,
    health,
    store: blackBoxes,
    stderr: noStderr,
    recordOf: (id) => inside.get(instanceKey(id)) ?? null,
    logger: silentLogger,
    version: '1.2.3',
  });
  const diagnostician = new Diagnostician({
    clock,
    events: events.log,
    health,
    facts: noFacts,
    agents: { record: () => null, listening: () => null },
    logger: silentLogger,
  });
  const asked = { count: 0 };
  const watch = new FailureWatch({
    clock,
    events: events.log,
    failover,
    health,
    hostMeter,
    operations,
    availability,
    blackBox,
    diagnostician,
    manager: { list: () => Promise.resolve([]) },
    facts: noFacts,
    onFailure: () => void (asked.count += 1),
  });
  service.adopted = true;
  service.desired = 2;
  /** PM2 shows these now; whoever is new is probed until it is fit. */
  const show = async (...processes: ManagedProcess[]): Promise<void> => {
    const before = service.processes;
    service.see(processes);
    watch.compare(service, before, processes);
    health.retain(new Set(processes.map(instanceKey)));
    for (const one of processes) if (one.pid !== null) health.track(one, POLICY.health, 'known');
    await clock.advance(500);
  };
  await clock.advance(60_000);
  await show(row(0), row(1));
  service.announcements();
  return {
    clock,
    events,
    failover,
    health,
    service,
    host,
    availability,
    watch,
    show,
    asked,
    blackBoxes,
    inside,
  };
}

function row(pmId: number, changes: Partial<ManagedProcess> = {}): ManagedProcess {
  const startedAtMs = FakeClock.epochMs;
  const createdAtMs = startedAtMs;
  const fixed = {
    service: SERVICE,
    status: 'online',
    mode: 'cluster',
    restarts: 0,
    killTimeoutMs: 10_000,
  } as const;
  return { ...fixed, pmId, pid: 100 + pmId, port: 13_004 + pmId, startedAtMs, createdAtMs, ...changes };
}

/** The first instance falls ill so often, and is well again in between. */
function sicken(times: number): void {
  for (let time = 0; time < times; time++) {
    it.service.provenance.passed(row(0));
    it.watch.healthChanged(it.service, row(0), SICK, SICK);
  }
}

/** The same number, started again. */
const restarted = (pmId: number, seconds: number): ManagedProcess =>
  row(pmId, { pid: 200 + pmId + seconds, startedAtMs: FakeClock.epochMs + seconds * 1_000, restarts: 1 });

function exitOf(pmId: number, changes: Partial<ProcessExit> = {}): ProcessExit {
  const { service, pid, startedAtMs } = row(pmId);
  return { service, pmId, startedAtMs, pid, exitCode: 1, signal: null, asked: false, ...changes };
}

let it: Awaited<ReturnType<typeof watching>>;
beforeEach(async () => {
  it = await watching();
});

const used = (pmId: number): number => it.failover.attemptsUsed(SERVICE, pmId);
const exits = (): readonly unknown[] => it.events.of('instance.exited').map(({ data }) => data);

describe('an exit', () => {
  test('is charged, told with how and after how long, and taken out of traffic at once', () => {
    it.watch.exited(it.service, exitOf(0));
    expect(used(0)).toBe(1);
    expect(exits()).toEqual([
      {
        service: SERVICE,
        instance: { pmId: 0, pid: 100, port: 13_004 },
        exitCode: 1,
        signal: null,
        charged: true,
        ranMs: 60_500,
        cause: 'crashed',
        blackBox: 'api-0-2023-11-14T22-14-20.500Z',
      },
    ]);
    expect(it.events.of('instance.withdrawn').map(({ data }) => data)).toMatchObject([
      { instance: { pmId: 0 }, why: 'it exited' },
    ]);
    expect(it.service.serving().map(({ pmId }) => pmId)).toEqual([1]);
    expect(it.asked.count).toBe(1);
  });

  test('of a full heap, by abort, is named as what it is', () => {
    const id = { service: SERVICE, pmId: 0, startedAtMs: FakeClock.epochMs };
    const full = { heapUsedBytes: 500 * 1024 ** 2, heapLimitBytes: 512 * 1024 ** 2 };
    it.inside.set(instanceKey(id), {
      id,
      agentVersion: '1.2.3',
      nodeVersion: 'v20.20.2',
      figures: [agentFigures(full)],
      hang: null,
      attachments: [],
    });
    it.watch.exited(it.service, exitOf(0, { exitCode: null, signal: 'SIGABRT' }));
    expect(exits()).toMatchObject([{ charged: true, cause: 'out-of-memory' }]);
    expect(it.failover.lastFailure(SERVICE)).toMatchObject({
      cause: 'out-of-memory',
      detail:
        'out of memory: the JavaScript heap reached its limit of 512 MB (left after 60.5 s with SIGABRT)',
    });
  });

  test('that nobody is to blame for, or that was asked for, leaves no black box', () => {
    it.watch.exited(it.service, exitOf(0, { exitCode: null, signal: 'SIGKILL' }));
    it.watch.exited(it.service, exitOf(1, { asked: true }));
    for (const data of exits()) expect(data).not.toHaveProperty('blackBox');
    expect(it.blackBoxes.saves).toBe(0);
  });

  test('is judged once, however often it is reported', async () => {
    it.watch.exited(it.service, exitOf(0));
    it.watch.exited(it.service, exitOf(0));
    await it.show(restarted(0, 61), row(1));
    await it.show(restarted(0, 61), row(1));
    expect(exits()).toHaveLength(1);
    expect(used(0)).toBe(1);
  });

  test('of the next start of the same number is another one', () => {
    it.watch.exited(it.service, exitOf(0));
    it.watch.exited(it.service, exitOf(0, { startedAtMs: FakeClock.epochMs + 61_000, pid: 261 }));
    expect(used(0)).toBe(2);
  });

  test('that the bus lost is found between two lists, and judged at the second look', async () => {
    await it.show(restarted(0, 61), row(1));
    expect(exits()).toEqual([]);
    await it.show(restarted(0, 61), row(1));
    expect(exits()).toMatchObject([{ instance: { pmId: 0 }, charged: true }]);
    expect(used(0)).toBe(1);
    // The one that runs now was not touched by it.
    expect(it.service.serving()).toHaveLength(2);
  });

  test('whose event comes late tells how it ended: a kill is not charged', async () => {
    await it.show(restarted(0, 61), row(1));
    it.watch.exited(it.service, exitOf(0, { signal: 'SIGKILL', exitCode: null }));
    expect(it.service.serving()).toHaveLength(2);
    await it.show(restarted(0, 61), row(1));
    expect(exits()).toMatchObject([{ signal: 'SIGKILL', charged: false }]);
    expect(used(0)).toBe(0);
  });

  test.each([
    ['deleted', []],
    ['stopped', [row(0, { status: 'stopped', pid: null })]],
    ['being stopped', [row(0, { status: 'stopping', pid: null })]],
  ])('of one that PM2 shows as %s was asked for', async (_how, rest) => {
    await it.show(...rest, row(1));
    await it.show(...rest, row(1));
    expect(exits()).toMatchObject([{ charged: false }]);
    expect(used(0)).toBe(0);
    expect(it.service.incident).toBeNull();
  });

  test('while we remove it was asked for, whatever the daemon says', async () => {
    await it.service.whileRemoving(0, async () => {
      it.watch.exited(it.service, exitOf(0));
      await Promise.resolve();
    });
    expect(used(0)).toBe(0);
    it.watch.exited(it.service, exitOf(1));
    expect(used(1)).toBe(1);
  });

  test('by the kernel for memory is charged; a kill -9 beside it is not', () => {
    it.host.oomKills = 6;
    it.watch.exited(it.service, exitOf(0, { signal: 'SIGKILL', exitCode: null }));
    expect(it.failover.lastFailure(SERVICE)).toMatchObject({ cause: 'oom-killed', pmId: 0 });
    it.watch.exited(it.service, exitOf(1, { signal: 'SIGKILL', exitCode: null }));
    expect(used(0)).toBe(1);
    expect(used(1)).toBe(0);
  });

  test('where the kernel does not tell, no kill is charged', () => {
    it.host.oomKills = null;
    it.watch.exited(it.service, exitOf(0, { signal: 'SIGKILL', exitCode: null }));
    it.host.oomKills = 9;
    it.watch.exited(it.service, exitOf(1, { signal: 'SIGKILL', exitCode: null }));
    expect(used(0) + used(1)).toBe(0);
  });

  test("with PM2's daemon is nobody's: what its lists showed is not compared", async () => {
    await it.show(restarted(0, 61), row(1));
    it.watch.daemonReplaced();
    await it.show(restarted(0, 61), row(1));
    expect(exits()).toEqual([]);
  });
});

describe('one that turned unfit', () => {
  test('is told and charged', () => {
    it.watch.healthChanged(it.service, row(0), SICK, SICK);
    expect(it.events.of('instance.unfit').map(({ data }) => data)).toMatchObject([
      { instance: { pmId: 0 }, cause: 'unhealthy', detail: 'HTTP 503' },
    ]);
    expect(used(0)).toBe(1);
  });

  test('while it drains is not: it leaves anyway', () => {
    it.service.leaving.drain(row(0), { sinceMs: it.clock.nowMs(), why: 'to shrink' });
    it.watch.healthChanged(it.service, row(0), SICK, SICK);
    expect(it.events.of('instance.unfit')).toEqual([]);
    expect(used(0)).toBe(0);
  });

  test('and then dies is charged once: it is the same failure', () => {
    it.health.condemn(instanceKey(row(0)), { cause: 'unhealthy', detail: 'reset', held: false });
    it.watch.healthChanged(it.service, row(0), SICK, SICK);
    it.watch.exited(it.service, exitOf(0));
    expect(exits()).toMatchObject([{ charged: false, cause: 'crashed', blackBox: expect.any(String) }]);
    expect(used(0)).toBe(1);
    expect(it.service.incident).not.toBeNull();
    it.watch.exited(it.service, exitOf(0, { startedAtMs: FakeClock.epochMs + 60_000 }));
    expect(used(0)).toBe(2);
  });

  test('too often is quarantined, told once as its own and once as the service’s', () => {
    sicken(10);
    const { failure } = POLICY;
    expect(it.events.of('instance.quarantined').map(({ data }) => data)).toMatchObject([
      { instance: { pmId: 0 }, attempts: failure.maxRestartAttempts, detail: 'HTTP 503' },
    ]);
    expect(it.events.of('service.quarantined').map(({ data }) => data)).toEqual([
      { service: SERVICE, reason: 'unhealthy: HTTP 503', nextTrialMs: failure.restartCooldownMs },
    ]);
    expect(it.failover.holes(SERVICE)).toBe(1);
    expect(it.availability.figures(SERVICE).failoverSuccessPercent).toBe(0);
  });

  test('too often, then an end: it is told what of, and that nothing is charged any more', () => {
    sicken(4);
    it.watch.exited(it.service, exitOf(0));
    expect(it.failover.quarantinedSlot(SERVICE, 0)).not.toBeNull();
    expect(exits()).toMatchObject([{ charged: false, cause: 'crashed' }]);
  });

  test('on trial fails the trial, which is told with the next one', async () => {
    sicken(4);
    await it.clock.advance(POLICY.failure.restartCooldownMs);
    it.failover.trialStarted(SERVICE, 0);
    sicken(1);
    expect(it.events.of('service.trialFailed').map(({ data }) => data)).toEqual([
      { service: SERVICE, detail: 'HTTP 503', nextTrialMs: 2 * POLICY.failure.restartCooldownMs },
    ]);
  });
});

describe('a trial', () => {
  beforeEach(async () => {
    sicken(4);
    await it.clock.advance(POLICY.failure.restartCooldownMs);
    it.failover.trialStarted(SERVICE, 0);
  });

  test('ends with whom somebody deleted', async () => {
    await it.show(row(1));
    it.watch.review(it.service);
    expect(it.failover.quarantine(SERVICE)).toEqual({ kind: 'none' });
  });

  test('ends well when its instance has stayed fit for long enough', async () => {
    it.watch.review(it.service);
    const before = it.failover.quarantine(SERVICE).kind;
    await it.clock.advance(10 * POLICY.failure.windowMs);
    it.watch.review(it.service);
    expect([before, it.failover.quarantine(SERVICE).kind]).toEqual(['trial', 'none']);
    expect(it.events.of('service.reset').map(({ data }) => data)).toEqual([
      { service: SERVICE, by: 'pm 0 stayed fit' },
    ]);
  });
});

describe('an incident', () => {
  const { stableMs } = POLICY.failure;
  const recoveries = (): readonly unknown[] => it.events.of('service.recovered').map(({ data }) => data);

  test('is over when all that are wanted serve, and have done so for the stable period', async () => {
    it.watch.exited(it.service, exitOf(0));
    await it.clock.advance(2_000);
    it.watch.review(it.service);
    await it.show(restarted(0, 61), row(1));
    it.watch.review(it.service);
    await it.clock.advance(stableMs - 1);
    it.watch.review(it.service);
    expect(recoveries()).toEqual([]);
    await it.clock.advance(1);
    it.watch.review(it.service);
    // From the first failure to when it was whole again; the stable period only proves it.
    expect(recoveries()).toEqual([{ service: SERVICE, afterMs: 2_500 }]);
    expect(it.service.incident).toBeNull();
    expect(it.availability.figures(SERVICE)).toMatchObject({ failures: 1, recoveries: 1, mttrMs: 2_500 });
  });

  test('that another failure interrupts goes on: one incident, counted from the first', async () => {
    it.watch.exited(it.service, exitOf(0));
    await it.show(restarted(0, 61), row(1));
    it.watch.review(it.service);
    await it.clock.advance(stableMs / 2);
    it.watch.exited(it.service, exitOf(1));
    await it.show(restarted(0, 61), restarted(1, 66));
    it.watch.review(it.service);
    await it.clock.advance(stableMs);
    it.watch.review(it.service);
    expect(recoveries()).toEqual([{ service: SERVICE, afterMs: 500 + stableMs / 2 + 500 }]);
    expect(it.availability.figures(SERVICE).failures).toBe(1);
  });

  test('is open while a hole is', async () => {
    sicken(4);
    it.service.desired = 1;
    for (let look = 0; look < 5; look++) {
      it.watch.review(it.service);
      await it.clock.advance(stableMs);
    }
    expect(recoveries()).toEqual([]);
    it.failover.reset(SERVICE);
    it.watch.review(it.service);
    await it.clock.advance(stableMs);
    it.watch.review(it.service);
    expect(recoveries()).toHaveLength(1);
    // It is one failure, and ended once: in quarantine.
    const figures = { failures: 1, recoveries: 0, failoverSuccessPercent: 0 };
    expect(it.availability.figures(SERVICE)).toMatchObject(figures);
  });

  test('of a kill from outside is one, though it costs no budget', () => {
    it.watch.exited(it.service, exitOf(0, { signal: 'SIGKILL' }));
    expect(it.service.incident).not.toBeNull();
    expect(used(0)).toBe(0);
  });
});

describe('memory that leads to its limit', () => {
  test('has the instance replaced while it serves, and is told, kept, and charged to nobody', async () => {
    it.watch.recycle(it.service, row(0), 'live heap grows 1.2 MB/s');
    expect(
      it.service
        .slots()
        .filter(({ outdated }) => outdated)
        .map(({ id }) => id.pmId),
    ).toEqual([0]);
    expect(it.service.serving()).toHaveLength(2);
    expect(it.events.of('instance.unfit').map(({ data }) => data)).toMatchObject([
      { instance: { pmId: 0 }, cause: 'memory', detail: 'live heap grows 1.2 MB/s' },
    ]);
    expect(it.events.of('instance.unfit')[0]?.data).toHaveProperty('blackBox');
    expect(used(0)).toBe(0);
    expect(it.service.incident).toBeNull();
    expect(it.asked.count).toBe(1);
  });
});
