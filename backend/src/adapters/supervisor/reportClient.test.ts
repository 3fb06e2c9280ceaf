import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import type { TrafficReport } from '../../domain/statistics/traffic.js';
import type { SupervisorLink } from '../../ports.js';
import { createReportClient } from './reportClient.js';

const REPORT: TrafficReport = { gateway: 'box:1', workers: 1, leaving: false, upstreams: [] };

const closers: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function serving(listener: RequestListener): Promise<{ server: Server; url: string }> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

function clientOf(url: string, rest: { token?: string; timeoutMs?: number } = {}): SupervisorLink {
  const supervisor = { url, token: rest.token ?? null, local: null };
  const client = createReportClient({ supervisor, timeoutMs: rest.timeoutMs ?? 5_000 });
  closers.push(() => client.close());
  return client;
}

it('posts the report with the token', async () => {
  const got: unknown[] = [];
  const { url } = await serving((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body: unknown = JSON.parse(Buffer.concat(chunks).toString());
      const { authorization, 'content-type': type } = request.headers;
      got.push([request.method, request.url, authorization, type, body]);
      response.end('{}');
    });
  });
  expect(await clientOf(url, { token: 'secret' }).report(REPORT)).toBeNull();
  expect(await clientOf(url).report(REPORT)).toBeNull();
  const path = '/api/ha/gateway/report';
  expect(got).toEqual([
    ['POST', path, 'Bearer secret', 'application/json', REPORT],
    ['POST', path, undefined, 'application/json', REPORT],
  ]);
});

it('says what it was answered', async () => {
  const { url } = await serving((request, response) => {
    request.resume();
    response.writeHead(401).end('{}');
  });
  expect(await clientOf(url).report(REPORT)).toMatch(/answered 401$/);
});

it('keeps its connection', async () => {
  const ports = new Set<number | undefined>();
  const { url } = await serving((request, response) => {
    ports.add(request.socket.remotePort);
    request.resume().on('end', () => response.end('{}'));
  });
  const client = clientOf(url);
  for (let i = 0; i < 5; i += 1) expect(await client.report(REPORT)).toBeNull();
  expect(ports.size).toBe(1);
});

it('nobody there is a sentence, not an exception', async () => {
  const { server, url } = await serving(() => undefined);
  await new Promise((resolve) => server.close(resolve));
  expect(await clientOf(url).report(REPORT)).toMatch(/ECONNREFUSED/);
});

it('a supervisor that stands still costs a time-out', async () => {
  const { url } = await serving((request) => void request.resume());
  expect(await clientOf(url, { timeoutMs: 50 }).report(REPORT)).toMatch(/gave no answer within 50 ms/);
});

it('an answer that breaks off is a problem', async () => {
  const { url } = await serving((_request, response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('half');
    setImmediate(() => response.destroy());
  });
  expect(await clientOf(url).report(REPORT)).not.toBeNull();
});

it('an endless answer is cut', async () => {
  const { url } = await serving((_request, response) => {
    const chunk = 'x'.repeat(16_384);
    const more = (): void => {
      while (!response.destroyed && response.write(chunk));
      response.once('drain', more);
    };
    more();
  });
  expect(await clientOf(url).report(REPORT)).toMatch(/too long/);
});
