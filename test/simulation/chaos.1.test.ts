/**
 * Five seeds of chaosRun.ts, the same on every machine. Four files, because files run beside each other.
 * `SEED=n` or `SEED=random` runs another one, and `SCRIPT=…` what a failure has printed.
 */
import { it } from 'vitest';
import { expectRules, scriptOf, type Script } from './chaosRun.js';

const TICKS = 10_000;
const { SEED: seed, SCRIPT: script } = process.env;
const asked =
  seed === undefined ? null : seed === 'random' ? Math.floor(Math.random() * 2 ** 31) : Number(seed);

it.runIf(script !== undefined)('repeats a script', async () => {
  const given = JSON.parse(script!) as Script;
  await expectRules(given, {
    ticks: Math.max(0, ...given.steps.map(([tick]) => tick)) + 100,
    recovers: false,
  });
});

it.skipIf(script !== undefined).each(asked === null ? [1, 2, 3, 4, 5] : [asked])(
  `keeps its rules through ${TICKS} ticks of random faults (seed %i)`,
  (one) => expectRules(scriptOf(one, TICKS), { ticks: TICKS }),
  300_000,
);
