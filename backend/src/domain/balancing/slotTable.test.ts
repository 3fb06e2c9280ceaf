/** Who owns which key: even shares, and nobody moves who need not. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Endpoint } from './picker.js';
import { SlotTable } from './slotTable.js';
import { equalPool, keyHash, picker, pool } from './testing/pool.js';

const KEYS = 20_000;

function ownersOf(name: string, endpoints: readonly Endpoint[]): string[] {
  const picking = picker(name, endpoints);
  return Array.from({ length: KEYS }, (_, key) => picking.pick({ hash: keyHash(key), tried: null })!.id);
}

describe.each(['ip-hash', 'consistent-hash'])('%s: one of N leaves', (name) => {
  it.each([2, 4, 10, 50])('N = %i: only its own keys move, at most 1.1/N of all in the mean', (count) => {
    const endpoints = equalPool(count);
    const before = ownersOf(name, endpoints);
    const moved: number[] = [];
    for (const leaver of endpoints.slice(0, 10)) {
      const after = ownersOf(
        name,
        endpoints.filter((endpoint) => endpoint !== leaver),
      );
      const changed = before.filter((id, key) => id !== after[key]);
      expect(new Set(changed)).toEqual(new Set([leaver.id]));
      moved.push(changed.length / KEYS);
    }
    expect(moved.reduce((sum, share) => sum + share, 0) / moved.length).toBeLessThanOrEqual(1.1 / count);
    expect(Math.max(...moved)).toBeLessThanOrEqual(1.2 / count);
  });

  it('is the same whether it leaves or is unavailable, and undone when it is back', () => {
    const endpoints = pool(1, 2, 3, 4, 5);
    const leaver = endpoints[2]!;
    const gone = ownersOf(
      name,
      endpoints.filter((endpoint) => endpoint !== leaver),
    );
    const picking = picker(name, endpoints);
    const now = () =>
      Array.from({ length: KEYS }, (_, key) => picking.pick({ hash: keyHash(key), tried: null })!.id);
    const before = now();
    leaver.available = false;
    expect(now()).toEqual(gone);
    leaver.available = true;
    expect(now()).toEqual(before);
  });

  it('moves only the keys of those that are away when several are', () => {
    const endpoints = equalPool(10);
    const picking = picker(name, endpoints);
    const now = () =>
      Array.from({ length: KEYS }, (_, key) => picking.pick({ hash: keyHash(key), tried: null })!.id);
    const before = now();
    const away = endpoints.slice(3, 8);
    for (const endpoint of away) endpoint.available = false;
    const after = now();
    const moved = new Set(before.filter((id, key) => id !== after[key]));
    expect(moved).toEqual(new Set(away.map(({ id }) => id)));
    for (const { id } of endpoints.filter(({ available }) => available)) {
      expect(after.filter((owner) => owner === id).length / KEYS).toBeGreaterThan(0.18);
    }
  });

  it('hands keys over one by one during slow start, each once', () => {
    const endpoints = equalPool(4);
    const [, comer] = endpoints;
    const picking = picker(name, endpoints);
    let had = new Set<number>();
    for (const ramp of [1 / 16, 0.2, 0.5, 0.9, 1]) {
      comer!.ramp = ramp;
      const has = new Set<number>();
      for (let key = 0; key < KEYS; key += 1) {
        if (picking.pick({ hash: keyHash(key), tried: null }) === comer) has.add(key);
      }
      expect([...had].every((key) => has.has(key))).toBe(true);
      expect(Math.abs(has.size / KEYS - 0.25 * ramp)).toBeLessThan(0.01);
      had = has;
    }
  });
});

describe('the table', () => {
  it('moves slots only from the leaver, for any weights, in any order of the list', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 2, maxLength: 9 }),
        fc.nat(8),
        (weights, choice) => {
          const endpoints = pool(...weights);
          const leaver = endpoints[choice % endpoints.length]!;
          const rest = endpoints.filter((endpoint) => endpoint !== leaver).reverse();
          const before = SlotTable.of(endpoints);
          const after = SlotTable.of(rest);
          for (let slot = 0; slot < 65_537; slot += 7) {
            const owner = endpoints[before.owner(slot)];
            const heir = owner === leaver ? endpoints[before.runnerUp(slot)] : owner;
            if (rest[after.owner(slot)] !== heir) throw new Error(`slot ${slot} went elsewhere`);
          }
        },
      ),
      { numRuns: 20 },
    );
  });

  it.each([
    [4, 1.02],
    [10, 1.03],
    [50, 1.1],
    [1000, 1.35],
  ])('is even: with %i endpoints the largest share is at most %f of the mean', (count, bound) => {
    const table = SlotTable.of(equalPool(count));
    const slots = Array.from({ length: count }, () => 0);
    for (let slot = 0; slot < 65_537; slot += 1) slots[table.owner(slot)]! += 1;
    expect(Math.max(...slots) / (65_537 / count)).toBeLessThanOrEqual(bound);
  });

  it('is by weight, however different the weights', () => {
    const endpoints = pool(1000, 100, 10, 1);
    const table = SlotTable.of(endpoints);
    const slots = [0, 0, 0, 0];
    for (let slot = 0; slot < 65_537; slot += 1) slots[table.owner(slot)]! += 1;
    for (const [index, { weight }] of endpoints.entries()) {
      expect(Math.abs(slots[index]! / 65_537 / (weight / 1111) - 1)).toBeLessThan(0.25);
    }
  });

  it('is built once for the same ids and weights, and not kept for ever', () => {
    const table = SlotTable.of(pool(1, 2));
    expect(SlotTable.of(pool(1, 2))).toBe(table);
    expect(SlotTable.of(pool(2, 1))).not.toBe(table);
    for (let weight = 1; weight <= 20; weight += 1) SlotTable.of(pool(weight));
    expect(SlotTable.of(pool(1, 2))).not.toBe(table);
  });

  it('has a slot for every hash', () => {
    expect(SlotTable.slotOf(0)).toBe(0);
    expect(SlotTable.slotOf(2 ** 32 - 1)).toBe(65_536);
    for (let attempt = 1; attempt < 64; attempt += 1) {
      expect(SlotTable.nextSlot(65_536, attempt)).toBeLessThan(65_537);
    }
  });
});
