/** The gateway's own pages, metrics and access log through a real data path: worker, sockets, upstream. */
import { mkdtemp, rm } from 'node:fs/promises';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { connect, createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { systemClock } from '../../../backend/src/adapters/clock.js';
import { AccessLog } from '../../../backend/src/gateway/accessLog/accessLog.js';
import { GatewayMonitor } from '../../../backend/src/gateway/pages/monitor.js';
import { renderPage } from '../../../backend/src/gateway/pages/primaryPages.js';
import { gatewayStatusSchema, type GatewayStatus } from '../../../backend/src/gateway/pages/statusSchema.js';
import { WorkerPages, type WorkerHealth } from '../../../backend/src/gateway/pages/workerPages.js';
import {
  atTearDown,
  client,
  echoPath,
  gateway,
  get,
  ok,
  tearDown,
  upstream,
} from '../../support/gatewayScene.js';
import { makeCertificate, materialOf, type MadeCertificate } from '../../support/certificates.js';
import { poolRow, snapshotOf, type TestWorker } from '../../support/gatewayWorker.js';
import { MemoryStore } from '../../support/pagesScene.js';
import type { RawUpstream } from '../../support/rawHttp.js';
import { waitFor } from '../../support/waitFor.js';

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

let served: TestWorker;
let application: RawUpstream;
let monitor: GatewayMonitor;
let health: WorkerHealth;
let logged: string[];

beforeEach(async () => {
  health = { draining: false, pools: 1, emptyPools: 0 };
  logged = [];
  application = await upstream((connection, chunk) => {
    if (chunk.startsWith('GET /broken')) {
      connection.socket.write(ok('no').replace('200 OK', '500 Broken'));
    } else echoPath(connection, chunk);
  });
  const accessLog = new AccessLog({
    format: 'json',
    sample: 1,
    clock: systemClock,
    random: Math.random,
    send: (batch) => {
      logged.push(...batch.split('\n'));
      accessLog.taken();
    },
  });
  atTearDown(() => accessLog.close());
  const onRequestEnd = accessLog.record.bind(accessLog);
  served = await gateway(
    [application.port],
    {},
    { name: 'shop' },
    { ownPages: pages({ tokenOnLoopback: false }), onRequestEnd },
  );
  const snapshot = snapshotOf(poolRow([application.port], { name: 'shop' }));
  monitor = new GatewayMonitor({
    clock: systemClock,
    store: new MemoryStore(),
    logger: { debug() {}, info() {}, warn() {}, error() {} },
    facts: () => ({
      version: '1.2.3',
      startedAtMs: Date.now() - 1_000,
      snapshot,
      workers: [{ id: 1, pid: process.pid, state: 'serving', startedAtMs: Date.now(), snapshotVersion: 1 }],
      workerRestarts: 0,
      upstreams: new Map(),
      sources: [],
      problems: [],
      accessLogDropped: 0,
      certificates: [],
    }),
  });
});
afterEach(tearDown);

function pages({ tokenOnLoopback }: { tokenOnLoopback: boolean }): WorkerPages {
  return new WorkerPages({
    token: 'right',
    tokenOnLoopback,
    // The primary sits in another process; here it is asked at once, after the worker has reported.
    askPrimary: (path) => {
      monitor.report(1, structuredClone({ ...served.worker.stats(), seen: served.worker.seen.take() }));
      return renderPage(path, monitor);
    },
    health: () => health,
    onRefused: (code) => served.worker.refusals.count(code),
    nowMs: () => systemClock.nowMs(),
  });
}

function call(
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
  { port }: { readonly port: number } = served,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    httpRequest({ port, host: '127.0.0.1', path, headers, method, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
      );
    })
      .on('error', reject)
      .end();
  });
}
const status = async (): Promise<GatewayStatus> =>
  gatewayStatusSchema.parse(JSON.parse((await call('/lb/status')).body));

describe('own pages', () => {
  it('are those of the contract; everything else is the application’s', async () => {
    for (const path of ['/lb', '/lb/status', '/health', '/api/client-ip', '/status.html', '/metrics']) {
      expect([path, (await call(path)).status]).toEqual([path, 200]);
      expect([path, (await call(`${path}?x=1`)).status]).toEqual([path, 200]);
    }
    for (const path of [
      '/',
      '/lb/',
      '/lbx',
      '//lb',
      '/LB',
      '/health/x',
      '/api/client-ip/',
      '/%6cb',
      '/x/../lb',
    ]) {
      expect([path, (await call(path)).body]).toEqual([path, path]);
    }
  });

  it('answer HEAD without a body, and refuse to be written to', async () => {
    const head = await call('/lb', {}, 'HEAD');
    expect([head.status, head.body, Number(head.headers['content-length']) > 5_000]).toEqual([200, '', true]);
    expect(await call('/lb', {}, 'DELETE')).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD' } });
  });

  it('come in their turn between pipelined requests of the application', async () => {
    const raw = client(served.port).send(get('/first') + get('/api/client-ip') + get('/last'));
    const received = await raw.until('/last');
    const order = ['/first', '"ip":"127.0.0.1"', '/last'].map((text) => received.indexOf(text));
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    expect(Math.min(...order)).toBeGreaterThan(0);
  });

  it('are not for a stranger whom a proxy on this machine passes on', async () => {
    for (const headers of [
      { 'X-Forwarded-For': '203.0.113.9' },
      { Forwarded: 'for=127.0.0.1' },
      { Via: '1.1 front' },
      { 'X-Real-IP': '127.0.0.1' },
      { Host: 'evil.example' },
    ] as Record<string, string>[]) {
      for (const path of ['/lb', '/lb/status', '/metrics']) {
        expect([headers, path, (await call(path, headers)).status]).toEqual([headers, path, 401]);
      }
      expect((await call('/status.html', headers)).status).toBe(200);
    }
    const withToken = { 'X-Forwarded-For': '203.0.113.9', Authorization: 'Bearer right' };
    expect((await call('/lb', withToken)).status).toBe(200);
  });

  describe('are judged by the host that the target names', () => {
    let folder = '';
    let certificate: MadeCertificate;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'holdfast-pages-'));
      certificate = await makeCertificate(folder, 'pages', { names: ['localhost'] });
    });
    afterAll(() => rm(folder, { recursive: true, force: true }));

    it.each([
      ['http://evil.example/lb/status', 'evil.example', 401],
      ['HTTPS://evil.example/lb/status', 'evil.example', 401],
      ['http://evil.example/lb/status', 'localhost', 400],
      ['http://localhost@evil.example/lb/status', 'localhost', 400],
      ['http://localhost/lb/status', 'localhost', 200],
      ['http://127.0.0.1/lb/status', '127.0.0.1', 200],
    ])('%s, Host %s: %i, over TLS as well', async (target, host, expected) => {
      const tlsPort = await served.worker.listenTls(
        { port: 0, host: '127.0.0.1' },
        materialOf([certificate]),
      );
      const sockets = [
        connect(served.port, '127.0.0.1'),
        connectTls({ port: tlsPort, host: '127.0.0.1', rejectUnauthorized: false }),
      ];
      for (const socket of sockets) {
        socket.write(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
        let text = '';
        for await (const chunk of socket) text += String(chunk);
        expect(text).toMatch(new RegExp(`^HTTP/1.1 ${expected} `));
      }
    });
  });

  it('are open to all behind a proxy on this machine that adds no fields, unless the token is needed here, too', async () => {
    const behind = async (tokenOnLoopback: boolean): Promise<(token?: string) => Promise<number>> => {
      const { port } = await gateway([application.port], {}, {}, { ownPages: pages({ tokenOnLoopback }) });
      const bare = createServer((socket) => {
        socket
          .pipe(connect(port, '127.0.0.1'))
          .pipe(socket)
          .on('error', () => undefined);
      }).listen(0, '127.0.0.1');
      await once(bare, 'listening');
      atTearDown(() => void bare.close());
      const front = { port: (bare.address() as AddressInfo).port };
      const fields = (token?: string): Record<string, string> =>
        token === undefined ? {} : { Authorization: `Bearer ${token}` };
      return async (token) => {
        const statuses = ['/lb', '/lb/status', '/metrics'].map((path) =>
          call(path, fields(token), 'GET', front),
        );
        const all = new Set((await Promise.all(statuses)).map(({ status }) => status));
        expect(all.size).toBe(1);
        return [...all][0]!;
      };
    };
    expect(await (await behind(false))()).toBe(200);
    const guarded = await behind(true);
    expect([await guarded(), await guarded('wrong'), await guarded('right')]).toEqual([401, 401, 200]);
  });

  it('say whether this gateway should get traffic', async () => {
    expect((await call('/health')).status).toBe(200);
    health = { ...health, draining: true };
    expect(await call('/health')).toMatchObject({ status: 503, body: '{"status":"draining"}\n' });
  });
});

describe('figures', () => {
  it('count every request once, by class, with its time', async () => {
    for (let i = 0; i < 20; i += 1) await call(`/item/${i}`);
    for (let i = 0; i < 5; i += 1) await call('/broken');
    const { pools, traffic } = await status();
    expect(pools[0]!.upstreams[0]).toMatchObject({
      id: `127.0.0.1:${application.port}`,
      state: 'up',
      inFlight: 0,
      totals: { requests: 25, errors: 5, failures: 0, retries: 0 },
    });
    expect(traffic.answers).toMatchObject({ '2xx': 20, '5xx': 5 });
    const { body: metrics } = await call('/metrics');
    const labels = `pool="shop",upstream="127.0.0.1:${application.port}"`;
    expect(metrics).toContain(`holdfast_gateway_upstream_answers_total{${labels},class="2xx"} 20\n`);
    expect(metrics).toContain(`holdfast_gateway_upstream_request_duration_seconds_count{${labels}} 25\n`);
    expect(metrics).toMatch(/holdfast_gateway_client_connections_total \d\d/);
  });

  it('have their usual names, and begin anew by a call that no page of another origin can make', async () => {
    for (let i = 0; i < 8; i += 1) await call(`/item/${i}`);
    for (let i = 0; i < 2; i += 1) await call('/broken');
    const before = await status();
    expect(before).toMatchObject({ totalRequests: 10, successRate: 80, activeSessions: 1 });
    expect(before.averageResponseTime).toBeGreaterThan(0);
    expect(before.pools[0]!.upstreams[0]).toMatchObject({
      percentage: 100,
      successRate: 80,
      totalRequests: 10,
    });
    for (const headers of [{ Origin: 'http://evil.example' }, { 'Sec-Fetch-Site': 'cross-site' }] as const) {
      expect((await call('/lb/reset', headers as Record<string, string>, 'POST')).status).toBe(403);
    }
    expect((await status()).totalRequests).toBe(10);
    const answer = await call('/lb/reset', {}, 'POST');
    expect([answer.status, JSON.parse(answer.body).success]).toEqual([200, true]);
    await call('/item/1');
    expect(await status()).toMatchObject({ totalRequests: 1, successRate: 100, activeSessions: 1 });
    expect((await call('/metrics')).body).toContain('holdfast_gateway_answers_total{class="2xx"} 9\n');
  });

  it('count what the gateway answers in the place of an upstream', async () => {
    const raw = client(served.port).send('GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n');
    expect(await raw.untilEnded()).toContain('400 Bad Request');
    await application.close();
    expect((await call('/gone')).status).toBe(502);
    const { refusals, pools } = await status();
    expect(refusals.reduce((sum, { total }) => sum + total, 0)).toBe(2);
    expect(pools[0]!.upstreams[0]!.totals.failures).toBeGreaterThanOrEqual(1);
  });
});

describe('access log', () => {
  it('has a line for each request, with its id and without its secrets', async () => {
    const answer = await call('/item/7?token=very-secret', {
      'User-Agent': 'test/1',
      Cookie: 'sid=very-secret',
      Authorization: 'Bearer very-secret',
      Referer: 'https://a.example/x?q=very-secret',
    });
    expect(answer.body).toBe('/item/7?token=very-secret');
    await waitFor(() => logged.length > 0, { what: 'the line' });
    expect(logged.join('\n')).not.toContain('very-secret');
    expect(JSON.parse(logged[0]!)).toMatchObject({
      requestId: expect.stringMatching(/^[\w-]{8,}$/),
      client: '127.0.0.1',
      method: 'GET',
      path: '/item/7',
      status: 200,
      bytes: 25,
      upstream: `127.0.0.1:${application.port}`,
      attempts: 1,
      referer: 'https://a.example/x',
      userAgent: 'test/1',
    });
    expect(application.received).toContain(`${JSON.parse(logged[0]!).requestId}\r\n`);
  });

  it('has requests that the gateway refused, and counts them among the answers', async () => {
    const { status: code } = await call('/traced', {}, 'TRACE');
    await waitFor(() => logged.length > 0, { what: 'the line' });
    expect(JSON.parse(logged[0]!)).toMatchObject({
      method: 'TRACE',
      path: '/traced',
      status: code,
      upstream: null,
      attempts: 0,
      code: expect.stringMatching(/^[a-z.-]+$/),
    });
    const { traffic, refusals } = await status();
    expect([code, traffic.answers['4xx'] + traffic.answers['5xx'], refusals[0]!.total]).toEqual([code, 1, 1]);
    expect(code).toBeGreaterThanOrEqual(400);
  });

  it('has own pages too, whoever was refused one, and what could not be read', async () => {
    await call('/health');
    await call('/lb', { host: 'lb.example.org' });
    await client(served.port).send('GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n').untilEnded();
    const lines = await waitFor(() => logged.length === 3 && logged, { what: 'the lines' });
    const seen = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    const own = { upstream: null, attempts: 0, client: '127.0.0.1', method: 'GET' };
    expect(seen[0]).toMatchObject({ ...own, path: '/health', status: 200, bytes: expect.any(Number) });
    expect(seen[0]!['bytes']).toBeGreaterThan(0);
    expect(seen[1]).toMatchObject({ ...own, path: '/lb', host: 'lb.example.org', status: 401 });
    expect(seen[2]).toMatchObject({
      ...own,
      method: '-',
      path: '-',
      host: '-',
      status: 400,
      code: 'host.invalid',
    });
    // What watches the gateway is no traffic.
    expect((await status()).traffic.answers).toMatchObject({ '2xx': 0, '4xx': 1 });
  });

  it('tells of what went wrong', async () => {
    await application.close();
    await call('/gone');
    await waitFor(() => logged.length > 0, { what: 'the line' });
    expect(JSON.parse(logged[0]!)).toMatchObject({
      path: '/gone',
      status: 502,
      code: expect.stringMatching(/^upstream\./),
    });
  });
});
