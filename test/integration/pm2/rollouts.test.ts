/**
 * Scaling down, churn and deploys under load lose nothing and end in a consistent state. `CHURN=full` makes it 20 scale-downs
 * and 36 calls one after another, every night; the everyday run makes 8 and 18.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BACKEND, Deployment } from '../../support/deployment.js';
import { processesMentioning, readEnviron } from '../../support/processes.js';
import { Traffic } from '../../support/traffic.js';

const IS_FULL = process.env['CHURN'] === 'full';
const SCALE_DOWNS = IS_FULL ? 20 : 8;
const TRIPLES = IS_FULL ? 12 : 6;

const SETTINGS = {
  AUTOSCALE: 'false',
  HEALTH_CHECK_INTERVAL: '2000',
  HEALTH_CHECK_TIMEOUT: '2000',
  START_TIMEOUT: '4000',
  STABLE_PERIOD: '1000',
  CANARY_PERIOD: '800',
  DRAIN_GRACE: '250',
  KILL_TIMEOUT: '8000',
};

let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start(SETTINGS);
});

afterAll(async () => {
  await deployment.dispose();
});

/** Every process that really runs for the service, by its environment: also those PM2 does not know. */
function liveProcesses(): number[] {
  return processesMentioning(deployment.pm2.home).filter((pid) => {
    const env = readEnviron(pid);
    return env['name'] === BACKEND || (env['pm2_env'] ?? '').includes(`"name":"${BACKEND}"`);
  });
}

async function expectConsistent(): Promise<void> {
  await deployment.untilWhole();
  const service = await deployment.service();
  const rows = (await deployment.pm2.jlist()).filter(({ name }) => name === BACKEND);
  expect(rows).toHaveLength(service.desired);
  expect(new Set(service.instances.map(({ port }) => port)).size).toBe(service.desired);
  expect(liveProcesses().sort()).toEqual(rows.map(({ pid }) => pid).sort());
}

describe('scaling down under load', () => {
  it('many times, and no request in flight is lost', async () => {
    const traffic = await Traffic.start({ haPort: deployment.haPort, service: BACKEND });
    for (let round = 0; round < SCALE_DOWNS; round++) {
      const up = await deployment.post('scale-up', { targetInstances: 3 });
      expect(up.status).toBe(200);
      const down = await deployment.post('scale-down', { targetInstances: 2 });
      expect(down.status, JSON.stringify(down.error)).toBe(200);
      expect(down.data.stopped).toHaveLength(1);
    }
    const { lost, answered } = await traffic.stop();
    expect(lost).toEqual([]);
    expect(answered).toBeGreaterThan(25 * SCALE_DOWNS);
    await expectConsistent();
  });
});

describe('50 concurrent calls', () => {
  it('are either carried out or refused with a reason, and leave a consistent state', async () => {
    const calls = Array.from({ length: 50 }, (_, i) => {
      if (i % 5 === 4) return deployment.post('failover', { serviceName: BACKEND });
      return i % 2 === 0
        ? deployment.post('scale-up', { targetInstances: 2 + (i % 3) })
        : deployment.post('scale-down', { targetInstances: 1 + (i % 3) });
    });
    const answers = await Promise.all(calls);
    for (const { status, error } of answers) {
      expect([200, 409]).toContain(status);
      if (status === 409) expect(error?.code).toMatch(/^(operation\.conflict|scale\.not-)/);
    }
    expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThan(0);
    await expectConsistent();
  });

  it('one after another as fast as they are accepted', async () => {
    for (let i = 0; i < TRIPLES; i++) {
      const path = ['scale-up', 'failover', 'scale-down'][i % 3]!;
      await Promise.all(
        [1, 2, 3].map(() => deployment.post(path, path === 'failover' ? { serviceName: BACKEND } : {})),
      );
    }
    await expectConsistent();
  });
});

describe('a deploy', () => {
  it.each(['crash', 'never-listen', 'status-500'])(
    'of a build that fails by %s removes its canary',
    async (fault) => {
      await deployment.untilWhole();
      const before = (await deployment.instances()).map(({ pid }) => pid);
      const traffic = await Traffic.start({ haPort: deployment.haPort, service: BACKEND });
      deployment.nextStarts({ service: BACKEND, FAULT_START: fault });
      const { status, error } = await deployment.post('deploy', { serviceName: BACKEND });
      deployment.nextStarts({});
      expect(status).toBe(424);
      expect(error?.code).toBe('deploy.canary-failed');
      expect(error?.message).toMatch(/canary .* did not verify: (crashed|not-ready)/);
      expect((await traffic.stop()).lost).toEqual([]);
      expect((await deployment.instances()).map(({ pid }) => pid)).toEqual(before);
      await expectConsistent();
    },
  );

  it('of a good build replaces all, without a refused connection', async () => {
    const before = (await deployment.instances()).map(({ pid }) => pid);
    const traffic = await Traffic.start({ haPort: deployment.haPort, service: BACKEND });
    const { status, data } = await deployment.post('deploy', { serviceName: BACKEND });
    expect(status).toBe(200);
    expect(data.stopped.map(({ pid }) => pid).sort()).toEqual([...before].sort());
    const { lost, answered } = await traffic.stop();
    expect(lost).toEqual([]);
    expect(answered).toBeGreaterThan(50);
    await expectConsistent();
  });
});
