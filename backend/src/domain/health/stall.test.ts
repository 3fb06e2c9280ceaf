import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { agentFigures } from '../../../../test/support/agentFrames.js';
import { answeredWaitMs, decideStall, judgeStall, paceOf } from './stall.js';

const QUICK = { paceHz: 20, waitMs: 100 };
const LOST = agentFigures({
  unanswered: 12,
  unansweredOverdue: 3,
  oldestUnansweredMs: 2_100,
  sinceFinishedMs: 2_200,
});

describe('judgeStall', () => {
  test('three overdue requests and no answer for two seconds, in a service that is quick', () => {
    expect(judgeStall(LOST, QUICK)).toBe(
      '12 requests wait, the oldest for 2.1 s, and none has finished for 2.2 s where 20 a second are usual',
    );
    expect(judgeStall({ ...LOST, unansweredOverdue: 2 }, QUICK)).toBeNull();
    expect(judgeStall({ ...LOST, sinceFinishedMs: 1_900 }, QUICK)).toBeNull();
    expect(judgeStall({ ...LOST, oldestUnansweredMs: 1_900 }, QUICK)).toBeNull();
  });

  test('as long as something finishes it is slow and not stalled', () => {
    expect(
      judgeStall(
        { ...LOST, oldestUnansweredMs: 60_000, unansweredOverdue: 500, sinceFinishedMs: 300 },
        QUICK,
      ),
    ).toBeNull();
  });

  test('where long polls are usual, twice their wait must pass', () => {
    const polls = { paceHz: 20, waitMs: 30_000 };
    const waiting = { ...LOST, unansweredOverdue: 50 };
    expect(judgeStall({ ...waiting, oldestUnansweredMs: 59_000, sinceFinishedMs: 59_000 }, polls)).toBeNull();
    expect(
      judgeStall({ ...waiting, oldestUnansweredMs: 61_000, sinceFinishedMs: 61_000 }, polls),
    ).not.toBeNull();
  });

  test('where little happens, five usual gaps must pass', () => {
    const quiet = { paceHz: 0.5, waitMs: 100 };
    expect(judgeStall({ ...LOST, oldestUnansweredMs: 9_900, sinceFinishedMs: 9_900 }, quiet)).toBeNull();
    expect(judgeStall({ ...LOST, oldestUnansweredMs: 10_100, sinceFinishedMs: 10_100 }, quiet)).toContain(
      'one in 2 s is usual',
    );
  });

  test('where nothing is usual, two minutes must pass', () => {
    for (const paceHz of [null, 0]) {
      const usual = { paceHz, waitMs: 0 };
      expect(judgeStall({ ...LOST, oldestUnansweredMs: 119_000, sinceFinishedMs: null }, usual)).toBeNull();
      expect(judgeStall({ ...LOST, oldestUnansweredMs: 121_000, sinceFinishedMs: null }, usual)).toBe(
        '12 requests wait, the oldest for 121.0 s, and none has finished for 121.0 s',
      );
    }
  });

  test('a new instance that never answered anything, in a service that does', () => {
    expect(judgeStall({ ...LOST, sinceFinishedMs: null }, QUICK)).not.toBeNull();
  });

  test('a debugger may hold requests for as long as it likes', () => {
    expect(judgeStall({ ...LOST, debugged: true }, QUICK)).toBeNull();
  });

  test('never while fewer than three are overdue, nor before anybody has waited as long as is usual', () => {
    fc.assert(
      fc.property(
        fc.nat(10),
        fc.nat(200_000),
        fc.nat(200_000),
        fc.record({ paceHz: fc.double({ min: 0.01, max: 1_000, noNaN: true }), waitMs: fc.nat(60_000) }),
        (unansweredOverdue, oldestUnansweredMs, sinceFinishedMs, usual) => {
          const figures = { ...LOST, unansweredOverdue, oldestUnansweredMs, sinceFinishedMs };
          if (judgeStall(figures, usual) === null) return;
          expect(unansweredOverdue).toBeGreaterThanOrEqual(3);
          expect(Math.min(oldestUnansweredMs, sinceFinishedMs)).toBeGreaterThanOrEqual(
            Math.max(2_000, 2 * usual.waitMs),
          );
        },
      ),
    );
  });
});

describe('paceOf', () => {
  test('counts up to the last answer: the silence after it does not make the pace smaller', () => {
    const before = agentFigures({ atMs: 0, finished: 100 });
    const after = agentFigures({ atMs: 12_000, finished: 300, sinceFinishedMs: 2_000 });
    expect(paceOf(before, after)).toBe(20);
  });

  test('is not known from too few answers or too short a time', () => {
    const before = agentFigures({ atMs: 0, finished: 0 });
    expect(paceOf(null, null)).toBeNull();
    expect(paceOf(before, before)).toBeNull();
    expect(paceOf(before, agentFigures({ atMs: 10_000, finished: 9 }))).toBeNull();
    expect(paceOf(before, agentFigures({ atMs: 900, finished: 50 }))).toBeNull();
  });

  test('of one that was watched for long is small, or nothing, and not unknown', () => {
    const before = agentFigures({ atMs: 0, finished: 0, sinceFinishedMs: null });
    expect(paceOf(before, agentFigures({ atMs: 40_000, finished: 2, sinceFinishedMs: 0 }))).toBe(0.05);
    expect(paceOf(before, agentFigures({ atMs: 40_000, finished: 0, sinceFinishedMs: null }))).toBe(0);
  });
});

describe('answeredWaitMs', () => {
  const earlier = agentFigures({ atMs: 0, oldestUnansweredMs: 5_000, finished: 10 });
  test('is what the oldest had waited when it is gone and something was answered', () => {
    expect(answeredWaitMs(earlier, agentFigures({ atMs: 250, oldestUnansweredMs: 40, finished: 11 }))).toBe(
      5_000,
    );
    expect(answeredWaitMs(earlier, agentFigures({ atMs: 250, oldestUnansweredMs: null, finished: 11 }))).toBe(
      5_000,
    );
  });

  test('is not known while it waits, or when it was given up', () => {
    expect(
      answeredWaitMs(earlier, agentFigures({ atMs: 250, oldestUnansweredMs: 5_240, finished: 50 })),
    ).toBeNull();
    expect(
      answeredWaitMs(earlier, agentFigures({ atMs: 250, oldestUnansweredMs: null, finished: 10 })),
    ).toBeNull();
    expect(
      answeredWaitMs({ ...earlier, oldestUnansweredMs: null }, agentFigures({ finished: 11 })),
    ).toBeNull();
  });
});

describe('decideStall', () => {
  test('the first is condemned; the next only when something has finished since', () => {
    expect(decideStall('s', null, null)).toEqual({ action: 'condemn', detail: 's' });
    expect(decideStall('s', { atMs: 10, pmId: 3 }, 11)).toMatchObject({ action: 'condemn' });
    expect(decideStall('s', { atMs: 10, pmId: 3 }, 9)).toMatchObject({ action: 'hold' });
    const held = decideStall('s', { atMs: 10, pmId: 3 }, null);
    expect(held.detail).toContain('a shared dependency');
  });
});
