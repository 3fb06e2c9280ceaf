import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../../test/simulation/fakeClock.js';
import type { UpstreamStats, WorkerStats } from '../../domain/statistics/gatewayStats.js';
import { createHistogram, record } from '../../domain/statistics/histogram.js';
import type { GatewaySnapshot, UpstreamState } from '../../domain/upstreams/pool.js';
import type { TrafficReport } from '../../domain/statistics/traffic.js';
import { TrafficLedger, upstreamKey } from '../../domain/statistics/trafficLedger.js';
import { Reporter } from './reporter.js';

const ID = '127.0.0.1:13004';

const snapshotOf = (state: UpstreamState): GatewaySnapshot => ({
  version: 1,
  routes: [],
  pools: [
    {
      name: 'shop',
      algorithm: 'round-robin',
      hashOn: 'ip',
      slowStartMs: 0,
      sticky: null,
      retryBudget: { share: 0.2, min: 3 },
      retryUnsafe: false,
      ejection: { consecutiveFailures: 5, baseMs: 1, maxMs: 1, minHealthyShare: 0.5 },
      upstreams: [{ id: ID, host: '127.0.0.1', port: 13_004, weight: 1, state, upSinceMs: 0 }],
    },
  ],
});

function statsOf(good: number, bad: number, inFlight: number): WorkerStats {
  const latency = createHistogram();
  for (let i = 0; i < good + bad; i += 1) record(latency, 10);
  const row: UpstreamStats = {
    pool: 'shop',
    id: ID,
    counters: {
      answers: [0, good, 0, 0, bad],
      failures: 0,
      retries: 0,
      ejections: 0,
      connectionsOpened: 1,
      latency,
    },
    inFlight,
    connections: 1,
    ejectedForMs: 0,
  };
  return {
    upstreams: [row],
    clients: { connections: 0, upgraded: 0, accepted: 0, answers: [0, 0, 0, 0, 0] },
    refusals: {},
    accessLogDropped: 0,
    seen: [],
  };
}

function reporting() {
  const clock = new FakeClock();
  const ledger = new TrafficLedger();
  const sent: TrafficReport[] = [];
  const log: string[] = [];
  const supervisor: { answer: () => Promise<string | null> } = { answer: () => Promise.resolve(null) };
  const state: { upstream: UpstreamState; drained: boolean } = { upstream: 'up', drained: false };
  const note = (message: string): void => void log.push(message);
  const reporter = new Reporter({
    clock,
    logger: { debug: note, info: note, warn: note, error: note },
    link: {
      report: (report) => {
        sent.push(report);
        return supervisor.answer();
      },
      close: () => Promise.resolve(),
    },
    gateway: 'box:1',
    ledger,
    snapshot: () => snapshotOf(state.upstream),
    workers: () => 2,
    isDrained: (key) => state.drained && key === upstreamKey('shop', ID),
  });
  return { clock, ledger, sent, log, supervisor, state, reporter };
}

let world: ReturnType<typeof reporting>;
beforeEach(() => {
  world = reporting();
});

describe('a report', () => {
  it('says what all workers counted', async () => {
    world.ledger.report(1, statsOf(0, 0, 0), 0);
    await world.clock.advance(5_000);
    world.ledger.report(1, statsOf(75, 25, 2), world.clock.nowMs());
    world.ledger.report(2, statsOf(0, 0, 3), world.clock.nowMs());
    const [row] = world.reporter.report(false).upstreams;
    expect(row).toMatchObject({ host: '127.0.0.1', port: 13_004, state: 'up', inFlight: 5, drained: false });
    expect(row!.errorRate).toBeCloseTo(0.25);
    expect(row!.throughputPerSecond).toBeCloseTo(20);
    expect(row!.responseTimeMs!.p50).toBeGreaterThan(5);
  });

  it('without traffic has no figures', () => {
    expect(world.reporter.report(false).upstreams[0]).toMatchObject({
      errorRate: null,
      responseTimeMs: null,
      throughputPerSecond: 0,
    });
  });

  it('says drained only of what drains, and then nothing is under way there', () => {
    world.ledger.report(1, statsOf(1, 0, 1), 0);
    world.state.drained = true;
    expect(world.reporter.report(false).upstreams[0]).toMatchObject({ drained: false, inFlight: 1 });
    world.state.upstream = 'draining';
    expect(world.reporter.report(false).upstreams[0]).toMatchObject({ drained: true, inFlight: 0 });
  });
});

describe('reporting', () => {
  it('happens twice a second', async () => {
    world.reporter.start();
    await world.clock.advance(2_000);
    expect(world.sent).toHaveLength(5);
  });

  it('never has two reports under way; what came in between is one more', async () => {
    const answers: (() => void)[] = [];
    world.supervisor.answer = () => new Promise((resolve) => answers.push(() => resolve(null)));
    world.reporter.start();
    for (let i = 0; i < 10; i += 1) world.reporter.now();
    expect(world.sent).toHaveLength(1);
    answers.shift()!();
    await world.clock.advance(0);
    expect(world.sent).toHaveLength(2);
  });

  it('goes on while the supervisor is away, and says so once', async () => {
    world.supervisor.answer = () => Promise.resolve('connection refused');
    world.reporter.start();
    await world.clock.advance(5_000);
    world.supervisor.answer = () => Promise.resolve(null);
    await world.clock.advance(1_000);
    expect(world.log).toEqual([
      'the supervisor does not take our reports; traffic goes on',
      'the supervisor takes our reports',
    ]);
  });

  it('ends with a goodbye to a supervisor that listened, and with none to others', async () => {
    world.reporter.start();
    await world.clock.advance(600);
    await world.reporter.close();
    expect(world.sent.at(-1)).toMatchObject({ leaving: true, upstreams: [] });
    const count = world.sent.length;
    await world.clock.advance(10_000);
    expect(world.sent).toHaveLength(count);

    const other = reporting();
    other.supervisor.answer = () => Promise.resolve('connection refused');
    other.reporter.start();
    await other.clock.advance(600);
    await other.reporter.close();
    expect(other.sent.every(({ leaving }) => !leaving)).toBe(true);
  });
});
