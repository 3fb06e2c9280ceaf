import fc from 'fast-check';
import { expect, test } from 'vitest';
import { untilNextMomentMs } from './moments.js';

test('leads everybody to the same moments, at most one and a half intervals away', () => {
  fc.assert(
    fc.property(fc.integer({ min: 20, max: 1_000 }), fc.nat(2 ** 41), (intervalMs, wallMs) => {
      const delayMs = untilNextMomentMs(intervalMs, wallMs);
      expect((wallMs + delayMs) % intervalMs).toBe(0);
      expect(delayMs).toBeGreaterThanOrEqual(intervalMs / 2);
      expect(delayMs).toBeLessThan(1.5 * intervalMs);
    }),
  );
});

test('a timer that fired a little early waits for the next moment, not for the one it was meant for', () => {
  expect(untilNextMomentMs(250, 999)).toBe(251);
  expect(untilNextMomentMs(250, 1_000)).toBe(250);
  expect(untilNextMomentMs(250, 1_003)).toBe(247);
});
