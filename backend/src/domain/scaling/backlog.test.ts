import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { agentFigures } from '../../../../test/support/agentFigures.js';
import type { AgentFigures } from '../agents/agent.js';
import { backlogPercentOf, isSaturated } from './backlog.js';

const NOW_MS = 50_000;

interface Shape {
  readonly elu?: number;
  readonly delayMs?: number | null;
  readonly unanswered?: number;
  /** Per second. */
  readonly rate?: number;
  readonly unread?: number | null;
}

/** Four looks a second over ten seconds, the last one now. */
function figures(shape: Shape, seconds = 10): AgentFigures[] {
  return Array.from({ length: 4 * seconds + 1 }, (_, i) =>
    agentFigures({
      atMs: NOW_MS - (4 * seconds - i) * 250,
      eluPercent: shape.elu ?? 100,
      delayP50Ms: shape.delayMs === undefined ? 100 : shape.delayMs,
      unanswered: shape.unanswered ?? 0,
      finished: 1000 + Math.round((i * (shape.rate ?? 50)) / 4),
    }),
  );
}

const backlog = (shape: Shape): number | null =>
  backlogPercentOf(figures(shape), shape.unread === undefined ? 0 : shape.unread, NOW_MS);

describe('work that waits', () => {
  test('as requests that were read: their number × the busy time of one, without the one in hand', () => {
    // 50 a second on a saturated loop: 20 ms each; 100 more wait: 2 s of 10.
    expect(backlog({ unanswered: 101, rate: 50 })).toBeCloseTo(20, 1);
  });

  test('as connections that nobody has read from: the same', () => {
    expect(backlog({ unanswered: 1, unread: 100, rate: 50 })).toBeCloseTo(20, 1);
    expect(backlog({ unanswered: 41, unread: 60, rate: 50 })).toBeCloseTo(20, 1);
  });

  test('one request that takes long is being served, it does not wait', () => {
    expect(backlog({ unanswered: 1, delayMs: 500, rate: 2 })).toBeCloseTo(0, 1);
  });

  test('no more than ten seconds of it count', () => {
    expect(backlog({ unanswered: 100_000, rate: 50 })).toBe(100);
    expect(backlog({ unanswered: 5, rate: 0 })).toBe(100);
  });

  test('without requests a busy loop keeps nobody waiting', () => {
    expect(backlog({ unanswered: 0, rate: 0, delayMs: 400 })).toBe(0);
  });
});

describe('what is no backlog', () => {
  test('requests that wait for something else on a loop that has time left', () => {
    expect(backlog({ elu: 60, unanswered: 500, unread: 500, delayMs: 100 })).toBe(0);
    expect(isSaturated(figures({ elu: 60, delayMs: 100 }), NOW_MS)).toBe(false);
  });

  test('requests on a loop that is busy and comes round at once', () => {
    expect(backlog({ elu: 100, unanswered: 500, delayMs: 2 })).toBe(0);
  });
});

describe('what is not known', () => {
  test('behind a saturated loop where the kernel does not tell', () => {
    expect(backlog({ unanswered: 101, unread: null })).toBeNull();
    expect(backlog({ unanswered: 101, unread: null, elu: 60 })).toBe(0);
  });

  test('without figures, with old ones, or with a single one', () => {
    expect(backlogPercentOf([], 5, NOW_MS)).toBeNull();
    expect(backlogPercentOf(figures({}), 5, NOW_MS + 2_001)).toBeNull();
    expect(backlogPercentOf(figures({}, 0), 5, NOW_MS)).toBeNull();
  });
});

test('is within 0 and 100 whatever the figures, and more requests never mean less of it', () => {
  const shapes = fc.record({
    elu: fc.double({ min: 0, max: 400, noNaN: true }),
    delayMs: fc.option(fc.double({ min: 0, max: 60_000, noNaN: true })),
    unanswered: fc.nat(100_000),
    rate: fc.nat(10_000),
    unread: fc.nat(1_000),
  });
  fc.assert(
    fc.property(shapes, fc.nat(1000), (shape, more) => {
      const some = backlog(shape) ?? Number.NaN;
      expect(some).toBeGreaterThanOrEqual(0);
      expect(some).toBeLessThanOrEqual(100);
      expect(backlog({ ...shape, unanswered: shape.unanswered + more })).toBeGreaterThanOrEqual(some);
    }),
  );
});
