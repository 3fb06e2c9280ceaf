import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  MOST_SERVICES,
  SLOTS,
  SLOT_MS,
  addSample,
  availabilityOf,
  conditionOfSlot,
  forgetOld,
  restoreDay,
  slotsOfDay,
} from './availabilitySlots.js';
import type { SlotHistory } from './availabilitySlots.js';
import type { Condition } from './serviceCondition.js';

const NOON_MS = Date.UTC(2026, 0, 15, 12, 0, 0);

describe('addSample', () => {
  it('collects seconds in the slot of their time', () => {
    let history: SlotHistory = [];
    for (let second = 0; second < 400; second += 1) {
      const condition = second < 350 ? 'up' : second < 390 ? 'degraded' : 'down';
      history = addSample(history, NOON_MS + second * 1_000, condition, 1);
    }
    const slots = slotsOfDay(history, NOON_MS + 400_000);
    expect(slots).toHaveLength(SLOTS);
    expect(slots.slice(-2)).toEqual([
      { up: 300, degraded: 0, down: 0 },
      { up: 50, degraded: 40, down: 10 },
    ]);
    expect(slots.slice(0, -2).every((slot) => slot === null)).toBe(true);
    expect(availabilityOf(slots)).toBeCloseTo(390 / 400);
  });

  it('stays within a day of slots whatever the clock does, and no slot exceeds its length', () => {
    const steps = fc.array(
      fc.record({
        byMs: fc.integer({ min: -3 * 3_600_000, max: 30 * 3_600_000 }),
        condition: fc.constantFrom<Condition>('up', 'degraded', 'down'),
        seconds: fc.integer({ min: -10, max: 1_000 }),
      }),
      { maxLength: 200 },
    );
    fc.assert(
      fc.property(steps, (all) => {
        let now = NOON_MS;
        let history: SlotHistory = [];
        for (const { byMs, condition, seconds } of all) {
          now += byMs;
          history = addSample(history, now, condition, seconds);
          expect(history.length).toBeLessThanOrEqual(SLOTS);
          const numbers = history.map(([number]) => number);
          expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
          for (const [, slot] of history)
            expect(Math.max(slot.up, slot.degraded, slot.down)).toBeLessThanOrEqual(300);
        }
      }),
    );
  });
});

describe('conditionOfSlot', () => {
  it.each([
    ['up', { up: 300, degraded: 0, down: 0 }],
    ['up', { up: 297, degraded: 0, down: 3 }],
    ['down', { up: 290, degraded: 0, down: 10 }],
    ['down', { up: 0, degraded: 0, down: 1 }],
    ['degraded', { up: 200, degraded: 100, down: 0 }],
    ['degraded', { up: 290, degraded: 6, down: 4 }],
  ] as const)('%s', (expected, slot) => {
    expect(conditionOfSlot(slot)).toBe(expected);
  });
});

describe('what is kept', () => {
  it('comes back as it was', () => {
    const day = { shop: addSample([], NOON_MS, 'up', 12) };
    expect(restoreDay(JSON.parse(JSON.stringify(day)), NOON_MS + SLOT_MS)).toEqual(day);
  });

  it('forgets a service of which nothing is left after a day', () => {
    const day = { shop: addSample([], NOON_MS, 'up', 12) };
    expect(forgetOld(day, NOON_MS + SLOTS * SLOT_MS)).toEqual({});
  });

  it('takes only what can be a day', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (anything) => {
        const day = restoreDay({ shop: anything, more: [anything, [1, anything]] }, NOON_MS);
        for (const history of Object.values(day)) slotsOfDay(history, NOON_MS);
        restoreDay(anything, NOON_MS);
      }),
    );
    const number = Math.floor(NOON_MS / SLOT_MS);
    const good = [number, { up: 1, degraded: 0, down: 0 }];
    expect(restoreDay({ shop: [good, [number, { up: -1 }], 'x'] }, NOON_MS)).toEqual({ shop: [good] });
    const many = Object.fromEntries(Array.from({ length: 999 }, (_, i) => [`s${i}`, [good]]));
    expect(Object.keys(restoreDay(many, NOON_MS))).toHaveLength(MOST_SERVICES);
  });

  it('knows no availability of what nobody watched', () => {
    expect(availabilityOf(slotsOfDay([], NOON_MS))).toBeNull();
  });
});
