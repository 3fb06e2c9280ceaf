/** The checker itself: whatever breaks a rule on purpose is found, by the rule's own name. */
import { afterEach, expect, it } from 'vitest';
import type { Behaviour } from './fakePm2.js';
import type { Rule } from './rules.js';
import { policyOf, World } from './world.js';

const SERVICE = 'api';
const GOOD: Behaviour = { readyAfterMs: 100, exitsAfterMs: null, answers: 'ok' };
let world: World;

afterEach(() => world.killSupervisor());

const planted: readonly (readonly [Rule, () => void | Promise<void>])[] = [
  [
    'one mutation at a time',
    () => {
      for (const { pmId, startedAtMs } of world.pm2.alive(SERVICE)) {
        void world.pm2.haltInstance({ service: SERVICE, pmId, startedAtMs });
      }
    },
  ],
  [
    'one port an instance',
    () => void (world.pm2.alive(SERVICE)[1]!.port = world.pm2.alive(SERVICE)[0]!.port),
  ],
  [
    'desired within bounds',
    () =>
      void Object.defineProperty(world.loop.services.get(SERVICE)!, 'desired', {
        get: () => 9,
        set() {},
      }),
  ],
  ['at most max plus surge', () => world.pm2.seed(SERVICE, 4)],
  [
    'what serves stays until its replacement has passed',
    async () => {
      world.pm2.behave = () => ({ ...GOOD, answers: 'elsewhere' });
      for (const row of world.pm2.alive(SERVICE)) world.pm2.setAnswers(row, 'elsewhere');
      await world.clock.advance(100_000);
      const { pmId, startedAtMs } = world.pm2.alive(SERVICE)[0]!;
      void world.pm2.removeInstance({ service: SERVICE, pmId, startedAtMs });
    },
  ],
];

it.each(planted)('finds a violation of: %s', async (rule, plant) => {
  world = new World(1, [policyOf(SERVICE)]);
  world.pm2.seed(SERVICE, 2);
  await world.startSupervisor();
  await world.clock.advance(5_000);
  expect(world.rules.broken()).toEqual([]);
  await plant();
  world.rules.look();
  await world.clock.advance(3_000);
  expect(world.rules.broken().map((violation) => violation.rule)).toContain(rule);
});
