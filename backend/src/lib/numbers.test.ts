import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { percentOf, rounded, withoutNoise } from './numbers.js';

describe('rounded', () => {
  it.each([
    [0.1 + 0.2, 2, 0.3],
    [99.99999999999999, 3, 100],
    [1.005, 2, 1],
    [-0.001, 2, -0],
    [12, 2, 12],
    [null, 2, null],
    [Number.NaN, 2, null],
    [Infinity, 2, null],
  ])('%d with %i digits is %d', (value, digits, expected) => expect(rounded(value, digits)).toBe(expected));
});

describe('percentOf', () => {
  it.each([
    [0, 0, null],
    [0, 7, 0],
    [7, 7, 100],
    [1, 3, 33.33],
    [2, 3, 66.67],
    [1, 1e9, 0.01],
    [1e9 - 1, 1e9, 99.99],
  ])('%d of %d', (part, whole, percent) => expect(percentOf(part, whole)).toBe(percent));

  it('has two digits at most, and says all or nothing only of all or nothing', () => {
    fc.assert(
      fc.property(fc.nat(1e9), fc.integer({ min: 1, max: 1e9 }), (part, whole) => {
        const percent = percentOf(Math.min(part, whole), whole)!;
        expect(String(percent)).toMatch(/^\d{1,3}(\.\d{1,2})?$/);
        expect(percent === 100).toBe(part >= whole);
        expect(percent === 0).toBe(part === 0);
      }),
    );
  });
});

it('withoutNoise rounds every figure of an answer, however deep, and touches nothing else', () => {
  const answer = {
    a: [{ availabilityPercent: 99.99999999999999, n: 0.1 + 0.2 }],
    text: '0.30000000000000004',
    at: 1764500000123,
    no: null,
  };
  expect(JSON.parse(JSON.stringify(answer, withoutNoise))).toEqual({
    a: [{ availabilityPercent: 100, n: 0.3 }],
    text: '0.30000000000000004',
    at: 1764500000123,
    no: null,
  });
});
