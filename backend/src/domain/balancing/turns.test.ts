/** The two that take turns: exact order, exact smoothness. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Endpoint, Picker } from './picker.js';
import { algorithm, pool, shares } from './testing/pool.js';

/** Begins at the beginning. */
const picker = (name: string, endpoints: readonly Endpoint[]): Picker =>
  algorithm(name).build(endpoints, () => 0);

/** The picks as letters: a is the first endpoint. */
function order(picking: Picker, endpoints: readonly Endpoint[], picks: number): string {
  const letters = Array.from({ length: picks }, () => {
    const picked = picking.pick({ hash: 0, tried: null });
    return picked === null ? '-' : String.fromCharCode(97 + endpoints.indexOf(picked));
  });
  return letters.join('');
}

describe('round-robin', () => {
  it('goes in order', () => {
    const endpoints = pool(1, 1, 1);
    expect(order(picker('round-robin', endpoints), endpoints, 7)).toBe('abcabca');
  });

  it('gives weights as turns in a row, without their common factor', () => {
    const endpoints = pool(200, 100, 300);
    expect(order(picker('round-robin', endpoints), endpoints, 12)).toBe('aabcccaabccc');
  });

  it('lets nobody inherit the turn of one who is away', () => {
    const endpoints = pool(1, 1, 1, 1);
    const picking = picker('round-robin', endpoints);
    endpoints[1]!.available = false;
    expect(order(picking, endpoints, 9)).toBe('acdacdacd');
  });
});

describe('weighted-round-robin', () => {
  it('takes equal weights in order', () => {
    const endpoints = pool(3, 3, 3);
    expect(order(picker('weighted-round-robin', endpoints), endpoints, 7)).toBe('abcabca');
  });

  it('spreads the turns of the heavy ones: 5, 1, 1', () => {
    const endpoints = pool(5, 1, 1);
    const text = order(picker('weighted-round-robin', endpoints), endpoints, 70);
    expect(text).not.toMatch(/aaaaa/);
    for (let start = 0; start < 70; start += 7) {
      expect([...text.slice(start, start + 7)].toSorted().join('')).toBe('aaaaabc');
    }
  });

  it('is never further from its share than a turn, at any moment, for any pair', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 2, maxLength: 8 }), (weights) => {
        const endpoints = pool(...weights);
        const picking = picker('weighted-round-robin', endpoints);
        const counts = endpoints.map(() => 0);
        for (let pick = 0; pick < 500; pick += 1) {
          const index = endpoints.indexOf(picking.pick({ hash: 0, tried: null })!);
          counts[index] = counts[index]! + 1;
          const times = counts.map((count, at) => count / weights[at]!);
          for (const [at, time] of times.entries()) {
            const ahead = time - Math.min(...times);
            expect(ahead).toBeLessThanOrEqual(1 / weights[at]! + 1 / Math.min(...weights) + 1e-9);
          }
        }
      }),
    );
  });

  it('lets one who comes back catch nothing up', () => {
    const endpoints = pool(1, 1, 1);
    const picking = picker('weighted-round-robin', endpoints);
    endpoints[0]!.available = false;
    expect(order(picking, endpoints, 100)).not.toContain('a');
    endpoints[0]!.available = true;
    const text = order(picking, endpoints, 12);
    expect(text).not.toContain('aa');
    expect(text.split('a').length - 1).toBe(4);
  });

  it('takes up one who was tried again at the next request, whoever else is away', () => {
    const endpoints = pool(1000, 1, 1, 1, 1, 1, 1, 1);
    const picking = picker('weighted-round-robin', endpoints);
    for (const endpoint of endpoints.slice(2)) endpoint.available = false;
    order(picking, endpoints, 2_000);
    expect(picking.pick({ hash: 0, tried: [endpoints[0]!] })).toBe(endpoints[1]);
    expect(order(picking, endpoints, 20)).toBe('a'.repeat(20));
  });
});

it.each(['round-robin', 'weighted-round-robin', 'least-connections'])('%s begins anywhere', (name) => {
  const endpoints = pool(1, 1, 1, 1);
  const firsts = [0.1, 0.35, 0.6, 0.85].map((random) => {
    const picked = algorithm(name)
      .build(endpoints, () => random)
      .pick({ hash: 0, tried: null });
    return picked?.id;
  });
  expect(new Set(firsts).size).toBe(4);
  expect(
    shares(
      algorithm(name).build(endpoints, () => 0.9),
      endpoints,
      400,
    ),
  ).toEqual([0.25, 0.25, 0.25, 0.25]);
});

it.each(['round-robin', 'weighted-round-robin', 'least-connections'])(
  '%s starves nobody, however the others come and go',
  (name) => {
    const weights = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 2, maxLength: 6 });
    const flips = fc.array(fc.nat(5), { minLength: 300, maxLength: 300 });
    fc.assert(
      fc.property(weights, flips, (given, flipped) => {
        const endpoints = pool(...given);
        const [steady] = endpoints;
        const picking = picker(name, endpoints);
        // Between two of its turns everybody else has those of the same time, one more, and one for coming back.
        const most = endpoints.reduce((sum, { weight }) => sum + weight / steady!.weight + 2, 0);
        const factor = name === 'round-robin' ? Math.max(...given) : 1;
        let since = 0;
        for (const index of flipped) {
          const endpoint = endpoints[index];
          if (endpoint !== undefined && endpoint !== steady) endpoint.available = !endpoint.available;
          const picked = picking.pick({ hash: 0, tried: null });
          since = picked === steady ? 0 : since + 1;
          expect(since).toBeLessThanOrEqual(most * factor);
        }
      }),
    );
  },
);
