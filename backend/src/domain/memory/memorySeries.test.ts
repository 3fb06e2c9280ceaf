import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MemorySeries, WINDOW_BUCKETS } from './memorySeries.js';

const HOUR_S = 3_600;

function fed(seconds: number, usedAt: (second: number) => number): MemorySeries {
  const series = new MemorySeries();
  for (let second = 0; second < seconds; second += 1) {
    series.add({ atMs: second * 1_000, usedBytes: usedAt(second), keptBytes: null, majorGcs: 0 });
  }
  return series;
}

describe('MemorySeries', () => {
  test('remembers two days in bounded space: the last minute in detail, the rest in outline', () => {
    const series = fed(48 * HOUR_S, (second) => second);
    const spansMs = Array.from({ length: series.windowCount }, (_, window) => {
      const buckets = series.buckets(window);
      expect(buckets.length).toBeLessThanOrEqual(WINDOW_BUCKETS);
      return buckets.at(-1)!.atMs - buckets[0]!.atMs;
    });
    expect(spansMs[0]).toBe(46_000);
    expect(spansMs.at(-1)).toBeGreaterThan(40 * HOUR_S * 1_000);
    for (const [index, spanMs] of spansMs.slice(1, -1).entries()) expect(spanMs).toBe(4 * spansMs[index]!);
  });

  test('a bucket has the lowest and the highest of its time, and all collections are in some bucket', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ used: fc.nat(1_000), kept: fc.nat(1_000), gcs: fc.nat(2) }), {
          minLength: 10,
          maxLength: 120,
        }),
        (looks) => {
          const series = new MemorySeries();
          let majorGcs = 5;
          for (const [index, { used, kept, gcs }] of looks.entries()) {
            if (index > 0) majorGcs += gcs;
            series.add({ atMs: index * 500, usedBytes: used, keptBytes: kept, majorGcs });
          }
          for (let window = 0; window < 2; window += 1) {
            const widthMs = 2_000 * 4 ** window;
            for (const { atMs, lowBytes, highBytes, keptBytes, majorGcs } of series.buckets(window)) {
              const part = looks.filter(
                (_, index) => Math.abs(index * 500 - atMs) <= widthMs / 2 && index * 500 < atMs + widthMs / 2,
              );
              expect(lowBytes).toBe(Math.min(...part.map(({ used }) => used)));
              expect(highBytes).toBe(Math.max(...part.map(({ used }) => used)));
              expect(keptBytes).toBe(Math.min(...part.map(({ kept }) => kept)));
              const first = looks.indexOf(part[0]!);
              const counted = part.reduce(
                (total, { gcs }, index) => total + (first + index > 0 ? gcs : 0),
                0,
              );
              expect(majorGcs).toBe(counted);
            }
          }
        },
      ),
    );
  });

  test('what is not newer is ignored, and what is not known stays unknown', () => {
    const series = fed(10, () => 100);
    series.add({ atMs: 3_000, usedBytes: 1, keptBytes: 1, majorGcs: 9 });
    series.add({ atMs: 60_000, usedBytes: 100, keptBytes: null, majorGcs: 0 });
    for (const { lowBytes, keptBytes, majorGcs } of series.buckets(0)) {
      expect({ lowBytes, keptBytes, majorGcs }).toEqual({ lowBytes: 100, keptBytes: null, majorGcs: 0 });
    }
    expect(series.firstAtMs).toBe(0);
  });

  test('collections before the first count are nobody knows when, and not counted', () => {
    const series = new MemorySeries();
    for (const [second, majorGcs] of [null, null, 300, 300, 302, 302, 302].entries()) {
      series.add({ atMs: second * 1_000, usedBytes: 100, keptBytes: null, majorGcs });
    }
    expect(series.buckets(0).map((bucket) => bucket.majorGcs)).toEqual([0, 0, 2]);
  });

  test('time without samples leaves no buckets', () => {
    const series = fed(10, () => 100);
    series.add({ atMs: 3_600_000, usedBytes: 200, keptBytes: null, majorGcs: 0 });
    series.add({ atMs: 3_602_000, usedBytes: 200, keptBytes: null, majorGcs: 0 });
    expect(series.buckets(0).map(({ atMs }) => atMs)).toEqual([1_000, 3_000, 5_000, 7_000, 9_000, 3_601_000]);
  });
});
