import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../../test/simulation/fakeClock.js';
import { seeded } from '../../domain/balancing/testing/pool.js';
import { silentLogger } from '../../../../test/support/recordedEvents.js';
import type { GatewaySnapshot } from '../../domain/upstreams/pool.js';
import { Fleet, SILENCE_MS, START_SILENCE_MS } from './fleet.js';
import type { WorkerListeners } from './fleetOptions.js';
import type { FromWorker, ToWorker } from './messages.js';

const STOP = { graceMs: 10_000, webSocketWindowMs: 5_000 };
const snapshotOf = (version: number): GatewaySnapshot => ({ version, routes: [], pools: [] });
const STATS: FromWorker = {
  kind: 'stats',
  stats: {
    upstreams: [],
    clients: { connections: 0, upgraded: 0, accepted: 0, answers: [0, 0, 0, 0, 0] },
    refusals: {},
    accessLogDropped: 0,
    seen: [],
  },
};

/** A process that does what the test says. */
class FakeProcess {
  readonly pid: number;
  readonly got: ToWorker<string>[] = [];
  readonly signals: string[] = [];
  hasExited = false;
  listens = false;
  readonly #listeners: WorkerListeners;

  constructor(pid: number, listeners: WorkerListeners) {
    this.pid = pid;
    this.#listeners = listeners;
  }

  send(message: unknown): void {
    this.got.push(message as ToWorker<string>);
  }

  kill(signal: string): void {
    this.signals.push(signal);
    if (signal === 'SIGKILL') this.exits(null, signal);
  }

  says(message: FromWorker | Record<string, unknown>): void {
    this.#listeners.onMessage(message);
  }

  /** What it was started with. */
  get settings(): string | null {
    const start = this.got.find(({ kind }) => kind === 'start');
    return start?.kind === 'start' ? start.settings : null;
  }

  get isStopping(): boolean {
    return this.got.some(({ kind }) => kind === 'stop');
  }

  /** Loads, is started, listens and confirms its first snapshot. */
  comesUp(): void {
    if (this.settings === null) this.says({ kind: 'ready' });
    const start = this.got.find(({ kind }) => kind === 'start');
    if (start?.kind !== 'start') throw new Error('it was not started');
    this.says({ kind: 'swapped', version: start.snapshot.version, busy: [] });
    this.says({ kind: 'listening', port: 13_003 });
    this.listens = true;
  }

  exits(code: number | null = 0, signal: string | null = null): void {
    this.hasExited = true;
    this.#listeners.onExit({ code, signal });
  }

  snapshots(): number[] {
    return this.got.flatMap((message) => (message.kind === 'snapshot' ? [message.snapshot.version] : []));
  }
}

function fleetOf(size: number) {
  const clock = new FakeClock();
  const processes: FakeProcess[] = [];
  const log = { lines: [] as string[], stats: [] as number[], gone: [] as number[], waiting: 0, progress: 0 };
  const fleet = new Fleet<string>({
    clock,
    random: () => 0.5,
    logger: silentLogger,
    size,
    listen: { host: '0.0.0.0', port: 13_003, tlsPort: null, reusePort: false, patienceMs: 0 },
    tls: () => null,
    settings: 'first',
    stop: () => STOP,
    snapshot: snapshotOf(1),
    spawn: (listeners) => {
      const process = new FakeProcess(100 + processes.length, listeners);
      processes.push(process);
      return process;
    },
    onStats: (id) => log.stats.push(id),
    onGone: (id) => log.gone.push(id),
    onLog: (lines) => log.lines.push(...lines),
    onAsk: (path) => Promise.resolve({ status: 200, lines: '', contentType: 'text/plain', body: path }),
    onCall: (path) => Promise.resolve({ status: 409, code: 'upstreams.fixed', message: path }),
    onWaiting: () => (log.waiting += 1),
    onProgress: () => (log.progress += 1),
  });
  return { clock, processes, log, fleet };
}

let world: ReturnType<typeof fleetOf>;
beforeEach(() => {
  world = fleetOf(2);
});

const started = async (): Promise<void> => {
  const starting = world.fleet.start();
  for (const process of world.processes) process.comesUp();
  await starting;
};

describe('starting', () => {
  it('takes longer on a starved machine than a worker that serves may be silent', async () => {
    const starting = world.fleet.start();
    await world.clock.advance(START_SILENCE_MS - 2_000);
    expect(world.processes.flatMap(({ signals }) => signals)).toEqual([]);
    world.processes[0]!.comesUp();
    expect(await starting).toEqual({ ok: true });
    await world.clock.advance(4_000);
    expect(world.processes[1]!.signals).toEqual(['SIGKILL']);
  });

  it('is done as soon as one listens', async () => {
    const starting = world.fleet.start();
    world.processes[1]!.comesUp();
    expect(await starting).toEqual({ ok: true });
    expect(world.fleet.serving).toBe(1);
  });

  it('gives every worker its address, settings and the latest snapshot', async () => {
    void world.fleet.start();
    world.fleet.publish(snapshotOf(7));
    world.processes[0]!.says({ kind: 'ready' });
    expect(world.processes[0]!.got).toEqual([
      {
        kind: 'start',
        listen: { host: '0.0.0.0', port: 13_003, tlsPort: null, reusePort: false, patienceMs: 0 },
        tls: null,
        settings: 'first',
        snapshot: snapshotOf(7),
      },
    ]);
  });

  it('says why when none can listen', async () => {
    const starting = world.fleet.start();
    for (const process of [...world.processes]) {
      process.says({ kind: 'ready' });
      process.says({ kind: 'failed', code: 'EADDRINUSE', message: 'address already in use', port: 13_003 });
    }
    expect(await starting).toEqual({
      ok: false,
      code: 'EADDRINUSE',
      message: 'address already in use',
      port: 13_003,
    });
  });

  it('says so when all end before they listen', async () => {
    const starting = world.fleet.start();
    for (const process of [...world.processes]) process.exits(1);
    expect(await starting).toMatchObject({ ok: false, code: 'gateway.no-worker' });
  });

  it('one that cannot listen does not hold up the others, and is tried again', async () => {
    const starting = world.fleet.start();
    world.processes[0]!.says({ kind: 'failed', code: 'EADDRINUSE', message: 'taken', port: 13_003 });
    world.processes[1]!.comesUp();
    expect(await starting).toEqual({ ok: true });
    await world.clock.advance(1);
    expect(world.processes).toHaveLength(3);
  });

  it('tells when somebody else has the port', () => {
    void world.fleet.start();
    world.processes[0]!.says({ kind: 'waiting' });
    expect(world.log.waiting).toBe(1);
  });
});

describe('a worker that ends', () => {
  beforeEach(started);

  it('is replaced at once; the other is left alone', async () => {
    const [first, second] = world.processes;
    first!.exits(null, 'SIGKILL');
    await world.clock.advance(1);
    expect(world.processes).toHaveLength(3);
    expect(world.fleet.restarts).toBe(1);
    expect(world.log.gone).toEqual([1]);
    expect(second!.got.map(({ kind }) => kind)).toEqual(['start']);
  });

  it('again and again while young is replaced after growing pauses', async () => {
    const bornAtMs: number[] = [];
    for (let i = 0; i < 8; i += 1) {
      const before = world.processes.length;
      world.processes.at(-1)!.exits(1);
      while (world.processes.length === before) await world.clock.advance(1);
      bornAtMs.push(world.clock.nowMs());
    }
    const pauses = bornAtMs.map((at, i) => at - (bornAtMs[i - 1] ?? 0));
    expect(pauses[0]).toBeLessThanOrEqual(1);
    expect(pauses.at(-1)!).toBeGreaterThan(pauses[2]!);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(10_100);
  });

  it('after a long life is replaced at once again', async () => {
    for (let i = 0; i < 5; i += 1) {
      const before = world.processes.length;
      world.processes.at(-1)!.exits(1);
      while (world.processes.length === before) await world.clock.advance(1);
    }
    const last = world.processes.at(-1)!;
    for (let second = 0; second < 6; second += 1) {
      for (const process of world.processes) process.says(STATS);
      await world.clock.advance(1_000);
    }
    const before = world.processes.length;
    last.exits(1);
    await world.clock.advance(1);
    expect(world.processes).toHaveLength(before + 1);
  });
});

describe('a worker that falls silent', () => {
  beforeEach(started);

  it('is killed and replaced; one that reports is not', async () => {
    const [silent, alive] = world.processes;
    for (let passedMs = 0; passedMs <= SILENCE_MS + 1_000; passedMs += 500) {
      alive!.says(STATS);
      await world.clock.advance(500);
    }
    expect(silent!.signals).toEqual(['SIGKILL']);
    expect(alive!.signals).toEqual([]);
    expect(world.processes).toHaveLength(3);
    expect(world.log.stats.every((id) => id === 2)).toBe(true);
  });
});

describe('snapshots', () => {
  beforeEach(started);

  it('reach every worker at once', () => {
    world.fleet.publish(snapshotOf(2));
    expect(world.processes.map((process) => process.snapshots())).toEqual([[2], [2]]);
  });

  it('never more than one is on its way; the latest follows', () => {
    for (const version of [2, 3, 4, 5]) world.fleet.publish(snapshotOf(version));
    const [first] = world.processes;
    expect(first!.snapshots()).toEqual([2]);
    first!.says({ kind: 'swapped', version: 2, busy: [] });
    expect(first!.snapshots()).toEqual([2, 5]);
    first!.says({ kind: 'swapped', version: 5, busy: [] });
    expect(first!.snapshots()).toEqual([2, 5]);
  });
});

describe('drained', () => {
  beforeEach(started);
  const KEY = 'shop\n127.0.0.1:13004';

  it('only when every worker has the snapshot and nothing under way there', () => {
    const { fleet, processes } = world;
    fleet.publish(snapshotOf(2));
    expect(fleet.isDrained(KEY)).toBe(false);
    processes[0]!.says({ kind: 'swapped', version: 2, busy: [] });
    expect(fleet.isDrained(KEY)).toBe(false);
    processes[1]!.says({ kind: 'swapped', version: 2, busy: [KEY] });
    expect(fleet.isDrained(KEY)).toBe(false);
    processes[1]!.says({ kind: 'swapped', version: 2, busy: [] });
    expect(fleet.isDrained(KEY)).toBe(true);
  });

  it('a worker that died holds nothing up', () => {
    const { fleet, processes, log } = world;
    fleet.publish(snapshotOf(2));
    processes[0]!.says({ kind: 'swapped', version: 2, busy: [] });
    const before = log.progress;
    processes[1]!.exits(null, 'SIGKILL');
    expect(fleet.isDrained(KEY)).toBe(true);
    expect(log.progress).toBeGreaterThan(before);
  });

  it('one that was told to stop still counts', async () => {
    const { fleet, processes } = world;
    void fleet.roll('second');
    await world.clock.advance(0);
    processes[2]!.comesUp();
    await world.clock.advance(0);
    processes[0]!.says({ kind: 'swapped', version: 1, busy: [KEY] });
    expect(processes[0]!.got.at(-1)).toEqual({ kind: 'stop', times: STOP });
    expect(fleet.isDrained(KEY)).toBe(false);
  });
});

describe('rolling to new settings', () => {
  beforeEach(started);

  it('replaces one after the other, the new one serving first', async () => {
    const { fleet, processes, clock } = world;
    const rolling = fleet.roll('second');
    await clock.advance(0);
    const kinds = (process: FakeProcess | undefined): string[] => process!.got.map(({ kind }) => kind);
    expect(processes).toHaveLength(3);
    expect(kinds(processes[0])).not.toContain('stop');
    processes[2]!.comesUp();
    await clock.advance(0);
    expect(processes[2]!.got[0]).toMatchObject({ settings: 'second' });
    expect(kinds(processes[0])).toContain('stop');
    expect(kinds(processes[1])).not.toContain('stop');
    processes[3]!.comesUp();
    await rolling;
    expect(kinds(processes[1])).toContain('stop');
    processes[0]!.exits();
    processes[1]!.exits();
    expect(fleet.restarts).toBe(0);
    expect(fleet.facts().map(({ pid }) => pid)).toEqual([102, 103]);
  });

  it('keeps the old ones when the new one does not come up', async () => {
    const { fleet, processes, clock } = world;
    const rolling = fleet.roll('second');
    await clock.advance(0);
    processes[2]!.exits(1);
    await rolling;
    expect(fleet.serving).toBe(2);
    expect(processes[0]!.got.map(({ kind }) => kind)).not.toContain('stop');
  });

  it('tries newer settings though the ones before did not come up', async () => {
    const { fleet, processes, clock } = world;
    void fleet.roll('broken');
    await clock.advance(0);
    const rolling = fleet.roll('mended');
    processes[2]!.exits(1);
    await clock.advance(0);
    for (const at of [3, 4]) {
      processes[at]!.comesUp();
      await clock.advance(0);
    }
    await rolling;
    expect(processes.slice(3).map(({ settings }) => settings)).toEqual(['mended', 'mended']);
    expect(processes.slice(0, 2).map(({ isStopping }) => isStopping)).toEqual([true, true]);
  });

  type Step = 'edit' | 'comes up' | 'asks' | 'dies' | 'a second';
  const steps = fc.array(fc.constantFrom<Step>('edit', 'comes up', 'asks', 'dies', 'a second'), {
    maxLength: 60,
  });

  it('one roll at a time, whatever is edited and dies meanwhile; the latest settings win', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 4 }), steps, fc.integer(), async (size, script, seed) => {
        const { fleet, processes, clock } = fleetOf(size);
        const random = seeded(seed);
        const starting = fleet.start();
        for (const process of processes) process.comesUp();
        await starting;
        const rolls: Promise<void>[] = [];
        let edits = 0;
        const take = async (step: Step): Promise<void> => {
          const staying = processes.filter((one) => !one.hasExited && !one.isStopping);
          const asking = staying.find((one) => one.settings === null);
          const silent = staying.find((one) => !one.listens);
          if (step === 'edit') rolls.push(fleet.roll(`edit ${++edits}`));
          else if (step === 'asks') asking?.says({ kind: 'ready' });
          else if (step === 'comes up') silent?.comesUp();
          else if (step === 'dies') staying[Math.floor(random() * staying.length)]?.exits(1);
          // Workers that serve report all the time.
          for (const one of processes) if (one.listens && !one.hasExited) one.says(STATS);
          await clock.advance(step === 'a second' ? 1_000 : 0);
          const now = processes.filter((one) => !one.hasExited && !one.isStopping);
          expect(now.length).toBeLessThanOrEqual(size + 1);
        };
        for (const step of script) await take(step);
        // A roll whose worker died gives up; the next one does not.
        rolls.push(fleet.roll(`edit ${++edits}`));
        for (let turn = 0; turn < 8 * size + 8; turn += 1) {
          await take('a second');
          await take('comes up');
        }
        await Promise.all(rolls);
        const staying = processes.filter((one) => !one.hasExited && !one.isStopping);
        expect(staying.map(({ settings }) => settings)).toEqual(
          Array.from({ length: size }, () => `edit ${edits}`),
        );
        expect(fleet.serving).toBe(size);
      }),
      { numRuns: 100 },
    );
  });

  it('a worker leaves only while as many as wanted serve beside it', async () => {
    const { fleet, processes, clock } = world;
    for (const settings of ['second', 'third', 'fourth']) void fleet.roll(settings);
    for (let at = 2; at < 8; at += 1) {
      await clock.advance(0);
      processes[at]?.comesUp();
      await clock.advance(0);
      expect(fleet.serving).toBe(2);
    }
    expect(processes.map(({ settings }) => settings)).toEqual(['first', 'first', 'fourth', 'fourth']);
  });
});

describe('stopping', () => {
  beforeEach(started);

  it('waits for every worker, and replaces none', async () => {
    const { fleet, processes, clock } = world;
    let stopped = false;
    const stopping = fleet.stop(STOP).then(() => (stopped = true));
    processes[0]!.exits();
    await clock.advance(0);
    expect(stopped).toBe(false);
    processes[1]!.exits();
    await stopping;
    await clock.advance(60_000);
    expect(processes).toHaveLength(2);
  });

  it('kills those that outstay their grace', async () => {
    const { fleet, processes, clock } = world;
    const stopping = fleet.stop(STOP);
    await clock.advance(STOP.graceMs + 1_001);
    await stopping;
    expect(processes.map(({ signals }) => signals)).toEqual([['SIGKILL'], ['SIGKILL']]);
  });
});

describe('stopping while workers are replaced', () => {
  beforeEach(started);

  it('gives those that leave no longer than all others', async () => {
    const { fleet, processes, clock } = world;
    void fleet.roll('second');
    await world.clock.advance(0);
    processes[2]!.comesUp();
    await clock.advance(0);
    expect(processes[0]!.got.map(({ kind }) => kind)).toContain('stop');
    const soon = { graceMs: 10, webSocketWindowMs: 10 };
    expect(soon.graceMs).toBeLessThan(STOP.graceMs);
    const stopping = fleet.stop(soon);
    await clock.advance(soon.graceMs + 1_001);
    await stopping;
    expect(processes[0]!.signals).toEqual(['SIGKILL']);
    expect(processes[0]!.got.filter(({ kind }) => kind === 'stop')).toHaveLength(1);
  });
});

describe('ending at once', () => {
  beforeEach(started);

  it('is told to all, also to those that are stopping; one that does not is killed', async () => {
    const { fleet, processes, clock } = world;
    void fleet.stop(STOP);
    let hasEnded = false;
    const ended = fleet.stop(null).then(() => (hasEnded = true));
    expect(processes.map(({ got }) => got.at(-1))).toEqual([{ kind: 'end' }, { kind: 'end' }]);
    processes[0]!.exits();
    await clock.advance(100);
    expect(hasEnded).toBe(false);
    expect(processes[1]!.signals).toEqual([]);
    await clock.advance(STOP.graceMs / 2);
    await ended;
    expect(processes.map(({ signals }) => signals)).toEqual([[], ['SIGKILL']]);
  });
});

describe('what workers say', () => {
  beforeEach(started);

  it.each([
    null,
    'ready',
    {},
    { kind: 'shout' },
    { kind: 'listening', port: 'http' },
    { kind: 'swapped', version: -1, busy: [] },
    { kind: 'swapped', version: 2, busy: [7] },
    { kind: 'swapped', version: 2, busy: Array.from({ length: 20_001 }, () => 'x') },
    { kind: 'stats', stats: {} },
    { kind: 'stats', stats: { ...STATS.stats, upstreams: [{ pool: 'shop' }] } },
    { kind: 'ask', id: 1, path: '/etc/passwd' },
  ])('is counted and dropped when it makes no sense: %j', (message) => {
    world.processes[0]!.says(message as Record<string, unknown>);
    expect(world.fleet.badMessages).toBe(1);
  });

  it('a page is rendered for whoever asked', async () => {
    world.processes[0]!.says({ kind: 'ask', id: 9, path: '/lb' });
    await world.clock.advance(0);
    expect(world.processes[0]!.got.at(-1)).toMatchObject({ kind: 'page', id: 9, answer: { body: '/lb' } });
  });
});
