/** What agents tell, and what the whole control plane makes of it. */
import { afterEach, describe, expect, test } from 'vitest';
import type { AgentFigures } from '../../backend/src/domain/agents/agent.js';
import { policyOf, World } from './world.js';

const SERVICE = 'api';
let world: World;
/** How each process is, as its agent sees it; null: the agent says nothing. */
let inside: (pid: number, now: number) => Partial<AgentFigures> | null;

/** Every instance has an agent, also those that are started later. */
async function begin(instances = 2, how = well): Promise<void> {
  world = new World(1, [policyOf(SERVICE)]);
  inside = how;
  const known = new Set<number>();
  const attend = (): void => {
    for (const { pid, status } of world.pm2.rows(SERVICE)) {
      if (known.has(pid) || status !== 'online') continue;
      known.add(pid);
      world.agents.connect(pid, () => inside(pid, world.clock.nowMs()));
    }
    world.clock.after(50, attend);
  };
  world.pm2.seed(SERVICE, instances);
  await world.startSupervisor();
  attend();
  await world.clock.advance(30_000);
}

afterEach(async () => {
  expect(world.rules.broken()).toEqual([]);
  await world.killSupervisor();
});

const service = () => world.loop.services.get(SERVICE)!;
const pids = (): number[] => world.pm2.alive(SERVICE).map(({ pid }) => pid);
const causes = () => world.eventsOf('instance.unfit').map(({ data }) => (data as { cause: string }).cause);

/** Twenty requests a second. */
function well(_pid: number, now: number): Partial<AgentFigures> {
  return { finished: Math.floor(now / 50), sinceFinishedMs: 20 };
}

/** Nothing finishes since then, and what comes waits. */
function stalledSince(since: number, now: number): Partial<AgentFigures> {
  const waitedMs = now - since;
  return {
    finished: Math.floor(since / 50),
    sinceFinishedMs: waitedMs,
    unanswered: Math.floor(waitedMs / 50),
    oldestUnansweredMs: waitedMs,
    unansweredOverdue: Math.max(0, Math.floor((waitedMs - 2_000) / 50)),
  };
}

describe('a hang', () => {
  test('is out of traffic at once, and its replacement serves before it is ended', async () => {
    await begin(2);
    const [victim] = pids();
    world.agents.hang(victim!);
    expect(
      service()
        .serving()
        .map(({ pid }) => pid),
    ).not.toContain(victim);
    expect(causes()).toEqual(['hung']);
    expect(world.eventsOf('instance.hung')[0]?.data).toMatchObject({
      at: 'spin (/app/server.js:3:1)',
      where: 'javascript',
    });
    await world.clock.advance(1_000);
    expect(pids()).not.toContain(victim);
    expect(service().serving()).toHaveLength(2);
    expect(world.pm2.starts).toBe(1);
  });

  test('that is over before a replacement serves costs no second one', async () => {
    await begin(2);
    world.pm2.behave = () => ({ readyAfterMs: 20_000, exitsAfterMs: null, answers: 'ok' });
    const [victim] = pids();
    world.agents.hang(victim!);
    await world.clock.advance(500);
    world.agents.tell('recovered', { pid: victim!, hang: 1, silentMs: 1_500 });
    expect(world.eventsOf('instance.resumed')).toHaveLength(1);
    await world.clock.advance(40_000);
    expect(service().serving()).toHaveLength(2);
    expect(pids()).toContain(victim);
    expect(world.pm2.starts).toBe(1);
  });

  test('of one that is only starting is left to its start time-out', async () => {
    await begin(2);
    world.pm2.behave = () => ({ readyAfterMs: 5_000, exitsAfterMs: null, answers: 'ok' });
    world.pm2.kill(world.pm2.alive(SERVICE)[0]!, { exitCode: 1, signal: null });
    await world.clock.advance(1_000);
    const starting = service().processes.find((process) => !service().isServing(process))!;
    world.agents.hang(starting.pid!);
    await world.clock.advance(10_000);
    expect(causes()).toEqual([]);
    expect(pids()).toContain(starting.pid);
  });

  test('under a debugger is none', async () => {
    await begin(2);
    const [victim] = pids();
    inside = (pid, now) => ({ ...well(pid, now), debugged: pid === victim });
    await world.clock.advance(1_000);
    world.agents.hang(victim!);
    await world.clock.advance(10_000);
    expect(causes()).toEqual([]);
  });

  test('of all: one more than wanted at most, and the last one is told to share its cause', async () => {
    await begin(3);
    const before = pids();
    for (const pid of before) world.agents.hang(pid);
    for (let i = 0; i < 100; i++) {
      await world.clock.advance(100);
      expect(pids().length).toBeLessThanOrEqual(4);
      expect(pids().length).toBeGreaterThanOrEqual(3);
    }
    expect(pids().filter((pid) => before.includes(pid))).toEqual([]);
    const details = world.eventsOf('instance.unfit').map(({ data }) => (data as { detail: string }).detail);
    expect(details.map((detail) => detail.includes('all 3 instances of api hang'))).toEqual([
      false,
      false,
      true,
    ]);
  });

  test('is told again when its stack comes later, once', async () => {
    await begin(2);
    const [victim] = pids();
    const hang = {
      hang: 1,
      silentMs: 1_000,
      where: 'native',
      stack: [] as string[],
      detail: 'in native code',
      requests: [],
    } as const;
    world.agents.tell('hang', { pid: victim!, hang });
    const known = { ...hang, stack: ['hash (/app/x.js:1:1)'], detail: 'in hash' };
    world.agents.tell('hang', { pid: victim!, hang: known });
    world.agents.tell('hang', { pid: victim!, hang: known });
    expect(world.eventsOf('instance.hung').map(({ data }) => (data as { at: string | null }).at)).toEqual([
      null,
      'hash (/app/x.js:1:1)',
    ]);
    expect(causes()).toEqual(['hung']);
    const id = service().processes.find(({ pid }) => pid === victim)!;
    world.agents.tell('hang', { pid: victim!, hang });
    expect(world.loop.agents.record(id)?.hang?.stack).toHaveLength(1);
  });
});

describe('silence', () => {
  test('of a stopped process is found within three seconds, and the process replaced', async () => {
    await begin(2);
    const [victim] = pids();
    inside = (pid, now) => (pid === victim ? null : well(pid, now));
    world.agents.states.set(victim!, 'stopped');
    const since = world.clock.nowMs();
    while (causes().length === 0) await world.clock.advance(50);
    expect(world.clock.nowMs() - since).toBeLessThanOrEqual(2_500);
    expect(causes()).toEqual(['stopped']);
    await world.clock.advance(2_000);
    expect(pids()).not.toContain(victim);
  });

  test('of a process that somebody stops costs no budget, a hang does', async () => {
    await begin(2);
    for (let i = 0; i < 5; i++) {
      const [victim] = pids();
      inside = (pid, now) => (pid === victim ? null : well(pid, now));
      world.agents.states.set(victim!, 'stopped');
      await world.clock.advance(15_000);
    }
    expect(causes()).toEqual(Array.from({ length: 5 }, () => 'stopped'));
    expect(world.loop.failover.attemptsUsed(SERVICE)).toBe(0);
    expect(service().serving()).toHaveLength(2);
    world.agents.hang(pids()[0]!);
    expect(world.loop.failover.attemptsUsed(SERVICE)).toBe(1);
  });

  test('that ends takes it back', async () => {
    await begin(2);
    world.pm2.behave = () => ({ readyAfterMs: 20_000, exitsAfterMs: null, answers: 'ok' });
    const [victim] = pids();
    inside = (pid, now) => (pid === victim ? null : well(pid, now));
    world.agents.states.set(victim!, 'stopped');
    await world.clock.advance(3_000);
    expect(world.loop.agents.presence({ pid: victim! })).toBe('silent');
    expect(world.loop.agents.cannotReact({ pid: victim! })).toBe(true);
    inside = well;
    await world.clock.advance(4_000);
    expect(world.eventsOf('instance.resumed')[0]?.data).toMatchObject({ from: 'stopped' });
    expect(
      service()
        .serving()
        .map(({ pid }) => pid),
    ).toContain(victim);
  });

  test.each(['traced', 'running'] as const)('of a process that is %s is no judgement', async (state) => {
    await begin(2);
    const [victim] = pids();
    inside = (pid, now) => (pid === victim ? null : well(pid, now));
    world.agents.states.set(victim!, state);
    await world.clock.advance(20_000);
    expect(causes()).toEqual([]);
  });

  test('of a process that runs and does not answer is asked at once, and not in half a minute', async () => {
    await begin(2);
    const row = world.pm2.alive(SERVICE)[0]!;
    inside = (pid, now) => (pid === row.pid ? null : well(pid, now));
    world.pm2.setAnswers(row, 'error');
    await world.clock.advance(6_000);
    expect(causes()).toEqual(['unhealthy']);
  });

  test('of an agent that left is none: probes go on', async () => {
    await begin(2);
    world.agents.leave(pids()[0]!);
    await world.clock.advance(20_000);
    expect(causes()).toEqual([]);
    expect(world.loop.agents.presence({ pid: pids()[0]! })).toBe('absent');
    expect(world.loop.agents.figures({ pid: pids()[0]! })).toBeNull();
  });
});

describe('a stall', () => {
  test('is found within three seconds though every probe passes, and they do not bring it back', async () => {
    await begin(2);
    world.pm2.behave = () => ({ readyAfterMs: 10_000, exitsAfterMs: null, answers: 'ok' });
    const [victim] = pids();
    const since = world.clock.nowMs();
    inside = (pid, now) => (pid === victim ? stalledSince(since, now) : well(pid, now));
    while (causes().length === 0) await world.clock.advance(50);
    expect(world.clock.nowMs() - since).toBeLessThanOrEqual(3_000);
    expect(causes()).toEqual(['stalled']);
    await world.clock.advance(8_000);
    expect(
      service()
        .serving()
        .map(({ pid }) => pid),
    ).not.toContain(victim);
    await world.clock.advance(10_000);
    expect(pids()).not.toContain(victim);
    expect(service().serving()).toHaveLength(2);
    expect(world.pm2.starts).toBe(1);
  });

  test('that ends before a replacement serves is taken back', async () => {
    await begin(2);
    world.pm2.behave = () => ({ readyAfterMs: 20_000, exitsAfterMs: null, answers: 'ok' });
    const [victim] = pids();
    const since = world.clock.nowMs();
    inside = (pid, now) => (pid === victim ? stalledSince(since, now) : well(pid, now));
    await world.clock.advance(5_000);
    expect(causes()).toEqual(['stalled']);
    inside = well;
    await world.clock.advance(4_000);
    expect(world.eventsOf('instance.resumed')[0]?.data).toMatchObject({ from: 'stalled' });
    expect(
      service()
        .serving()
        .map(({ pid }) => pid),
    ).toContain(victim);
    await world.clock.advance(30_000);
    expect(pids()).toContain(victim);
  });

  test('whose clients have given up, with nothing to replace it: gets traffic again after two minutes', async () => {
    await begin(2);
    await world.ha.stop('test');
    const [victim] = pids();
    const since = world.clock.nowMs();
    inside = (pid, now) => (pid === victim ? stalledSince(since, now) : well(pid, now));
    await world.clock.advance(5_000);
    expect(causes()).toEqual(['stalled']);
    const { finished } = stalledSince(since, since);
    inside = (pid, now) =>
      pid === victim ? { finished: finished ?? 0, sinceFinishedMs: now - since } : well(pid, now);
    await world.clock.advance(110_000);
    expect(service().serving()).toHaveLength(1);
    await world.clock.advance(20_000);
    expect(world.eventsOf('instance.resumed')[0]?.data).toMatchObject({ from: 'stalled' });
    expect(service().serving()).toHaveLength(2);
  });

  test('of all, where replacing one did not help: the others stay, and it is said why, once', async () => {
    await begin(4);
    const before = pids();
    const since = world.clock.nowMs();
    // The database is gone: who is new finishes nothing either.
    inside = (_pid, now) => stalledSince(since, now);
    await world.clock.advance(60_000);
    expect(causes()).toEqual(['stalled']);
    expect(pids().filter((pid) => before.includes(pid))).toHaveLength(3);
    expect(service().serving()).toHaveLength(4);
    const told = world.eventsOf('service.stalled');
    expect(told).toHaveLength(1);
    expect((told[0]!.data as { detail: string }).detail).toContain('a shared dependency');
    // It is back: nothing more happens.
    inside = well;
    await world.clock.advance(30_000);
    expect(causes()).toEqual(['stalled']);
    expect(world.pm2.starts).toBe(1);
  });

  test('of all, each by its own doing: one after the other is replaced', async () => {
    await begin(3);
    const before = new Set(pids());
    const since = world.clock.nowMs();
    inside = (pid, now) => (before.has(pid) ? stalledSince(since, now) : well(pid, now));
    for (let i = 0; i < 300; i++) {
      await world.clock.advance(100);
      expect(pids().length).toBeLessThanOrEqual(4);
    }
    expect(pids().filter((pid) => before.has(pid))).toEqual([]);
    expect(causes()).toEqual(['stalled', 'stalled', 'stalled']);
  });

  test('is none where long waits are usual', async () => {
    // Long polls of 25 s, answered in groups; nothing else.
    const poll = (_pid: number, now: number): Partial<AgentFigures> => {
      const phaseMs = now % 25_000;
      return {
        finished: Math.floor(now / 25_000) * 20,
        sinceFinishedMs: phaseMs,
        unanswered: 20,
        oldestUnansweredMs: phaseMs,
        unansweredOverdue: phaseMs > 2_000 ? 20 : 0,
      };
    };
    await begin(2, poll);
    await world.clock.advance(600_000);
    expect(causes()).toEqual([]);
    expect(world.eventsOf('service.stalled')).toEqual([]);
  });

  test('of one that drains is none: it gets nothing new, and its last requests may take their time', async () => {
    await begin(3);
    const scaled = world.ha.scale({ direction: 'down', targetInstances: 2, timeoutMs: 60_000 });
    await world.clock.advance(10);
    const leaving = service().processes.find((process) => service().isDraining(process));
    const since = world.clock.nowMs() - 5_000;
    inside = (pid, now) => (pid === leaving!.pid ? stalledSince(since, now) : well(pid, now));
    await world.clock.advance(30_000);
    await scaled;
    // The next real one is not held back by it.
    const [victim] = pids();
    const from = world.clock.nowMs();
    inside = (pid, now) => (pid === victim ? stalledSince(from, now) : well(pid, now));
    await world.clock.advance(3_000);
    expect(causes()).toEqual(['stalled']);
  });

  test('of one that is asked to stop is none: it lets its last requests finish', async () => {
    await begin(2);
    const [victim] = pids();
    const since = world.clock.nowMs();
    inside = (pid, now) => (pid === victim ? stalledSince(since, now) : well(pid, now));
    world.agents.tell('stopping', { pid: victim!, signal: 'SIGINT', draining: false });
    await world.clock.advance(5_000);
    expect(causes()).not.toContain('stalled');
  });
});

describe('figures', () => {
  test('are of the instance that PM2 lists under that pid, and outlive it', async () => {
    await begin(2);
    const process = service().processes[0]!;
    expect(world.loop.agents.figures(process)).toMatchObject({ sinceFinishedMs: 20 });
    const record = world.loop.agents.record(process)!;
    expect(record).toMatchObject({ agentVersion: '1.0.0', nodeVersion: 'v20.0.0', hang: null });
    expect(record.figures.length).toBeGreaterThan(100);
    await world.clock.advance(90_000);
    expect(world.loop.agents.record(process)!.figures.length).toBeLessThanOrEqual(241);
    world.pm2.kill(
      world.pm2.rows(SERVICE).find(({ pid }) => pid === process.pid)!,
      { exitCode: 1, signal: null },
    );
    world.agents.leave(process.pid!);
    await world.clock.advance(60_000);
    expect(world.loop.agents.record(process)).not.toBeNull();
    await world.clock.advance(300_000);
    expect(world.loop.agents.record(process)).toBeNull();
  });

  test('of event-loop utilisation are load: over the same time as the CPU, and none without an agent', async () => {
    await begin(2);
    const [first, second] = pids();
    world.cpu.set(SERVICE, 5);
    world.agents.leave(second!);
    let turn = 0;
    inside = (pid, now) => ({ ...well(pid, now), eluPercent: turn++ % 2 === 0 ? 100 : 20 });
    await world.clock.advance(5_000);
    const shown = (pid: number) =>
      service()
        .view()
        .instances.find((one) => one.pid === pid);
    expect(shown(first!)?.eluPercent).toBeCloseTo(60, -1);
    expect(shown(second!)?.eluPercent).toBeNull();
    expect(shown(first!)?.agent).toBe('connected');
  });

  test('are in the health check, for people', async () => {
    await begin(2);
    const [victim] = pids();
    inside = (pid, now) =>
      pid === victim ? null : { ...well(pid, now), active: 7, unansweredOverdue: 2, delayP99Ms: 3.21 };
    await world.clock.advance(2_500);
    const health = world.ha.health();
    await world.clock.advance(100);
    const details = (await health).checks
      .filter(({ name }) => name.startsWith('api#'))
      .map(({ detail }) => detail);
    expect(details).toEqual([
      expect.stringMatching(/^port \d+ answers; its agent is silent$/),
      expect.stringMatching(
        /^port \d+ answers; event loop 5 %, delay 3.21 ms, 7 requests, 2 of them overdue$/,
      ),
    ]);
  });

  test('of a process that is no instance are nobody’s', async () => {
    await begin(1);
    world.agents.connect(999_999);
    world.agents.hang(999_999);
    await world.clock.advance(5_000);
    expect(causes()).toEqual([]);
    expect(world.loop.agents.serviceOf(999_999)).toBeNull();
  });

  test('settings are told again once it is known whose agent it is', async () => {
    await begin(1);
    const before = world.agents.refreshed;
    // The agent of the next one connects before the supervisor has seen its process.
    world.pm2.kill(world.pm2.alive(SERVICE)[0]!, { exitCode: 1, signal: null });
    world.agents.connect(pids()[0]!);
    await world.clock.advance(5_000);
    expect(world.agents.refreshed).toBe(before + 1);
    world.loop.reconfigure([policyOf(SERVICE, { hangTimeoutMs: 5_000 })]);
    expect(world.agents.refreshed).toBe(before + 2);
  });
});

describe('a leak', () => {
  const MB = 2 ** 20;
  const LIMIT = 512 * MB;

  test('that every start brings along is outrun for good: nobody meets the limit, nothing is quarantined', async () => {
    const startedAt = new Map<number, number>();
    const weight = (pid: number, now: number): number => {
      const since = startedAt.get(pid) ?? now;
      startedAt.set(pid, since);
      return (100 + (1.2 * (now - since)) / 1_000) * MB;
    };
    await begin(2, (pid, now) => {
      // A major collection every ten seconds; 60 MB are not heap.
      const heapUsedBytes = weight(pid, now) - 60 * MB;
      const liveHeapBytes = weight(pid, now - (now % 10_000)) - 60 * MB;
      const majorGcs = 1 + Math.floor(now / 10_000);
      const heap = { heapUsedBytes, liveHeapBytes, majorGcs, heapLimitBytes: 2_096 * MB };
      return { ...well(pid, now), eluPercent: 50, rssBytes: weight(pid, now), ...heap };
    });
    for (let second = 0; second < 1_500; second += 1) {
      await world.clock.advance(1_000);
      expect(service().serving().length).toBeGreaterThanOrEqual(2);
      expect(pids().length).toBeLessThanOrEqual(3);
      for (const pid of pids()) expect(weight(pid, world.clock.nowMs())).toBeLessThan(LIMIT);
    }
    const told = world
      .eventsOf('instance.unfit')
      .map(({ data }) => data as { cause: string; detail: string });
    expect(told.length).toBeGreaterThanOrEqual(6);
    for (const { cause, detail } of told) {
      expect(cause).toBe('memory');
      expect(detail).toMatch(/^resident memory grows 1\.\d MB\/s, \d+ MB below its limit of 512 MB/);
    }
    expect(world.loop.memory.recycled(SERVICE)).toBe(told.length);
    expect(world.eventsOf('service.quarantined')).toEqual([]);
    expect(world.loop.failover.attemptsUsed(SERVICE)).toBe(0);
  });
});
