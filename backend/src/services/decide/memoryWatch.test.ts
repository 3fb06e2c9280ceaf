/** Who is replaced because of its memory, when, and why. Real parts, a clock and figures that the test holds. */
import { beforeEach, describe, expect, test } from 'vitest';
import { agentFigures } from '../../../../test/support/agentFigures.js';
import { steadyHealth } from '../../../../test/support/steadyHealth.js';
import { FakeClock } from '../../../../test/simulation/fakeClock.js';
import { policyOf } from '../../../../test/simulation/world.js';
import { recordedEvents } from '../../../../test/support/recordedEvents.js';
import type { AgentFigures } from '../../domain/agents/agent.js';
import { instanceKey } from '../../domain/model.js';
import type { ManagedProcess } from '../../domain/model.js';
import { FailoverManager } from '../failoverManager.js';
import type { HealthMonitor } from '../observe/healthMonitor.js';
import { MemoryWatch } from './memoryWatch.js';
import { SupervisedService } from '../service/supervisedService.js';
import { TrafficFeed } from '../observe/trafficFeed.js';

const MB = 2 ** 20;
const LIMIT = 500 * MB;

interface Recycling {
  readonly atMs: number;
  readonly service: string;
  readonly pmId: number;
  readonly why: string;
}

/** A machine with services whose instances weigh what the test says. */
class Scene {
  readonly clock = new FakeClock();
  readonly recycled: Recycling[] = [];
  /** By pmId: resident memory at a time, bytes; null: not measured. */
  readonly weight = new Map<number, (atMs: number) => number | null>();
  /** By pmId: what its agent says; none: it has none. */
  readonly inside = new Map<number, (atMs: number) => AgentFigures>();
  readonly services: SupervisedService[] = [];
  /** How long a replacement takes; null: for ever. */
  replacementMs: number | null = 5_000;
  /** Whether management is on. */
  running = true;
  readonly watch: MemoryWatch;
  readonly #health: HealthMonitor;
  readonly #failover = new FailoverManager({ clock: this.clock, random: () => 0.5 });
  #nextPmId = 100;

  constructor() {
    const { clock } = this;
    this.#health = steadyHealth(clock);
    this.watch = new MemoryWatch({
      clock,
      figures: ({ pmId }) => this.inside.get(pmId)?.(clock.nowMs()) ?? null,
      recycle: (service, process, why) => {
        service.leaving.recycle(process, why);
        this.recycled.push({ atMs: clock.nowMs(), service: service.name, pmId: process.pmId, why });
        if (this.replacementMs !== null)
          clock.after(this.replacementMs, () => this.#replace(service, process));
      },
    });
  }

  async add(name: string, ...pmIds: number[]): Promise<SupervisedService> {
    const policy = policyOf(name, { memoryLimitBytes: LIMIT });
    this.#failover.supervise(name, policy.failure);
    const { clock } = this;
    const events = recordedEvents(clock).log;
    const traffic = new TrafficFeed({ clock, events, onDrained: () => undefined });
    const service = new SupervisedService(policy, {
      clock,
      failover: this.#failover,
      health: this.#health,
      traffic,
      agents: { presence: () => 'absent' },
      diagnostician: { of: () => null },
      startWarnings: () => [],
    });
    this.services.push(service);
    this.#show(
      service,
      pmIds.map((pmId) => this.#row(name, pmId)),
    );
    await clock.advance(500);
    expect(service.serving()).toHaveLength(pmIds.length);
    return service;
  }

  async pass(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second += 1) {
      await this.clock.advance(1_000);
      for (const service of this.services) this.#measure(service);
      this.watch.review(this.services, this.running);
    }
  }

  #measure(service: SupervisedService): void {
    const figures = service.processes.flatMap(({ pid, pmId }) => {
      const memoryBytes = this.weight.get(pmId)?.(this.clock.nowMs()) ?? null;
      return pid === null
        ? []
        : [[pid, { cpuPercent: 1, memoryBytes, eluPercent: null, backlogPercent: null }] as const];
    });
    service.measure(new Map(figures));
  }

  #replace(service: SupervisedService, process: ManagedProcess): void {
    const fresh = this.#row(service.name, this.#nextPmId++);
    this.weight.set(fresh.pmId, () => 60 * MB);
    this.#show(service, [...service.processes.filter(({ pmId }) => pmId !== process.pmId), fresh]);
  }

  #show(service: SupervisedService, processes: readonly ManagedProcess[]): void {
    service.see(processes);
    for (const one of processes) this.#health.track(one, service.policy.health, 'known');
  }

  #row(service: string, pmId: number): ManagedProcess {
    const startedAtMs = this.clock.wallMs();
    const fixed = { service, status: 'online', mode: 'cluster', restarts: 0, killTimeoutMs: 10_000 } as const;
    return { ...fixed, pmId, pid: 1_000 + pmId, port: 13_004 + pmId, startedAtMs, createdAtMs: startedAtMs };
  }
}

/** 100 MB, and from `fromSecond` on so much more a second, all of it alive. */
const leaking =
  (mbPerSecond: number, fromSecond = 0) =>
  (atMs: number): number =>
    (100 + mbPerSecond * Math.max(0, atMs / 1_000 - fromSecond)) * MB;

/** What an agent says of a process of that weight: 60 MB are not heap; a major collection every ten seconds. */
const seenFromInside =
  (weight: (atMs: number) => number) =>
  (atMs: number): AgentFigures => {
    const collectedAtMs = Math.floor(atMs / 10_000) * 10_000;
    return agentFigures({
      atMs,
      rssBytes: weight(atMs),
      heapUsedBytes: weight(atMs) - 60 * MB,
      heapLimitBytes: 2_000 * MB,
      liveHeapBytes: weight(collectedAtMs) - 60 * MB,
      majorGcs: collectedAtMs / 10_000 + 1,
    });
  };

let it: Scene;
beforeEach(() => {
  it = new Scene();
});

describe('nearly full', () => {
  test('recycles at nine tenths of the limit, and says how full it is', async () => {
    await it.add('api', 0, 1);
    it.weight.set(0, () => 0.9 * LIMIT - 1).set(1, () => 60 * MB);
    await it.pass(5);
    expect(it.recycled).toEqual([]);
    it.weight.set(0, () => 0.9 * LIMIT);
    await it.pass(1);
    expect(it.recycled).toMatchObject([{ pmId: 0, why: '450 MB of 500 MB used' }]);
    expect(it.watch.recycled('api')).toBe(1);
  });

  test('of a JavaScript heap of which nine tenths are alive counts as well', async () => {
    await it.add('api', 0);
    const heap = { heapUsedBytes: 190 * MB, heapLimitBytes: 200 * MB, liveHeapBytes: 160 * MB, majorGcs: 7 };
    it.inside.set(0, (atMs) => agentFigures({ atMs, rssBytes: 250 * MB, ...heap }));
    await it.pass(1);
    expect(it.recycled).toMatchObject([
      { pmId: 0, why: '160 MB of 170 MB for JavaScript objects are alive' },
    ]);
  });

  test('one at a time, and not sooner than a cooldown after the last', async () => {
    const service = await it.add('api', 0, 1);
    it.weight.set(0, () => 0.95 * LIMIT).set(1, () => 0.95 * LIMIT);
    it.replacementMs = 130_000;
    await it.pass(120);
    expect(it.recycled.map(({ pmId }) => pmId)).toEqual([0]);
    await it.pass(30);
    expect(it.recycled.map(({ pmId }) => pmId)).toEqual([0, 1]);
    it.replacementMs = 1_000;
    await it.pass(200);
    const [first, second] = it.recycled;
    expect(second!.atMs - first!.atMs).toBeGreaterThanOrEqual(service.policy.failure.restartCooldownMs);
  });

  test('waits while an operation is under way, and is nothing where nobody measured', async () => {
    const service = await it.add('api', 0);
    it.weight.set(0, () => null);
    await it.pass(30);
    const common = { id: 'op-1', kind: 'failover', reason: 'test', sinceMs: 0, from: 1, to: 1 } as const;
    service.operation = { ...common, started: [], stopped: [], failure: null, stepsLeft: null, idleMs: 0 };
    it.weight.set(0, () => 0.95 * LIMIT);
    await it.pass(5);
    expect(it.recycled).toEqual([]);
    service.operation = null;
    await it.pass(1);
    expect(it.recycled).toHaveLength(1);
  });
});

describe('while management is off', () => {
  test('nobody is marked or told, the forecast goes on, and what is due is done when it is back', async () => {
    const service = await it.add('api', 0, 1);
    it.inside.set(0, seenFromInside(leaking(1, 60)));
    it.weight.set(1, () => 0.95 * LIMIT);
    it.running = false;
    await it.pass(400);
    expect(it.recycled).toEqual([]);
    expect(it.watch.recycled('api')).toBe(0);
    expect(service.leaving.isRecycling()).toBe(false);
    expect(service.memoryTrendOf(service.find(0)!)).toMatchObject({ kind: 'growing', sure: true });
    it.running = true;
    await it.pass(1);
    expect(it.recycled).toHaveLength(1);
    expect(service.leaving.isRecycling()).toBe(true);
  });

  test('what was marked before is let go, unless an operation is moving it', async () => {
    const service = await it.add('api', 0);
    it.replacementMs = null;
    it.weight.set(0, () => 0.95 * LIMIT);
    await it.pass(1);
    const common = { id: 'op-1', kind: 'failover', reason: 'test', sinceMs: 0, from: 1, to: 1 } as const;
    service.operation = { ...common, started: [], stopped: [], failure: null, stepsLeft: null, idleMs: 0 };
    it.running = false;
    await it.pass(1);
    expect(service.leaving.isRecycling()).toBe(true);
    service.operation = null;
    await it.pass(1);
    expect(service.leaving.isRecycling()).toBe(false);
    expect(it.recycled).toHaveLength(1);
  });
});

describe('growing', () => {
  test('recycles before the limit, with the pace, the room and the time that are left', async () => {
    const service = await it.add('api', 0, 1);
    const leak = leaking(1, 120);
    it.inside.set(0, seenFromInside(leak)).set(
      1,
      seenFromInside(() => 120 * MB),
    );
    await it.pass(300);
    const growing = service.view().instances.find(({ pmId }) => pmId === 0)?.memoryTrend;
    expect(growing).toMatchObject({ kind: 'growing', limit: 'resident', limitBytes: LIMIT });
    expect(service.view().instances.find(({ pmId }) => pmId === 1)?.memoryTrend.kind).toBe('steady');
    await it.pass(220);
    expect(it.recycled.map(({ pmId }) => pmId)).toEqual([0]);
    const { atMs, why } = it.recycled[0]!;
    const leftMs = 520_000 - atMs;
    expect(leftMs).toBeGreaterThan(60_000);
    expect(leftMs).toBeLessThan(200_000);
    expect(why).toMatch(
      /^resident memory grows 1\.\d MB\/s, \d+ MB below its limit of 500 MB: reached in about \d+ s$/,
    );
  });

  test('side by side: one after the other, a cooldown apart while there is time, and all of them before the limit', async () => {
    const service = await it.add('api', 0, 1, 2, 3);
    const hitsAtMs = 2_060_000;
    for (const pmId of [0, 1, 2, 3]) it.inside.set(pmId, seenFromInside(leaking(0.2, 60)));
    await it.pass(hitsAtMs / 1_000);
    expect(it.recycled.map(({ pmId }) => pmId).sort()).toEqual([0, 1, 2, 3]);
    for (const { atMs } of it.recycled) expect(hitsAtMs - atMs).toBeGreaterThan(60_000);
    const gapsMs = it.recycled.slice(1).map(({ atMs }, index) => atMs - it.recycled[index]!.atMs);
    // The last one may be told that it can't wait: forecasts are cautious.
    for (const gapMs of gapsMs.slice(0, 2)) {
      expect(gapMs).toBeGreaterThanOrEqual(service.policy.failure.restartCooldownMs);
    }
  });

  test('too fast for the cooldown: it is cut short, and still one at a time', async () => {
    await it.add('api', 0, 1);
    const hitsAtMs = 240_000;
    for (const pmId of [0, 1]) it.inside.set(pmId, seenFromInside(leaking(2, 40)));
    await it.pass(hitsAtMs / 1_000);
    expect(it.recycled.map(({ pmId }) => pmId).sort()).toEqual([0, 1]);
    expect(it.recycled[1]!.atMs - it.recycled[0]!.atMs).toBeGreaterThanOrEqual(it.replacementMs!);
    expect(hitsAtMs - it.recycled[1]!.atMs).toBeGreaterThan(10_000);
  });

  test('waits for another service that is recycling, as long as it can', async () => {
    await it.add('api', 0);
    await it.add('web', 1);
    it.replacementMs = null;
    it.inside.set(0, seenFromInside(leaking(0.5, 60)));
    it.inside.set(1, seenFromInside(leaking(0.5, 63)));
    await it.pass(870);
    expect(it.recycled.map(({ service }) => service).sort()).toEqual(['api', 'web']);
    expect(it.recycled[1]!.atMs - it.recycled[0]!.atMs).toBeGreaterThan(10_000);
    expect(860_000 - it.recycled[1]!.atMs).toBeGreaterThan(30_000);
  });

  test('garbage that is collected is no growth, however high it piles up', async () => {
    await it.add('api', 0);
    const tooth = (atMs: number): number => (100 + 3 * ((atMs / 1_000) % 100)) * MB;
    it.inside.set(0, (atMs) =>
      agentFigures({
        atMs,
        rssBytes: tooth(atMs),
        heapUsedBytes: tooth(atMs) - 60 * MB,
        heapLimitBytes: 2_000 * MB,
        liveHeapBytes: 40 * MB,
        majorGcs: Math.floor(atMs / 100_000) + 1,
      }),
    );
    await it.pass(1_500);
    expect(it.recycled).toEqual([]);
  });

  test('what is known of an instance ends with it', async () => {
    const service = await it.add('api', 0);
    it.inside.set(0, seenFromInside(leaking(0.5)));
    await it.pass(300);
    const process = service.processes[0]!;
    service.see([{ ...process, startedAtMs: process.startedAtMs + 1 }]);
    expect(service.memoryTrendOf(service.processes[0]!)).toEqual({ kind: 'unknown' });
    await it.pass(5);
    expect(service.memoryTrendOf(service.processes[0]!)).toEqual({ kind: 'unknown' });
    expect(instanceKey(process)).not.toBe(instanceKey(service.processes[0]!));
  });
});
