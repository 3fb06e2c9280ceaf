/** The runner itself: the same script runs the same, and one that fails is shrunk to what makes it fail. */
import { expect, it } from 'vitest';
import type { World } from './world.js';
import { expectRules, FAULTS, runScript, scriptOf, shrunk, type RunOptions } from './chaosRun.js';

const HARMLESS = ['heals', 'load', 'goodBuild', 'switchOn', 'reset', 'eventsGetLost', 'operatorStart'];

/** Ends all instances of a service at once, once `armed` has happened. */
const more: NonNullable<RunOptions['more']> = {
  armed: (world, service) => void armed.set(world, service),
  endsAll: (world, service) => {
    if (armed.get(world) !== service) return;
    for (const { pmId, startedAtMs } of world.pm2.alive(service)) {
      void world.pm2.removeInstance({ service, pmId, startedAtMs }).catch(() => undefined);
    }
  },
};
const armed = new WeakMap<World, string>();

/** Two faults among many others that break a rule together, and neither of them alone. */
function planted() {
  const { seed, steps } = scriptOf(1, 400, HARMLESS);
  const some = steps.filter(([tick]) => tick !== 100 && tick !== 200);
  const both = [
    [100, 'armed', 'api', 0],
    [200, 'endsAll', 'api', 0],
  ] as const;
  return { seed, steps: [...some, ...both].toSorted(([a], [b]) => a - b) };
}

const RULE = 'one mutation at a time';
const options = { ticks: 400, more, recovers: false };

it('shrinks what fails to the steps that it takes, and these fail again', async () => {
  const script = planted();
  const breach = await runScript(script, options);
  expect(breach).toMatchObject({ rule: RULE });
  const { script: short } = await shrunk(script, breach!, options);
  expect(short.steps.map(([, fault]) => fault)).toEqual(['armed', 'endsAll']);
  const replayed = JSON.parse(JSON.stringify(short)) as typeof short;
  expect(await runScript(replayed, options)).toMatchObject({ rule: breach!.rule });
});

it('prints the script', async () => {
  await expect(expectRules(planted(), options)).rejects.toThrow(
    /one mutation at a time[^]*Shrunk from \d+ to 2 steps[^]*SCRIPT='\{"seed":1,"steps":\[\[100,"armed"/,
  );
});

it('runs a script the same every time', async () => {
  const script = scriptOf(3, 300);
  const events = async (): Promise<string[]> => {
    const seen: string[] = [];
    const load = FAULTS['load']!;
    const noted: typeof load = (world, service, random) => {
      seen.push(world.history.events.map(({ at, type }) => `${at} ${type}`).join());
      return load(world, service, random);
    };
    await runScript(script, { ticks: 300, recovers: false, more: { load: noted } });
    return seen;
  };
  const first = await events();
  expect(first.length).toBeGreaterThan(0);
  expect(await events()).toEqual(first);
});
