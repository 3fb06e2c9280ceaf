/**
 * Every error that the gateway answers itself: a browser gets a page, every other client JSON, over HTTP/1.1 and HTTP/2.
 * One list of errors, each provoked for real; each is asked for as page, as JSON, and (where the method is free) with HEAD.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type ClientHttp2Session } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { PoolSnapshot } from '../../../backend/src/domain/upstreams/pool.js';
import type { GatewayLimits } from '../../../backend/src/gateway/shared/limits.js';
import { wordsOf } from '../../../backend/src/gateway/html/errorPage.js';
import { WorkerPages } from '../../../backend/src/gateway/pages/workerPages.js';
import { makeCertificate, materialOf, type MadeCertificate } from '../../support/certificates.js';
import { atTearDown, client, gateway, ok, tearDown, upstream } from '../../support/gatewayScene.js';
import { poolRow, type TestWorker } from '../../support/gatewayWorker.js';
import { parseAnswers } from '../../support/rawHttp.js';
import { waitFor } from '../../support/waitFor.js';

const CHROME = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8';

interface Asked {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent behind the head. */
  readonly body?: string;
}

interface Fault extends Asked {
  readonly status: number;
  readonly code: string;
  readonly limits?: Partial<GatewayLimits>;
  readonly pool?: Partial<PoolSnapshot>;
  /** What the upstream does with a request. Default: answers 200. null: nothing listens there. */
  readonly upstream?: string | 'silent' | null;
  /** Not sent with HTTP/2: there it is no request at all, or means something else. */
  readonly http1Only?: boolean;
  /** No request was read, so it has no id. */
  readonly unread?: boolean;
}

const ONE_TRY = { maxAttempts: 1, holdMs: 0, tickMs: 10, lingerMs: 50 };

const FAULTS: readonly Fault[] = [
  { status: 400, code: 'host.invalid', headers: { host: 'a b' }, unread: true, http1Only: true },
  { status: 401, code: 'auth.required', path: '/lb', headers: { 'x-forwarded-for': '203.0.113.9' } },
  { status: 404, code: 'route.none', path: '/elsewhere' },
  { status: 405, code: 'method.unknown', method: 'DELETE', path: '/lb' },
  { status: 405, code: 'method.not-allowed', method: 'TRACE' },
  { status: 413, code: 'body.too-large', method: 'POST', body: 'x'.repeat(99), limits: { maxBodyBytes: 10 } },
  { status: 417, code: 'expect.unknown', headers: { expect: 'a-miracle' }, unread: true },
  {
    status: 429,
    code: 'limit.connections-per-ip',
    limits: { maxConnectionsPerIp: 0 },
    unread: true,
    http1Only: true,
  },
  { status: 431, code: 'head.too-large', headers: { cookie: 'c'.repeat(17_000) }, unread: true },
  { status: 502, code: 'upstream.unreachable', upstream: null },
  { status: 502, code: 'upstream.failed', upstream: 'HTTP/1.1 nonsense\r\n\r\n' },
  { status: 503, code: 'upstream.none', pool: { upstreams: [] } },
  { status: 503, code: 'limit.connections', limits: { maxConnections: 0 }, unread: true, http1Only: true },
  { status: 504, code: 'upstream.timeout', upstream: 'silent', limits: { responseTimeoutMs: 30 } },
  { status: 508, code: 'route.loop', headers: { via: '1.1 holdfast' } },
];

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

let folder = '';
let certificate: MadeCertificate;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-errors-'));
  certificate = await makeCertificate(folder, 'localhost', { names: ['localhost'] });
});
afterAll(() => rm(folder, { recursive: true, force: true }));
afterEach(tearDown);

const ownPages = (): WorkerPages =>
  new WorkerPages({
    token: 'right',
    nowMs: () => 0,
    askPrimary: () => Promise.reject(new Error('there is no primary here that renders pages')),
    health: () => ({ draining: false, pools: 1, emptyPools: 0 }),
    onRefused: () => undefined,
  });

async function gatewayOf({ upstream: answer = ok('fine'), limits, pool, path }: Fault): Promise<TestWorker> {
  const application = await upstream(({ socket }) => {
    if (answer !== null && answer !== 'silent') socket.write(answer);
  });
  const { port } = application;
  if (answer === null) await application.close();
  const served = await gateway([port], { ...ONE_TRY, ...limits }, pool, { ownPages: ownPages() });
  if (path === '/elsewhere') served.worker.swap({ version: 1e9, routes: [], pools: [poolRow([1])] });
  return served;
}

/** In one go over a connection of its own. */
async function over1({ port }: TestWorker, asked: Asked): Promise<Answer> {
  const { method = 'GET', path = '/', body = '', headers = {} } = asked;
  const all = { host: 'shop.example', ...headers, ...(body === '' ? {} : { 'content-length': body.length }) };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  const raw = client(port).send(
    `${method} ${path} HTTP/1.1\r\n${lines.join('')}Connection: close\r\n\r\n${body}`,
  );
  const text = await raw.untilEnded();
  const answer = parseAnswers(method === 'HEAD' ? `${text.split('\r\n\r\n')[0]}\r\n\r\n` : text)[0]!;
  // What came behind the head of an answer to HEAD would be taken for the next answer.
  return method === 'HEAD' ? { ...answer, body: text.slice(text.indexOf('\r\n\r\n') + 4) } : answer;
}

async function over2({ worker }: TestWorker, asked: Asked): Promise<Answer> {
  const port = await worker.listenTls({ port: 0, host: '127.0.0.1' }, materialOf([certificate]));
  const session: ClientHttp2Session = connect(`https://localhost:${port}`, { ca: certificate.certificate });
  atTearDown(() => session.destroy());
  session.on('error', () => undefined);
  const { method = 'GET', path = '/', body = '', headers = {} } = asked;
  const stream = session.request(
    { ':method': method, ':path': path, ...headers },
    { endStream: body === '' },
  );
  let got: Record<string, string> | null = null;
  let text = '';
  let isOver = false;
  stream.on('error', () => undefined);
  stream.on('response', (fields) => (got = { ...(fields as Record<string, string>) }));
  stream.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  stream.on('close', () => (isOver = true));
  if (body !== '') stream.end(body);
  await waitFor(() => isOver, { what: `the answer to ${method} ${path}` });
  const answered = got as Record<string, string> | null;
  if (answered === null) throw new Error(`reset with ${stream.rstCode}`);
  return { status: Number(answered[':status']), headers: answered, body: text };
}

const utf8 = (latin1: string): string => Buffer.from(latin1, 'latin1').toString('utf8');

function expectPage({ status, headers, body }: Answer, fault: Fault): void {
  expect(headers).toMatchObject({
    'content-type': 'text/html; charset=utf-8',
    'content-length': String(body.length),
    'cache-control': 'no-store',
    vary: 'Accept',
  });
  const text = utf8(body);
  expect(text).toMatch(/^<!doctype html>/);
  expect(text).toContain(`<h1>${wordsOf(status).headline}</h1>`);
  expect(text).toContain(`<code>${fault.code}</code>`);
  expect(/<dt>Request<\/dt>\s*<dd><code>[\w-]{8,}</.test(text)).toBe(fault.unread !== true);
  // Nothing is loaded, nothing runs, and the policy lets the one style in.
  expect(text).not.toMatch(/<script|<link rel="stylesheet"|src=|https?:\/\/(?!www\.w3\.org)| style="/);
  expect(text).not.toMatch(/127\.0\.0\.1|localhost/);
  const style = /<style>([^]*?)<\/style>/.exec(text)?.[1] ?? '';
  const hash = createHash('sha256').update(style).digest('base64');
  expect(headers['content-security-policy']).toContain(`style-src 'sha256-${hash}'`);
}

function expectJson({ headers, body }: Answer, fault: Fault): void {
  expect(headers).toMatchObject({
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(body.length),
    vary: 'Accept',
  });
  const told = JSON.parse(utf8(body));
  expect(told).toMatchObject({ success: false, error: { code: fault.code, message: expect.any(String) } });
  expect(typeof told.requestId).toBe(fault.unread === true ? 'undefined' : 'string');
}

const withAccept = (fault: Fault, accept: string): Fault => ({
  ...fault,
  headers: { accept, ...fault.headers },
});

const CLIENTS = [
  ['HTTP/1.1', over1, FAULTS],
  ['HTTP/2', over2, FAULTS.filter(({ http1Only }) => http1Only !== true)],
] as const;

describe.each(CLIENTS)('over %s', (_version, send, faults) => {
  it.each(faults)('$status $code is a page in a browser', async (fault) => {
    const answer = await send(await gatewayOf(fault), withAccept(fault, CHROME));
    expect(answer.status).toBe(fault.status);
    expectPage(answer, fault);
  });

  it.each(faults)('$status $code is JSON for every other client', async (fault) => {
    const answer = await send(await gatewayOf(fault), withAccept(fault, '*/*'));
    expect(answer.status).toBe(fault.status);
    expectJson(answer, fault);
  });

  it.each(faults.filter(({ method }) => method === undefined))(
    '$status $code has the page’s length and no body with HEAD',
    async (fault) => {
      const asked = { ...withAccept(fault, CHROME), method: 'HEAD' };
      const { status, headers, body } = await send(await gatewayOf(fault), asked);
      expect([status, body]).toEqual([fault.status, '']);
      expect(Number(headers['content-length'])).toBeGreaterThan(2_000);
    },
  );
});

it('a client without a place that says nothing is told all the same, and none is kept', async () => {
  const { port, worker } = await gateway([1], { maxConnections: 0 });
  const silent = client(port);
  expect(await silent.untilEnded()).toContain('"code":"limit.connections"');
  const many = Array.from({ length: 300 }, () => client(port));
  for (const each of many) expect(await each.untilEnded()).toContain('limit.connections');
  expect(worker.stats().clients.connections).toBe(0);
});

describe('why no upstream is up', () => {
  const why = 'my-api at 127.0.0.1:14000 answers 404: set "healthPath".';
  const fault: Fault = { status: 503, code: 'upstream.none', pool: { upstreams: [], trouble: why } };

  it.each([
    ['a client on this machine', { host: 'localhost:13003' }, true],
    ['one that names the address', { host: '127.0.0.1' }, true],
    ['one that asks by a name that anybody can make point here', { host: 'shop.example' }, false],
    [
      'one for which a proxy on this machine asks',
      { host: 'localhost', 'x-forwarded-for': '203.0.113.9' },
      false,
    ],
    ['one for which a proxy asks that says only Via', { host: 'localhost', via: '1.1 proxy' }, false],
  ])('%s', async (_client, headers, isTold) => {
    const served = await gatewayOf(fault);
    const json = await over1(served, { headers });
    expect(JSON.parse(json.body).error.reason).toBe(isTold ? why : undefined);
    const page = await over1(served, { headers: { ...headers, accept: CHROME } });
    expect(page.body.includes('<p class="reason">my-api at 127.0.0.1:14000 answers 404: set &quot;')).toBe(
      isTold,
    );
    expect([json.status, page.status]).toEqual([503, 503]);
  });

  it('also over HTTP/2', async () => {
    const { body } = await over2(await gatewayOf(fault), {});
    expect(JSON.parse(body)).toMatchObject({ error: { code: 'upstream.none', reason: why } });
  });
});
