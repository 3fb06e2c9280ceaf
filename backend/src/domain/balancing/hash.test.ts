import { isIPv6 } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashAddress, hashText, mix32 } from './hash.js';

/** Highest ÷ mean when the hashes are put into 64 buckets by their top bits, as the pickers do. */
function unevenness(hashes: readonly number[]): number {
  const buckets = Array.from({ length: 64 }, () => 0);
  for (const hash of hashes) buckets[hash >>> 26]! += 1;
  return Math.max(...buckets) / (hashes.length / 64);
}

describe('hashAddress', () => {
  it('is one hash for all spellings of an address', () => {
    for (const spellings of [
      ['10.1.2.3', '::ffff:10.1.2.3', '::FFFF:10.1.2.3', '::ffff:a01:203', '0:0:0:0:0:ffff:0a01:0203'],
      ['2001:db8::1', '2001:0DB8:0:0:0:0:0:1', '2001:db8:0::0:1', '2001:db8::0.0.0.1'],
      ['::', '0:0:0:0:0:0:0:0', '0::', '::0'],
      ['fe80::1', 'fe80::1%eth0', 'fe80::1%2'],
      ['1:2:3:4:5:6:7:8', '0001:0002:0003:0004:0005:0006:0007:0008'],
      ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ]) {
      expect(new Set(spellings.map(hashAddress)).size, spellings.join(' ')).toBe(1);
    }
  });

  it('reads every IPv6 address as the URL parser does', () => {
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        expect(isIPv6(address)).toBe(true);
        const canonical = new URL(`http://[${address}]/`).hostname.slice(1, -1);
        expect(hashAddress(address)).toBe(hashAddress(canonical));
        expect(hashAddress(address.toUpperCase())).toBe(hashAddress(address));
      }),
      { numRuns: 2_000 },
    );
  });

  it('takes what is no address as text', () => {
    for (const text of [
      '',
      'localhost',
      '1.2.3',
      '1.2.3.4.5',
      '256.1.1.1',
      '1..2.3',
      '1:2',
      ':',
      ':::',
      '1::2::3',
    ]) {
      expect(hashAddress(text), text).toBe(hashText(text));
    }
    for (const text of [
      '1:2:3:4:5:6:7:8:9',
      '12345::',
      'g::',
      ':1',
      '1:',
      '1:2:3:4:5:6:7:1.2.3.4',
      '::1.2.3',
      '1::2:',
    ]) {
      expect(isIPv6(text), text).toBe(false);
      expect(hashAddress(text), text).toBe(hashText(text));
    }
  });

  it('tells neighbours apart and spreads them', () => {
    const neighbours = Array.from({ length: 65_536 }, (_, n) => hashAddress(`10.0.${n >>> 8}.${n & 255}`));
    // 65 536 values of 32 bits: one pair in two pools of this size collides.
    expect(new Set(neighbours).size).toBeGreaterThan(65_530);
    expect(unevenness(neighbours)).toBeLessThan(1.12);
    const hosts = Array.from({ length: 20_000 }, (_, n) => hashAddress(`2001:db8:0:${n.toString(16)}::1`));
    expect(unevenness(hosts)).toBeLessThan(1.25);
  });
});

describe('hashText', () => {
  it('is an unsigned 32-bit number and never 0', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.integer(), (text, seed) => {
        const hash = hashText(text, seed);
        expect(Number.isInteger(hash) && hash > 0 && hash < 2 ** 32).toBe(true);
        expect(hashText(text, seed)).toBe(hash);
      }),
    );
  });

  it('changes about half of the bits when one character changes', () => {
    let bits = 0;
    for (let n = 0; n < 1_000; n += 1) {
      let difference = hashText(`session-${n}-a`) ^ hashText(`session-${n}-b`);
      for (; difference !== 0; difference &= difference - 1) bits += 1;
    }
    expect(bits / 1_000).toBeGreaterThan(15);
    expect(bits / 1_000).toBeLessThan(17);
  });

  it('counts case and the high byte of a character', () => {
    expect(hashText('a')).not.toBe(hashText('A'));
    expect(hashText('\u0161')).not.toBe(hashText('a'));
  });
});

it('mix32 is a bijection, as far as 200 000 values show', () => {
  const seen = new Set<number>();
  for (let value = 0; value < 200_000; value += 1) seen.add(mix32(value));
  expect(seen.size).toBe(200_000);
});
