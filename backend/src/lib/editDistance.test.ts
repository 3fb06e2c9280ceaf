import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { editDistance, nearest } from './editDistance.js';

const word = fc.string({ maxLength: 12 });

describe('editDistance', () => {
  it.each([
    ['', '', 0],
    ['port', '', 4],
    ['port', 'port', 0],
    ['port', 'prot', 1],
    ['kitten', 'sitting', 3],
    ['MAX_INSTNCES', 'MAX_INSTANCES', 1],
  ])('from "%s" to "%s" is %i', (a, b, expected) => {
    expect(editDistance(a, b)).toBe(expected);
  });

  it('is symmetric, zero only for equal words, and between the difference and the maximum of the lengths', () => {
    fc.assert(
      fc.property(word, word, (a, b) => {
        const distance = editDistance(a, b);
        expect(editDistance(b, a)).toBe(distance);
        expect(distance === 0).toBe(a === b);
        expect(distance).toBeGreaterThanOrEqual(Math.abs(a.length - b.length));
        expect(distance).toBeLessThanOrEqual(Math.max(a.length, b.length));
      }),
    );
  });
});

describe('nearest', () => {
  it('names the nearest within the limit', () => {
    expect(nearest('prot', ['path', 'port', 'host'], () => 2)).toBe('port');
    expect(nearest('prot', ['host'], () => 1)).toBeNull();
    expect(nearest('anything', [], () => 9)).toBeNull();
  });

  it('lets each candidate have its own limit', () => {
    expect(nearest('DB_HOST', ['HA_HOST'], (name) => Math.floor(name.length / 4))).toBeNull();
  });
});
