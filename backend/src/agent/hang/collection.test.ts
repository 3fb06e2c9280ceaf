import { describe, expect, it } from 'vitest';
import { collectingMs, longestCollectionMs, type Closure } from './collection.js';

const GB = 1024 ** 3;
const collecting: Closure = {
  unansweredMs: 900,
  hasBreadcrumb: false,
  ranMs: 890,
  isWorking: true,
  longestMs: longestCollectionMs(GB),
};

describe('what may have been a garbage collection', () => {
  it('is the time without an answer', () => {
    expect(collectingMs(collecting)).toBe(900);
    expect(collectingMs({ ...collecting, unansweredMs: 0 })).toBe(0);
  });

  it('is no longer than collecting such a heap takes', () => {
    expect(longestCollectionMs(GB)).toBe(2_000);
    expect(longestCollectionMs(64 * GB)).toBe(10_000);
    expect(collectingMs({ ...collecting, unansweredMs: 5_000, ranMs: 4_900 })).toBe(2_000);
    expect(collectingMs({ ...collecting, unansweredMs: 5_000, ranMs: null })).toBe(2_000);
  });

  it('may last longer than that where it has run for less', () => {
    expect(collectingMs({ ...collecting, unansweredMs: 3_500, ranMs: 1_700 })).toBe(3_500);
    expect(collectingMs({ ...collecting, unansweredMs: 60_000, ranMs: 1_700 })).toBe(10_000);
  });

  it('works', () => {
    expect(collectingMs({ ...collecting, isWorking: false })).toBe(0);
  });

  it('leaves no breadcrumb', () => {
    expect(collectingMs({ ...collecting, hasBreadcrumb: true })).toBe(0);
  });
});
