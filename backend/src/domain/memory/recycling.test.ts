import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { MemoryGrowth } from './memoryTracker.js';
import { describeGrowth, nextToRecycle, type Candidate, type RecyclingInput } from './recycling.js';

const MB = 2 ** 20;
/** One replacement takes 41 s at most. */
const policy: RecyclingInput<string>['policy'] = {
  health: {
    probe: { kind: 'tcp' },
    intervalMs: 30_000,
    timeoutMs: 5_000,
    fastIntervalMs: 1_000,
    fall: 3,
    rise: 2,
    startTimeoutMs: 30_000,
  },
  lifecycle: { drainGraceMs: 1_000, killTimeoutMs: 10_000, canaryMs: 5_000 },
  failure: {
    maxRestartAttempts: 3,
    windowMs: 600_000,
    restartCooldownMs: 60_000,
    backoffBaseMs: 1_000,
    stableMs: 10_000,
  },
};
const TURN_MS = 41_000;

function growing(etaMs: number, changes: Partial<MemoryGrowth> = {}): MemoryGrowth {
  const room = { usedBytes: 400 * MB, limitBytes: 500 * MB };
  return {
    kind: 'growing',
    limit: 'resident',
    perSecondBytes: MB,
    ...room,
    etaMs,
    spanMs: 300_000,
    sure: true,
    ...changes,
  };
}

const candidate = (instance: string, etaMs: number | null, isFull = false): Candidate<string> => ({
  instance,
  growth: etaMs === null ? null : growing(etaMs),
  isFull,
});

function next(candidates: readonly Candidate<string>[], changes: Partial<RecyclingInput<string>> = {}) {
  return nextToRecycle({ candidates, policy, sinceLastMs: null, othersAtWork: false, ...changes });
}

describe('nextToRecycle', () => {
  test('begins a turn and a minute before the limit', () => {
    expect(next([candidate('a', 101_001)])).toBeNull();
    expect(next([candidate('a', 101_000)])).toBe('a');
  });

  test('the longer the growth was watched, the earlier', () => {
    const slow = (etaMs: number): Candidate<string> => ({
      ...candidate('a', null),
      growth: growing(etaMs, { spanMs: 3_600_000 }),
    });
    expect(next([slow(541_000)])).toBeNull();
    expect(next([slow(540_000)])).toBe('a');
  });

  test('of those that grow side by side the first goes early enough for the last', () => {
    const four = (etaMs: number) => ['a', 'b', 'c', 'd'].map((name, place) => candidate(name, etaMs + place));
    expect(next(four(101_000 + 3 * 60_000 + 1))).toBeNull();
    expect(next(four(101_000 + 3 * 60_000 - 3))).toBe('a');
  });

  test('keeps the cooldown, unless somebody would meet the limit meanwhile', () => {
    expect(next([candidate('a', 95_000)], { sinceLastMs: 10_000 })).toBe(null);
    expect(next([candidate('a', 95_000)], { sinceLastMs: 60_000 })).toBe('a');
    expect(next([candidate('a', 90_000)], { sinceLastMs: 10_000 })).toBe('a');
  });

  test('lets another service finish first, as long as it can', () => {
    expect(next([candidate('a', 100_000)], { othersAtWork: true })).toBeNull();
    expect(next([candidate('a', 2 * TURN_MS - 1)], { othersAtWork: true })).toBe('a');
    expect(next([candidate('a', null, true)], { othersAtWork: true })).toBe('a');
  });

  test('what is full goes when nobody is more pressed', () => {
    expect(next([candidate('a', null, true), candidate('b', 200_000)])).toBe('a');
    expect(next([candidate('a', null, true), candidate('b', 50_000)])).toBe('b');
    expect(next([candidate('a', null, true)], { sinceLastMs: 59_000 })).toBeNull();
  });

  test('never one that is neither full nor grows; and whoever is too late to wait for is never kept waiting', () => {
    const any = fc.record({
      eta: fc.option(fc.integer({ min: 0, max: 1_000_000 })),
      isFull: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.array(any, { maxLength: 8 }),
        fc.option(fc.integer({ min: 0, max: 200_000 })),
        fc.boolean(),
        (rows, sinceLastMs, othersAtWork) => {
          const candidates = rows.map(({ eta, isFull }, index) => candidate(String(index), eta, isFull));
          const chosen = next(candidates, { sinceLastMs, othersAtWork });
          const found = candidates.find(({ instance }) => instance === chosen);
          if (chosen !== null) expect(found!.isFull || found!.growth !== null).toBe(true);
          const isPressed = rows.some(({ eta }) => eta !== null && eta < TURN_MS);
          if (isPressed) {
            const soonest = Math.min(...rows.map(({ eta }) => eta ?? Infinity));
            expect(found?.growth?.etaMs).toBe(soonest);
          }
        },
      ),
    );
  });
});

describe('describeGrowth', () => {
  test.each([
    [
      growing(50_000, { perSecondBytes: 1.2 * MB, usedBytes: 440 * MB }),
      'resident memory grows 1.2 MB/s, 60 MB below its limit of 500 MB: reached in about 50 s',
    ],
    [
      growing(600_000, { limit: 'heap', perSecondBytes: 0.05 * MB }),
      'live heap grows 180 MB/h, 100 MB below the 500 MB that V8 can hold: reached in about 10 min',
    ],
    [
      growing(36_000_000, { perSecondBytes: MB / 3_600 }),
      'resident memory grows 1.0 MB/h, 100 MB below its limit of 500 MB: reached in about 10 h',
    ],
    [
      growing(0, { usedBytes: 510 * MB }),
      'resident memory grows 1.0 MB/s, 0 MB below its limit of 500 MB: reached in about 0 s',
    ],
  ])('%#', (growth, text) => {
    expect(describeGrowth(growth)).toBe(text);
  });
});
