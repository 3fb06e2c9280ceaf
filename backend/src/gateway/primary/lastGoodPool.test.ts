import { beforeEach, expect, it } from 'vitest';
import { FakeClock } from '../../../../test/simulation/fakeClock.js';
import type { Logger, StateStore } from '../../ports.js';
import { LastGoodPool } from './lastGoodPool.js';
import type { RememberedPool } from './lastGoodPool.js';

const POOL: RememberedPool = {
  pool: 'shop',
  source: 'supervisor',
  members: [{ id: '127.0.0.1:13004', host: '127.0.0.1', port: 13_004, weight: 1 }],
};

function remembering() {
  const clock = new FakeClock();
  const errors: string[] = [];
  const problems: unknown[] = [];
  const note = (message: string, details: Record<string, unknown> = {}): void => {
    errors.push(message);
    problems.push(details['problem']);
  };
  const logger: Logger = { debug: () => undefined, info: () => undefined, warn: note, error: note };
  const disk: { state: unknown; saves: number; refuses: boolean } = { state: null, saves: 0, refuses: false };
  const store: StateStore = {
    load: () => Promise.resolve({ state: disk.state }),
    setAside: () => Promise.resolve('elsewhere'),
    keepCopy: () => Promise.resolve('a copy'),
    save: (state) => {
      if (disk.refuses) return Promise.reject(new Error('ENOSPC'));
      disk.saves += 1;
      disk.state = JSON.parse(JSON.stringify(state));
      return Promise.resolve();
    },
  };
  const captured: { pools: readonly RememberedPool[] } = { pools: [POOL] };
  const last = new LastGoodPool({ store, clock, logger, capture: () => captured.pools });
  return { clock, errors, problems, disk, captured, last };
}

let world: ReturnType<typeof remembering>;
beforeEach(() => {
  world = remembering();
});

it('what was written is what is read', async () => {
  world.last.touch();
  await world.clock.advance(1_000);
  expect(await world.last.load()).toEqual([POOL]);
});

it('also of members that were doubtful', async () => {
  const doubtful = { ...POOL, members: [{ ...POOL.members[0]!, doubtful: true as const }] };
  world.captured.pools = [doubtful];
  world.last.touch();
  await world.clock.advance(1_000);
  expect(await world.last.load()).toEqual([doubtful]);
  expect(world.errors).toEqual([]);
});

it('many changes are one write, and no change is none', async () => {
  for (let i = 0; i < 100; i += 1) world.last.touch();
  await world.clock.advance(5_000);
  expect(world.disk.saves).toBe(1);
  world.last.touch();
  await world.clock.advance(5_000);
  expect(world.disk.saves).toBe(1);
});

it('what is due is written at the end', async () => {
  world.last.touch();
  await world.last.close();
  expect(world.disk.state).toEqual([POOL]);
  expect(world.clock.pending).toBe(0);
});

it('a full disk is said once and tried again with the next change', async () => {
  world.disk.refuses = true;
  for (let i = 0; i < 3; i += 1) {
    world.last.touch();
    await world.clock.advance(2_000);
  }
  expect(world.errors).toEqual(['the upstreams cannot be remembered']);
  world.disk.refuses = false;
  world.last.touch();
  await world.clock.advance(2_000);
  expect(world.disk.state).toEqual([POOL]);
});

it('… and after a while without one', async () => {
  world.disk.refuses = true;
  world.last.touch();
  await world.clock.advance(40_000);
  world.disk.refuses = false;
  await world.clock.advance(30_000);
  expect(world.disk.state).toEqual([POOL]);
  expect(world.errors).toHaveLength(1);
  expect(world.clock.pending).toBe(0);
});

const [MEMBER] = POOL.members;

it.each([
  ['text', [], 'all of it'],
  [[{ pool: 'shop' }], [], '0.source'],
  [[{ ...POOL, members: [{ ...MEMBER, port: 0 }] }], [], '0.members.0.port'],
  [
    [{ ...POOL, members: [{ ...MEMBER, port: 1e308 }, MEMBER] }],
    [{ ...POOL, members: [MEMBER] }],
    '0.members.0.port',
  ],
  [
    [{ ...POOL, members: [{ ...MEMBER, weight: 'heavy' }] }],
    [{ ...POOL, members: [{ ...MEMBER, weight: 1 }] }],
    '0.members.0.weight',
  ],
  [[7, { ...POOL, members: [MEMBER] }], [{ ...POOL, members: [MEMBER] }], '0: '],
  [[{ ...POOL, members: Array.from({ length: 5_000 }, () => MEMBER) }], [], 'more than'],
])('what makes no sense is left out and said, the rest stays: %#', async (state, rest, named) => {
  world.disk.state = state;
  expect(await world.last.load()).toEqual(rest);
  expect(world.errors).toHaveLength(1);
  expect(world.problems).toEqual([expect.stringContaining(named)]);
});

it('nothing remembered is nothing to say', async () => {
  expect(await world.last.load()).toEqual([]);
  expect(world.errors).toEqual([]);
});
