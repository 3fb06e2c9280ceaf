import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  LATENCY_BOUNDS_MS,
  addHistograms,
  countOf,
  createHistogram,
  cumulativeCounts,
  percentilesOf,
  quantileMs,
  record,
  subtractHistogram,
} from './histogram.js';

const timesMs = fc.array(fc.double({ min: 0, max: 90_000, noNaN: true }), { minLength: 1, maxLength: 300 });

function histogramOf(values: readonly number[]): ReturnType<typeof createHistogram> {
  const histogram = createHistogram();
  for (const value of values) record(histogram, value);
  return histogram;
}

describe('the bounds', () => {
  it('grow by at most 27 % a step, so that a percentile is off by 13 % at most', () => {
    for (const [i, bound] of LATENCY_BOUNDS_MS.slice(1).entries()) {
      const ratio = bound / LATENCY_BOUNDS_MS[i]!;
      expect(ratio).toBeGreaterThan(1.2);
      expect(ratio).toBeLessThan(1.3);
    }
  });
});

describe('record', () => {
  it('puts a bound itself below the bound, and what is slower than all into the last bucket', () => {
    const histogram = histogramOf([0, 0.1, 0.1001, 100_000, 100_001, 1e12]);
    expect(histogram.counts.slice(0, 2)).toEqual([2, 1]);
    expect(histogram.counts.slice(-2)).toEqual([1, 2]);
  });

  it('takes a clock that went backwards, or no number at all, for 0', () => {
    const histogram = histogramOf([-5, Number.NaN]);
    expect([histogram.counts[0], histogram.sumMs]).toEqual([2, 0]);
  });
});

describe('quantileMs', () => {
  it('is null without data', () => {
    expect(quantileMs(createHistogram(), 0.5)).toBeNull();
    expect(percentilesOf(createHistogram())).toBeNull();
  });

  it('lies in the bucket of the exact quantile', () => {
    fc.assert(
      fc.property(timesMs, fc.constantFrom(0.5, 0.9, 0.95, 0.99, 1), (values, quantile) => {
        const sorted = values.toSorted((a, b) => a - b);
        const exact = sorted[Math.max(0, Math.ceil(quantile * sorted.length) - 1)]!;
        const bucket = LATENCY_BOUNDS_MS.findIndex((bound) => bound >= exact);
        const found = quantileMs(histogramOf(values), quantile)!;
        expect(found).toBeLessThanOrEqual(LATENCY_BOUNDS_MS[bucket]!);
        expect(found).toBeGreaterThanOrEqual(bucket === 0 ? 0 : LATENCY_BOUNDS_MS[bucket - 1]!);
      }),
    );
  });

  it('grows with the quantile', () => {
    fc.assert(
      fc.property(timesMs, (values) => {
        const { p50, p95, p99 } = percentilesOf(histogramOf(values))!;
        expect(p50).toBeLessThanOrEqual(p95);
        expect(p95).toBeLessThanOrEqual(p99);
      }),
    );
  });

  it('shows the last bound for what is slower than all of them', () => {
    expect(quantileMs(histogramOf([1e9]), 0.5)).toBe(100_000);
  });
});

describe('adding and subtracting', () => {
  it('adds up as if one had recorded everything, and takes the earlier part away again', () => {
    fc.assert(
      fc.property(timesMs, timesMs, (first, second) => {
        const both = histogramOf([...first, ...second]);
        const added = addHistograms(histogramOf(first), histogramOf(second));
        expect(added.counts).toEqual(both.counts);
        expect(added.sumMs).toBeCloseTo(both.sumMs, 3);
        const later = subtractHistogram(both, histogramOf(first));
        expect(later.counts).toEqual(histogramOf(second).counts);
      }),
    );
  });

  it('is never negative, also when the earlier one belongs to a worker that was replaced', () => {
    const { counts, sumMs } = subtractHistogram(histogramOf([1]), histogramOf([1, 1, 7]));
    expect([Math.min(...counts), sumMs]).toEqual([0, 0]);
  });
});

describe('cumulativeCounts', () => {
  it('counts exactly up to each bound that Prometheus is given', () => {
    fc.assert(
      fc.property(timesMs, (values) => {
        const bounds = [1, 2.5, 10, 100, 1_000, 10_000];
        const expected = bounds.map((bound) => values.filter((value) => value <= bound).length);
        expect(cumulativeCounts(histogramOf(values), bounds)).toEqual(expected);
      }),
    );
  });

  it('ends at the number of all recorded', () => {
    const histogram = histogramOf([1, 2, 3]);
    expect(cumulativeCounts(histogram, LATENCY_BOUNDS_MS).at(-1)).toBe(countOf(histogram));
  });
});
