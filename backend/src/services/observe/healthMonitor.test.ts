import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FakeClock } from '../../../../test/simulation/fakeClock.js';
import { policyOf, seeded } from '../../../../test/simulation/world.js';
import { instanceKey } from '../../domain/model.js';
import type { ManagedProcess } from '../../domain/model.js';
import type { HealthPolicy } from '../../domain/policy.js';
import type { ProbeResult, Prober, ProbeTarget } from '../../ports.js';
import { HealthMonitor, percentilesOf } from './healthMonitor.js';

const POLICY = policyOf('api').health;
const OK: ProbeResult = { ok: true, latencyMs: 2 };
const ERROR: ProbeResult = { ok: false, latencyMs: 2, kind: 'status', detail: 'HTTP 500' };

type Answer = { readonly afterMs: number; readonly result: ProbeResult } | 'never';

/** Answers each probe as told at the time it is sent; never later than the time-out. */
class ScriptedProber implements Prober {
  readonly sentAtMs: number[] = [];
  readonly hosts: string[] = [];
  readonly targets: ProbeTarget[] = [];
  outstanding = 0;
  most = 0;
  readonly #clock: FakeClock;
  answer: (probe: number) => Answer = () => ({ afterMs: 2, result: OK });

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  async probe(target: ProbeTarget, _spec: unknown, timeoutMs: number): Promise<ProbeResult> {
    this.hosts.push(target.host);
    this.targets.push(target);
    const answer = this.answer(this.sentAtMs.length);
    this.sentAtMs.push(this.#clock.nowMs());
    this.outstanding += 1;
    this.most = Math.max(this.most, this.outstanding);
    const isLate = answer === 'never' || answer.afterMs >= timeoutMs;
    await this.#clock.sleep(isLate ? timeoutMs : answer.afterMs);
    this.outstanding -= 1;
    if (!isLate) return answer.result;
    return { ok: false, latencyMs: timeoutMs, kind: 'timeout', detail: `no answer in ${timeoutMs} ms` };
  }
}

function processAt(pmId: number, changes: Partial<ManagedProcess> = {}): ManagedProcess {
  return {
    service: 'api',
    pmId,
    pid: 100 + pmId,
    port: 13_004 + pmId,
    startedAtMs: FakeClock.epochMs,
    createdAtMs: FakeClock.epochMs,
    killTimeoutMs: 10_000,
    status: 'online',
    mode: 'fork',
    restarts: 0,
    ...changes,
  };
}

function monitoring(random: () => number = () => 0.5) {
  const clock = new FakeClock();
  const prober = new ScriptedProber(clock);
  const changes: { pmId: number; before: string; after: string; atMs: number }[] = [];
  const daemon = { answers: true };
  const located: { host: string | null } = { host: null };
  const load = { isTooMuch: false };
  const owners: { shallow: number[] | null; deep: number[] | null } = { shallow: null, deep: null };
  const monitor = new HealthMonitor({
    clock,
    prober,
    random,
    locate: () => Promise.resolve(located.host),
    owners: {
      ownerOf: ({ pid }) =>
        owners.shallow === null || pid === null ? null : { pid, userIds: owners.shallow },
      ownersOf: ({ pid }) =>
        Promise.resolve(owners.deep === null || pid === null ? null : { pid, userIds: owners.deep }),
    },
    daemonAnswers: () => daemon.answers,
    isOverloaded: () => load.isTooMuch,
    onChange: ({ pmId }, before, after) =>
      changes.push({ pmId, before: before.kind, after: after.kind, atMs: clock.nowMs() }),
  });
  return { clock, prober, changes, daemon, load, located, owners, monitor };
}

const INSTANCE = processAt(0);
const KEY = instanceKey(INSTANCE);

/** Tracks one instance and waits until it is fit and settled. */
async function fit(instance = INSTANCE, policy: HealthPolicy = POLICY, random?: () => number) {
  const it = monitoring(random);
  it.monitor.track(instance, policy, 'started');
  await it.clock.advance(1_000);
  expect(it.monitor.state(instanceKey(instance))?.kind).toBe('fit');
  return it;
}

/** From now on nothing is answered; returns how long after the first such probe it was found unfit. */
async function timeToUnfit({ clock, prober, changes }: Awaited<ReturnType<typeof fit>>): Promise<number> {
  prober.answer = () => 'never';
  const first = prober.sentAtMs.length;
  for (let waited = 0; waited < 1_000 && changes.at(-1)?.after !== 'unfit'; waited++) {
    await clock.advance(1_000);
  }
  return changes.at(-1)!.atMs - prober.sentAtMs[first]!;
}

describe('one that never answers', () => {
  test('is out after the time-out and two fast intervals, not after three time-outs', async () => {
    const it = await fit();
    expect(await timeToUnfit(it)).toBe(5_000 + 2 * 1_000);
    expect(it.monitor.state(KEY)).toMatchObject({ cause: 'unresponsive' });
  });

  test('is out after timeout + (fall − 1) × fast interval, whatever these are', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 50, max: 5_000 }),
        fc.integer({ min: 1, max: 10_000 }),
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1 }),
        async (fastIntervalMs, moreMs, fall, seed) => {
          const timeoutMs = fastIntervalMs + moreMs;
          const it = await fit(INSTANCE, { ...POLICY, fastIntervalMs, timeoutMs, fall }, seeded(seed));
          expect(await timeToUnfit(it)).toBeCloseTo(timeoutMs + (fall - 1) * fastIntervalMs, 3);
          expect(it.prober.most).toBeLessThanOrEqual(fall);
        },
      ),
      { numRuns: 100 },
    );
  });

  test('with a time-out shorter than the fast interval is probed one after the other', async () => {
    const it = await fit(INSTANCE, { ...POLICY, timeoutMs: 500 });
    expect(await timeToUnfit(it)).toBe(3 * 500 + 2 * 1_000);
    expect(it.prober.most).toBe(1);
  });

  test('does not get more probes at once than it takes to judge it, for as long as it is silent', async () => {
    const it = await fit();
    it.prober.answer = () => 'never';
    await it.clock.advance(600_000);
    expect(it.prober.most).toBe(POLICY.fall);
  });

  test('is probed on, and comes back', async () => {
    const it = await fit();
    await timeToUnfit(it);
    it.prober.answer = () => ({ afterMs: 2, result: OK });
    await it.clock.advance(10_000);
    expect(it.monitor.state(KEY)?.kind).toBe('fit');
  });
});

describe('answers that overlap', () => {
  test('one that is older than what was counted says nothing new', async () => {
    const it = await fit();
    // The first answers well but late; the one sent a second after it fails at once.
    const slow = it.prober.sentAtMs.length;
    it.prober.answer = (probe) =>
      probe === slow ? { afterMs: 3_500, result: OK } : { afterMs: 100, result: ERROR };
    await it.clock.advance(30_000);
    while (it.prober.sentAtMs[slow] === undefined) await it.clock.advance(100);
    const sentAtMs = it.prober.sentAtMs[slow];
    await it.clock.advance(sentAtMs + 3_400 - it.clock.nowMs());
    const before = it.monitor.state(KEY);
    await it.clock.advance(200);
    expect(before).toMatchObject({ kind: 'unfit', cause: 'unhealthy' });
    expect(it.monitor.state(KEY)).toEqual(before);
    expect(it.changes.filter(({ after }) => after === 'unfit')).toHaveLength(1);
  });

  test('the newest is shown', async () => {
    const it = await fit();
    const slow = it.prober.sentAtMs.length;
    it.prober.answer = (probe) => (probe === slow ? 'never' : { afterMs: 1, result: OK });
    while (it.prober.sentAtMs[slow + 1] === undefined) await it.clock.advance(500);
    await it.clock.advance(10_000);
    expect(it.monitor.lastProbe(KEY)).toMatchObject({ ok: true, detail: 'ok' });
    expect(it.monitor.state(KEY)).toMatchObject({ kind: 'fit', failures: 0 });
  });

  test('asking for all at once disturbs no pace: it goes on probing', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ pauseMs: fc.nat({ max: 40_000 }), afterMs: fc.nat({ max: 6_000 }) }), {
          minLength: 1,
          maxLength: 10,
        }),
        async (calls) => {
          const it = await fit();
          for (const { pauseMs, afterMs } of calls) {
            await it.clock.advance(pauseMs);
            it.prober.answer = () => ({ afterMs, result: OK });
            void it.monitor.probeAll();
          }
          await it.clock.advance(20_000);
          const sent = it.prober.sentAtMs.length;
          it.prober.answer = () => ({ afterMs: 2, result: OK });
          // One that is under way may take its time-out of 5 s; the longest pause, 33 s, begins after it.
          await it.clock.advance(40_000);
          expect(it.prober.sentAtMs.length).toBeGreaterThan(sent);
        },
      ),
      { numRuns: 50 },
    );
  });

  test('asking for all at once shows what is, and judges nobody', async () => {
    const it = await fit();
    it.prober.answer = () => ({ afterMs: 1, result: ERROR });
    for (let i = 0; i < POLICY.fall; i++) {
      const all = it.monitor.probeAll();
      await it.clock.advance(2);
      expect(await all).toEqual([{ instance: INSTANCE, result: ERROR }]);
    }
    expect(it.monitor.state(KEY)).toMatchObject({ kind: 'fit', failures: 0 });
    expect(it.monitor.lastProbe(KEY)).toMatchObject({ ok: false });
  });
});

describe("while PM2's daemon does not answer", () => {
  test.each([
    ['cluster', 'fit'],
    ['fork', 'unfit'],
  ] as const)('a failing instance in %s mode is %s', async (mode, expected) => {
    const instance = processAt(0, { mode });
    const it = await fit(instance);
    it.daemon.answers = false;
    it.prober.answer = () => 'never';
    await it.clock.advance(120_000);
    expect(it.monitor.state(instanceKey(instance))?.kind).toBe(expected);
    // Shown it is, in either case.
    expect(it.monitor.lastProbe(instanceKey(instance))).toMatchObject({ ok: false });
  });

  test('in cluster mode failures count from the moment it answers again', async () => {
    const instance = processAt(0, { mode: 'cluster' });
    const it = await fit(instance);
    it.daemon.answers = false;
    it.prober.answer = () => ({ afterMs: 1, result: ERROR });
    await it.clock.advance(120_000);
    it.daemon.answers = true;
    await it.clock.advance(40_000);
    expect(it.monitor.state(instanceKey(instance))?.kind).toBe('unfit');
  });

  test('a pass counts: who answers is well', async () => {
    const instance = processAt(0, { mode: 'cluster' });
    const it = monitoring();
    it.daemon.answers = false;
    it.monitor.track(instance, POLICY, 'known');
    await it.clock.advance(1_000);
    expect(it.monitor.state(instanceKey(instance))?.kind).toBe('fit');
  });
});

describe('one that is overloaded', () => {
  test('is not unfit because probes come late; they are shown, and count from the moment it is not', async () => {
    const it = await fit();
    it.load.isTooMuch = true;
    it.prober.answer = () => 'never';
    await it.clock.advance(120_000);
    expect(it.monitor.state(KEY)?.kind).toBe('fit');
    expect(it.monitor.lastProbe(KEY)).toMatchObject({ ok: false });
    it.load.isTooMuch = false;
    await it.clock.advance(45_000);
    expect(it.monitor.state(KEY)?.kind).toBe('unfit');
  });

  test('is unfit when probes are answered with an error', async () => {
    const it = await fit();
    it.load.isTooMuch = true;
    it.prober.answer = () => ({ afterMs: 1, result: ERROR });
    await it.clock.advance(120_000);
    expect(it.monitor.state(KEY)?.kind).toBe('unfit');
  });
});

describe('condemned by an agent', () => {
  const HUNG = { cause: 'hung', detail: 'blocked in f', held: false } as const;

  test('is unfit at once, told once, and comes back by passing probes at the fast interval', async () => {
    const it = await fit();
    it.changes.length = 0;
    expect(it.monitor.condemn(KEY, HUNG)).toBe(true);
    expect(it.monitor.condemn(KEY, HUNG)).toBe(false);
    expect(it.changes).toEqual([{ pmId: 0, before: 'fit', after: 'unfit', atMs: 1_000 }]);
    expect(it.monitor.state(KEY)).toMatchObject({ cause: 'hung', detail: 'blocked in f' });
    await it.clock.advance(2_500);
    expect(it.monitor.state(KEY)?.kind).toBe('fit');
  });

  test('an answer to what was asked before does not count', async () => {
    const it = await fit();
    it.prober.answer = () => ({ afterMs: 500, result: OK });
    it.monitor.probeNow(KEY);
    it.monitor.condemn(KEY, HUNG);
    await it.clock.advance(600);
    expect(it.monitor.state(KEY)).toMatchObject({ kind: 'unfit', passes: 0 });
  });

  test('held, it comes back only after its release', async () => {
    const it = await fit();
    it.monitor.condemn(KEY, { cause: 'stalled', detail: 'nothing finishes', held: true });
    await it.clock.advance(60_000);
    expect(it.monitor.state(KEY)?.kind).toBe('unfit');
    it.monitor.release(KEY);
    await it.clock.advance(2_500);
    expect(it.monitor.state(KEY)?.kind).toBe('fit');
  });

  test('who is starting is left to its start time-out; who is unknown, to nobody', async () => {
    const it = monitoring();
    it.prober.answer = () => 'never';
    it.monitor.track(INSTANCE, POLICY, 'started');
    expect(it.monitor.condemn(KEY, HUNG)).toBe(false);
    expect(it.monitor.condemn('api#9@1', HUNG)).toBe(false);
    it.monitor.release('api#9@1');
    it.monitor.probeNow('api#9@1');
    expect(it.changes).toEqual([]);
  });

  test('a probe between two others counts like them', async () => {
    const it = await fit();
    it.prober.answer = () => ({ afterMs: 1, result: ERROR });
    for (let i = 0; i < POLICY.fall; i++) {
      it.monitor.probeNow(KEY);
      await it.clock.advance(5);
    }
    expect(it.monitor.state(KEY)?.kind).toBe('unfit');
  });
});

describe('tracking', () => {
  test('twice is once', async () => {
    const it = await fit();
    const sent = it.prober.sentAtMs.length;
    it.monitor.track(INSTANCE, POLICY, 'known');
    expect(it.prober.sentAtMs).toHaveLength(sent);
    expect(it.monitor.state(KEY)?.kind).toBe('fit');
  });

  test('a new start of the same number begins anew', async () => {
    const it = await fit();
    const again = processAt(0, { startedAtMs: FakeClock.epochMs + 500 });
    it.monitor.track(again, POLICY, 'started');
    expect(it.monitor.state(instanceKey(again))?.kind).toBe('starting');
    expect(it.monitor.state(KEY)?.kind).toBe('fit');
  });

  test('what is not tracked any more is not probed, and late answers change nothing', async () => {
    const it = await fit();
    it.prober.answer = () => 'never';
    await it.clock.advance(35_000);
    const sent = it.prober.sentAtMs.length;
    expect(it.prober.outstanding).toBeGreaterThan(0);
    it.monitor.untrack(KEY);
    await it.clock.advance(120_000);
    expect(it.prober.sentAtMs).toHaveLength(sent);
    expect(it.changes.filter(({ after }) => after === 'unfit')).toEqual([]);
    expect(it.monitor.state(KEY)).toBeNull();
    expect(it.clock.pending).toBe(0);
  });

  test('only those that are still there are kept', async () => {
    const it = await fit();
    const [second, third] = [processAt(1), processAt(2)];
    it.monitor.track(second, POLICY, 'started');
    it.monitor.track(third, POLICY, 'started');
    it.monitor.retain(new Set([instanceKey(second), 'api#9@1']));
    const kept = [INSTANCE, second, third].map((one) => it.monitor.state(instanceKey(one)) !== null);
    expect(kept).toEqual([false, true, false]);
  });

  test('closing ends every pace', async () => {
    const it = await fit();
    it.monitor.track(processAt(1), POLICY, 'started');
    it.monitor.close();
    await it.clock.advance(120_000);
    expect(it.clock.pending).toBe(0);
    expect(it.monitor.state(KEY)).toBeNull();
  });

  test('a service that listens on no port is as healthy as PM2 says', async () => {
    const silent = processAt(0, { port: null });
    const it = await fit(silent);
    await it.clock.advance(60_000);
    expect(it.prober.sentAtMs).toEqual([]);
    expect(it.monitor.state(instanceKey(silent))?.kind).toBe('fit');
  });

  test('tells only of changes of the kind', async () => {
    const it = await fit();
    it.prober.answer = (probe) => ({ afterMs: 1, result: probe % 2 === 0 ? OK : ERROR });
    await it.clock.advance(300_000);
    expect(it.changes).toEqual([{ pmId: 0, before: 'starting', after: 'fit', atMs: expect.any(Number) }]);
  });

  test('knows which service has one in doubt', async () => {
    const it = await fit();
    expect(it.monitor.isUnsettled('api')).toBe(false);
    expect(it.monitor.isUnsettled('web')).toBe(false);
    it.monitor.track(processAt(1, { service: 'web' }), POLICY, 'started');
    expect(it.monitor.isUnsettled('web')).toBe(true);
    expect(it.monitor.isUnsettled('api')).toBe(false);
  });
});

describe('figures', () => {
  test('refusals before it ever answered are how starting looks, not errors', async () => {
    const it = monitoring();
    it.prober.answer = (probe) => ({
      afterMs: 1,
      result: probe < 3 ? { ok: false, latencyMs: 1, kind: 'refused', detail: 'connection refused' } : OK,
    });
    it.monitor.track(INSTANCE, POLICY, 'started');
    await it.clock.advance(1_000);
    expect(it.monitor.figures(KEY)).toEqual({ responseTimeMs: { p50: 2, p95: 2, p99: 2 }, errorRate: 0 });
  });

  test('cover the last hundred, latencies of passes only', async () => {
    const it = await fit();
    it.prober.answer = (probe) => ({
      afterMs: 1,
      result: probe % 4 === 0 ? ERROR : { ok: true, latencyMs: 7 },
    });
    for (let i = 0; i < 400; i++) {
      void it.monitor.probeAll();
      await it.clock.advance(2);
    }
    const { responseTimeMs, errorRate } = it.monitor.figures(KEY);
    expect(responseTimeMs).toEqual({ p50: 7, p95: 7, p99: 7 });
    expect(errorRate).toBeCloseTo(0.25, 2);
  });

  test('of nothing are missing, not zero', () => {
    expect(monitoring().monitor.figures('nobody')).toEqual({ responseTimeMs: null, errorRate: null });
    expect(percentilesOf([])).toBeNull();
  });

  test('percentiles are values that occurred, in order', () => {
    expect(percentilesOf(Array.from({ length: 100 }, (_, i) => 100 - i))).toEqual({
      p50: 51,
      p95: 96,
      p99: 100,
    });
    fc.assert(
      fc.property(fc.array(fc.nat(), { minLength: 1 }), (values) => {
        const { p50, p95, p99 } = percentilesOf(values)!;
        for (const value of [p50, p95, p99]) expect(values).toContain(value);
        expect(p50 <= p95 && p95 <= p99).toBe(true);
      }),
    );
  });
});

describe('one that refuses connections at 127.0.0.1', () => {
  const REFUSED: ProbeResult = { ok: false, latencyMs: 1, kind: 'refused', detail: 'connection refused' };

  test('is asked where it listens, from the same probe on', async () => {
    const { clock, prober, located, monitor } = monitoring();
    located.host = '::1';
    prober.answer = () => ({ afterMs: 1, result: prober.hosts.at(-1) === '::1' ? OK : REFUSED });
    monitor.track(INSTANCE, POLICY, 'started');
    await clock.advance(20);
    expect(prober.hosts.slice(0, 2)).toEqual(['127.0.0.1', '::1']);
    await clock.advance(5_000);
    expect(monitor.state(KEY)).toMatchObject({ kind: 'fit' });
    expect(monitor.hostOf(KEY)).toBe('::1');
    expect(prober.hosts.filter((host) => host !== '::1')).toHaveLength(1);
  });

  test('is looked for again when it refuses there, too, and not more than twice a second', async () => {
    const { clock, prober, located, monitor } = monitoring();
    prober.answer = () => ({ afterMs: 1, result: REFUSED });
    located.host = '::1';
    monitor.track(INSTANCE, POLICY, 'started');
    await clock.advance(100);
    expect(monitor.hostOf(KEY)).toBe('::1');
    located.host = null;
    await clock.advance(300);
    expect(monitor.hostOf(KEY)).toBe('::1');
    await clock.advance(2_000);
    expect(monitor.hostOf(KEY)).toBe('127.0.0.1');
  });
});

describe('a port that a process of another user holds', () => {
  const STRANGER: ProbeResult = { ok: false, latencyMs: 1, kind: 'stranger', detail: 'uid 7' };
  const asked = (prober: ScriptedProber): unknown[] => prober.targets.map(({ owner }) => owner?.userIds);

  test('makes its instance unfit, whatever is answered there', async () => {
    const { clock, prober, owners, monitor } = monitoring();
    owners.shallow = owners.deep = [1_000];
    monitor.track(INSTANCE, POLICY, 'started');
    await clock.advance(2_000);
    expect(monitor.state(KEY)).toMatchObject({ kind: 'fit' });
    expect(monitor.ownerOf(KEY)).toEqual({ pid: INSTANCE.pid, userIds: [1_000] });
    prober.answer = () => ({ afterMs: 1, result: STRANGER });
    await clock.advance(60_000);
    expect(monitor.state(KEY)).toMatchObject({ kind: 'unfit' });
    expect(monitor.lastProbe(KEY)?.detail).toBe('uid 7');
  });

  test('is its own when something that the instance has started runs as that user', async () => {
    const { clock, prober, owners, monitor } = monitoring();
    owners.shallow = [1_000];
    owners.deep = [7, 1_000];
    prober.answer = () => ({
      afterMs: 1,
      result: prober.targets.at(-1)?.owner?.userIds.includes(7) === true ? OK : STRANGER,
    });
    monitor.track(INSTANCE, POLICY, 'started');
    await clock.advance(20);
    expect(asked(prober).slice(0, 2)).toEqual([[1_000], [7, 1_000]]);
    await clock.advance(2_000);
    expect(monitor.state(KEY)).toMatchObject({ kind: 'fit' });
    expect(monitor.ownerOf(KEY)?.userIds).toEqual([7, 1_000]);
  });

  test('is not looked at where its owners are not known', async () => {
    const { clock, prober, monitor } = monitoring();
    monitor.track(INSTANCE, POLICY, 'started');
    await clock.advance(100);
    expect(prober.targets[0]).not.toHaveProperty('owner');
    expect(monitor.ownerOf(KEY)).toBeNull();
  });
});
