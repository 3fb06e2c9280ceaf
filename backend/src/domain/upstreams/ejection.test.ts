import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  afterFailure,
  afterSuccess,
  atTime,
  mayEjectOne,
  NEVER_EJECTED,
  type EjectionState,
} from './ejection.js';

const policy = { consecutiveFailures: 3, baseMs: 100, maxMs: 1_000 };

function failTimes(state: EjectionState, times: number, nowMs: number): EjectionState {
  let current = state;
  for (let i = 0; i < times; i += 1) current = afterFailure(current, policy, true, nowMs);
  return current;
}

describe('passive ejection', () => {
  it('comes after so many failures in a row; one success begins the count anew', () => {
    expect(failTimes(NEVER_EJECTED, 2, 0).kind).toBe('in');
    expect(failTimes(NEVER_EJECTED, 3, 0)).toEqual({ kind: 'ejected', untilMs: 100, timesEjected: 1 });
    expect(failTimes(afterSuccess(failTimes(NEVER_EJECTED, 2, 0)), 2, 0).kind).toBe('in');
  });

  it('grows with every repetition up to its maximum; on probation one failure is enough', () => {
    let state = failTimes(NEVER_EJECTED, 3, 0);
    const times: number[] = [];
    let nowMs = 0;
    for (let i = 0; i < 6; i += 1) {
      if (state.kind !== 'ejected') throw new Error('not ejected');
      times.push(state.untilMs - nowMs);
      nowMs = state.untilMs;
      expect(atTime(state, nowMs - 1)).toBe(state);
      state = afterFailure(atTime(state, nowMs), policy, true, nowMs);
    }
    expect(times).toEqual([100, 200, 400, 800, 1_000, 1_000]);
  });

  it('is forgotten after long enough in service, not after the first success', () => {
    const back = afterSuccess(atTime(failTimes(NEVER_EJECTED, 3, 0), 100));
    expect(failTimes(back, 3, 500)).toMatchObject({ kind: 'ejected', timesEjected: 2 });
    expect(failTimes(back, 3, 1_100)).toMatchObject({ kind: 'ejected', timesEjected: 1 });
  });

  it('does not happen while the pool needs everybody, and at the next failure when it no longer does', () => {
    let state: EjectionState = NEVER_EJECTED;
    for (let i = 0; i < 10; i += 1) state = afterFailure(state, policy, false, 0);
    expect(state.kind).toBe('in');
    expect(afterFailure(state, policy, true, 0).kind).toBe('ejected');
  });

  it('can be switched off', () => {
    expect(failTimes(NEVER_EJECTED, 1, 0)).not.toBe(NEVER_EJECTED);
    expect(afterFailure(NEVER_EJECTED, { ...policy, consecutiveFailures: 0 }, true, 0)).toBe(NEVER_EJECTED);
  });

  it('never leaves less than the share, and never nobody', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (total, share) => {
          let inService = total;
          while (mayEjectOne(inService, total, share)) inService -= 1;
          expect(inService).toBeGreaterThanOrEqual(Math.max(1, Math.min(total, share * total)));
        },
      ),
    );
  });
});
