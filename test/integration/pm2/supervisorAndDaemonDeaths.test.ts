/** The supervisor and PM2's daemon are killed and stopped; services don't notice, or are brought back. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BACKEND, Deployment, FRONTEND } from '../../support/deployment.js';
import { isAlive, parentOf, processesMentioning, sendSignal } from '../../support/processes.js';
import { Traffic } from '../../support/traffic.js';
import { waitFor } from '../../support/waitFor.js';

const SETTINGS = {
  AUTOSCALE: 'false',
  HEALTH_CHECK_INTERVAL: '1000',
  HEALTH_CHECK_TIMEOUT: '1000',
  HEALTH_CHECK_FAST_INTERVAL: '300',
  STABLE_PERIOD: '1000',
  RESTART_COOLDOWN: '60000',
  DRAIN_GRACE: '300',
  KILL_TIMEOUT: '3000',
};

let deployment: Deployment;

beforeEach(async () => {
  deployment = await Deployment.start(SETTINGS);
});

afterEach(async () => {
  await deployment.dispose();
});

/** kill -9, and wait until another supervisor answers. */
async function killSupervisor(): Promise<void> {
  const pid = await deployment.supervisorPid();
  sendSignal(pid, 'SIGKILL');
  await waitFor(async () => (await deployment.supervisorPid()) !== pid, {
    what: 'the supervisor to be back',
    deadlineMs: 15_000,
  });
}

describe('the supervisor is killed', () => {
  // What had been written down when it died is completed; what had not is taken back.
  it('during a scale-up: it is completed or undone, and traffic does not notice', async () => {
    const traffic = await Traffic.start({ haPort: deployment.haPort, service: BACKEND });
    const call = deployment.post('scale-up', { targetInstances: 4 }).catch(() => null);
    await deployment.until('the operation', ({ services }) => services[0]!.operation !== null);
    await killSupervisor();
    await call;
    await deployment.untilWhole();
    const { desired, instances } = await deployment.service();
    expect([2, 4]).toContain(desired);
    expect(instances).toHaveLength(desired);
    expect((await traffic.stop()).lost).toEqual([]);
  });

  it('during a failover: it is completed', async () => {
    const before = (await deployment.instances()).map(({ pid }) => pid);
    const call = deployment.post('failover', { serviceName: BACKEND }).catch(() => null);
    await deployment.until('the first replacement', ({ services }) => services[0]!.instances.length > 2);
    await killSupervisor();
    await call;
    await deployment.untilWhole(BACKEND, 2);
    const after = (await deployment.instances()).map(({ pid }) => pid);
    expect(after.filter((pid) => before.includes(pid))).toEqual([]);
  });

  it('during a quarantine: it remembers', async () => {
    const [victim] = await deployment.instances();
    deployment.nextStarts({ service: BACKEND, FAULT_EXIT_AFTER_MS: 300 });
    await deployment.fault(victim!, 'exit?code=1');
    await deployment.until(
      'quarantine, and the halt',
      ({ services }) =>
        services[0]!.state === 'quarantined' &&
        services[0]!.instances.some(({ status }) => status === 'stopped'),
    );
    const charged = async () =>
      (await deployment.events('instance.exited')).filter(({ data }) => data['charged'] === true);
    const before = await charged();
    await killSupervisor();
    await deployment.until('the other one to serve', ({ services }) => services[0]!.serving === 1);
    const service = await deployment.service();
    expect(service).toMatchObject({ state: 'quarantined', desired: 2 });
    expect(await charged()).toEqual(before);
    deployment.nextStarts({});
    await deployment.post(`reset-failure/${BACKEND}`);
    await deployment.untilWhole(BACKEND, 2);
  });

  it('while management is off: it stays off', async () => {
    await deployment.post('stop');
    await killSupervisor();
    expect((await deployment.status()).running).toBe(false);
    await deployment.post('start');
    expect((await deployment.status()).running).toBe(true);
  });
});

describe("PM2's daemon", () => {
  it('stopped: the API answers and says so, nothing hangs, no instance is judged', async () => {
    const before = (await deployment.instances()).map(({ pid }) => pid);
    const daemon = deployment.pm2.daemonPid()!;
    const stopMs = Number(process.env['DAEMON_STOP_MS'] ?? 12_000);
    sendSignal(daemon, 'SIGSTOP');
    const continueAtMs = performance.now() + stopMs;
    try {
      await deployment.until('the API to say so', ({ daemon: view }) => view.state === 'unresponsive');
      const refused = await deployment.post('scale-up');
      expect(refused).toMatchObject({ status: 503, error: { code: 'pm2.timeout' } });
      while (performance.now() < continueAtMs) {
        const startedMs = performance.now();
        expect((await deployment.status()).daemon.state).toBe('unresponsive');
        expect(performance.now() - startedMs).toBeLessThan(3_000);
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    } finally {
      sendSignal(daemon, 'SIGCONT');
    }
    await deployment.until('it to be connected again', ({ daemon: view }) => view.state === 'connected');
    await deployment.untilWhole(BACKEND, 2);
    expect((await deployment.instances()).map(({ pid }) => pid)).toEqual(before);
    const { services } = await deployment.failover();
    expect(services.map(({ attemptsUsed }) => attemptsUsed)).toEqual([0, 0]);
  });

  it('killed: brought back with everything that ran, and nothing left behind', async () => {
    await deployment.post('scale-up', { targetInstances: 3 });
    const before = processesMentioning(deployment.pm2.home);
    const daemon = deployment.pm2.daemonPid()!;
    sendSignal(daemon, 'SIGKILL');
    await waitFor(() => ![null, daemon].includes(deployment.pm2.daemonPid()), {
      what: 'a new daemon',
      deadlineMs: 20_000,
    });
    await deployment.until(
      'the desired count under the new daemon',
      ({ daemon: view, services }) =>
        view.state === 'connected' &&
        services.every(({ state, serving, desired }) => state === 'healthy' && serving === desired),
      30_000,
    );
    await deployment.untilWhole(BACKEND, 3);
    await deployment.untilWhole(FRONTEND);
    await waitFor(() => !before.some(isAlive), { what: 'all of the former life to be gone' });
    const rows = await deployment.pm2.jlist();
    expect(rows.filter(({ name }) => name === 'ha-supervisor')).toHaveLength(1);
    expect(rows.find(({ name }) => name === 'ha-supervisor')!.pid).toBe(await deployment.supervisorPid());
    const listed = rows.map(({ pid }) => pid);
    const left = processesMentioning(deployment.pm2.home).filter(
      // The gateway's workers are its own children.
      (pid) =>
        !listed.includes(pid) && !listed.includes(parentOf(pid) ?? 0) && pid !== deployment.pm2.daemonPid(),
    );
    expect(left).toEqual([]);
  });
});
