/** With real clients: test/integration/gateway/standstill.test.ts. */
import { Socket } from 'node:net';
import { expect, it } from 'vitest';
import { Deadlines } from './deadlines.js';
import { Standstill } from './standstill.js';

it('a gateway that was itself held up cuts nothing for that', () => {
  const never = { nowMs: () => 0, wallMs: () => 0, after: () => () => undefined };
  const deadlines = new Deadlines(never, 100, () => undefined);
  deadlines.nowMs = 0;
  const standstill = new Standstill(new Socket(), deadlines);
  let lookMs: number | null = standstill.begin(1_000);
  deadlines.nowMs = 60_000;
  lookMs = standstill.look();
  expect(lookMs).toBe(60_250);
  while (lookMs !== null) {
    deadlines.nowMs = lookMs + 100; // as late as ticks may be
    lookMs = standstill.look();
  }
  expect(deadlines.nowMs).toBeGreaterThan(61_000);
  expect(deadlines.nowMs).toBeLessThan(61_500);
});
