import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AgentFigures } from './agent.js';
import { FiguresSeries } from './figuresSeries.js';

const KEPT_MS = 60_000;
const CAPACITY = 12;

const amount = fc.oneof(fc.nat(), fc.double({ min: 0, max: Number.MAX_SAFE_INTEGER, noNaN: true }));
const maybe = fc.option(amount);

/** Whatever an agent may say; times come from the test. */
const figures: fc.Arbitrary<AgentFigures> = fc.record({
  atMs: fc.constant(0),
  beatAgeMs: amount,
  eluPercent: fc.double({ min: 0, max: 100, noNaN: true }),
  delayP50Ms: maybe,
  delayP99Ms: maybe,
  delayMaxMs: maybe,
  rssBytes: amount,
  heapUsedBytes: maybe,
  heapLimitBytes: maybe,
  liveHeapBytes: maybe,
  majorGcs: amount,
  externalBytes: maybe,
  active: amount,
  unanswered: amount,
  oldestUnansweredMs: maybe,
  unansweredOverdue: amount,
  sinceFinishedMs: maybe,
  finished: amount,
  aborted: amount,
  statuses: fc.tuple(amount, amount, amount, amount, amount),
  latency: fc.array(fc.tuple(fc.nat(61), amount), { maxLength: 20 }).map((pairs) => pairs.flat()),
  latencySumMs: amount,
  connections: amount,
  debugged: fc.boolean(),
  dropped: amount,
});

const stepMs = fc.integer({ min: 0, max: 20_000 });

describe('FiguresSeries', () => {
  it('gives back what was put in, of the last minute and at most so many, like a list would', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(stepMs, figures), { maxLength: 60 }), stepMs, (steps, backMs) => {
        const series = new FiguresSeries(KEPT_MS, CAPACITY);
        let model: AgentFigures[] = [];
        let atMs = 0;
        for (const [step, one] of steps) {
          atMs += step;
          const pushed = { ...one, atMs };
          series.push(pushed);
          model = [...model, pushed].filter((earlier) => earlier.atMs >= atMs - KEPT_MS).slice(-CAPACITY);
          expect(series.since(-1)).toStrictEqual(model);
          expect(series.oldest()).toStrictEqual(model[0]);
          expect(series.newest()).toStrictEqual(pushed);
          const sinceMs = atMs - backMs;
          expect(series.since(sinceMs)).toStrictEqual(model.filter((earlier) => earlier.atMs > sinceMs));
        }
      }),
    );
  });

  it('keeps at most so many, the newest, however young they are', () => {
    const series = new FiguresSeries(KEPT_MS, CAPACITY);
    // Copied, because those of fast-check may have no prototype.
    const pushed = fc.sample(figures, { numRuns: 3 * CAPACITY, seed: 1 }).map((one) => ({ ...one }));
    for (const one of pushed) series.push(one);
    expect(series.since(-1)).toStrictEqual(pushed.slice(-CAPACITY));
  });

  it('has nothing before the first', () => {
    const series = new FiguresSeries(KEPT_MS, CAPACITY);
    expect([series.oldest(), series.newest(), series.since(-1)]).toStrictEqual([null, null, []]);
  });
});
