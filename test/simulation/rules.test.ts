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
    async () => {
      world.loop.services.get(SERVICE)!.doubles.has = () => false;
      world.pm2.operatorReloadFile(SERVICE);
      await world.clock.advance(3_000);
    },
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
  [
    'every operation ends',
    async () => {
      world.loop.operations.check = () => undefined;
      void world.ha.failover({ serviceName: SERVICE, timeoutMs: 60_000 }).catch(() => undefined);
      await world.clock.advance(3_300_000);
    },
  ],
  [
    'what is saved can be read back',
    async () => {
      world.loop.services.get(SERVICE)!.desired = Number.NaN;
      await world.loop.desiredState.save();
    },
  ],
  ['desired is what was last said', () => void (world.loop.services.get(SERVICE)!.desired = 3)],
  [
    'every quarantine can end',
    async () => {
      world.loop.failover.dueTrial = () => null;
      await crash(4);
      await world.clock.advance(500_000);
    },
  ],
  [
    'every quarantine can end',
    async () => {
      await crash(4);
      await world.ha.stop('test');
      await world.ha.resetFailure(SERVICE, 'test');
      for (const row of world.pm2.alive(SERVICE)) void (row.status = 'stopped');
      for (const row of world.pm2.rows(SERVICE)) row.isHalted = true;
      const { ends } = world.loop.services.get(SERVICE)!;
      ends.hasEndedUnasked = () => false;
      await world.clock.advance(10_000);
    },
  ],
  [
    'budgets are charged once and never lost', // charged again
    () => {
      const [row] = world.pm2.alive(SERVICE);
      const { pmId, startedAtMs } = row!;
      for (const detail of ['a', 'b']) {
        world.loop.failover.recordFailure({ service: SERVICE, pmId, startedAtMs }, 'unhealthy', detail);
      }
    },
  ],
  [
    'budgets are charged once and never lost', // lost
    async () => {
      await crash(1);
      world.loop.failover.forgetSlot(SERVICE, world.pm2.alive(SERVICE)[0]!.pmId);
    },
  ],
  ...(
    [
      ['desired', 1],
      ['leaving', undefined],
    ] as const
  ).map(
    ([field, value]) =>
      [
        'a restart of the supervisor changes nothing',
        async () => {
          void world.ha.scale({ direction: 'up', targetInstances: 3, timeoutMs: 60_000 });
          await world.clock.advance(5_000);
          void world.ha.scale({ direction: 'down', targetInstances: 2, timeoutMs: 60_000 });
          await world.clock.advance(200);
          await world.killSupervisor();
          const state = world.store.state as { services: Record<string, Record<string, unknown>> };
          world.store.state = {
            ...state,
            services: { [SERVICE]: { ...state.services[SERVICE], [field]: value } },
          };
          await world.startSupervisor();
        },
      ] as const,
  ),
];

/** The first instance crashes so often, a second apart. */
async function crash(times: number): Promise<void> {
  const { pmId } = world.pm2.alive(SERVICE)[0]!;
  for (let time = 0; time < times; time++) {
    const row = world.pm2.alive(SERVICE).find((one) => one.pmId === pmId);
    if (row !== undefined) world.pm2.kill(row, { exitCode: 1, signal: null });
    await world.clock.advance(1_000);
  }
}

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
