/** Five seeds of chaosRun.ts. Four files, because files run beside each other. */
import { it } from 'vitest';
import { expectRules, scriptOf } from './chaosRun.js';

const TICKS = 10_000;

it.each([11, 12, 13, 14, 15])(
  `keeps its rules through ${TICKS} ticks of random faults (seed %i)`,
  (seed) => expectRules(scriptOf(seed, TICKS), { ticks: TICKS }),
  300_000,
);
