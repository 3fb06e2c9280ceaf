/**
 * The gateway in front of a real deployment: whatever the supervisor and PM2 do to instances, clients lose nothing; and
 * whatever happens to supervisor and daemon, traffic goes on.
 */
import { copyFileSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { GatewayStatus } from '../../../backend/src/gateway/pages/statusSchema.js';
import { BACKEND, Deployment } from '../../support/deployment.js';
import { GatewayTraffic } from '../../support/gatewayTraffic.js';
import { childrenOf, isAlive, sendSignal } from '../../support/processes.js';
import { waitFor } from '../../support/waitFor.js';

const GRACE_MS = 200;
const SETTINGS = {
  AUTOSCALE: 'false',
  HEALTH_CHECK_INTERVAL: '1000',
  HEALTH_CHECK_TIMEOUT: '1000',
  HEALTH_CHECK_FAST_INTERVAL: '200',
  STABLE_PERIOD: '500',
  CANARY_PERIOD: '1000',
  DRAIN_GRACE: String(GRACE_MS),
  KILL_TIMEOUT: '10000',
  MAX_INSTANCES: '6',
  MAX_RESTART_ATTEMPTS: '50',
  LB_ALGORITHM: 'round-robin',
  // Kills in quick succession at a few hundred requests a second: its usual budget is for sickness, not for this.
  LB_RETRY_MIN: '100',
  // Of a few requests each instance is to get its share, however new it is.
  LB_SLOW_START: '0',
};

/** A Node at another path than the one that runs everything else. */
const otherFolder = mkdtempSync(join(tmpdir(), 'holdfast-other-node-'));
const otherNode = join(otherFolder, 'node');

let deployment: Deployment;
beforeAll(async () => {
  copyFileSync(process.execPath, otherNode);
  deployment = await Deployment.start({ ...SETTINGS, GATEWAY_NODE: otherNode });
  await gatewayKnows(2);
});
afterAll(async () => {
  await deployment.dispose();
  rmSync(otherFolder, { recursive: true, force: true });
});

let traffic: GatewayTraffic | null = null;
afterEach(async () => {
  await traffic?.stop();
  traffic = null;
});

async function start(): Promise<GatewayTraffic> {
  traffic = await GatewayTraffic.start({
    port: deployment.gatewayPort,
    requests: [
      { method: 'GET', path: '/api/status' },
      { method: 'GET', path: '/debug/slow?ms=100' },
      { method: 'GET', path: '/api/health' },
    ],
  });
  return traffic;
}

async function gatewayStatus(): Promise<GatewayStatus> {
  const url = `http://127.0.0.1:${deployment.gatewayPort}/lb/status`;
  return (await (await fetch(url, { signal: AbortSignal.timeout(5_000) })).json()) as GatewayStatus;
}

/** Waits until the gateway sends traffic to exactly so many upstreams. */
async function gatewayKnows(upstreams: number): Promise<void> {
  await waitFor(
    async () => {
      const { pools, workers } = await gatewayStatus();
      const all = pools[0]!.upstreams;
      const serving = workers.filter(({ state }) => state === 'serving').length;
      return all.length === upstreams && all.every(({ state }) => state === 'up') && serving === 2;
    },
    { what: `${upstreams} upstreams behind the gateway`, deadlineMs: 20_000 },
  );
}

const pidOf = async (name: string): Promise<number> => {
  const row = (await deployment.pm2.jlist()).find((one) => one.name === name);
  if (row === undefined) throw new Error(`PM2 does not list ${name}`);
  return row.pid;
};

it('runs on the Node that GATEWAY_NODE names, workers too, and nothing else does', async () => {
  const programOf = (pid: number): string => readlinkSync(`/proc/${pid}/exe`);
  const gateway = await pidOf('ha-gateway');
  const workers = childrenOf(gateway);
  expect(workers).toHaveLength(2);
  expect([gateway, ...workers].map(programOf)).toEqual([otherNode, otherNode, otherNode]);
  for (const name of ['ha-supervisor', BACKEND]) expect(programOf(await pidOf(name))).not.toBe(otherNode);
});

describe('under load, nothing is lost', () => {
  it('while it scales up and down', async () => {
    const load = await start();
    for (const target of [4, 2, 5, 1, 3, 2]) {
      const { desired } = await deployment.service();
      const path = target > desired ? 'scale-up' : 'scale-down';
      expect((await deployment.post(path, { serviceName: BACKEND, targetInstances: target })).status).toBe(
        200,
      );
      await gatewayKnows(target);
    }
    expect((await load.stop()).lost).toEqual([]);
    expect(load.answered).toBeGreaterThan(500);
  });

  it('while every instance is replaced, and then rolled', async () => {
    const load = await start();
    expect((await deployment.post('failover', { serviceName: BACKEND })).status).toBe(200);
    expect((await deployment.post('deploy', { serviceName: BACKEND })).status).toBe(200);
    await load.more(100);
    expect((await load.stop()).lost).toEqual([]);
  });

  it('while instances are killed, as far as a repeated request can see', async () => {
    const load = await start();
    for (let i = 0; i < 6; i += 1) {
      const { pid } = (await deployment.instances()).find(({ serving }) => serving)!;
      sendSignal(pid!, 'SIGKILL');
      // Before it is noticed the service looks whole, and the next one would be the last that lives.
      await waitFor(async () => !(await deployment.instances()).some((one) => one.pid === pid), {
        what: 'the death to be noticed',
      });
      await deployment.untilWhole(BACKEND, 2);
      await gatewayKnows(2);
      await load.more(20);
    }
    const startedMs = performance.now();
    expect((await load.stop()).lost).toEqual([]);
    // Nor does anybody hang: PM2's daemon keeps connections of a dead cluster worker open.
    expect(performance.now() - startedMs).toBeLessThan(3_000);
  });
});

/** Of the instance that was stopped last; another one may be withdrawn meanwhile, because its slow requests look stalled. */
async function fromWithdrawnToStoppedMs(): Promise<number> {
  const [stopped] = (await deployment.events('instance.stopped')).slice(-1);
  const pmIdOf = ({ data }: { readonly data: unknown }): number =>
    (data as { instance: { pmId: number } }).instance.pmId;
  const [withdrawn] = (await deployment.events('instance.withdrawn'))
    .filter((event) => pmIdOf(event) === pmIdOf(stopped!))
    .slice(-1);
  return Date.parse(stopped!.at) - Date.parse(withdrawn!.at);
}

describe('draining', () => {
  it('a stop waits for the request that is under way, and for no longer', async () => {
    await deployment.untilWhole(BACKEND, 2);
    await gatewayKnows(2);
    const inFlight = async (): Promise<readonly number[]> =>
      (await gatewayStatus()).pools[0]!.upstreams.map((upstream) => upstream.inFlight);
    // Workers tell it twice a second: what is shown may be the load of the test before.
    await waitFor(async () => (await inFlight()).every((count) => count === 0), {
      what: 'nothing under way',
    });
    const url = `http://127.0.0.1:${deployment.gatewayPort}/debug/slow?ms=3000`;
    // One for each of the two: whichever leaves has one under way.
    const slow = Promise.all(
      [1, 2, 3, 4].map(async () => {
        const answer = await fetch(url);
        await answer.text();
        return { status: answer.status, atMs: performance.now() };
      }),
    );
    await waitFor(async () => (await inFlight()).every((count) => count > 0), {
      what: 'requests under way at both',
    });
    const beganMs = performance.now();
    const { status } = await deployment.post('scale-down', { serviceName: BACKEND, targetInstances: 1 });
    const tookMs = performance.now() - beganMs;
    const answers = await slow;
    expect(status).toBe(200);
    expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200, 200]);
    // Not by its grace alone (200 ms), and not by the kill time-out (10 s).
    expect(tookMs).toBeGreaterThan(1_500);
    expect(tookMs).toBeLessThan(6_000);
    expect(await fromWithdrawnToStoppedMs()).toBeGreaterThan(1_500);
  });

  it('without anything under way it takes the grace and little more', async () => {
    await deployment.post('scale-up', { serviceName: BACKEND, targetInstances: 2 });
    await gatewayKnows(2);
    await deployment.post('scale-down', { serviceName: BACKEND, targetInstances: 1 });
    expect(await fromWithdrawnToStoppedMs()).toBeLessThan(GRACE_MS + 2_000);
    await deployment.post('scale-up', { serviceName: BACKEND, targetInstances: 2 });
    await gatewayKnows(2);
  });
});

it('the supervisor knows the gateway, and its figures are those of real traffic', async () => {
  const load = await start();
  await load.more(300);
  const { gateways } = await deployment.status();
  // Two backends, and the frontend whose pages it routes.
  expect(gateways).toMatchObject([{ workers: 2, upstreams: 3 }]);
  const metrics = await waitFor(
    async () => {
      const service = (await deployment.metrics()).services.find(({ name }) => name === BACKEND)!;
      return (service.throughputPerSecond ?? 0) > 5 && service.errorRate === 0 ? service : null;
    },
    { what: 'figures of real traffic' },
  );
  // Every third request takes 100 ms: no probe does.
  expect(metrics.responseTimeMs!.p95).toBeGreaterThan(50);
});

describe('without its neighbours', () => {
  it('traffic goes on while the supervisor is killed and comes back', async () => {
    const load = await start();
    const pid = await deployment.supervisorPid();
    const killedAtMs = Date.now();
    sendSignal(pid, 'SIGKILL');
    await load.more(200);
    await deployment.untilWhole(BACKEND, 2);
    await load.more(200);
    const { changes, pools } = await gatewayStatus();
    expect((await load.stop()).lost).toEqual([]);
    // Nor did anybody leave the pool for a moment: WebSockets would have been closed for it.
    const sinceKill = changes.filter(({ at }) => Date.parse(at) >= killedAtMs);
    expect(sinceKill.filter(({ text }) => text.includes('drains'))).toEqual([]);
    expect(pools[0]!.upstreams.map(({ state }) => state)).toEqual(['up', 'up']);
  });

  it('traffic goes on while the supervisor stands still', async () => {
    const load = await start();
    const pid = await deployment.supervisorPid();
    sendSignal(pid, 'SIGSTOP');
    try {
      await load.more(400);
    } finally {
      sendSignal(pid, 'SIGCONT');
    }
    expect((await load.stop()).lost).toEqual([]);
  });

  it('a gateway that starts without a supervisor serves from what it remembers', async () => {
    await waitFor(
      () => readFileSync(join(deployment.pm2.home, 'data/gateway-pool.json'), 'utf8').includes('127.0.0.1'),
      { what: 'the remembered pool' },
    );
    const gatewayPid = await pidOf('ha-gateway');
    const supervisorPid = await deployment.supervisorPid();
    sendSignal(supervisorPid, 'SIGSTOP');
    try {
      sendSignal(gatewayPid, 'SIGKILL');
      await waitFor(() => !isAlive(gatewayPid), { what: 'the end of the gateway' });
      await gatewayKnows(2);
      const answer = await fetch(`http://127.0.0.1:${deployment.gatewayPort}/api/status`);
      expect(answer.status).toBe(200);
    } finally {
      sendSignal(supervisorPid, 'SIGCONT');
    }
  });

  it("after the death of PM2's daemon the gateway is under the new one, and the old one has left", async () => {
    await deployment.untilWhole(BACKEND, 2);
    const oldGateway = await pidOf('ha-gateway');
    const oldDaemon = deployment.pm2.daemonPid()!;
    sendSignal(oldDaemon, 'SIGKILL');
    await waitFor(
      async () => {
        const daemon = deployment.pm2.daemonPid();
        return daemon !== null && daemon !== oldDaemon && (await pidOf('ha-gateway')) !== oldGateway;
      },
      { what: 'a gateway under the new daemon', deadlineMs: 30_000 },
    );
    await deployment.untilWhole(BACKEND, 2, 60_000);
    await waitFor(() => !isAlive(oldGateway), { what: 'the end of the old gateway', deadlineMs: 40_000 });
    await gatewayKnows(2);
    const rows = (await deployment.pm2.jlist()).filter(({ name }) => name === 'ha-gateway');
    expect(rows.map(({ pm2_env }) => pm2_env.status)).toEqual(['online']);
    const load = await start();
    await load.more(100);
    expect((await load.stop()).lost).toEqual([]);
  });
});

it('when no instance is well, all that live are asked, and not only the last that was', async () => {
  await deployment.untilWhole(BACKEND, 2);
  await gatewayKnows(2);
  const all = await deployment.instances();
  const ids = all.map(({ port }) => `127.0.0.1:${port}`).sort();
  deployment.nextStarts({ FAULT_START: 'never-listen' });
  for (const instance of all) await deployment.fault(instance, 'health?status=503');
  await waitFor(
    async () => {
      const { upstreams } = (await gatewayStatus()).pools[0]!;
      const down = upstreams.filter(({ state }) => state === 'down').map(({ id }) => id);
      return JSON.stringify(down.sort()) === JSON.stringify(ids);
    },
    { what: 'both to be known as unwell', deadlineMs: 20_000 },
  );
  const asked = async (): Promise<number[]> =>
    (await gatewayStatus()).pools[0]!.upstreams.filter(({ id }) => ids.includes(id)).map(
      ({ totals }) => totals.requests,
    );
  const before = await asked();
  const load = await start();
  await load.more(60);
  expect((await load.stop()).lost).toEqual([]);
  await waitFor(async () => (await asked()).every((requests, i) => requests > before[i]! + 10), {
    what: 'both to have been asked',
  });
  deployment.nextStarts({});
  for (const instance of all) await deployment.fault(instance, 'health?status=200').catch(() => undefined);
  await deployment.untilWhole(BACKEND, 2, 60_000);
  await gatewayKnows(2);
});
