import fc from 'fast-check';
import { expect, it } from 'vitest';

import { SlidingWindow } from './slidingWindow.js';

it('has nothing to compare with before the first sample, nor in its very moment', () => {
  const window = new SlidingWindow<number>(60_000, 5_000);
  expect(window.before(1_000, 10_000)).toBeNull();
  window.add(1_000, 7);
  expect(window.before(1_000, 10_000)).toBeNull();
  expect(window.before(1_500, 10_000)).toEqual({ value: 7, elapsedMs: 500 });
});

it('finds the youngest sample that is old enough, else the oldest', () => {
  const window = new SlidingWindow<number>(60_000, 5_000);
  for (let second = 0; second <= 120; second += 1) window.add(second * 1_000, second);
  expect(window.before(120_000, 10_000)).toEqual({ value: 110, elapsedMs: 10_000 });
  expect(window.before(123_000, 60_000)).toEqual({ value: 60, elapsedMs: 63_000 });
  expect(window.before(120_000, 3_600_000)).toEqual({ value: 60, elapsedMs: 60_000 });
});

it('is bounded by its length, however often it is told, and never looks back further than a step too far', () => {
  const gapsMs = fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 1, maxLength: 400 });
  fc.assert(
    fc.property(gapsMs, (gaps) => {
      const window = new SlidingWindow<number>(60_000, 5_000);
      let now = 0;
      for (const gap of gaps) {
        now += gap;
        window.add(now, now);
        expect(window.size).toBeLessThanOrEqual(14);
        const found = window.before(now, 60_000);
        if (found !== null) expect(found.elapsedMs).toBeLessThanOrEqual(60_000 + 20_000 + 5_000);
      }
    }),
  );
});
