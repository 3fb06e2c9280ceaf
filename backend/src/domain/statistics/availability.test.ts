import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  addElapsed,
  addFailure,
  addLoss,
  addRecovery,
  addScaling,
  EMPTY_TALLY,
  figuresOf,
  mergeTallies,
  restoreTally,
  type AvailabilityTally,
} from './availability.js';

const steps = fc.array(
  fc.oneof(
    fc.record({ ms: fc.integer({ min: -10, max: 20_000 }), serving: fc.boolean() }).map(
      ({ ms, serving }) =>
        (tally: AvailabilityTally) =>
          addElapsed(tally, ms, serving),
    ),
    fc.constant(addFailure),
    fc.integer({ min: -5, max: 90_000 }).map((ms) => (tally: AvailabilityTally) => addRecovery(tally, ms)),
    fc.constant(addLoss),
    fc.integer({ min: -5, max: 90_000 }).map((ms) => (tally: AvailabilityTally) => addScaling(tally, ms)),
  ),
  { maxLength: 60 },
);
const tallies = steps.map((all) => all.reduce((tally, step) => step(tally), EMPTY_TALLY));

describe('availability', () => {
  test('is null, not 0 or 100, before anything was seen', () => {
    expect(figuresOf(EMPTY_TALLY)).toEqual({
      availabilityPercent: null,
      observedSeconds: 0,
      mttrMs: null,
      scaleReactionMs: null,
      failoverSuccessPercent: null,
      failures: 0,
      recoveries: 0,
    });
  });

  test('tells an hour with an outage of 36 s', () => {
    let tally = EMPTY_TALLY;
    for (let second = 0; second < 3600; second++) tally = addElapsed(tally, 1000, second >= 36);
    tally = addScaling(addRecovery(addRecovery(addFailure(addFailure(tally)), 1000), 2000), 1500);
    tally = addLoss(addFailure(tally));
    const figures = figuresOf(tally);
    expect(figures).toMatchObject({
      availabilityPercent: 99,
      observedSeconds: 3600,
      mttrMs: 1500,
      scaleReactionMs: 1500,
      failures: 3,
      recoveries: 2,
    });
    expect(figures.failoverSuccessPercent).toBeCloseTo(66.67, 1);
  });

  test('time that nobody watched is neither up nor down', () => {
    const before = addElapsed(EMPTY_TALLY, 5000, true);
    expect(addElapsed(before, 3_600_000, false)).toEqual(before);
    expect(addElapsed(before, -1, true)).toEqual(before);
    expect(addElapsed(before, Number.NaN, true)).toEqual(before);
  });

  test('survives being persisted, whatever happened', () => {
    fc.assert(
      fc.property(tallies, (tally) => {
        expect(restoreTally(JSON.parse(JSON.stringify(tally)))).toEqual(tally);
      }),
    );
  });

  test.each([null, 7, 'x', [], {}, { ...EMPTY_TALLY, failures: -1 }, { ...EMPTY_TALLY, lost: '1' }])(
    'a damaged tally %j begins anew',
    (saved) => {
      expect(restoreTally(saved)).toEqual(EMPTY_TALLY);
    },
  );

  test.each([-1, '5', null, 1e308, Number.NaN, Number.POSITIVE_INFINITY, [], {}])(
    'a sum that is %j begins anew, the others go on',
    (garbage) => {
      const whole = { ...EMPTY_TALLY, observedMs: 9, servingMs: 8, failures: 3, lost: 1 };
      expect(restoreTally({ ...whole, failures: garbage })).toEqual({ ...whole, failures: 0 });
      expect(restoreTally({ ...whole, observedMs: garbage })).toEqual({
        ...whole,
        observedMs: 0,
        servingMs: 0,
      });
    },
  );

  test('never more serving than observed', () => {
    expect(restoreTally({ ...EMPTY_TALLY, servingMs: 5, observedMs: 4 }).servingMs).toBe(4);
  });

  test('percentages stay percentages, and merging is adding up', () => {
    fc.assert(
      fc.property(tallies, tallies, (a, b) => {
        const both = mergeTallies([a, b]);
        expect(both).toEqual(mergeTallies([b, a]));
        expect(mergeTallies([a])).toEqual(a);
        const figures = figuresOf(both);
        for (const percent of [figures.availabilityPercent, figures.failoverSuccessPercent]) {
          if (percent === null) continue;
          expect(percent).toBeGreaterThanOrEqual(0);
          expect(percent).toBeLessThanOrEqual(100);
        }
        expect(figures.failures).toBe(figuresOf(a).failures + figuresOf(b).failures);
      }),
    );
  });
});
