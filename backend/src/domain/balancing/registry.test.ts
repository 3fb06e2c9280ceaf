/** What every algorithm promises, whatever it is. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Endpoint } from './picker.js';
import { algorithms } from './registry.js';
import { equalPool, keyHash, picker, pool, shares } from './testing/pool.js';

const PICKS = 40_000;
const names = [...algorithms.keys()];

function expectShares(actual: readonly number[], expected: readonly number[], tolerance: number): void {
  for (const [index, share] of actual.entries()) {
    expect(Math.abs(share - (expected[index] ?? 0)), `share of ${index}: ${share}`).toBeLessThan(tolerance);
  }
}

it('knows the algorithms of the specification', () => {
  expect(names).toEqual([
    'round-robin',
    'weighted-round-robin',
    'least-connections',
    'p2c',
    'consistent-hash',
    'ip-hash',
    'random',
  ]);
});

const endpointState = fc.record({
  available: fc.boolean(),
  ramp: fc.constantFrom(0, 0.01, 0.5, 1),
  inFlight: fc.nat(20),
});
const moment = fc.record({
  states: fc.array(endpointState, { minLength: 12, maxLength: 12 }),
  tried: fc.array(fc.nat(11), { maxLength: 3 }),
  hash: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
});

describe.each(names)('%s', (name) => {
  it('picks somebody who may be picked, and nobody only when there is nobody', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(1, 2, 3, 7, 100, 1000), { maxLength: 12 }),
        fc.array(moment, { minLength: 1, maxLength: 30 }),
        (weights, moments) => {
          const endpoints = pool(...weights);
          const picking = picker(name, endpoints);
          for (const { states, tried: triedIndices, hash } of moments) {
            for (const [index, endpoint] of endpoints.entries()) Object.assign(endpoint, states[index]);
            const tried = triedIndices.flatMap((index) => endpoints[index] ?? []);
            const eligible = endpoints.filter(({ available }) => available).filter((e) => !tried.includes(e));
            const picked = picking.pick({ hash, tried: tried.length === 0 ? null : tried });
            if (picked === null) expect(eligible).toEqual([]);
            else expect(eligible).toContain(picked);
          }
        },
      ),
      { numRuns: name.endsWith('hash') ? 25 : 100 },
    );
  });

  it('shares by weight', () => {
    const endpoints = pool(1, 2, 3, 4);
    expectShares(shares(picker(name, endpoints), endpoints, PICKS), [0.1, 0.2, 0.3, 0.4], 0.012);
  });

  it('shares what an unavailable one leaves by weight, and gives it its share back', () => {
    const endpoints = pool(1, 2, 3, 4);
    const picking = picker(name, endpoints);
    endpoints[3]!.available = false;
    expectShares(shares(picking, endpoints, PICKS), [1 / 6, 2 / 6, 3 / 6, 0], 0.02);
    endpoints[3]!.available = true;
    expectShares(shares(picking, endpoints, PICKS), [0.1, 0.2, 0.3, 0.4], 0.012);
  });

  it('gives a recovering one its share gradually', () => {
    const endpoints = equalPool(4);
    const picking = picker(name, endpoints);
    let before = 0;
    for (const ramp of [1 / 16, 0.15, 0.3, 0.6, 1]) {
      endpoints[2]!.ramp = ramp;
      const [a = 0, b = 0, recovering = 0, d = 0] = shares(picking, endpoints, PICKS);
      // Its part of four shares of which one counts `ramp`, or less: some let it win only what is left to it.
      expect(recovering).toBeGreaterThan(before);
      expect(recovering).toBeLessThan((1.1 * ramp) / 3 + 0.002);
      expectShares(
        [a, b, d],
        Array.from({ length: 3 }, () => (1 - recovering) / 3),
        0.06,
      );
      before = recovering;
    }
    expect(before).toBeGreaterThan(0.24);
  });

  it('is even while the whole pool has just started', () => {
    for (const ramp of [0, 0.001, 0.2]) {
      const endpoints = equalPool(5);
      for (const endpoint of endpoints) endpoint.ramp = ramp;
      expectShares(shares(picker(name, endpoints), endpoints, PICKS), [0.2, 0.2, 0.2, 0.2, 0.2], 0.012);
    }
  });

  it('leaves nobody out, and nobody twice, when one after the other is tried', () => {
    const endpoints = pool(1000, 1, 1, 50, 3);
    const picking = picker(name, endpoints);
    for (let key = 0; key < 200; key += 1) {
      const tried: Endpoint[] = [];
      for (;;) {
        const picked = picking.pick({ hash: keyHash(key), tried: tried.length === 0 ? null : tried });
        if (picked === null) break;
        tried.push(picked);
      }
      expect(new Set(tried).size).toBe(5);
    }
  });

  it('spreads requests without a key', () => {
    const endpoints = equalPool(4);
    const picking = picker(name, endpoints);
    const counts = new Map<Endpoint | null, number>();
    for (let pick = 0; pick < 4_000; pick += 1) {
      const picked = picking.pick({ hash: 0, tried: null });
      counts.set(picked, (counts.get(picked) ?? 0) + 1);
    }
    for (const endpoint of endpoints) expect(counts.get(endpoint)).toBeGreaterThan(850);
  });

  it('does with no endpoint, one, and a thousand of which one is up', () => {
    expect(picker(name, []).pick({ hash: 1, tried: null })).toBeNull();
    const [only] = equalPool(1);
    expect(picker(name, [only!]).pick({ hash: 1, tried: null })).toBe(only);
    const endpoints = equalPool(1000);
    for (const endpoint of endpoints) endpoint.available = endpoint === endpoints[777];
    const picking = picker(name, endpoints);
    for (let key = 0; key < 100; key += 1) {
      expect(picking.pick({ hash: keyHash(key), tried: null })).toBe(endpoints[777]);
    }
  });
});
