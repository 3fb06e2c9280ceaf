import { describe, expect, it } from 'vitest';
import { isPromptEntry, owedMs, startOwing, verdictWithoutStack } from './answerTime.js';

/**
 * Recorded on two cores with a run queue of 17, the process at nice 10: what the kernel said when 120 ms had passed, and
 * when a loop in JavaScript let the inspector in. By the clock each of them was native code.
 */
const STARVED_LOOPS = [
  { passedMs: 193, ranMs: 5, queuedMs: 187 },
  { passedMs: 1380, ranMs: 27, queuedMs: 1504 },
  { passedMs: 266, ranMs: 3, queuedMs: 205 },
  { passedMs: 1309, ranMs: 23, queuedMs: 1213 },
  { passedMs: 330, ranMs: 0, queuedMs: 220 },
  { passedMs: 1660, ranMs: 21, queuedMs: 1499 },
];

const IDLE = { ranMs: 1, queuedMs: 0 };

describe('a loop in JavaScript on a starved machine', () => {
  it.each(STARVED_LOOPS)(
    'is not native code: $passedMs ms passed, it ran $ranMs',
    ({ passedMs, ...main }) => {
      // Together the two threads waited for a CPU all the time.
      const own = { ranMs: 1, queuedMs: Math.max(0, passedMs - main.queuedMs) };
      const owed = owedMs(passedMs, main, own);
      expect(verdictWithoutStack(owed, passedMs)).toBe(passedMs < 1_000 ? null : 'unknown');
      expect(isPromptEntry(owed)).toBe(true);
    },
  );
});

it.each([
  ['a hash that has a core', 125, { ranMs: 124, queuedMs: 1 }, IDLE, 'native'],
  [
    'a hash that has a fifth of a core',
    600,
    { ranMs: 121, queuedMs: 479 },
    { ranMs: 5, queuedMs: 300 },
    'native',
  ],
  ['a hash that has had some of a core in a second', 1_000, { ranMs: 70, queuedMs: 930 }, IDLE, 'native'],
  ['a hash that has had nothing yet', 400, { ranMs: 10, queuedMs: 390 }, IDLE, null],
  ['a wait in a system call', 121, { ranMs: 0, queuedMs: 0 }, IDLE, 'native'],
  ['a wait in a system call, heard late', 200, { ranMs: 0, queuedMs: 0 }, { ranMs: 1, queuedMs: 150 }, null],
  ['no CPU at all for a second', 1_000, { ranMs: 0, queuedMs: 1_000 }, IDLE, 'unknown'],
  [
    'a system without such figures',
    121,
    { ranMs: null, queuedMs: null },
    { ranMs: null, queuedMs: null },
    'native',
  ],
  [
    'a system without such figures, soon',
    119,
    { ranMs: null, queuedMs: null },
    { ranMs: null, queuedMs: null },
    null,
  ],
] as const)('%s', (_what, passedMs, main, own, verdict) => {
  expect(verdictWithoutStack(owedMs(passedMs, main, own), passedMs)).toBe(verdict);
});

it('is what this thread has used, where it asks itself', () => {
  const owed = startOwing();
  const endMs = performance.now() + 50;
  while (performance.now() < endMs);
  expect(owed()).toBeGreaterThan(0);
  expect(owed()).toBeLessThan(performance.now() - endMs + 60);
});
