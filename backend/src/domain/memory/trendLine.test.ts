import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { median, trendLine } from './trendLine.js';

const every = 1_000;
const points = (values: readonly number[]) => values.map((value, index) => ({ atMs: index * every, value }));
const whole = fc.integer({ min: -1_000, max: 1_000 });

describe('trendLine', () => {
  test('finds a line exactly, and says that it only grows', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        whole,
        fc.integer({ min: 3, max: 24 }),
        (slope, start, n) => {
          const line = trendLine(points(Array.from({ length: n }, (_, index) => start + slope * index)));
          expect(line.slopePerMs).toBeCloseTo(slope / every, 9);
          expect(line.tau).toBe(1);
        },
      ),
    );
  });

  test('a quarter of the points may be anything without turning it round', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 0, max: 23 }), { minLength: 1, maxLength: 6 }),
        fc.array(fc.integer({ min: -1e6, max: 1e6 }), { minLength: 6, maxLength: 6 }),
        (places, wild) => {
          const values = Array.from({ length: 24 }, (_, index) => 10 * index);
          for (const [index, place] of places.entries()) values[place] = wild[index] ?? 0;
          expect(trendLine(points(values)).slopePerMs).toBeGreaterThan(0);
        },
      ),
    );
  });

  test('what stepped up once is not taken for what grows all the time', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 23 }), (at) => {
        const values = Array.from({ length: 24 }, (_, index) => (index < at ? 0 : 100));
        expect(trendLine(points(values)).tau).toBeLessThan(0.53);
      }),
    );
  });

  test('upside down it is the same with the other sign', () => {
    fc.assert(
      fc.property(fc.array(whole, { minLength: 2, maxLength: 24 }), (values) => {
        const up = trendLine(points(values));
        const down = trendLine(points(values.map((value) => -value)));
        expect(down.slopePerMs).toBeCloseTo(-up.slopePerMs, 12);
        expect(down.tau).toBeCloseTo(-up.tau, 12);
      }),
    );
  });

  test('of nothing, of one point and of one moment there is none', () => {
    const none = { slopePerMs: 0, tau: 0 };
    expect(trendLine([])).toEqual(none);
    expect(trendLine(points([7]))).toEqual(none);
    expect(
      trendLine([
        { atMs: 5, value: 1 },
        { atMs: 5, value: 9 },
      ]),
    ).toEqual(none);
  });
});

test('median: the middle, or the mean of the two in the middle; of nothing there is none', () => {
  expect(median([30, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(() => median([])).toThrow(RangeError);
});
