import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { fullJitterMs } from './backoff.js';

describe('fullJitterMs', () => {
  it('doubles per attempt up to the cap', () => {
    const almostOne = (): number => 0.5;
    const limits = { baseMs: 100, capMs: 1_000 };
    const delays = [0, 1, 2, 3, 4, 5].map((attempt) => fullJitterMs(attempt, limits, almostOne));
    expect(delays).toEqual([50, 100, 200, 400, 500, 500]);
  });

  it('stays within the cap for any attempt and any draw', () => {
    fc.assert(
      fc.property(
        fc.nat(100_000),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (n, draw) => {
          const delayMs = fullJitterMs(n, { baseMs: 100, capMs: 30_000 }, () => draw);
          expect(delayMs).toBeGreaterThanOrEqual(0);
          expect(delayMs).toBeLessThan(30_000);
        },
      ),
    );
  });
});
