/** Load decides: up by one decision within one window, down after the down-window, and never back within a minute. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { join } from 'node:path';
import { RpcClient } from '../../../backend/src/adapters/pm2/rpcClient.js';
import { BACKEND, Deployment } from '../../support/deployment.js';

const UP_WINDOW_MS = 5_000;
const DOWN_WINDOW_MS = 10_000;

let deployment: Deployment;

beforeAll(async () => {
  // The standard deployment has one instance of each service; autoscaling is off there unless it is asked for.
  deployment = await Deployment.start(
    {
      AUTOSCALE: 'true',
      SCALE_UP_WINDOW: String(UP_WINDOW_MS),
      SCALE_DOWN_WINDOW: String(DOWN_WINDOW_MS),
      SCALE_COOLDOWN: '10000',
      // 40 % of a core is to be had also where the machine is busy with other things.
      CPU_THRESHOLD_HIGH: '30',
      CPU_THRESHOLD_LOW: '20',
    },
    'ecosystem.config.js',
  );
});

afterAll(async () => {
  await deployment.dispose();
});

it('grows with load and shrinks without, though another client makes PM2 report nonsense', async () => {
  // `monit.cpu` is wrong as soon as a second client polls; ours must not care.
  const second = new RpcClient({ socketPath: join(deployment.pm2.home, 'rpc.sock'), timeoutMs: 5_000 });
  const poller = setInterval(() => void second.call('getMonitorData', {}).catch(() => undefined), 130);
  try {
    await burnUntilGrown();
    await idleUntilShrunk();
  } finally {
    clearInterval(poller);
    second.close();
  }
}, 240_000);

/** How many there are then depends on how busy the machine is: at least two. */
async function burnUntilGrown(): Promise<void> {
  const [only, ...others] = await deployment.instances();
  expect(others).toEqual([]);
  await deployment.fault(only!, 'burn?ms=60000&percent=40');
  await deployment.until(
    'the service to grow',
    ({ services }) => services.find(({ name }) => name === BACKEND)!.desired > 1,
    60_000,
  );
  const moves = await autoscaled();
  expect(moves).toHaveLength(1);
  const grown = Number(moves[0]!.data['to']);
  await deployment.untilWhole(BACKEND, grown);
  expect(moves[0]!.data['reason']).toMatch(/load \d+ ?% .*above 30 ?%/);
  const view = await deployment.loadBalancer();
  const up = view.services
    .find(({ name }) => name === BACKEND)!
    .decisions.find(({ action }) => action === 'up');
  expect(up).toMatchObject({ from: 1, to: grown });
  await deployment.fault(only!, 'burn?ms=0&percent=40');
}

async function idleUntilShrunk(): Promise<void> {
  const grownAt = Date.parse((await deployment.events('service.scaled')).at(-1)!.at);
  await deployment.until(
    'the service to shrink',
    ({ services }) => services.find(({ name }) => name === BACKEND)!.desired === 1,
    150_000,
  );
  const [, ...down] = await autoscaled();
  expect(down.every(({ data }) => Number(data['to']) < Number(data['from']))).toBe(true);
  expect(Date.parse(down[0]!.at) - grownAt).toBeGreaterThanOrEqual(60_000);
  expect(down[0]!.data['reason']).toMatch(/below 20 ?%/);
  await deployment.untilWhole(BACKEND, 1);
}

async function autoscaled(): ReturnType<Deployment['events']> {
  return (await deployment.events('service.scaled')).filter(({ data }) => data['by'] === 'autoscaler');
}
