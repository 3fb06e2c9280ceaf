import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../../test/simulation/fakeClock.js';
import { recordedEvents } from '../../../../test/support/recordedEvents.js';
import type { TrafficReport, UpstreamTraffic } from '../../domain/statistics/traffic.js';
import { MOST_GATEWAYS, SILENCE_MS, TrafficFeed } from './trafficFeed.js';

const upstream = (port: number, rest: Partial<UpstreamTraffic> = {}): UpstreamTraffic => ({
  host: '127.0.0.1',
  port,
  state: 'up',
  inFlight: 0,
  drained: false,
  throughputPerSecond: 0,
  errorRate: null,
  responseTimeMs: null,
  ...rest,
});

const reportOf = (
  upstreams: readonly UpstreamTraffic[],
  rest: Partial<TrafficReport> = {},
): TrafficReport => ({ gateway: 'box:1', workers: 2, leaving: false, upstreams, ...rest });

function listening() {
  const clock = new FakeClock();
  const events = recordedEvents(clock);
  const drained: number[] = [];
  const feed = new TrafficFeed({ clock, events: events.log, onDrained: (port) => drained.push(port) });
  return { clock, events, drained, feed };
}

let world: ReturnType<typeof listening>;
beforeEach(() => {
  world = listening();
});

describe('whether an instance is drained', () => {
  it('nobody can say without a gateway', () => {
    expect(world.feed.drained(13_004, 0)).toBeNull();
  });

  it('every gateway must have said so', () => {
    const { feed } = world;
    feed.accept(reportOf([upstream(13_004, { state: 'draining', drained: true })]), true);
    feed.accept(reportOf([upstream(13_004, { state: 'draining', inFlight: 1 })], { gateway: 'box:2' }), true);
    expect(feed.drained(13_004, 0)).toBe(false);
    feed.accept(
      reportOf([upstream(13_004, { state: 'draining', drained: true })], { gateway: 'box:2' }),
      true,
    );
    expect(feed.drained(13_004, 0)).toBe(true);
  });

  it('a gateway that does not list it sends nothing there', () => {
    world.feed.accept(reportOf([upstream(13_005)]), true);
    expect(world.feed.drained(13_004, 0)).toBe(true);
  });

  it('what was said before the withdrawal does not count', async () => {
    const { clock, feed } = world;
    feed.accept(reportOf([]), true);
    await clock.advance(100);
    expect(feed.drained(13_004, clock.nowMs())).toBe(false);
    feed.accept(reportOf([]), true);
    expect(feed.drained(13_004, clock.nowMs())).toBe(true);
  });

  it('addresses of other machines are no instances of this one', () => {
    world.feed.accept(reportOf([upstream(13_004, { host: '10.0.0.7', inFlight: 3 })]), true);
    expect(world.feed.figures(13_004)).toBeNull();
    expect(world.feed.drained(13_004, 0)).toBe(true);
  });

  it('is told as soon as a report says so', () => {
    world.feed.accept(reportOf([upstream(13_004, { drained: true }), upstream(13_005)]), true);
    expect(world.drained).toEqual([13_004]);
  });

  it('and as soon as a report does not list it any more', () => {
    world.feed.accept(reportOf([upstream(13_004), upstream(13_005)]), true);
    world.feed.accept(reportOf([upstream(13_005)]), true);
    expect(world.drained).toEqual([13_004]);
  });
});

describe('a report that had to leave some out', () => {
  it('says nothing of those that it does not list: they may have requests under way', () => {
    const { clock, feed, drained } = world;
    feed.accept(reportOf([upstream(13_004, { inFlight: 2 }), upstream(13_005)]), true);
    feed.accept(reportOf([upstream(13_005)], { cut: true }), true);
    expect(feed.drained(13_004, clock.nowMs())).toBe(false);
    expect(drained).toEqual([]);
    feed.accept(reportOf([upstream(13_005), upstream(13_004, { drained: true })], { cut: true }), true);
    expect(feed.drained(13_004, clock.nowMs())).toBe(true);
    expect(drained).toEqual([13_004]);
  });
});

describe('a gateway', () => {
  it('that falls silent is forgotten, once, and no stop waits for it', async () => {
    const { clock, events, feed, drained } = world;
    feed.accept(reportOf([upstream(13_004, { inFlight: 2 })]), true);
    await clock.advance(SILENCE_MS - 1);
    expect(feed.drained(13_004, 0)).toBe(false);
    await clock.advance(1);
    expect(feed.drained(13_004, 0)).toBeNull();
    expect(feed.figures(13_004)).toBeNull();
    expect(drained).toEqual([13_004]);
    await clock.advance(60_000);
    expect(events.of('gateway.silent').map(({ data }) => data)).toEqual([
      { gateway: 'box:1', forMs: SILENCE_MS },
    ]);
  });

  it('that reports on stays', async () => {
    const { clock, events, feed } = world;
    for (let i = 0; i < 20; i += 1) {
      feed.accept(reportOf([]), true);
      await clock.advance(SILENCE_MS - 1);
    }
    expect(feed.views()).toHaveLength(1);
    expect(events.all.map(({ type }) => type)).toEqual(['gateway.connected']);
    expect(clock.pending).toBe(1);
  });

  it('is told of with the workers that serve, not with those of the moment in which it starts', () => {
    const { events, feed } = world;
    for (const workers of [0, 0, 1, 2, 2, 2, 1]) feed.accept(reportOf([], { workers }), true);
    expect(events.of('gateway.connected').map(({ data }) => data)).toEqual([
      { gateway: 'box:1', workers: 2 },
    ]);
  });

  it('that says goodbye is not waited for', async () => {
    const { clock, events, feed, drained } = world;
    feed.accept(reportOf([upstream(13_004, { inFlight: 2 })]), true);
    feed.accept(reportOf([upstream(13_004, { inFlight: 2 })]), true);
    feed.accept(reportOf([], { leaving: true }), true);
    expect(feed.drained(13_004, 0)).toBeNull();
    expect(drained).toEqual([13_004]);
    await clock.advance(60_000);
    expect(events.all.map(({ type }) => type)).toEqual(['gateway.connected', 'gateway.left']);
  });

  it('is shown with what it last said', () => {
    world.feed.accept(reportOf([upstream(13_004, { inFlight: 2 }), upstream(13_005, { inFlight: 1 })]), true);
    expect(world.feed.views()).toEqual([
      {
        gateway: 'box:1',
        workers: 2,
        upstreams: 2,
        inFlight: 3,
        lastReportAt: new Date(FakeClock.epochMs).toISOString(),
      },
    ]);
  });

  it('beyond the most that are kept is refused; those known stay', () => {
    const { feed } = world;
    const all = Array.from({ length: 20 }, (_, i) =>
      feed.accept(reportOf([], { gateway: `box:${i}` }), true),
    );
    expect(all.filter(Boolean)).toHaveLength(16);
    expect(feed.accept(reportOf([], { gateway: 'box:0' }), true)).toBe(true);
    expect(feed.views()).toHaveLength(16);
  });

  it.each([
    ['fill every place before it comes', true],
    ['come after it', false],
  ])('that is known is neither kept out nor pushed out by invented names that %s', (_when, isFirst) => {
    const { feed } = world;
    const invent = (): boolean[] =>
      Array.from({ length: 3 * MOST_GATEWAYS }, (_, i) =>
        feed.accept(reportOf([], { gateway: `x:${i}` }), false),
      );
    if (isFirst) invent();
    expect(feed.accept(reportOf([upstream(13_004, { inFlight: 1 })], { gateway: 'box:7' }), true)).toBe(true);
    if (!isFirst) invent();
    expect(feed.views().map(({ gateway }) => gateway)).toContain('box:7');
    expect(feed.views()).toHaveLength(MOST_GATEWAYS + 1);
    expect(feed.drained(13_004, 0)).toBe(false);
  });

  it.each([
    ['says that its requests are done', { upstreams: [upstream(13_004, { drained: true })] }],
    ['says that it leaves', { leaving: true }],
    ['lists nothing', { upstreams: [] }],
  ])('that is known keeps its name when a stranger with it %s', (_what, change) => {
    const { feed } = world;
    feed.accept(reportOf([upstream(13_004, { inFlight: 1 })]), true);
    expect(feed.accept(reportOf([], change), false)).toBe(false);
    expect(feed.drained(13_004, 0)).toBe(false);
    expect(feed.figures(13_004)?.inFlight).toBe(1);
  });

  it('that is known gets its name from a stranger that has it', () => {
    const { feed } = world;
    feed.accept(reportOf([upstream(13_004, { drained: true })]), false);
    expect(feed.accept(reportOf([upstream(13_004, { inFlight: 1 })]), true)).toBe(true);
    expect(feed.drained(13_004, 0)).toBe(false);
    expect(feed.accept(reportOf([upstream(13_004, { drained: true })]), false)).toBe(false);
  });

  it('closing lets go of every timer', () => {
    world.feed.accept(reportOf([]), true);
    world.feed.close();
    expect(world.clock.pending).toBe(0);
  });
});

describe('figures of one instance', () => {
  it('are those of its gateway', () => {
    const responseTimeMs = { p50: 1, p95: 2, p99: 3 };
    world.feed.accept(
      reportOf([upstream(13_004, { inFlight: 1, throughputPerSecond: 10, errorRate: 0.5, responseTimeMs })]),
      true,
    );
    expect(world.feed.figures(13_004)).toEqual({
      inFlight: 1,
      throughputPerSecond: 10,
      errorRate: 0.5,
      responseTimeMs,
    });
  });

  it('of two gateways: rates by their traffic, the slower of each percentile', () => {
    const { feed } = world;
    const slow = { p50: 1, p95: 9, p99: 9 };
    const quick = { p50: 2, p95: 2, p99: 2 };
    feed.accept(
      reportOf([
        upstream(13_004, { throughputPerSecond: 30, errorRate: 0, responseTimeMs: slow, inFlight: 1 }),
      ]),
      true,
    );
    feed.accept(
      reportOf(
        [upstream(13_004, { throughputPerSecond: 10, errorRate: 1, responseTimeMs: quick, inFlight: 2 })],
        { gateway: 'box:2' },
      ),
      true,
    );
    expect(feed.figures(13_004)).toEqual({
      inFlight: 3,
      throughputPerSecond: 40,
      errorRate: 0.25,
      responseTimeMs: { p50: 2, p95: 9, p99: 9 },
    });
  });
});
