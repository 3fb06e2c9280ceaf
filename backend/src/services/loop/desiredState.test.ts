import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { FakeClock } from '../../../../test/simulation/fakeClock.js';
import { recordedEvents } from '../../../../test/support/recordedEvents.js';
import type { StateStore } from '../../ports.js';
import { DesiredState, loadState } from './desiredState.js';
import type { PersistedState } from './desiredState.js';

/** A disk that takes its time, refuses when told, and notices two writes at once. */
class SlowStore implements StateStore {
  readonly written: unknown[] = [];
  begun = 0;
  writing = 0;
  most = 0;
  refusal: string | null = null;
  loaded: Awaited<ReturnType<StateStore['load']>> = { state: null };
  readonly #clock: FakeClock;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  setAside(): Promise<string> {
    return Promise.resolve('state.json.damaged-2');
  }

  keepCopy(): Promise<string> {
    return Promise.resolve('state.json.damaged-3');
  }

  load(): ReturnType<StateStore['load']> {
    return Promise.resolve(this.loaded);
  }

  async save(state: unknown): Promise<void> {
    this.begun += 1;
    this.writing += 1;
    this.most = Math.max(this.most, this.writing);
    await this.#clock.sleep(10);
    this.writing -= 1;
    if (this.refusal !== null) throw new Error(this.refusal);
    this.written.push(state);
  }
}

/** A state whose daemonPid tells which one it is. */
function stateOf(daemonPid: number): PersistedState {
  return {
    version: 1,
    running: true,
    daemonPid,
    services: {},
    failover: {},
    scaling: null,
    availability: null,
  };
}

function keeping() {
  const clock = new FakeClock();
  const store = new SlowStore(clock);
  const events = recordedEvents(clock);
  const now = { value: 1 };
  const state = new DesiredState({ clock, store, events: events.log, capture: () => stateOf(now.value) });
  return { clock, store, events, now, state };
}

let it: ReturnType<typeof keeping>;
beforeEach(() => {
  it = keeping();
});

describe('saving', () => {
  test('what is asked for during a save is one more save, of the newest state', async () => {
    const first = it.state.save();
    const others = [2, 3, 4].map((value) => {
      it.now.value = value;
      return it.state.save();
    });
    await it.clock.advance(100);
    await Promise.all([first, ...others]);
    expect(it.store.written).toEqual([stateOf(1), stateOf(4)]);
  });

  test('resolves only when a state as new as the call is on the disk', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat({ max: 25 }), { maxLength: 30 }), async (pauses) => {
        const { clock, store, state, now } = keeping();
        const saves = [];
        for (const pauseMs of pauses) {
          const asOf = ++now.value;
          saves.push(
            state.save().then(() => {
              const newest = Math.max(...store.written.map((one) => (one as PersistedState).daemonPid ?? 0));
              expect(newest).toBeGreaterThanOrEqual(asOf);
            }),
          );
          await clock.advance(pauseMs);
        }
        await clock.advance(100);
        await Promise.all(saves);
        expect(store.most).toBeLessThanOrEqual(1);
      }),
      { numRuns: 100 },
    );
  });

  test('never two writes at once, also between the end of one and the begin of the next', async () => {
    const asking = (async () => {
      for (let turn = 0; turn < 400; turn++) {
        await Promise.resolve();
        void it.state.save();
      }
    })();
    await it.clock.advance(100);
    await asking;
    await it.clock.advance(100);
    expect(it.store.most).toBe(1);
    expect(it.store.begun).toBeGreaterThan(2);
  });
});

describe('a disk that refuses', () => {
  test('is reported once, hurts nobody, and is tried again', async () => {
    it.store.refusal = 'ENOSPC: no space left on device';
    for (let i = 0; i < 3; i++) {
      const saved = it.state.save();
      await it.clock.advance(20);
      await expect(saved).resolves.toBeUndefined();
    }
    expect(it.store.begun).toBe(3);
    expect(it.events.of('state.unwritable').map(({ data }) => data)).toEqual([{ problem: it.store.refusal }]);
  });

  test('is reported anew when it refuses again after it had worked', async () => {
    for (const refusal of ['ENOSPC', null, 'EROFS']) {
      it.store.refusal = refusal;
      void it.state.save();
      await it.clock.advance(20);
    }
    expect(it.events.of('state.unwritable').map(({ data }) => data)).toEqual([
      { problem: 'ENOSPC' },
      { problem: 'EROFS' },
    ]);
    expect(it.store.written).toHaveLength(1);
  });
});

describe('a disk that does not answer', () => {
  test('holds no caller up for ever, is reported once, and gets the newest state when it goes on', async () => {
    let goOn = (): void => undefined;
    const stuck = new Promise<void>((resolve) => (goOn = resolve));
    const save = it.store.save.bind(it.store);
    it.store.save = async (state) => {
      await stuck;
      await save(state);
    };
    for (let i = 0; i < 3; i++) {
      const saved = it.state.save();
      await it.clock.advance(10_000);
      await expect(saved).resolves.toBeUndefined();
    }
    expect(it.events.of('state.unwritable')).toHaveLength(1);
    it.now.value = 7;
    void it.state.save();
    goOn();
    await it.clock.advance(100);
    expect(it.store.written.at(-1)).toEqual(stateOf(7));
    expect(it.store.most).toBe(1);
  });
});

describe('leaving', () => {
  test('writes once more, the newest', async () => {
    void it.state.save();
    it.now.value = 2;
    const closed = it.state.close();
    await it.clock.advance(100);
    await closed;
    expect(it.store.written.at(-1)).toEqual(stateOf(2));
  });

  test('nothing is written afterwards, nor on its way, because a successor may own the file', async () => {
    void it.state.save();
    const closed = it.state.close();
    await it.clock.advance(5);
    void it.state.save();
    await it.clock.advance(7);
    void it.state.save();
    let begunThen = 0;
    void closed.then(() => {
      begunThen = it.store.begun;
      expect(it.store.writing).toBe(0);
      void it.state.save();
    });
    await it.clock.advance(1_000);
    await closed;
    expect(begunThen).toBe(2);
    expect(it.store.begun).toBe(2);
  });
});

describe('reading back', () => {
  const whole: PersistedState = {
    ...stateOf(7),
    services: {
      api: {
        desired: 3,
        found: 5,
        released: true,
        runningWhenOff: [1, 2],
        ends: {
          known: [{ key: 'api#5@1', end: 'asked' }],
          unasked: [{ pmId: 5, port: 13_005, end: 'failure' }],
        },
        leaving: {
          draining: [{ key: 'api#3@1', why: 'surplus' }],
          recycling: [{ key: 'api#4@1', why: 'it grows' }],
          places: [{ pmId: 4, why: 'the canary did not verify' }],
        },
        provenance: { proven: [1], unverified: [2], ready: ['api#1@5'], charged: ['api#2@5'] },
        unproven: { since: '2026-01-01T00:00:00.000Z', problem: 'The canary did not verify.' },
        rollout: { kind: 'deploy', outdated: ['api#1@5'], canaryVerified: false },
        incident: { sinceWallMs: 4, isLost: true },
        begun: { kind: 'start', replaces: 2, resumes: null, before: [1, 2] },
        operation: {
          id: 'op-1',
          kind: 'deploy',
          reason: 'a new build',
          sinceMs: 5,
          from: 3,
          to: 3,
          started: [{ pmId: 4, pid: null, port: 13_004 }],
          stopped: [],
          failure: { code: 'deploy.canary-failed', message: 'The canary did not verify.' },
          stepsLeft: 2,
          idleMs: 900,
        },
      },
    },
  };

  test('gives what was written', async () => {
    it.store.loaded = { state: JSON.parse(JSON.stringify(whole)) };
    expect(await loadState(it.store)).toEqual({ state: whole, damaged: null });
  });

  test('nothing there is nothing wrong', async () => {
    expect(await loadState(it.store)).toEqual({ state: null, damaged: null });
  });

  test('what the store set aside is passed on', async () => {
    const damaged = { movedTo: 'state.json.damaged-1', problem: 'it is not JSON' };
    it.store.loaded = { state: null, damaged };
    expect(await loadState(it.store)).toEqual({ state: null, damaged });
  });

  test.each([
    ['another version', { ...whole, version: 2 }, 'version 2'],
    ['a list', [], 'all of it'],
    ['a number', 5, 'all of it'],
  ])('%s is set aside with what is wrong, never fatal', async (_what, state, names) => {
    it.store.loaded = { state };
    const { state: read, damaged } = await loadState(it.store);
    expect(read).toBeNull();
    expect(damaged?.problem).toContain(names);
    expect(damaged?.movedTo).toBe('state.json.damaged-2');
    expect(damaged?.problem).toMatch(/^not a state of this version: /);
  });
});
