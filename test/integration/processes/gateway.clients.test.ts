/**
 * Clients that people really use, through the built gateway to a real application: curl, WebSockets of the package
 * `ws`, Node's fetch, wrk, and HTTP/2 over TLS with curl and with Node. (A browser: pages.test.ts.)
 */
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type ClientHttp2Session } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { makeCertificate } from '../../support/certificates.js';
import { GatewayHome } from '../../support/gatewayProcess.js';
import { freePortRange } from '../../support/ports.js';
import { canRun } from '../../support/privateServer.js';

const run = promisify(execFile);
const curlAvailable = canRun('curl', ['curl']);
const wrkAvailable = canRun('wrk', ['wrk']);
const MEGABYTE = 2 ** 20;
const LARGE = randomBytes(3 * MEGABYTE);

let folder: string;
let application: Server;
let sockets: WebSocketServer;
let gateway: GatewayHome;
let tlsPort: number;
let certificate: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-clients-'));
  application = createServer((request, response) => void answer(request, response));
  sockets = new WebSocketServer({ server: application });
  sockets.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  await new Promise<void>((resolve) => void application.listen(0, '127.0.0.1', resolve));
  ({ certificate } = await makeCertificate(folder, 'site', { names: ['localhost'] }));
  tlsPort = await freePortRange(1);
  gateway = await GatewayHome.create({
    BACKEND_HOSTS: `127.0.0.1:${(application.address() as AddressInfo).port}`,
    TLS_PORT: String(tlsPort),
    TLS_CERT: join(folder, 'site.crt'),
    TLS_KEY: join(folder, 'site.key'),
  });
  await gateway.start();
});
afterAll(async () => {
  await gateway?.dispose();
  for (const socket of sockets.clients) socket.terminate();
  application.closeAllConnections();
  await new Promise((resolve) => application.close(resolve));
  await rm(folder, { recursive: true, force: true });
});

/** Says what of a request arrived; /large is large. */
async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const piece of request) {
    hash.update(piece as Buffer);
    bytes += (piece as Buffer).length;
  }
  if (request.url === '/large') {
    response.setHeader('content-length', LARGE.length);
    response.end(LARGE);
    return;
  }
  const { method, url, httpVersion, headers } = request;
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ method, url, httpVersion, headers, bytes, sha256: hash.digest('hex') }));
}

interface Seen {
  readonly method: string;
  readonly httpVersion: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: number;
  readonly sha256: string;
}

const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

async function curl(...args: string[]): Promise<string> {
  const { stdout } = await run('curl', ['--silent', '--show-error', '--fail', '--max-time', '20', ...args]);
  return stdout;
}

describe.skipIf(!curlAvailable)('curl', () => {
  it('asks, and keeps its connection', async () => {
    const url = gateway.url('/a?b=c');
    const output = await curl('--write-out', ' %{num_connects}\n', url, url, url);
    const counts = output
      .trim()
      .split('\n')
      .map((line) => line.slice(line.lastIndexOf(' ') + 1));
    expect(counts).toEqual(['1', '0', '0']);
    const seen = JSON.parse(await curl(url)) as Seen;
    expect(seen.headers).toMatchObject({ host: `127.0.0.1:${gateway.port}`, 'x-forwarded-for': '127.0.0.1' });
  });

  it('uploads: waiting for 100 Continue, in chunks, and a form', async () => {
    const file = join(folder, 'upload');
    await writeFile(file, LARGE);
    const whole = JSON.parse(
      await curl('--data-binary', `@${file}`, '-H', 'Expect: 100-continue', gateway.url('/upload')),
    ) as Seen;
    expect(whole).toMatchObject({ method: 'POST', bytes: LARGE.length, sha256: sha256(LARGE) });
    const chunked = JSON.parse(
      await curl('--upload-file', file, '-H', 'Transfer-Encoding: chunked', gateway.url('/upload')),
    ) as Seen;
    expect(chunked).toMatchObject({ method: 'PUT', bytes: LARGE.length, sha256: sha256(LARGE) });
    expect(chunked.headers).not.toHaveProperty('content-length');
    const form = JSON.parse(await curl('--form', `file=@${file}`, gateway.url('/form'))) as Seen;
    expect(form.bytes).toBeGreaterThan(LARGE.length);
  });

  it('downloads, asks for the head only, and speaks HTTP/1.0', async () => {
    const file = join(folder, 'download');
    await curl('--output', file, gateway.url('/large'));
    expect(sha256(await readFile(file))).toBe(sha256(LARGE));
    const head = await curl('--head', gateway.url('/large'));
    expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(head.toLowerCase()).toContain(`content-length: ${LARGE.length}\r\n`);
    await curl('--http1.0', '--output', file, gateway.url('/large'));
    expect(sha256(await readFile(file))).toBe(sha256(LARGE));
  });

  it('speaks HTTP/2 over TLS', async () => {
    const output = await curl(
      ...['--http2', '--cacert', join(folder, 'site.crt'), '--resolve', `localhost:${tlsPort}:127.0.0.1`],
      ...['--write-out', '\n%{http_version}', '--data-binary', 'hello', `https://localhost:${tlsPort}/h2`],
    );
    const [body = '', version] = output.split('\n');
    expect(version).toBe('2');
    expect(JSON.parse(body)).toMatchObject({ method: 'POST', httpVersion: '1.1', bytes: 5 });
    expect((JSON.parse(body) as Seen).headers).toMatchObject({ 'x-forwarded-proto': 'https' });
  });
});

describe('fetch', () => {
  it('keeps its connections, and gets what was meant for it', async () => {
    const before = (await gateway.status()).pools[0]!.upstreams[0]!.totals;
    const work = Array.from({ length: 10 }, async (_, client) => {
      for (let i = 0; i < 50; i += 1) {
        const body = `${client}-${i}-${'x'.repeat(i * 100)}`;
        const reply = await fetch(gateway.url(`/fetch/${client}/${i}`), { method: 'POST', body });
        expect(await reply.json()).toMatchObject({
          url: `/fetch/${client}/${i}`,
          sha256: sha256(Buffer.from(body)),
        });
      }
    });
    await Promise.all(work);
    const { pools } = await gateway.until(
      'all of them to be counted',
      (status) => status.pools[0]!.upstreams[0]!.totals.requests >= before.requests + 500,
    );
    // 500 requests, 10 at a time, through two workers: each holds at most as many connections as it had requests at once.
    expect(pools[0]!.upstreams[0]!.totals.connections - before.connections).toBeLessThanOrEqual(20);
  });
});

describe('WebSockets', () => {
  it('carry messages of all sizes, many at a time, and close with their code', async () => {
    const work = Array.from({ length: 20 }, async (_, client) => {
      const socket = new WebSocket(gateway.url('/ws').replace('http', 'ws'));
      await once(socket, 'open');
      for (const size of [0, 1, 125, 126, 65_535, 65_536, 300_000]) {
        const sent = Buffer.alloc(size, client);
        socket.send(sent);
        const [received] = (await once(socket, 'message')) as [Buffer];
        expect(received.equals(sent)).toBe(true);
      }
      socket.close(4_000 + client, 'that was it');
      const [code] = (await once(socket, 'close')) as [number];
      expect(code).toBe(4_000 + client);
    });
    await Promise.all(work);
    await gateway.until('them to be gone', ({ traffic }) => traffic.upgradedConnections === 0);
  });

  it('work over TLS', async () => {
    const socket = new WebSocket(`wss://localhost:${tlsPort}/ws`, { ca: certificate, host: '127.0.0.1' });
    await once(socket, 'open');
    socket.send('secret');
    const [received] = (await once(socket, 'message')) as [Buffer];
    expect(received.toString()).toBe('secret');
    socket.terminate();
  });
});

describe.skipIf(!wrkAvailable)('wrk', () => {
  it.each([
    ['keeping its connections', ''],
    ['with a connection per request', 'wrk.headers["Connection"] = "close"'],
  ])('for 2 s, %s: no error', async (_name, script) => {
    const file = join(folder, 'script.lua');
    await writeFile(file, script);
    const args = ['-t', '1', '-c', '32', '-d', '2s', '-s', file, gateway.url('/wrk')];
    const { stdout } = await run('wrk', args, { timeout: 20_000 });
    expect(Number(/(\d+) requests in/.exec(stdout)?.[1])).toBeGreaterThan(100);
    expect(stdout).not.toMatch(/Socket errors|Non-2xx/);
    await gateway.until('nothing to be under way', ({ traffic }) => traffic.inFlight === 0);
  });
});

describe('HTTP/2', () => {
  it('with Node: 200 streams of one connection, bodies both ways', async () => {
    const session = connect(`https://localhost:${tlsPort}`, { ca: certificate, host: '127.0.0.1' });
    await once(session, 'connect');
    const replies = await Promise.all(
      Array.from({ length: 200 }, (_, i) => ask(session, `/stream/${i}`, Buffer.alloc(i * 100, i))),
    );
    for (const [i, reply] of replies.entries()) {
      expect(JSON.parse(reply.toString())).toMatchObject({ url: `/stream/${i}`, bytes: i * 100 });
    }
    expect(sha256(await ask(session, '/large', Buffer.alloc(0)))).toBe(sha256(LARGE));
    session.close();
    await once(session, 'close');
    await gateway.until('nothing to be under way', ({ traffic }) => traffic.inFlight === 0);
  });
});

async function ask(session: ClientHttp2Session, path: string, body: Buffer): Promise<Buffer> {
  const stream = session.request({ ':path': path, ':method': 'POST' });
  stream.end(body);
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}
