/** The built gateway seen from outside while things happen to it: figures, pages and log across its processes. */
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { gatewayStatusSchema, type GatewayStatus } from '../../../backend/src/gateway/pages/statusSchema.js';
import { chromiumAvailable, launchBrowser } from '../../support/browser.js';
import { BuiltGateway } from '../../support/builtGateway.js';
import { sendSignal } from '../../support/processes.js';
import { waitFor } from '../../support/waitFor.js';

let applications: Server[];
let gateway: BuiltGateway;

beforeEach(async () => {
  applications = await Promise.all([startApplication(0), startApplication(0)]);
  gateway = await BuiltGateway.start({
    BACKEND_HOSTS: applications.map((each) => `127.0.0.1:${portOf(each)}`).join(','),
    GATEWAY_WORKERS: '2',
    LB_ALGORITHM: 'round-robin',
    HEALTH_CHECK_INTERVAL: '200',
    HEALTH_CHECK_TIMEOUT: '200',
    HEALTH_CHECK_FAST_INTERVAL: '100',
    GATEWAY_STOP_TIMEOUT: '1000',
    ACCESS_LOG: 'json',
  });
});
afterEach(async () => {
  await gateway.dispose();
  await Promise.all(applications.map(stopApplication));
});

function startApplication(port: number): Promise<Server> {
  const server = createServer((request, response) =>
    response.end(request.url === '/health' ? 'ok' : 'hello'),
  );
  return new Promise((resolve) => {
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
const portOf = (server: Server): number => (server.address() as AddressInfo).port;
function stopApplication(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

const page = async (path: string): Promise<string> => (await fetch(gateway.url + path)).text();
const status = async (): Promise<GatewayStatus> =>
  gatewayStatusSchema.parse(JSON.parse(await page('/lb/status')));
const answered = async (): Promise<number> => (await status()).traffic.answers['2xx'];
async function visit(times: number): Promise<void> {
  for (let i = 0; i < times; i += 1) expect(await page(`/item/${i}?secret=yes`)).toBe('hello');
}

describe('figures of several processes', () => {
  it('add up over workers, and go on growing when a worker is killed', async () => {
    await visit(40);
    await waitFor(async () => (await answered()) === 40, { what: 'all requests to be counted' });
    const [victim] = (await status()).workers;
    sendSignal(victim!.pid, 'SIGKILL');
    await waitFor(
      async () => {
        const { workers, workerRestarts } = await status();
        return (
          workerRestarts === 1 && workers.length === 2 && workers.every(({ state }) => state === 'serving')
        );
      },
      { what: 'the worker to be replaced' },
    );
    expect((await status()).workers.map(({ pid }) => pid)).not.toContain(victim!.pid);
    await waitFor(
      async () => (await status()).changes.some(({ text }) => text === 'A worker ended and is replaced'),
      { what: 'the page to tell of it' },
    );
    await visit(10);
    await waitFor(async () => (await answered()) === 50, { what: 'the new requests on top of the old' });
    const perUpstream = (await status()).pools[0]!.upstreams.map(({ totals }) => totals.requests);
    expect(perUpstream.reduce((sum, count) => sum + count, 0)).toBe(50);
    expect(await page('/metrics')).toContain('holdfast_gateway_worker_restarts_total 1\n');
  });
});

describe('access log', () => {
  it('is one file of whole lines from all workers, without queries', async () => {
    await Promise.all(Array.from({ length: 20 }, () => visit(10)));
    const file = join(gateway.logDir, 'ha-gateway-access.log');
    const lines = await waitFor(
      () => {
        const found = readFileSync(file, 'utf8').split('\n').slice(0, -1);
        return found.filter((line) => line.includes('"/item/')).length >= 200 && found;
      },
      { what: 'a line for every request' },
    );
    const records = lines
      .map((line) => JSON.parse(line) as { requestId: string; path: string; upstream: string })
      .filter(({ path }) => path.startsWith('/item/'));
    expect(records).toHaveLength(200);
    expect(new Set(records.map(({ requestId }) => requestId)).size).toBe(200);
    expect(new Set(records.map(({ upstream }) => upstream)).size).toBe(2);
    expect(lines.join()).not.toContain('secret');
  });
});

describe.skipIf(!chromiumAvailable)('in a browser', () => {
  it('/lb and /status.html follow an upstream that goes and comes back', async () => {
    const browser = await launchBrowser();
    try {
      const [first, second] = applications.map(portOf);
      const live = await browser.newPage();
      const complaints: string[] = [];
      live.on('console', (message) => void (message.type() === 'error' && complaints.push(message.text())));
      live.on('pageerror', (error) => void complaints.push(String(error)));
      await live.goto(`${gateway.url}/lb`);
      await live.getByRole('heading', { name: 'All pools serve' }).waitFor();
      const row = live.getByRole('row', { name: new RegExp(`127\\.0\\.0\\.1:${first}`) });

      await stopApplication(applications[0]!);
      await row.getByText('down', { exact: true }).waitFor({ timeout: 10_000 });
      await live.getByText(`127.0.0.1:${first} in default is down`).first().waitFor();
      await visit(5);
      const everybody = await browser.newPage();
      await everybody.goto(`${gateway.url}/status.html`);
      await everybody.getByText('Working, with limitations').waitFor();
      const text = await everybody.locator('body').innerText();
      expect(text).not.toMatch(new RegExp(`${first}|${second}|127\\.0\\.0\\.1`));

      applications[0] = await startApplication(first!);
      await row.getByText('up', { exact: true }).waitFor({ timeout: 10_000 });
      await live.getByRole('heading', { name: 'All pools serve' }).waitFor();
      await everybody.reload();
      await everybody.getByText('Everything is working').waitFor();
      expect(complaints).toEqual([]);
    } finally {
      await browser.close();
    }
  });
});
