import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeClock } from '../../../../test/simulation/fakeClock.js';
import { FakePm2 } from '../../../../test/simulation/fakePm2.js';
import { recordedEvents } from '../../../../test/support/recordedEvents.js';
import { HoldfastError } from '../../domain/errors.js';
import type { ManagedProcess } from '../../domain/model.js';
import { Observer } from './observer.js';

const INTERVAL_MS = 1_000;

/** Knows how often it was asked, and whether twice at once. */
class WatchedPm2 extends FakePm2 {
  lists = 0;
  listing = 0;
  most = 0;
  revivals = 0;
  /** What a revival does instead, when set. */
  reviveProblem: HoldfastError | null = null;

  override async list(): Promise<readonly ManagedProcess[]> {
    this.lists += 1;
    this.listing += 1;
    this.most = Math.max(this.most, this.listing);
    try {
      return await super.list();
    } finally {
      this.listing -= 1;
    }
  }

  override async ensureDaemon(): Promise<'running' | 'started'> {
    this.revivals += 1;
    if (this.reviveProblem !== null) throw this.reviveProblem;
    return super.ensureDaemon();
  }
}

interface Seen {
  readonly processes: readonly ManagedProcess[];
  readonly newDaemon: boolean;
}

function observing(knownDaemonPid: number | null = null) {
  const clock = new FakeClock();
  const pm2 = new WatchedPm2(clock, () => 0.5);
  pm2.seed('api', 2);
  const events = recordedEvents(clock);
  const seen: Seen[] = [];
  const observer = new Observer(
    {
      manager: pm2,
      clock,
      events: events.log,
      intervalMs: INTERVAL_MS,
      onList: async (processes, newDaemon) => {
        seen.push({ processes, newDaemon });
        await clock.sleep(2);
      },
    },
    knownDaemonPid,
  );
  return { clock, pm2, events, seen, observer };
}

let it: ReturnType<typeof observing>;
beforeEach(async () => {
  it = observing();
  await it.clock.advance(100);
});
afterEach(() => it.observer.close());

describe('looking', () => {
  test('shows what PM2 lists, and looks again at the interval', async () => {
    expect(it.seen[0]?.processes.map(({ pmId }) => pmId)).toEqual([0, 1]);
    const before = it.pm2.lists;
    await it.clock.advance(10 * INTERVAL_MS);
    expect(it.pm2.lists - before).toBeGreaterThanOrEqual(9);
    expect(it.pm2.lists - before).toBeLessThanOrEqual(10);
  });

  test('many calls during one look make one more, and each sees a list that began after it', async () => {
    const before = it.pm2.lists;
    const first = it.observer.look();
    let sawOwn = 0;
    const others = Array.from({ length: 50 }, async () => {
      await it.observer.look();
      if (it.pm2.lists === before + 2) sawOwn += 1;
    });
    await it.clock.advance(50);
    await Promise.all([first, ...others]);
    expect(it.pm2.lists).toBe(before + 2);
    expect(sawOwn).toBe(50);
  });

  test('never two lists at once, whenever it is asked', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ advanceMs: fc.nat({ max: 8 }), turns: fc.nat({ max: 120 }) }), {
          maxLength: 15,
        }),
        async (steps) => {
          const { clock, pm2, observer } = observing();
          for (const { advanceMs, turns } of steps) {
            // Asks in every turn of the event loop's job queue, also between the end of one look and the next.
            const asking = (async () => {
              for (let turn = 0; turn < turns; turn++) {
                await Promise.resolve();
                observer.poke();
              }
            })();
            await clock.advance(advanceMs);
            await asking;
          }
          observer.close();
          await clock.advance(50);
          expect(pm2.most).toBe(1);
        },
      ),
      { numRuns: 50 },
    );
  });

  test('does not look any more once it is closed, not even for one that was asked for', async () => {
    const before = it.pm2.lists;
    void it.observer.look();
    void it.observer.look();
    it.observer.close();
    await it.clock.advance(20 * INTERVAL_MS);
    await it.observer.look();
    expect(it.pm2.lists).toBe(before + 1);
    expect(it.clock.pending).toBe(0);
  });
});

describe('a daemon that is gone', () => {
  test('is said to be lost once, and brought back', async () => {
    it.pm2.killDaemon();
    await it.clock.advance(5 * INTERVAL_MS);
    expect(it.events.of('daemon.lost')).toHaveLength(1);
    expect(it.events.of('daemon.started')).toHaveLength(1);
    expect(it.pm2.revivals).toBe(1);
    expect(it.observer.isConnected()).toBe(true);
  });

  test('the first list of the new one is marked, and only that', async () => {
    it.seen.length = 0;
    it.pm2.killDaemon();
    await it.clock.advance(10 * INTERVAL_MS);
    expect(it.seen.map(({ newDaemon }) => newDaemon)).toEqual([true, ...it.seen.slice(1).map(() => false)]);
    expect(it.seen.length).toBeGreaterThan(3);
  });

  test('that can not be started is tried again every two seconds, not at every look', async () => {
    it.pm2.reviveProblem = new HoldfastError('pm2.unreachable', 'the daemon exits at its start: EACCES');
    it.pm2.killDaemon();
    await it.clock.advance(20_000);
    expect(it.pm2.revivals).toBeGreaterThanOrEqual(7);
    expect(it.pm2.revivals).toBeLessThanOrEqual(11);
    expect(it.events.of('daemon.lost')).toHaveLength(1);
    for (let look = 0; look < 5; look++) {
      expect(it.observer.daemon()).toMatchObject({
        state: 'lost',
        problem: expect.stringContaining('EACCES'),
      });
      await it.clock.advance(INTERVAL_MS);
    }
    it.pm2.reviveProblem = null;
    await it.clock.advance(5_000);
    expect(it.observer.daemon()).toMatchObject({ state: 'connected', problem: null });
  });

  test('was replaced while no supervisor ran: the numbers of its predecessor mean nothing', async () => {
    const after = observing(999);
    await after.clock.advance(100);
    expect(after.seen[0]?.newDaemon).toBe(true);
    after.observer.close();
    const same = observing(it.observer.daemonPid);
    await same.clock.advance(100);
    expect(same.seen[0]?.newDaemon).toBe(false);
    same.observer.close();
  });
});

describe('a daemon that lives but does not answer', () => {
  test('is left alone: killing it would kill what it supervises', async () => {
    it.pm2.stopDaemon();
    await it.clock.advance(60_000);
    expect(it.pm2.revivals).toBe(0);
    expect(it.observer.daemon()).toMatchObject({ state: 'unresponsive' });
    expect(it.events.of('daemon.unresponsive')).toHaveLength(1);
    expect(it.events.of('daemon.lost')).toHaveLength(0);
  });

  test('is believed to answer until its next answer is overdue', async () => {
    expect(it.observer.answersNow()).toBe(true);
    it.pm2.stopDaemon();
    await it.clock.advance(2 * INTERVAL_MS);
    expect(it.observer.answersNow()).toBe(false);
    it.pm2.continueDaemon();
    await it.clock.advance(10_000);
    expect(it.observer.answersNow()).toBe(true);
    expect(it.observer.isConnected()).toBe(true);
  });

  test('is announced once when it goes on, and says for how long it had not answered', async () => {
    await it.clock.advance(60_000);
    const before = it.events.of('daemon.connected').length;
    it.pm2.stopDaemon();
    await it.clock.advance(20_000);
    const [first] = it.events.of('daemon.unresponsive');
    const forMs = (first?.data as { forMs: number } | undefined)?.forMs;
    expect(forMs).toBeGreaterThan(1_000);
    expect(forMs).toBeLessThan(10_000);
    expect(it.events.of('daemon.connected')).toHaveLength(before);
    it.pm2.continueDaemon();
    await it.clock.advance(20_000);
    expect(it.events.of('daemon.connected')).toHaveLength(before + 1);
  });

  test('says since when', async () => {
    it.pm2.stopDaemon();
    await it.clock.advance(10_000);
    const { since } = it.observer.daemon();
    await it.clock.advance(30_000);
    expect(it.observer.daemon().since).toBe(since);
  });
});

test('a look that fails because we leave is nobody’s failure', async () => {
  void it.observer.look();
  it.observer.close();
  it.pm2.killDaemon();
  await it.clock.advance(10_000);
  expect(it.events.of('daemon.lost')).toEqual([]);
  expect(it.pm2.revivals).toBe(0);
});
