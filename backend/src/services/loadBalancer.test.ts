import { describe, expect, test } from 'vitest';
import { instanceWith, scalingPolicyOf } from '../../../test/support/scalingController.js';
import { LoadBalancer } from './loadBalancer.js';

const host = { memoryTotalBytes: 2 ** 35, memoryAvailableBytes: 2 ** 34 };
const policy = scalingPolicyOf({ maxInstances: 8 }, 'shop');
const WALL_MS = Date.parse('2026-01-02T03:04:05Z');
const at = (nowMs: number) => ({ nowMs, wallMs: WALL_MS + nowMs });

function instances(count: number, cpuPercent: number | null) {
  return Array.from({ length: count }, (_, pmId) => instanceWith({ service: 'shop', pmId, cpuPercent }));
}

/** One observation and one decision a second; returns the last decision. */
function run(balancer: LoadBalancer, fromMs: number, toMs: number, count: number, cpuPercent: number | null) {
  let last;
  for (let nowMs = fromMs; nowMs <= toMs; nowMs += 1000) {
    balancer.observe(policy, instances(count, cpuPercent), nowMs);
    last = balancer.decide(policy, { desired: count, host, blocked: null }, at(nowMs));
  }
  return last!;
}

describe('LoadBalancer', () => {
  test('takes the busier of CPU and event loop, of serving instances only', () => {
    const balancer = new LoadBalancer();
    const mixed = [
      instanceWith({ pmId: 0, cpuPercent: 10, eluPercent: 90 }),
      instanceWith({ pmId: 1, cpuPercent: 70, eluPercent: 0 }),
      instanceWith({ pmId: 2, serving: false, cpuPercent: 100 }),
    ];
    balancer.observe(policy, mixed, 0);
    const { inputs } = balancer.decide(policy, { desired: 3, host, blocked: null }, at(0));
    expect(inputs).toMatchObject({ loadPercent: 80, ready: 2, starting: 1 });
  });

  test('grows once on a burn and tells it: holds whose reason stays the same are not repeated', () => {
    const balancer = new LoadBalancer();
    const decision = run(balancer, 0, 10_000, 1, 100);
    expect(decision).toMatchObject({ action: 'up', to: 2 });
    balancer.noteMove('shop', 1, 2, 10_000, 'autoscaler');
    run(balancer, 11_000, 40_000, 2, 50);
    const view = balancer.view(policy, { current: 2, desired: 2 }, 40_000);
    expect(view.decisions.map((d) => `${d.action} ${d.limitedBy}`)).toEqual([
      'hold window',
      'up null',
      'hold null',
    ]);
    expect(view.last?.reason).toBe('hold: load 50 % is between 30 % and 80 %');
    expect(view.decisions[1]).toMatchObject({ at: '2026-01-02T03:04:15.000Z', from: 1, to: 2 });
    expect(view).toMatchObject({ name: 'shop', min: 1, max: 8, autoscale: true, cooldownLeftMs: 30_000 });
  });

  test('keeps at most 50 decisions', () => {
    const balancer = new LoadBalancer();
    for (let i = 0; i < 200; i++) run(balancer, i * 1000, i * 1000, i % 2, 50);
    expect(balancer.view(policy, { current: 1, desired: 1 }, 0).decisions).toHaveLength(50);
  });

  test('a wavering load does not push the moves out of the history', () => {
    const balancer = new LoadBalancer();
    run(balancer, 0, 10_000, 1, 100);
    for (let i = 11; i < 300; i++) run(balancer, i * 1000, i * 1000, 2, i % 2 === 0 ? 29 : 31);
    const { decisions } = balancer.view(policy, { current: 2, desired: 2 }, 0);
    expect(decisions).toHaveLength(50);
    expect(decisions.filter((decision) => decision.action !== 'hold')).toHaveLength(1);
    expect(decisions.map((d) => d.at)).toEqual(decisions.map((d) => d.at).toSorted());
  });

  test("an operator's move starts the cooldown too", () => {
    const balancer = new LoadBalancer();
    run(balancer, 0, 10_000, 1, 50);
    balancer.noteMove('shop', 1, 2, 10_000, 'operator');
    expect(run(balancer, 11_000, 30_000, 2, 100)).toMatchObject({ action: 'hold', limitedBy: 'cooldown' });
    balancer.noteMove('shop', 2, 2, 30_000, 'operator');
    expect(balancer.cooldownLeftMs(policy, 30_000)).toBe(40_000);
  });

  test('after long patience memory no longer keeps an idle instance', () => {
    const balancer = new LoadBalancer();
    const full = [0, 1].map((pmId) => instanceWith({ pmId, cpuPercent: 1, memoryBytes: 220 * 2 ** 20 }));
    let nowMs = 0;
    let decision;
    do {
      balancer.observe(policy, full, nowMs);
      decision = balancer.decide(policy, { desired: 2, host, blocked: null }, at(nowMs));
      nowMs += 1000;
    } while (decision.action === 'hold' && nowMs < 600_000);
    // One down-window until shrinking is wanted, five until it is done.
    expect(decision).toMatchObject({ action: 'down', to: 1 });
    expect(nowMs).toBe(361_000);
  });

  test('a cooldown does not use up that patience a second time', () => {
    const balancer = new LoadBalancer();
    const slow = scalingPolicyOf({ cooldownMs: 400_000 }, 'shop');
    const full = [0, 1].map((pmId) => instanceWith({ pmId, cpuPercent: 1, memoryBytes: 220 * 2 ** 20 }));
    balancer.noteMove('shop', 1, 2, 0, 'operator');
    let nowMs = 0;
    for (;;) {
      balancer.observe(slow, full, nowMs);
      const { action } = balancer.decide(slow, { desired: 2, host, blocked: null }, at(nowMs));
      if (action !== 'hold' || nowMs > 1_000_000) break;
      nowMs += 1000;
    }
    expect(nowMs).toBe(400_000);
  });

  test('keeps samples no longer than a lengthened window needs them', () => {
    const balancer = new LoadBalancer();
    run(balancer, 0, 1_000_000, 2, 50);
    // Four down-windows of a minute at a sample a second, and the one that covers the far end.
    expect(balancer.samplesKept).toBe(241);
  });

  test('a window of an hour is kept in bounded memory and still decides', () => {
    const balancer = new LoadBalancer();
    const slow = scalingPolicyOf({ downWindowMs: 3_600_000 }, 'shop');
    let moved = 0;
    for (let nowMs = 0; nowMs <= 3_660_000 && moved === 0; nowMs += 1000) {
      balancer.observe(slow, instances(2, 10), nowMs);
      const decision = balancer.decide(slow, { desired: 2, host, blocked: null }, at(nowMs));
      if (decision.action === 'down') moved = nowMs;
    }
    expect(moved).toBeGreaterThanOrEqual(3_600_000);
    expect(balancer.samplesKept).toBeLessThanOrEqual(2048);
    expect(moved).toBeLessThan(3_620_000);
  });

  test('a monotonic clock that begins anew begins the windows anew', () => {
    const balancer = new LoadBalancer();
    run(balancer, 100_000, 109_000, 1, 100);
    expect(run(balancer, 0, 5000, 1, 100)).toMatchObject({ action: 'hold', limitedBy: 'window' });
  });

  test('forgets a service', () => {
    const balancer = new LoadBalancer();
    run(balancer, 0, 10_000, 1, 100);
    balancer.noteMove('shop', 1, 2, 10_000, 'autoscaler');
    balancer.forget('shop');
    expect(balancer.view(policy, { current: 1, desired: 1 }, 10_000)).toMatchObject({
      last: null,
      decisions: [],
      cooldownLeftMs: 0,
    });
  });
});

describe('across a restart', () => {
  function moved(): LoadBalancer {
    const balancer = new LoadBalancer();
    balancer.noteMove('shop', 2, 1, 100_000, 'autoscaler');
    balancer.noteMove('shop', 1, 2, 200_000, 'autoscaler');
    return balancer;
  }

  test('the cooldown goes on, on a new monotonic clock', () => {
    const saved: unknown = JSON.parse(JSON.stringify(moved().snapshot(at(210_000))));
    const next = new LoadBalancer();
    // Ten seconds of wall clock later; the monotonic clock starts near 0.
    next.restore(saved, { nowMs: 5, wallMs: WALL_MS + 220_000 });
    run(next, 5, 5, 2, 50);
    expect(next.cooldownLeftMs(policy, 5)).toBe(40_000);
  });

  test('the lengthened down-window goes on', () => {
    const next = new LoadBalancer();
    next.restore(moved().snapshot(at(210_000)), at(210_000));
    const decision = run(next, 210_000, 300_000, 2, 10);
    expect(decision.reason).toContain('(longer: it grew again soon after shrinking)');
  });

  test('survives being saved again before the service is seen', () => {
    const next = new LoadBalancer();
    next.restore(moved().snapshot(at(210_000)), at(210_000));
    const third = new LoadBalancer();
    third.restore(next.snapshot(at(215_000)), at(215_000));
    run(third, 215_000, 215_000, 2, 50);
    expect(third.cooldownLeftMs(policy, 215_000)).toBe(45_000);
  });

  test('a wall clock set back never makes a cooldown longer than configured', () => {
    const next = new LoadBalancer();
    next.restore(moved().snapshot(at(210_000)), { nowMs: 1000, wallMs: WALL_MS - 86_400_000 });
    run(next, 1000, 1000, 2, 50);
    expect(next.cooldownLeftMs(policy, 1000)).toBe(60_000);
  });

  test.each([
    null,
    'text',
    [],
    { services: [] },
    { services: { shop: null } },
    { services: { shop: { reversals: -1 } } },
    { services: { shop: { reversals: 'many', lastMove: { atMs: 1, direction: 'up' } } } },
    { services: { shop: { reversals: 0, lastMove: { atMs: 'now', direction: 'sideways' } } } },
  ])('damaged state %j is left out', (state) => {
    const balancer = new LoadBalancer();
    balancer.restore(state, at(0));
    run(balancer, 0, 0, 1, 50);
    expect(balancer.cooldownLeftMs(policy, 0)).toBe(0);
  });
});
