import { beforeEach, describe, expect, it } from 'vitest';

import { PagesScene, MemoryStore, SCENE_START_MS } from '../../../../test/support/pagesScene.js';
import { conditionOfSlot } from '../../domain/statistics/availabilitySlots.js';
import { gatewayStatusSchema, type GatewayStatus } from './statusSchema.js';

let scene: PagesScene;
beforeEach(() => {
  scene = new PagesScene();
});

const poolOf = (
  name: string,
  status: GatewayStatus = scene.monitor.status(),
): GatewayStatus['pools'][number] => status.pools.find((pool) => pool.name === name)!;
const upstreamOf = (id: string): GatewayStatus['pools'][number]['upstreams'][number] =>
  scene.monitor
    .status()
    .pools.flatMap(({ upstreams }) => upstreams)
    .find((upstream) => upstream.id === id)!;
const changes = (): string[] => scene.monitor.status().changes.map(({ text }) => text);

describe('status', () => {
  it('is what its schema says: at the start, in traffic, in trouble', () => {
    gatewayStatusSchema.parse(scene.monitor.status());
    scene.pass(90);
    gatewayStatusSchema.parse(scene.monitor.status());
    scene.setState('127.0.0.1:13004', 'down', 'HTTP 503');
    scene.setState('127.0.0.1:13005', 'draining');
    scene.ejected.add('1 127.0.0.1:13006').add('2 127.0.0.1:13006');
    scene.facts = {
      ...scene.facts,
      problems: ['x'],
      workers: scene.facts.workers.slice(1),
      workerRestarts: 1,
    };
    scene.monitor.workerGone(1);
    scene.pass(5);
    const status = gatewayStatusSchema.parse(scene.monitor.status());
    expect(status).toEqual(scene.monitor.status());
  });

  it('never holds a key of the sticky cookie', () => {
    scene.pass(3);
    expect(JSON.stringify(scene.monitor.status())).not.toContain('secret');
  });

  it('shows rates, shares, percentiles and errors of the traffic that there was', () => {
    Object.assign(scene.trafficOf('127.0.0.1:13006'), { errors: 0.1 });
    scene.pass(120);
    const { requestsPerSecond, errorRate, latencyMs, upstreams } = poolOf('shop-backend');
    // 120, 118 and 61 a second, on a wave of a quarter.
    expect(requestsPerSecond).toBeGreaterThan(299 * 0.74);
    expect(requestsPerSecond).toBeLessThan(299 * 1.26);
    expect(upstreams.reduce((sum, { share }) => sum + share!, 0)).toBeCloseTo(1);
    expect(upstreams[2]!.share).toBeCloseTo(61 / 299, 1);
    expect(upstreams[2]!.errorRate).toBeCloseTo(0.1, 1);
    expect(errorRate).toBeCloseTo((61 * 0.1) / 299, 1);
    expect(upstreams[0]!.latencyMs!.p50).toBeGreaterThan(2.4);
    expect(upstreams[0]!.latencyMs!.p99).toBeLessThanOrEqual(6.4);
    expect(latencyMs!.p99).toBeGreaterThan(15);
  });

  it('has a point of history a second, two minutes of them', () => {
    scene.pass(30);
    expect(scene.monitor.status().history.requestsPerSecond).toHaveLength(30);
    scene.monitor.look();
    expect(scene.monitor.status().history.requestsPerSecond).toHaveLength(30);
    scene.pass(200);
    const { requestsPerSecond, errorsPerSecond } = scene.monitor.status().history;
    expect([requestsPerSecond.length, errorsPerSecond.length]).toEqual([120, 120]);
    expect(Math.min(...requestsPerSecond)).toBeGreaterThan(200);
  });

  it('calls an upstream ejected when no worker would use it, and says who keeps it out', () => {
    scene.ejected.add('1 127.0.0.1:13005');
    scene.pass(2);
    expect(upstreamOf('127.0.0.1:13005')).toMatchObject({
      state: 'up',
      detail: expect.stringMatching(/^ejected by 1 of 2 workers for failing traffic, back in 12\ss$/),
    });
    scene.ejected.add('2 127.0.0.1:13005');
    scene.pass(1);
    expect(upstreamOf('127.0.0.1:13005').state).toBe('ejected');
    expect(poolOf('shop-backend').condition).toBe('degraded');
  });

  it('forgets figures of an upstream that has left', () => {
    scene.pass(10);
    const [first, ...others] = scene.facts.snapshot.pools;
    const kept = { ...first!, upstreams: first!.upstreams.slice(1) };
    scene.facts = { ...scene.facts, snapshot: { ...scene.facts.snapshot, pools: [kept, ...others] } };
    scene.traffic.shift();
    scene.pass(2);
    expect(scene.monitor.ledger.upstreamTotal('shop-backend', '127.0.0.1:13004').answers[1]).toBe(0);
    expect(changes()).toContain('127.0.0.1:13004 left shop-backend');
  });
});

describe('changes', () => {
  it('tells what happened, newest first, and nothing when nothing did', () => {
    scene.pass(5);
    expect(changes()).toEqual([]);
    scene.setState('127.0.0.1:13004', 'down', 'HTTP 503, expected 200–399');
    scene.monitor.look();
    scene.setState('127.0.0.1:13004', 'up');
    scene.monitor.look();
    scene.setState('127.0.0.1:13005', 'draining');
    scene.ejected.add('1 127.0.0.1:13006');
    scene.pass(1);
    scene.ejected.clear();
    scene.pass(1);
    expect(changes()).toEqual([
      '127.0.0.1:13006 in shop-backend takes traffic again',
      '127.0.0.1:13006 in shop-backend was ejected: its traffic failed',
      '127.0.0.1:13005 in shop-backend drains: its source withdrew it',
      '127.0.0.1:13004 in shop-backend is up',
      '127.0.0.1:13004 in shop-backend is down: HTTP 503, expected 200–399',
    ]);
  });

  it.each([
    [
      'a planned leave: its source withdrew it',
      true,
      true,
      'neutral',
      'draining',
      'drains: its source withdrew it',
    ],
    ['a failure: its checks fail as well', true, false, 'bad', 'down', 'is down: refused'],
    ['a failure: its checks fail', false, false, 'bad', 'down', 'is down: refused'],
  ] as const)('the last of a pool, %s', (_why, kept, ok, tone, state, text) => {
    scene.pass(1);
    const id = '127.0.0.1:13100';
    scene.setState(id, 'down', ok ? '' : 'refused');
    const fact = scene.facts.upstreams.get(id)!;
    const seen = { ...fact, kept, lastCheck: { ...fact.lastCheck!, ok } };
    scene.facts = { ...scene.facts, upstreams: new Map(scene.facts.upstreams).set(id, seen) };
    scene.pass(1);
    const { changes: notes, pools } = scene.monitor.status();
    expect(notes[0]).toMatchObject({ tone, text: `${id} in shop-frontend ${text}` });
    expect(pools[1]!.upstreams[0]).toMatchObject({ state });
  });

  it.each([
    ['draining', 'hung: silent for 2 s', 'bad', 'down', 'is down: hung: silent for 2 s'],
    ['down', 'hung: silent for 2 s', 'bad', 'down', 'is down: hung: silent for 2 s'],
    ['draining', null, 'neutral', 'draining', 'drains: its source withdrew it'],
  ] as const)('%s, while its source says of it: %s', (snapshotState, fault, tone, state, text) => {
    scene.pass(1);
    const id = '127.0.0.1:13005';
    scene.setState(id, snapshotState);
    const fact = scene.facts.upstreams.get(id)!;
    scene.facts = { ...scene.facts, upstreams: new Map(scene.facts.upstreams).set(id, { ...fact, fault }) };
    scene.pass(1);
    expect(changes()[0]).toBe(`${id} in shop-backend ${text}`);
    expect(scene.monitor.status().changes[0]).toMatchObject({ tone });
    expect(upstreamOf(id)).toMatchObject({ state });
    if (fault !== null) expect(upstreamOf(id).detail).toContain(fault);
  });

  it('tells of sources, problems, workers and algorithms', () => {
    scene.pass(1);
    const { snapshot } = scene.facts;
    scene.facts = {
      ...scene.facts,
      workerRestarts: 2,
      problems: ['servers[2].port is 99999'],
      sources: ['shop', 'web'].map((pool) => ({
        name: 'supervisor',
        pool,
        state: 'stale',
        detail: 'refused',
      })),
      snapshot: { ...snapshot, pools: snapshot.pools.map((pool) => ({ ...pool, algorithm: 'p2c' })) },
    };
    scene.monitor.look();
    scene.facts = {
      ...scene.facts,
      sources: [{ name: 'supervisor', pool: 'shop', state: 'live', detail: '' }],
    };
    scene.monitor.look();
    expect(changes()).toEqual([
      // Nothing of that for web, which is asked no more.
      'Source supervisor for shop answers again',
      '2 workers ended and are replaced',
      'servers[2].port is 99999',
      'Source supervisor for web does not answer, its last good answer is kept: refused',
      'Source supervisor for shop does not answer, its last good answer is kept: refused',
      'shop-frontend is balanced by p2c, no longer by least-connections',
      'shop-backend is balanced by p2c, no longer by least-connections',
    ]);
  });

  it('keeps the last 50', () => {
    scene.pass(1);
    for (let i = 0; i < 60; i += 1) {
      scene.setState('127.0.0.1:13004', i % 2 === 0 ? 'down' : 'up');
      scene.monitor.look();
    }
    expect(changes()).toHaveLength(50);
  });
});

describe('the day of each service', () => {
  const dayOf = (name: string): string[] =>
    scene.monitor
      .publicStatus()
      .services.find((service) => service.name === name)!
      .slots.map((slot) => (slot === null ? '.' : conditionOfSlot(slot)));

  it('is sampled every second', () => {
    scene.pass(600);
    scene.setState('127.0.0.1:13100', 'down');
    scene.trafficOf('127.0.0.1:13100').perSecond = 0;
    scene.pass(300);
    expect(dayOf('shop-frontend').slice(-4)).toEqual(
      ['up', 'up', 'down', 'up'].slice(0, 2).concat('down', 'down'),
    );
    expect(dayOf('shop-backend').slice(-3)).toEqual(['up', 'up', 'up']);
  });

  it('survives a restart, and the time in between is nobody’s', async () => {
    const store = new MemoryStore();
    scene = new PagesScene(store);
    await scene.monitor.start();
    scene.pass(300);
    await scene.monitor.stop();

    scene = new PagesScene(store);
    scene.elapsedMs = 1_200_000;
    await scene.monitor.start();
    scene.pass(60);
    expect(dayOf('shop-backend').slice(-6)).toEqual(['.', 'up', 'up', '.', '.', 'up']);
    await scene.monitor.stop();
  });

  it('is saved every minute', async () => {
    scene.pass(59);
    expect(scene.store.saved).toBeNull();
    scene.pass(2);
    expect(Object.keys(scene.store.saved as object)).toEqual(['shop-backend', 'shop-frontend']);
  });

  it('does not count a time in which the process stood still', () => {
    scene.pass(10);
    scene.elapsedMs += 3_600_000;
    scene.monitor.look();
    const slots = scene.monitor.publicStatus().services[0]!.slots;
    const watched = slots.reduce(
      (sum, slot) => sum + (slot === null ? 0 : slot.up + slot.degraded + slot.down),
      0,
    );
    expect(watched).toBeLessThan(12);
  });

  it('goes on without its store, and says so once', async () => {
    scene.store.save = () => Promise.reject(new Error('disk full'));
    scene.store.load = () => Promise.reject(new Error('unreadable'));
    await scene.monitor.start();
    scene.pass(200);
    await scene.monitor.stop();
    expect(scene.warnings).toHaveLength(2);
    expect(scene.monitor.publicStatus().services[0]!.condition).toBe('up');
  });
});

it('has a scene that begins when it says', () => {
  expect(scene.monitor.status().at).toBe(new Date(SCENE_START_MS).toISOString());
});
