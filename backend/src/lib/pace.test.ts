import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/simulation/fakeClock.js';
import { Pace } from './pace.js';

const FAST_MS = 1_000;
const PAUSE_MS = 30_000;

function asking() {
  const clock = new FakeClock();
  const pending: (() => void)[] = [];
  const askedAtMs: number[] = [];
  const state = { pauseMs: PAUSE_MS };
  const pace = new Pace({
    after: (delayMs, run) => clock.after(delayMs, run),
    ask: () => {
      askedAtMs.push(clock.nowMs());
      return new Promise((resolve) => pending.push(resolve));
    },
    pauseMs: () => state.pauseMs,
    fastMs: () => FAST_MS,
    most: () => 3,
  });
  return { clock, pending, askedAtMs, state, pace };
}

let world: ReturnType<typeof asking>;
beforeEach(() => {
  world = asking();
});

const answer = async (): Promise<void> => {
  world.pending.shift()?.();
  await world.clock.advance(0);
};

describe('a pace', () => {
  it('asks at once, and again a pause after the answer', async () => {
    await world.clock.advance(400);
    await answer();
    await world.clock.advance(2 * PAUSE_MS);
    expect(world.askedAtMs).toEqual([
      0,
      400 + PAUSE_MS,
      400 + PAUSE_MS + FAST_MS,
      400 + PAUSE_MS + 2 * FAST_MS,
    ]);
  });

  it('asks beside late answers, but only so often', async () => {
    await world.clock.advance(60_000);
    expect(world.askedAtMs).toEqual([0, FAST_MS, 2 * FAST_MS]);
  });

  it('is not put off by an answer to one of several', async () => {
    await world.clock.advance(1_500);
    await answer();
    await world.clock.advance(500);
    expect(world.askedAtMs).toEqual([0, FAST_MS, 2 * FAST_MS]);
  });

  it('follows a pause that changed', async () => {
    await answer();
    world.state.pauseMs = 10;
    world.pace.reschedule();
    await world.clock.advance(10);
    expect(world.askedAtMs).toEqual([0, 10]);
  });

  it('stops for good, whatever still answers', async () => {
    world.pace.stop();
    await answer();
    await world.clock.advance(5 * PAUSE_MS);
    expect(world.askedAtMs).toEqual([0]);
    expect(world.clock.pending).toBe(0);
  });
});
