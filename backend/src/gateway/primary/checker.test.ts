import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../../test/simulation/fakeClock.js';
import type { HealthPolicy } from '../../domain/policy.js';
import type { ProbeResult } from '../../ports.js';
import { Checker } from './checker.js';

const POLICY: HealthPolicy = {
  probe: { kind: 'http', path: '/health', statusMin: 200, statusMax: 399, bodyIncludes: null },
  intervalMs: 30_000,
  timeoutMs: 5_000,
  fastIntervalMs: 1_000,
  fall: 3,
  rise: 2,
  startTimeoutMs: 30_000,
};
const TARGET = { id: '127.0.0.1:8080', host: '127.0.0.1', port: 8080 };
const PASSED: ProbeResult = { ok: true, latencyMs: 2 };
const FAILED: ProbeResult = { ok: false, latencyMs: 2, kind: 'status', detail: 'HTTP 503' };

function checking() {
  const clock = new FakeClock();
  const probes: number[] = [];
  const changes: [string, boolean, string][] = [];
  const peer: { answer: ProbeResult | null } = { answer: PASSED };
  const checker = new Checker({
    clock,
    random: () => 0.5,
    prober: {
      probe: async (_target, _spec, timeoutMs) => {
        probes.push(clock.nowMs());
        if (peer.answer !== null) return peer.answer;
        await clock.sleep(timeoutMs);
        return { ok: false, latencyMs: timeoutMs, kind: 'timeout', detail: 'no answer' };
      },
    },
    onChange: (id, fit, detail) => changes.push([id, fit, detail]),
  });
  return { clock, probes, changes, peer, checker };
}

let world: ReturnType<typeof checking>;
beforeEach(() => {
  world = checking();
});

describe('an upstream that nobody vouches for', () => {
  it('is not fit before it has passed twice, which takes no time', async () => {
    world.checker.track(TARGET, POLICY, false);
    expect(world.checker.isFit(TARGET.id)).toBe(false);
    await world.clock.advance(50);
    expect(world.checker.isFit(TARGET.id)).toBe(true);
    expect(world.changes).toEqual([[TARGET.id, true, '']]);
  });

  it('stays out while it fails, and comes back when it passes', async () => {
    world.peer.answer = FAILED;
    world.checker.track(TARGET, POLICY, false);
    await world.clock.advance(10_000);
    expect(world.checker.isFit(TARGET.id)).toBe(false);
    expect(world.checker.lastCheck(TARGET.id)).toMatchObject({ ok: false, detail: 'HTTP 503' });
    world.peer.answer = PASSED;
    await world.clock.advance(3_000);
    expect(world.changes).toEqual([[TARGET.id, true, '']]);
  });
});

describe('an upstream that its source has verified', () => {
  beforeEach(() => world.checker.track(TARGET, POLICY, true));

  it('is fit at once', () => {
    expect(world.checker.isFit(TARGET.id)).toBe(true);
  });

  it('is asked at the interval while it is well', async () => {
    await world.clock.advance(65_000);
    expect(world.probes).toEqual([0, 30_000, 60_000]);
    expect(world.changes).toEqual([]);
  });

  it('falls after three bad results in a row, quickly', async () => {
    await world.clock.advance(10);
    world.peer.answer = FAILED;
    await world.clock.advance(30_000 + 2_100);
    expect(world.changes).toEqual([[TARGET.id, false, '3 probes in a row failed: HTTP 503']]);
  });

  it('one bad result between good ones changes nothing', async () => {
    world.peer.answer = FAILED;
    await world.clock.advance(30_100);
    world.peer.answer = PASSED;
    await world.clock.advance(60_000);
    expect(world.changes).toEqual([]);
    expect(world.checker.isSettled()).toBe(true);
  });

  it('that accepts and never answers is out after one time-out and two fast intervals', async () => {
    await world.clock.advance(10);
    world.peer.answer = null;
    await world.clock.advance(30_000 + 5_000 + 2_000);
    expect(world.checker.isFit(TARGET.id)).toBe(false);
  });
});

it('being announced as verified makes a sick one fit again: it is another process there', async () => {
  world.peer.answer = FAILED;
  world.checker.track(TARGET, POLICY, false);
  await world.clock.advance(5_000);
  world.checker.track(TARGET, POLICY, true);
  expect(world.checker.isFit(TARGET.id)).toBe(true);
  expect(world.changes).toEqual([[TARGET.id, true, '']]);
});

it('an answer that comes after it was let go changes nothing', async () => {
  world.peer.answer = null;
  world.checker.track(TARGET, POLICY, true);
  world.checker.untrack(TARGET.id);
  await world.clock.advance(60_000);
  expect(world.changes).toEqual([]);
  expect(world.checker.lastCheck(TARGET.id)).toBeNull();
  expect(world.clock.pending).toBe(0);
});

it('a new policy counts from now on', async () => {
  world.checker.track(TARGET, POLICY, true);
  await world.clock.advance(100);
  world.checker.track(TARGET, { ...POLICY, intervalMs: 200 }, false);
  await world.clock.advance(500);
  expect(world.probes.length).toBeGreaterThanOrEqual(3);
  world.checker.close();
  expect(world.clock.pending).toBe(0);
});
