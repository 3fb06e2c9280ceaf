import { describe, expect, it } from 'vitest';
import { hashAddress, hashText } from '../balancing/hash.js';
import { DistinctCount, markOf, SlidingDistinctCount } from './distinctCount.js';

const MINUTE_MS = 60_000;

function countOf(many: number, hashOf: (index: number) => number): number {
  const set = new DistinctCount();
  for (let index = 0; index < many; index += 1) set.add(markOf(hashOf(index)));
  return set.estimate();
}
const address = (index: number): number =>
  hashAddress(`10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`);

describe('DistinctCount', () => {
  it.each([0, 1, 2, 3, 10, 50])('is exact for few things: %i', (many) => {
    expect(countOf(many, address)).toBe(many);
    expect(countOf(many, (index) => hashText(`session ${index}`))).toBe(many);
  });

  it.each([200, 1_000, 10_000, 40_000, 80_000, 300_000, 1_000_000])('is within 3 %% of %i', (many) => {
    for (const hashOf of [address, (index: number) => hashText(`session ${index}`)]) {
      expect(Math.abs(countOf(many, hashOf) / many - 1)).toBeLessThan(0.03);
    }
  });

  it('counts a thing once, however often and by however many it is seen', () => {
    const [a, b] = [new DistinctCount(), new DistinctCount()];
    for (let index = 0; index < 100; index += 1) {
      const mark = markOf(address(index));
      a.add(mark);
      expect(a.add(mark)).toBe(false);
      if (index % 2 === 0) b.add(mark);
    }
    a.addAll(b);
    expect(Math.abs(a.estimate() - 100)).toBeLessThanOrEqual(1);
    a.clear();
    expect(a.estimate()).toBe(0);
  });

  it.each([Number.NaN, Infinity, 1e9, 63, 64 * 16_384 + 1, 0])(
    'learns nothing from %d, which is no mark',
    (mark) => {
      const set = new DistinctCount();
      expect(set.add(mark)).toBe(false);
      expect(set.estimate()).toBe(0);
    },
  );
});

describe('SlidingDistinctCount', () => {
  it('counts what was seen within the window, and forgets the rest', () => {
    const seen = new SlidingDistinctCount(30 * MINUTE_MS, MINUTE_MS);
    for (let minute = 0; minute < 90; minute += 1) {
      // One thing a minute, and one that is always there.
      seen.add(minute * MINUTE_MS, [markOf(address(minute)), markOf(hashText('always'))]);
      expect(seen.estimate(minute * MINUTE_MS)).toBe(Math.min(minute, 30) + 2);
    }
    expect(seen.estimate(119 * MINUTE_MS)).toBe(2);
    expect(seen.estimate(121 * MINUTE_MS)).toBe(0);
  });
});
