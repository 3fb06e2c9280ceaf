/** From a decision to its outcome: what is written when, and that nobody waits for it. */
import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../../test/simulation/fakeClock.js';
import { policyOf } from '../../../../test/simulation/world.js';
import { agentFigures } from '../../../../test/support/agentFigures.js';
import { steadyHealth } from '../../../../test/support/steadyHealth.js';
import { MemoryBlackBoxes } from '../../../../test/support/memoryBlackBoxes.js';
import type { KeptBox } from '../../../../test/support/memoryBlackBoxes.js';
import { recordedEvents, silentLogger } from '../../../../test/support/recordedEvents.js';
import type { AgentAttachment, AgentRecord, Hang } from '../../domain/agents/agent.js';
import { instanceKey } from '../../domain/model.js';
import type { ManagedProcess } from '../../domain/model.js';
import type { ProcessExit } from '../../ports.js';
import { BlackBox } from './blackBox.js';
import { FailoverManager } from '../failoverManager.js';
import { SupervisedService } from '../service/supervisedService.js';
import { TrafficFeed } from '../observe/trafficFeed.js';

const SERVICE = 'api';
const POLICY = policyOf(SERVICE);

const HANG: Hang = {
  hang: 1,
  silentMs: 1_004,
  where: 'javascript',
  stack: ['spin (/app/a.js:3:1)'],
  detail: 'blocked for 1.0 s in spin (/app/a.js:3:1)',
  requests: [{ method: 'GET', path: '/spin', ageMs: 1_010 }],
};

function row(pmId: number, changes: Partial<ManagedProcess> = {}): ManagedProcess {
  const startedAtMs = FakeClock.epochMs;
  const fixed = { service: SERVICE, status: 'online', mode: 'cluster', restarts: 0 } as const;
  const times = { startedAtMs, createdAtMs: startedAtMs, killTimeoutMs: 10_000 };
  return { ...fixed, ...times, pmId, pid: 100 + pmId, port: 13_004 + pmId, ...changes };
}

function keeping() {
  const clock = new FakeClock();
  const events = recordedEvents(clock);
  const failover = new FailoverManager({ clock, random: () => 0.5 });
  failover.supervise(SERVICE, POLICY.failure);
  const health = steadyHealth(clock);
  const traffic = new TrafficFeed({ clock, events: events.log, onDrained: () => undefined });
  const agents = { presence: () => 'absent' as const };
  const diagnostician = { of: () => null };
  const startWarnings = (): readonly string[] => [];
  const parts = { clock, failover, health, traffic, agents, diagnostician, startWarnings };
  const service = new SupervisedService(POLICY, parts);
  const store = new MemoryBlackBoxes();
  const inside = new Map<string, AgentRecord>();
  const stderr = { text: null as string | null };
  const blackBox = new BlackBox({
    clock,
    events: events.log,
    health,
    failover,
    store,
    stderr: {
      lastLines: () =>
        Promise.resolve(stderr.text === null ? null : { path: '/srv/api-error.log', text: stderr.text }),
    },
    recordOf: (id) => inside.get(instanceKey(id)) ?? null,
    logger: silentLogger,
    version: '1.2.3',
  });
  service.see([row(1), row(2)]);
  service.desired = 2;
  /** So long passes, with a look each second. */
  const watch = async (seconds: number): Promise<void> => {
    for (let second = 0; second < seconds; second += 1) {
      await clock.advance(1_000);
      service.measure(
        new Map([
          [101, { cpuPercent: 50 + second, memoryBytes: 5e7, eluPercent: null, backlogPercent: null }],
        ]),
      );
      blackBox.look([service]);
    }
    await clock.advance(0);
  };
  /** What the agent of pm 1 has said so far. */
  const says = (changes: Partial<AgentRecord>): void => {
    const key = instanceKey(row(1));
    const { service: name, pmId, startedAtMs } = row(1);
    const before = inside.get(key) ?? {
      id: { service: name, pmId, startedAtMs },
      agentVersion: '1.2.3',
      nodeVersion: 'v20.20.2',
      figures: [],
      hang: null,
      attachments: [],
    };
    inside.set(key, { ...before, ...changes });
  };
  const attachment = (kind: AgentAttachment['kind'], content: unknown): AgentAttachment => ({
    kind,
    atWallMs: clock.wallMs(),
    content,
  });
  const box = (id: string | undefined): KeptBox => {
    const found = store.boxes.get(id ?? 'none');
    if (found === undefined) throw new Error(`${id} was not kept`);
    return found;
  };
  return { clock, events, failover, health, service, store, stderr, blackBox, watch, says, attachment, box };
}

let on: ReturnType<typeof keeping>;
beforeEach(() => {
  on = keeping();
});

const EXIT: ProcessExit = {
  service: SERVICE,
  pmId: 1,
  startedAtMs: FakeClock.epochMs,
  pid: 101,
  exitCode: 1,
  signal: null,
  asked: false,
};
const settle = (): Promise<void> => on.clock.advance(0);
const condemn = (cause: 'hung' | 'unhealthy' | 'memory' = 'hung', pmId = 1): string | undefined =>
  on.blackBox.condemned(on.service, row(pmId), cause, 'why');
const serving = (pmId: number, pid = 100 + pmId): void =>
  on.events.log.emit('instance.serving', {
    service: SERVICE,
    instance: { pmId, pid, port: 13_004 },
    afterMs: 1,
  });

describe('an instance that is condemned', () => {
  it('leaves at once what is known: the decision, its figures, what went before', async () => {
    on.events.log.emit('service.scaled', {
      service: SERVICE,
      from: 1,
      to: 2,
      by: 'operator',
      reason: 'asked',
    });
    await on.watch(5);
    on.stderr.text = 'something';
    const id = condemn();
    await settle();
    const { summary, pieces } = on.box(id);
    expect(summary).toMatchObject({
      id: 'api-1-2023-11-14T22-13-25.000Z',
      service: SERVICE,
      pmId: 1,
      pid: 101,
      port: 13_005,
      startedAt: '2023-11-14T22:13:20.000Z',
      at: '2023-11-14T22:13:25.000Z',
      ranMs: 5_000,
      cause: 'hung',
      detail: 'why',
      decision: { by: 'unfit', attemptsUsed: 0, attemptsMax: 3, desired: 2, serving: 0 },
      outcome: null,
      versions: { holdfast: '1.2.3', agent: null, node: null },
      stderrPath: '/srv/api-error.log',
      before: [{ type: 'service.scaled' }],
    });
    expect(pieces.stderr).toBe('something');
    expect(pieces.figures?.map(({ at, from }) => `${from} ${at.slice(17, 19)}`)).toEqual(
      ['21', '22', '23', '24', '25'].map((second) => `supervisor ${second}`),
    );
  });

  it('has its stack, report and profile added when they come', async () => {
    on.says({ figures: [agentFigures({ atMs: -250, eluPercent: 99 })] });
    const id = condemn();
    await settle();
    expect(on.box(id).pieces.stack).toBeUndefined();
    on.says({ hang: HANG });
    await on.watch(1);
    expect(on.box(id).pieces.stack).toContain('    at spin (/app/a.js:3:1)');
    expect(on.box(id).summary.hang).toMatchObject({ silentMs: 1_004, where: 'javascript' });
    expect(on.box(id).summary.findings).toEqual([HANG.detail]);
    on.says({
      attachments: [on.attachment('report', { a: 1 }), on.attachment('heap-profile', { head: {} })],
    });
    await on.watch(1);
    expect(on.box(id).pieces).toMatchObject({ report: { a: 1 }, heapProfile: { head: {} } });
    expect(on.box(id).summary.versions).toEqual({ holdfast: '1.2.3', agent: '1.2.3', node: 'v20.20.2' });
    const { saves } = on.store;
    await on.watch(5);
    expect(on.store.saves).toBe(saves);
  });

  it('has no report of an older story', async () => {
    on.says({ attachments: [on.attachment('report', 'old')] });
    await on.clock.advance(61_000);
    const id = condemn();
    await settle();
    expect(on.box(id).pieces.report).toBeUndefined();
  });

  it('has no stack of a hang that was over', async () => {
    on.says({ hang: HANG, figures: [agentFigures({ atMs: 0, beatAgeMs: 30 })] });
    const id = condemn('unhealthy');
    await settle();
    expect(on.box(id).pieces.stack).toBeUndefined();
    expect(on.box(id).summary.hang).toBeNull();
  });

  it('has the stack of a hang that it is in, whatever it is condemned for', async () => {
    on.says({ hang: HANG, figures: [agentFigures({ atMs: 0, beatAgeMs: 900 })] });
    const id = condemn('unhealthy');
    await settle();
    expect(on.box(id).pieces.stack).toContain('spin');
  });

  it('has figures of both sides in the order of time, and what followed the decision, too', async () => {
    on.says({ figures: [agentFigures({ atMs: 500 }), agentFigures({ atMs: 1_500 })] });
    await on.watch(2);
    const id = condemn();
    on.says({ figures: [agentFigures({ atMs: 1_500 }), agentFigures({ atMs: 2_500 })] });
    await on.watch(1);
    serving(1);
    await settle();
    const lines = on.box(id).pieces.figures ?? [];
    expect(lines.map(({ at, from }) => `${at.slice(17, 23)} ${from}`)).toEqual([
      '20.500 agent',
      '21.000 supervisor',
      '21.500 agent',
      '22.000 supervisor',
      '22.500 agent',
      '23.000 supervisor',
    ]);
    expect(lines[0]).not.toHaveProperty('atMs');
  });

  it('is closed with its outcome and the events that led there', async () => {
    const id = condemn();
    await on.clock.advance(400);
    on.events.log.emit('instance.started', {
      service: SERVICE,
      instance: { pmId: 7, pid: 107, port: 13_011 },
      why: 'replaces pm 1',
      replaces: 1,
    });
    on.events.log.emit('instance.started', {
      service: 'other',
      instance: { pmId: 8, pid: 108, port: 1 },
      why: 'x',
    });
    await on.clock.advance(300);
    serving(7);
    await settle();
    expect(on.box(id).summary.outcome).toBeNull();
    await on.clock.advance(1_000);
    on.events.log.emit('instance.stopped', {
      service: SERVICE,
      instance: { pmId: 1, pid: 101, port: 13_005 },
      why: 'why',
      tookMs: 10,
    });
    await settle();
    const { summary } = on.box(id);
    expect(summary.outcome).toEqual({
      kind: 'replaced',
      byPmId: 7,
      servingAfterMs: 700,
      endedAfterMs: 1_700,
    });
    expect(summary.after.map(({ type }) => type)).toEqual([
      'instance.started',
      'instance.serving',
      'instance.stopped',
    ]);
    serving(9);
    await on.watch(3);
    expect(on.box(id).summary.after).toHaveLength(3);
  });

  it('that is condemned again meanwhile, or dies of it, is still the same story', async () => {
    const id = condemn('memory');
    await on.watch(1);
    expect(condemn('hung')).toBe(id);
    await on.watch(1);
    expect(on.blackBox.ended(on.service, EXIT, 'out-of-memory', 'the heap is full')).toBe(id);
    serving(1, 999);
    await settle();
    expect(on.store.boxes.size).toBe(1);
    expect(on.box(id).summary).toMatchObject({ cause: 'memory', detail: 'why' });
    expect(on.box(id).summary.findings.slice(-2)).toEqual([
      '1.0 s later, hung: why',
      '2.0 s later, out-of-memory: the heap is full',
    ]);
  });

  it('by probes alone, and that then turns out to have died, is told as what it was', async () => {
    const id = condemn('unhealthy');
    await on.clock.advance(300);
    const exit = { ...EXIT, exitCode: null, signal: 'SIGABRT' };
    expect(on.blackBox.ended(on.service, exit, 'out-of-memory', 'the heap is full')).toBe(id);
    serving(1, 999);
    await settle();
    expect(on.box(id).summary).toMatchObject({
      cause: 'out-of-memory',
      detail: 'the heap is full',
      decision: { by: 'exit', exitCode: null, signal: 'SIGABRT' },
      findings: expect.arrayContaining(['probes were the first to notice, unhealthy: why']),
      outcome: { kind: 'restarted' },
    });
  });

  it('by probes long before it died died of something else, or of what followed', async () => {
    const id = condemn('unhealthy');
    await on.clock.advance(6_000);
    on.blackBox.ended(on.service, EXIT, 'crashed', 'left');
    await on.blackBox.close();
    expect(on.box(id).summary).toMatchObject({
      cause: 'unhealthy',
      findings: expect.arrayContaining(['6.0 s later, crashed: left']),
    });
  });

  it('anew after it had recovered is another one', async () => {
    const id = condemn();
    await on.clock.advance(100);
    serving(1);
    await on.watch(1);
    expect(on.box(id).summary.outcome).toEqual({ kind: 'recovered', afterMs: 100 });
    const other = condemn();
    await settle();
    expect(other).not.toBe(id);
    expect(on.store.boxes.size).toBe(2);
  });

  it('is watched for two minutes, not for ever', async () => {
    const id = condemn();
    await on.watch(122);
    expect(on.box(id).summary.outcome).toEqual({ kind: 'unsettled', watchedMs: 121_000 });
  });
});

describe('an instance that died by its own fault', () => {
  it('leaves its last figures, though it is gone, and why', async () => {
    await on.watch(70);
    on.service.see([row(2)]);
    await on.clock.advance(1_000);
    on.blackBox.look([on.service]);
    const id = on.blackBox.ended(
      on.service,
      { ...EXIT, exitCode: null, signal: 'SIGSEGV' },
      'crashed',
      'left',
    );
    await settle();
    const { summary, pieces } = on.box(id);
    expect(summary.decision).toMatchObject({ by: 'exit', exitCode: null, signal: 'SIGSEGV' });
    expect(pieces.figures).toHaveLength(60);
    serving(1, 999);
    await settle();
    expect(on.box(id).summary.outcome).toEqual({ kind: 'restarted', servingAfterMs: 0 });
  });

  it('of a full heap: tells the limit, and what stderr said of it', async () => {
    const full = { heapUsedBytes: 500 * 1024 ** 2, heapLimitBytes: 512 * 1024 ** 2 };
    on.says({ figures: [agentFigures({ atMs: 0, ...full })] });
    expect(on.blackBox.heapOf(row(1))).toEqual({
      usedBytes: full.heapUsedBytes,
      limitBytes: full.heapLimitBytes,
    });
    expect(on.blackBox.heapOf(row(2))).toBeNull();
    on.stderr.text = 'FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory';
    await on.clock.advance(200);
    const id = on.blackBox.ended(on.service, EXIT, 'out-of-memory', 'the heap');
    await settle();
    expect(on.box(id).summary.findings).toEqual([
      'the JavaScript heap had 500 MB of its limit of 512 MB in use 0.2 s before',
      'stderr says that the JavaScript heap ran out of memory',
    ]);
  });
});

describe('a disk', () => {
  it('that refuses loses nothing of what it takes later', async () => {
    on.store.refuses = true;
    on.says({ hang: HANG, attachments: [on.attachment('report', { a: 1 })] });
    const id = condemn();
    await on.watch(1);
    expect(on.store.boxes.size).toBe(0);
    on.store.refuses = false;
    serving(1);
    await settle();
    expect(on.box(id).pieces).toMatchObject({ report: { a: 1 }, stack: expect.stringContaining('spin') });
    expect(on.box(id).summary.outcome).toMatchObject({ kind: 'recovered' });
  });

  it('that is stuck holds nobody up, and holds at most so many in memory', async () => {
    let release = (): void => undefined;
    on.store.gate = new Promise((resolve) => {
      release = resolve;
    });
    const ids = Array.from({ length: 40 }, (_, pmId) => condemn('unhealthy', pmId));
    expect(ids.filter((id) => id !== undefined)).toHaveLength(32);
    expect(on.blackBox.dropped()).toBe(8);
    await on.watch(130);
    // One write each is under way, whatever has become known meanwhile.
    expect(on.store.saves).toBe(32);
    release();
    await on.watch(1);
    expect(on.store.boxes.size).toBe(32);
    expect(on.store.all.every(({ summary }) => summary.outcome?.kind === 'unsettled')).toBe(true);
    expect(condemn()).toBeDefined();
  });
});

it('what cannot be described is not kept, and nobody is hurt by that', async () => {
  // No calendar has such a day.
  expect(on.blackBox.condemned(on.service, row(1, { startedAtMs: 1e300 }), 'hung', 'why')).toBeUndefined();
  expect(on.blackBox.dropped()).toBe(1);
  expect(condemn()).toBeDefined();
});

it('a supervisor that ends writes what it knows, and hears nothing any more', async () => {
  const id = condemn();
  await settle();
  on.events.log.emit('service.reset', { service: SERVICE, by: 'x' });
  await on.blackBox.close();
  expect(on.box(id).summary).toMatchObject({ outcome: null, after: [{ type: 'service.reset' }] });
  serving(1);
  await settle();
  expect(on.box(id).summary.outcome).toBeNull();
});

it('an unknown one is 404', async () => {
  await expect(on.blackBox.view('api-1-x')).rejects.toMatchObject({ code: 'blackbox.unknown', status: 404 });
  await expect(on.blackBox.file('api-1-x', 'stack.txt')).rejects.toMatchObject({ code: 'blackbox.unknown' });
  const id = condemn() ?? '';
  await settle();
  expect((await on.blackBox.view(id)).summary.id).toBe(id);
  await expect(on.blackBox.file(id, 'stack.txt')).rejects.toMatchObject({ code: 'blackbox.no-file' });
  expect((await on.blackBox.list()).map((entry) => entry.id)).toEqual([id]);
  on.store.damaged = true;
  await expect(on.blackBox.view(id)).rejects.toMatchObject({ code: 'blackbox.damaged' });
});
