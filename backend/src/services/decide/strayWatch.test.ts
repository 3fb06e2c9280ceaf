import { beforeEach, describe, expect, test } from 'vitest';
import { FakePm2 } from '../../../../test/simulation/fakePm2.js';
import { policyOf, World } from '../../../../test/simulation/world.js';
import { recordedEvents, silentLogger } from '../../../../test/support/recordedEvents.js';
import type { StrayProcess } from '../../domain/model.js';
import { StrayWatch } from './strayWatch.js';

const SERVICE = 'api';

/** A machine with processes that PM2 does not know of. */
class Machine extends FakePm2 {
  strays: StrayProcess[] = [];
  scans = 0;
  readonly ended: number[] = [];
  /** Pids that can't be ended, and why. */
  readonly stubborn = new Map<number, string>();
  scanProblem: string | null = null;
  duringScan: () => void = () => undefined;

  override findStrays(): Promise<readonly StrayProcess[]> {
    this.scans += 1;
    this.duringScan();
    if (this.scanProblem !== null) return Promise.reject(new Error(this.scanProblem));
    return Promise.resolve(this.strays);
  }

  override endStray(stray?: StrayProcess): Promise<boolean> {
    const pid = stray!.pid;
    const why = this.stubborn.get(pid);
    if (why !== undefined) return Promise.reject(new Error(why));
    const isThere = this.strays.includes(stray!);
    this.strays = this.strays.filter((one) => one !== stray);
    if (isThere) this.ended.push(pid);
    return Promise.resolve(isThere);
  }
}

function stray(pid: number, kind: StrayProcess['kind'], changes: Partial<StrayProcess> = {}): StrayProcess {
  return { service: SERVICE, pid, pidStartTicks: 1, port: null, kind, ...changes };
}

/** A service of two; `whole` is whether both serve. */
async function watching(whole = true) {
  const world = new World(1, [policyOf(SERVICE)]);
  if (!whole) world.pm2.behave = () => ({ readyAfterMs: 1e9, exitsAfterMs: null, answers: 'ok' });
  world.pm2.seed(SERVICE, 2);
  await world.startSupervisor();
  await world.clock.advance(4_000);
  const machine = new Machine(world.clock, () => 0.5);
  const events = recordedEvents(world.clock);
  const watch = new StrayWatch({
    manager: machine,
    clock: world.clock,
    events: events.log,
    logger: silentLogger,
    find: (service) => world.loop.services.get(service),
  });
  /** Reviews once a second, as the loop does. */
  const pass = async (seconds: number, isManaging = true): Promise<void> => {
    for (let second = 0; second < seconds; second++) {
      await world.clock.advance(1_000);
      await watch.review(isManaging);
    }
  };
  await watch.review(true);
  return { world, machine, events, watch, pass };
}

let it: Awaited<ReturnType<typeof watching>>;
beforeEach(async () => {
  it = await watching();
});

describe('a ghost', () => {
  test('is ended once it has been seen for three seconds: it might have been just starting', async () => {
    it.machine.strays = [stray(7, 'ghost')];
    it.watch.suspect();
    await it.pass(3);
    expect(it.machine.ended).toEqual([]);
    await it.pass(1);
    expect(it.machine.ended).toEqual([7]);
    const scans = it.machine.scans;
    await it.pass(14);
    expect(it.machine.scans).toBe(scans);
    expect(it.events.of('stray.ended').map(({ data }) => data)).toEqual([
      { service: SERVICE, pid: 7, kind: 'ghost' },
    ]);
  });

  test('whose number was given to another process is another one', async () => {
    it.machine.strays = [stray(7, 'ghost')];
    it.watch.suspect();
    await it.pass(3);
    it.machine.strays = [stray(7, 'ghost', { pidStartTicks: 2 })];
    await it.pass(3);
    expect(it.machine.ended).toEqual([]);
    await it.pass(1);
    expect(it.machine.ended).toEqual([7]);
  });

  test('that cannot be ended keeps no other alive, and is tried again', async () => {
    it.machine.strays = [stray(7, 'ghost'), stray(8, 'ghost')];
    it.machine.stubborn.set(7, 'EPERM: operation not permitted');
    it.watch.suspect();
    await it.pass(5);
    expect(it.machine.ended).toEqual([8]);
    it.machine.stubborn.clear();
    await it.pass(2);
    expect(it.machine.ended).toEqual([8, 7]);
    expect(it.events.of('stray.ended')).toHaveLength(2);
  });

  test('that ended by itself is not told as ended by us', async () => {
    it.machine.strays = [stray(7, 'ghost')];
    it.watch.suspect();
    await it.pass(2);
    const [gone] = it.machine.strays;
    it.machine.strays = [];
    it.machine.findStrays = () => Promise.resolve([gone!]);
    await it.pass(4);
    expect(it.events.of('stray.ended')).toEqual([]);
  });
});

describe('an orphan of a dead daemon', () => {
  test('goes as soon as its service is whole without it', async () => {
    it.machine.strays = [stray(7, 'orphan')];
    it.watch.suspect();
    await it.pass(1);
    expect(it.machine.ended).toEqual([7]);
  });

  test('stays while it may be the only one that serves, for a minute', async () => {
    it = await watching(false);
    it.machine.strays = [stray(7, 'orphan')];
    it.watch.suspect();
    await it.pass(60);
    expect(it.machine.ended).toEqual([]);
    await it.pass(1);
    expect(it.machine.ended).toEqual([7]);
  });

  test('stays while management is off, because nothing would replace it', async () => {
    it = await watching(false);
    it.machine.strays = [stray(7, 'orphan')];
    it.watch.suspect();
    await it.pass(300, false);
    expect(it.machine.ended).toEqual([]);
    // Replacements have their minute once it is on again.
    await it.pass(59);
    expect(it.machine.ended).toEqual([]);
    await it.pass(2);
    expect(it.machine.ended).toEqual([7]);
  });

  test('of a service that is not supervised is none of our business', async () => {
    it.machine.strays = [stray(7, 'orphan', { service: 'somebody-elses' })];
    it.watch.suspect();
    await it.pass(120);
    expect(it.machine.ended).toEqual([]);
  });
});

describe('scans of the process table', () => {
  test('are rare while nothing is suspected, and closer while strays are known', async () => {
    await it.pass(60);
    expect(it.machine.scans).toBe(1 + 4);
    it.machine.strays = [stray(7, 'orphan', { service: 'somebody-elses' })];
    it.watch.suspect();
    await it.pass(20);
    expect(it.machine.scans).toBe(5 + 20);
  });

  test('a suspicion is looked into at the next opportunity', async () => {
    it.watch.suspect();
    await it.pass(1);
    expect(it.machine.scans).toBe(2);
  });

  test('also one that arises during a scan', async () => {
    it.machine.duringScan = () => {
      if (it.machine.scans === 2) it.watch.suspect();
    };
    it.watch.suspect();
    await it.pass(2);
    expect(it.machine.scans).toBe(3);
    await it.pass(2);
    expect(it.machine.scans).toBe(3);
  });

  test('never two at once', async () => {
    it.watch.suspect();
    let nested = 0;
    it.machine.duringScan = () => {
      nested += 1;
      it.watch.suspect();
      if (nested < 5) void it.watch.review(true);
    };
    await it.pass(1);
    expect(it.machine.scans).toBe(2);
  });

  test('one that fails hurts nobody and is made again', async () => {
    it.machine.scanProblem = 'EMFILE: too many open files';
    it.watch.suspect();
    await it.pass(1);
    it.machine.scanProblem = null;
    it.machine.strays = [stray(7, 'ghost')];
    await it.pass(20);
    expect(it.machine.ended).toEqual([7]);
  });
});
