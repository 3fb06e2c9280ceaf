/** What each kind of memory is taken for. Whole lives, with all that makes them hard to read: test/simulation/memory. */
import { describe, expect, test } from 'vitest';
import { heapRoomBytes, MemoryTracker, type MemoryLook, type MemoryTrend } from './memoryTracker.js';

const MB = 2 ** 20;
const LIMIT = 500 * MB;

function after(seconds: number, lookAt: (second: number) => Omit<MemoryLook, 'atMs'>): MemoryTrend {
  const tracker = new MemoryTracker();
  for (let second = 1; second <= seconds; second += 1) {
    tracker.observe({ atMs: second * 1_000, ...lookAt(second) });
  }
  return tracker.trend(LIMIT);
}

const outside = (megabytes: number): Omit<MemoryLook, 'atMs'> => ({
  residentBytes: megabytes * MB,
  heap: null,
});

/** 60 MB are not heap; a major collection every five seconds leaves `live`. */
const inside = (
  second: number,
  liveAt: (second: number) => number,
  garbage = 10,
): Omit<MemoryLook, 'atMs'> => {
  const collected = Math.floor(second / 5) * 5;
  const usedBytes = (liveAt(second) + (garbage * (second - collected)) / 5) * MB;
  return {
    residentBytes: usedBytes + 60 * MB,
    heap: {
      usedBytes,
      limitBytes: 1_048 * MB,
      liveBytes: second < 5 ? null : liveAt(collected) * MB,
      majorGcs: collected / 5,
    },
  };
};

describe('MemoryTracker', () => {
  test('says nothing before it has watched for twenty seconds', () => {
    expect(new MemoryTracker().trend(LIMIT)).toEqual({ kind: 'unknown' });
    expect(after(15, (second) => inside(second, (at) => 10 * at))).toEqual({ kind: 'unknown' });
  });

  test('a leak: how fast, up to where, and when', () => {
    const trend = after(300, (second) => inside(second, (at) => 50 + at));
    expect(trend).toMatchObject({ kind: 'growing', limit: 'resident', limitBytes: LIMIT, sure: true });
    if (trend.kind !== 'growing') return;
    expect(trend.perSecondBytes / MB).toBeCloseTo(1, 1);
    // 410 MB now, and 10 MB of garbage on top: 80 to 90 s are left. It may be cautious, but not by much.
    expect(trend.etaMs).toBeGreaterThan(60_000);
    expect(trend.etaMs).toBeLessThan(95_000);
  });

  test("the limit of V8's heap, where that comes first", () => {
    const trend = after(300, (second) => {
      const { residentBytes, heap } = inside(second, (at) => 50 + at / 2);
      return { residentBytes, heap: { ...heap!, limitBytes: 300 * MB } };
    });
    expect(trend).toMatchObject({ kind: 'growing', limit: 'heap', limitBytes: heapRoomBytes(300 * MB) });
  });

  test.each([
    ['garbage that piles up to nine tenths of the limit', (second: number) => inside(second, () => 60, 330)],
    [
      'a cache that fills up',
      (second: number) => inside(second, (at) => 50 + 200 * (1 - Math.exp(-at / 60))),
    ],
    ['one step', (second: number) => inside(second, (at) => (at < 400 ? 60 : 220))],
    ['memory that is given back', (second: number) => inside(second, (at) => 300 - at / 10)],
  ])('steady: %s', (_name, lookAt) => {
    expect(after(900, lookAt)).toEqual({ kind: 'steady' });
  });

  test('pages that are not given back, while garbage becomes less, are no growth', () => {
    const tracker = new MemoryTracker();
    for (let second = 1; second <= 180; second += 1) {
      const heap = {
        usedBytes: (40 + 50 * Math.exp(-second / 40) + 4 * (second % 5)) * MB,
        limitBytes: 1_000 * MB,
        liveBytes: 36 * MB,
        majorGcs: Math.floor(second / 5) + 1,
      };
      tracker.observe({ atMs: second * 1_000, residentBytes: (130 - second / 20) * MB, heap });
      expect(tracker.trend(150 * MB)).not.toHaveProperty('sure', true);
    }
  });

  test('with an agent that has seen no collection yet, nothing is known of garbage', () => {
    const trend = after(100, (second) => {
      const { residentBytes, heap } = inside(second, (at) => 50 + 3 * at);
      return { residentBytes, heap: { ...heap!, liveBytes: null, majorGcs: 0 } };
    });
    expect(trend).toEqual({ kind: 'steady' });
  });

  test('while its agent is not heard for a moment, no collections are thought to have happened', () => {
    // Buffers: the next collection may free them all, but there is none.
    const heap = { usedBytes: 50 * MB, limitBytes: 1_048 * MB, liveBytes: 50 * MB, majorGcs: 300 };
    const trend = after(100, (second) => ({
      residentBytes: (100 + 3 * second) * MB,
      heap: second === 60 ? null : heap,
    }));
    expect(trend).toEqual({ kind: 'steady' });
  });

  test('collections while its agent was not heard are known from the counts before and after', () => {
    const tracker = new MemoryTracker();
    for (let second = 1; second <= 300; second += 1) {
      const { residentBytes, heap } = inside(second, (at) => 50 + at);
      tracker.observe({ atMs: second * 1_000, residentBytes, heap: second % 10 === 4 ? heap : null });
    }
    tracker.observe({ atMs: 301_000, ...inside(301, (at) => 50 + at) });
    expect(tracker.trend(LIMIT)).toMatchObject({ kind: 'growing', limit: 'resident', sure: true });
  });

  test('without an agent it takes longer to be believed, and a height that was left before is none', () => {
    expect(after(80, (second) => outside(100 + 3 * second))).toEqual({ kind: 'steady' });
    expect(after(130, (second) => outside(100 + 3 * second))).toMatchObject({ kind: 'growing', sure: true });
    expect(after(870, (second) => outside(100 + 3 * (second % 120)))).toEqual({ kind: 'steady' });
  });

  test('a look that is not newer is ignored', () => {
    const tracker = new MemoryTracker();
    tracker.observe({ atMs: 2_000, ...outside(100) });
    tracker.observe({ atMs: 1_000, ...outside(900) });
    tracker.observe({ atMs: 60_000, ...outside(100) });
    expect(tracker.trend(LIMIT)).toEqual({ kind: 'steady' });
  });
});
