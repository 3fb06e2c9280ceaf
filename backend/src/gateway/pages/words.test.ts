import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { inCount, inDuration, inMs, inPercent, inPlainName, inRate } from './words.js';

/** With ordinary spaces, to be read here. */
const plain = (text: string): string => text.replaceAll('\u202f', ' ');

describe('figures', () => {
  it.each([
    [inCount(0), '0'],
    [inCount(999), '999'],
    [inCount(1_234_567), '1 234 567'],
    [inCount(12_345_678), '12.3 M'],
    [inCount(4.2e9), '4.2 G'],
    [inRate(0), '0'],
    [inRate(0.01), '< 0.1'],
    [inRate(3.14), '3.1'],
    [inRate(1_500.4), '1 500'],
    [inMs(null), '–'],
    [inMs(0.123), '0.12 ms'],
    [inMs(4.25), '4.3 ms'],
    [inMs(250.4), '250 ms'],
    [inMs(12_340), '12.3 s'],
    [inPercent(null), '–'],
    [inPercent(0), '0 %'],
    [inPercent(0.00001), '< 0.01 %'],
    [inPercent(0.004), '0.40 %'],
    [inPercent(0.5), '50 %'],
    [inPercent(0.99999), '99.99 %'],
    [inPercent(1), '100 %'],
    [inDuration(-5), '0 s'],
    [inDuration(59_999), '59 s'],
    [inDuration(3 * 3_600_000 + 5 * 60_000), '3 h 5 min'],
    [inDuration(86_400_000), '1 d'],
  ])('%s', (shown, expected) => {
    expect(plain(shown)).toBe(expected);
  });

  it('never says 100 % of what is not all', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (share) => {
        expect(plain(inPercent(share))).not.toBe('100 %');
      }),
    );
  });
});

it('names a service for people', () => {
  expect([inPlainName('shop-backend'), inPlainName('API'), inPlainName('--')]).toEqual([
    'Shop backend',
    'API',
    '--',
  ]);
});
