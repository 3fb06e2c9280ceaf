import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rampOf } from './slowStart.js';

describe('rampOf', () => {
  it('grows linearly to 1 and stays there', () => {
    const at = (ageMs: number): number => rampOf(1_000_000, 1_000_000 + ageMs, 10_000);
    expect([0, 2_500, 5_000, 9_999, 10_000, 1e9].map(at)).toEqual([0, 0.25, 0.5, 0.9999, 1, 1]);
  });

  it('is 1 at once without slow start', () => {
    expect(rampOf(5, 5, 0)).toBe(1);
    expect(rampOf(5, 4, 0)).toBe(1);
  });

  it('begins late rather than never when the clock was set back', () => {
    expect(rampOf(1_000_000, 999_000, 10_000)).toBe(0);
    expect(rampOf(1_000_000, 900_000, 10_000)).toBe(1);
  });

  it('is within 0 and 1, never falls with time, whatever the times', () => {
    fc.assert(
      fc.property(fc.nat(1e6), fc.nat(1e6), fc.nat(1e6), fc.nat(1e5), (up, age, later, slowStartMs) => {
        const ramp = rampOf(up, up + age, slowStartMs);
        expect(ramp >= 0 && ramp <= 1).toBe(true);
        expect(rampOf(up, up + age + later, slowStartMs)).toBeGreaterThanOrEqual(ramp);
      }),
    );
  });
});
