/** What stands in for a pool of which no upstream can be reached: a page, a redirect, or another pool. */
import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { FallbackSnapshot } from '../../../backend/src/domain/upstreams/pool.js';
import {
  client,
  echoPath,
  expectIdle,
  gateway,
  get,
  ok,
  tearDown,
  upstream,
} from '../../support/gatewayScene.js';
import { poolRow, snapshotOf, upstreamRow } from '../../support/gatewayWorker.js';
import { parseAnswers } from '../../support/rawHttp.js';

afterEach(tearDown);

const PAGE: FallbackSnapshot = { kind: 'page', html: '<h1>Back soon</h1>' };
const REDIRECT: FallbackSnapshot = { kind: 'redirect', location: 'https://status.example.org/now' };

/** A port at which nothing listens. */
async function deadPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

async function send(port: number, request: string): Promise<Answer> {
  const text = await client(port).send(request).untilEnded(10_000);
  return { status: parseAnswers(text)[0]?.status ?? 0, text };
}

const close = 'Connection: close\r\n';
const post = (body: string): string =>
  `POST /order HTTP/1.1\r\nHost: a.example\r\n${close}Content-Length: ${body.length}\r\n\r\n${body}`;

describe('a pool without a fallback', () => {
  it('answers as before', async () => {
    const { port } = await gateway([]);
    expect((await send(port, get('/', close))).status).toBe(503);
  });
});

describe.each([
  ['without any upstream', async () => [] as number[]],
  ['of which nothing listens', async () => [await deadPort()]],
  [
    'of which nothing listens at more upstreams than attempts',
    () => Promise.all([1, 2, 3, 4, 5, 6].map(deadPort)),
  ],
])('a pool %s', (_how, ports) => {
  it('answers with the page and status 503', async () => {
    const started = await gateway(await ports(), {}, { fallback: PAGE });
    const { status, text } = await send(started.port, get('/', close));
    expect(status).toBe(503);
    expect(text).toMatch(/Content-Type: text\/html; charset=utf-8\r\n/);
    expect(text).toMatch(/Cache-Control: no-store\r\n/);
    expect(text).toMatch(/Retry-After: 5\r\n/);
    expect(text.endsWith('<h1>Back soon</h1>')).toBe(true);
    await expectIdle(started);
  });

  it('leaves the page out for HEAD and gives JSON to a program that asks for JSON', async () => {
    const { port } = await gateway(await ports(), {}, { fallback: PAGE });
    const head = await client(port).send(get('/', close).replace('GET', 'HEAD')).untilEnded(10_000);
    expect(head).toMatch(/^HTTP\/1\.1 503 /);
    expect(head).toMatch(/Content-Length: 18\r\n/);
    expect(head.endsWith('\r\n\r\n')).toBe(true);
    const { status, text } = await send(port, get('/', `${close}Accept: application/json\r\n`));
    expect(status).toBeGreaterThanOrEqual(502);
    expect(text).toContain('"success":false');
  });

  it('redirects', async () => {
    const { port } = await gateway(await ports(), {}, { fallback: REDIRECT });
    const read = await send(port, get('/a?b', close));
    expect(read.status).toBe(302);
    expect(read.text).toMatch(/Location: https:\/\/status\.example\.org\/now\r\n/);
    expect((await send(port, post('x'))).status).toBe(303);
  });

  it('has its requests answered by the other pool, body included', async () => {
    const spare = await upstream(({ socket }, chunk) => {
      if (chunk.endsWith('body-42')) socket.write(ok('spare took it'));
      else if (chunk.startsWith('GET')) echoPath({ socket } as never, chunk);
    });
    const started = await gateway([]);
    const main = poolRow(await ports(), { fallback: { kind: 'pool', pool: 'spare' } });
    const snapshot = snapshotOf(main);
    started.worker.swap({ ...snapshot, pools: [main, poolRow([spare.port], { name: 'spare' })] });
    expect((await send(started.port, get('/there', close))).text).toMatch(/\/there$/);
    expect((await send(started.port, post('body-42'))).text).toMatch(/spare took it$/);
    await expectIdle(started);
  });
});

describe('a fallback', () => {
  it('is not asked while an upstream answers, whatever it answers', async () => {
    const up = await upstream(({ socket }) =>
      socket.write('HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy'),
    );
    const { port } = await gateway([up.port], {}, { fallback: PAGE });
    expect((await send(port, get('/', close))).text).toMatch(/busy$/);
  });

  it('does not repeat what an upstream may have done', async () => {
    const up = await upstream(({ socket }, chunk) => void (chunk.includes('POST') && socket.destroy()));
    const spare = await upstream(({ socket }) => socket.write(ok('twice')));
    const started = await gateway([]);
    const main = poolRow([up.port], { fallback: { kind: 'pool', pool: 'spare' } });
    started.worker.swap({
      ...snapshotOf(main),
      pools: [main, poolRow([spare.port], { name: 'spare' })],
    });
    expect((await send(started.port, post('x'))).status).toBe(502);
    expect(spare.received).toBe('');
  });

  it('answers at once where checks say that no upstream serves, and after holdMs where they do not know yet', async () => {
    const port = await deadPort();
    const started = await gateway([], { holdMs: 60_000 });
    const down = poolRow([], { fallback: PAGE, upstreams: [upstreamRow(port, { state: 'down' })] });
    started.worker.swap(snapshotOf(down));
    expect((await send(started.port, get('/', close))).text).toMatch(/Back soon/);
    const empty = poolRow([], { fallback: PAGE });
    started.worker.swap(snapshotOf(empty));
    expect((await send(started.port, get('/', close))).text).toMatch(/Back soon/);
  });

  it('of a pool that cannot be reached either ends in the plain error', async () => {
    const started = await gateway([]);
    const main = poolRow([], { fallback: { kind: 'pool', pool: 'spare' } });
    const spare = poolRow([await deadPort()], { name: 'spare' });
    started.worker.swap({ ...snapshotOf(main), pools: [main, spare] });
    expect((await send(started.port, get('/', close))).status).toBe(502);
    started.worker.swap(snapshotOf(main));
    expect((await send(started.port, get('/', close))).status).toBe(503);
  });
});
