/**
 * What fails is replaced, on a real PM2: killed, crash-looping, sick without exiting, stopped. The times are shortened
 * through the settings that users have; what is asserted are outcomes, and that the healthy rest never stops serving.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { BACKEND, Deployment } from '../../support/deployment.js';
import { isAlive, sendSignal } from '../../support/processes.js';
import { canBeStranger, stranger, STRANGER_UID } from '../../support/stranger.js';
import { Traffic } from '../../support/traffic.js';
import { waitFor } from '../../support/waitFor.js';

const SETTINGS = {
  AUTOSCALE: 'false',
  HEALTH_CHECK_INTERVAL: '1000',
  HEALTH_CHECK_TIMEOUT: '1000',
  HEALTH_CHECK_FAST_INTERVAL: '300',
  START_TIMEOUT: '5000',
  STABLE_PERIOD: '1500',
  RESTART_COOLDOWN: '2000',
  HEALTH_BODY: 'ok',
  RESTART_WINDOW: '600000',
  RESTART_BACKOFF: '200',
  DRAIN_GRACE: '300',
  KILL_TIMEOUT: '2000',
};

let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start(SETTINGS);
});

afterEach(async () => {
  deployment.nextStarts({});
  await deployment.post(`reset-failure/${BACKEND}`);
  await deployment.untilWhole(BACKEND, 2);
});

afterAll(async () => {
  await deployment.dispose();
});

describe('kill -9, 20 times at random under load', () => {
  it('is always back to the desired count, at no cost for the budget', async () => {
    // PM2's daemon keeps a connection open that it accepted for a worker that is dead: don't wait for it long.
    const traffic = await Traffic.start({
      haPort: deployment.haPort,
      service: BACKEND,
      concurrency: 4,
      timeoutMs: 1_000,
    });
    const timesMs: number[] = [];
    for (let round = 0; round < 20; round++) {
      const victims = (await deployment.instances()).filter(({ serving }) => serving);
      const victim = victims[Math.floor(Math.random() * victims.length)]!;
      const startedMs = performance.now();
      expect(sendSignal(victim.pid!, 'SIGKILL')).toBe(true);
      await deployment.until('two other processes to serve', ({ services }) => {
        const { instances, serving } = services.find(({ name }) => name === BACKEND)!;
        return serving === 2 && !instances.some(({ pid }) => pid === victim.pid);
      });
      timesMs.push(performance.now() - startedMs);
    }
    const median = timesMs.sort((a, b) => a - b)[10]!;
    console.log(`kill -9 to serving, ms: median ${median.toFixed(0)}, worst ${timesMs.at(-1)!.toFixed(0)}`);
    const losses = await traffic.stop();
    // What a killed instance was just answering, or what PM2's daemon was just handing to it, is lost whatever anybody
    // does; nothing else may be.
    traffic.forgive(/ECONNRESET|socket hang up|ECONNREFUSED|no answer/);
    expect(losses.lost).toEqual([]);
    expect(losses.answered).toBeGreaterThan(30);
    const { services } = await deployment.failover();
    expect(services.find(({ name }) => name === BACKEND)!.attemptsUsed).toBe(0);
    const exits = await deployment.events('instance.exited');
    expect(exits.filter(({ data }) => data['signal'] === 'SIGKILL')).toHaveLength(20);
    const { data: health } = await deployment.health();
    expect(health.status).toBe('healthy');
  });
});

describe("a port that is taken before PM2's next start of the instance listens there", () => {
  it.each([
    ['the same user', null],
    ['another user (needs root)', STRANGER_UID],
  ])(
    'by a process of %s: the instance moves to another port, at no cost for the budget',
    async (_whose, uid) => {
      if (uid !== null && !canBeStranger) return;
      const quarantined = (await deployment.events('instance.quarantined')).length;
      const victim = (await deployment.instances()).find(({ serving }) => serving);
      const port = victim!.port!;
      const waiting = stranger(port, '127.0.0.1', uid);
      expect(sendSignal(victim!.pid!, 'SIGKILL')).toBe(true);
      const taker = await waiting.listening;
      try {
        await deployment.until('two to serve on other ports', ({ services }) => {
          const { instances, serving, state } = services.find(({ name }) => name === BACKEND)!;
          return state === 'healthy' && serving === 2 && !instances.some((one) => one.port === port);
        });
        const told = (await deployment.events('instance.portShared')).at(-1);
        expect(told?.data).toMatchObject({
          instance: { pmId: victim!.pmId },
          heldBy: expect.stringMatching(/^pid \d+ \(/),
        });
        const exits = (await deployment.events('instance.exited')).filter(
          ({ data }) =>
            (data['instance'] as { pmId: number }).pmId === victim!.pmId && data['signal'] === null,
        );
        expect(exits.length).toBeGreaterThan(0);
        expect(exits.filter(({ data }) => data['charged'] === true)).toEqual([]);
        expect((await deployment.events('instance.quarantined')).length).toBe(quarantined);
      } finally {
        await taker.leave();
      }
    },
  );
});

describe('a crash loop', () => {
  /** Seconds that an instance runs before it dies; 30 for the case as users know it. */
  const ageMs = Number(process.env['CRASH_AGE_MS'] ?? 2_000);

  async function quarantined(): Promise<number> {
    const [victim] = await deployment.instances();
    deployment.nextStarts({ service: BACKEND, FAULT_EXIT_AFTER_MS: ageMs });
    await deployment.fault(victim!, 'exit?code=1');
    await deployment.until(
      'quarantine',
      ({ services }) => services.find(({ name }) => name === BACKEND)!.state === 'quarantined',
      6 * ageMs + 10_000,
    );
    return victim!.pmId;
  }

  it(
    'is quarantined at any age, the healthy rest keeps serving, and reset-failure brings it back',
    async () => {
      const pmId = await quarantined();
      const service = await deployment.until('the halt', ({ services }) =>
        services
          .find(({ name }) => name === BACKEND)!
          .instances.some((one) => one.pmId === pmId && one.status === 'stopped'),
      );
      expect(service.services.find(({ name }) => name === BACKEND)!.serving).toBe(1);
      const exits = (await deployment.events('instance.exited')).filter(
        ({ data }) => data['charged'] === true,
      );
      // One failure and three restarts that failed, too.
      expect(exits.slice(-4)).toHaveLength(4);
      const restarts = (await deployment.pm2.jlist()).find((row) => row.pm_id === pmId)!.pm2_env.restart_time;
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      const later = (await deployment.pm2.jlist()).find((row) => row.pm_id === pmId)!.pm2_env;
      expect(later.restart_time).toBe(restarts);
      expect(await deployment.events('service.quarantined')).not.toHaveLength(0);
      deployment.nextStarts({});
      const { data } = await deployment.post<{ cleared: { quarantined: boolean } }>(
        `reset-failure/${BACKEND}`,
      );
      expect(data.cleared.quarantined).toBe(true);
      await deployment.untilWhole(BACKEND, 2);
    },
    12 * ageMs + 60_000,
  );

  it(
    'ends by a half-open trial when it is mended, and not before',
    async () => {
      await quarantined();
      const failedBefore = (await deployment.events('service.trialFailed')).length;
      await waitFor(async () => (await deployment.events('service.trialFailed')).length > failedBefore, {
        what: 'a trial of what is not mended to fail',
        deadlineMs: 30_000 + 2 * ageMs,
        intervalMs: 200,
      });
      deployment.nextStarts({});
      await deployment.untilWhole(BACKEND, 2, 60_000 + 4 * ageMs);
      const reset = (await deployment.events('service.reset')).at(-1);
      expect(reset?.data['by']).toMatch(/stayed fit/);
    },
    20 * ageMs + 120_000,
  );
});

describe('wrong health without an exit', () => {
  it.each(['health?status=503', 'health?status=hang', 'health?status=wrong-body', 'SIGSTOP'])(
    '%s: taken out, replaced new-first, ended',
    async (how) => {
      const [victim] = await deployment.instances();
      if (how === 'SIGSTOP') sendSignal(victim!.pid!, 'SIGSTOP');
      else await deployment.fault(victim!, how);
      let leastRunning = 2;
      await deployment.until('it to be replaced', ({ services }) => {
        const service = services.find(({ name }) => name === BACKEND)!;
        leastRunning = Math.min(leastRunning, service.instances.length);
        return service.serving === 2 && !service.instances.some(({ pmId }) => pmId === victim!.pmId);
      });
      expect(leastRunning).toBe(2);
      expect(isAlive(victim!.pid!)).toBe(false);
      const events = await deployment.events();
      const about = (type: string, pmId: number): number =>
        events.findLastIndex(
          (event) =>
            event.type === type && (event.data['instance'] as { pmId?: number } | undefined)?.pmId === pmId,
        );
      const replacement = (await deployment.instances()).at(-1)!.pmId;
      // Out of traffic first, then the new one serves, then the old one ends.
      expect(about('instance.withdrawn', victim!.pmId)).toBeLessThan(about('instance.serving', replacement));
      expect(about('instance.serving', replacement)).toBeLessThan(about('instance.stopped', victim!.pmId));
    },
  );
});
