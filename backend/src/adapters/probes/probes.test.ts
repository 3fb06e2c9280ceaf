import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';

import type { ProbeSpec } from '../../domain/policy.js';
import { prober } from './index.js';
import { runProbe } from './probe.js';

const HTTP: ProbeSpec = { kind: 'http', path: '/health', statusMin: 200, statusMax: 399, bodyIncludes: null };
const SPECS: ProbeSpec[] = [HTTP, { kind: 'tcp' }];

const servers: Server[] = [];
const sockets = new Set<Socket>();
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
});

/** A server of which the test says byte by byte what it does. */
async function serve(onConnection: (socket: Socket, request: Promise<string>) => void): Promise<number> {
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    const request = new Promise<string>((resolve) => socket.once('data', (data) => resolve(data.toString())));
    onConnection(socket, request);
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Answers every request with `bytes` and closes. */
const answering = (bytes: string | Buffer): Promise<number> =>
  serve((socket, request) => void request.then(() => socket.end(bytes)));

const withBody = (body: string, head = 'HTTP/1.1 200 OK'): string =>
  `${head}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`;

async function freePort(): Promise<number> {
  const port = await serve(() => undefined);
  const server = servers.pop();
  await new Promise((resolve) => server?.close(resolve));
  return port;
}

const ask = (port: number, spec: ProbeSpec = HTTP, timeoutMs = 5_000) =>
  prober.probe({ host: '127.0.0.1', port }, spec, timeoutMs);

async function allClosed(): Promise<void> {
  while (sockets.size > 0) await new Promise((resolve) => setImmediate(resolve));
}

describe.each(SPECS)('every probe: $kind', (spec) => {
  it('is content with a server that works, and leaves no connection behind', async () => {
    const result = await ask(await answering(withBody('fine')), spec);
    expect(result).toEqual({ ok: true, latencyMs: expect.any(Number) });
    expect(result.latencyMs).toBeGreaterThan(0);
    await allClosed();
  });

  it('says that nothing listens', async () => {
    expect(await ask(await freePort(), spec)).toMatchObject({ ok: false, kind: 'refused' });
  });

  it('never rejects, whatever the target is', async () => {
    for (const target of [
      { host: 'no-such-host.invalid', port: 80 },
      { host: '127.0.0.1', port: 70_000 },
      { host: '127.0.0.1', port: -1 },
    ]) {
      const result = await prober.probe(target, spec, 10_000);
      expect(result).toMatchObject({ ok: false, detail: expect.stringMatching(/\w/) });
    }
  });
});

describe('the TCP probe', () => {
  it('does not see a process that accepts and never answers', async () => {
    expect(await ask(await serve(() => undefined), { kind: 'tcp' })).toMatchObject({ ok: true });
  });
});

describe('the HTTP probe', () => {
  it('asks for its path on a new connection each time', async () => {
    const requests: string[] = [];
    const port = await serve((socket, request) => {
      void request.then((text) => {
        requests.push(text);
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n');
      });
    });
    await ask(port);
    await ask(port);
    expect(requests).toHaveLength(2);
    expect(requests[0]).toMatch(/^GET \/health HTTP\/1\.1\r\n/);
    expect(requests[0]).toMatch(/\r\nconnection: close\r\n/i);
    expect(requests[0]).toMatch(new RegExp(`\\r\\nHost: 127\\.0\\.0\\.1:${port}\\r\\n`));
    await allClosed();
  });

  it.each([
    ['HTTP/1.1 503 Service Unavailable', 'HTTP 503, expected 200–399'],
    ['HTTP/1.1 404 Not Found', 'HTTP 404, expected 200–399'],
    ['HTTP/1.1 101 Switching Protocols', 'HTTP 101, expected 200–399'],
  ])('judges the status: %s', async (head, detail) => {
    expect(await ask(await answering(withBody('', head)))).toMatchObject({
      ok: false,
      kind: 'status',
      detail,
    });
  });

  it('judges the status by the range given, before the body has ended', async () => {
    const teapot = { ...HTTP, statusMin: 418, statusMax: 418 };
    const port = await serve((socket, request) => {
      void request.then(() => socket.write('HTTP/1.1 418 x\r\nContent-Length: 0\r\n\r\n'));
    });
    expect(await ask(port, teapot)).toMatchObject({ ok: true });
    const endless = await serve((socket, request) => {
      void request.then(() => socket.write('HTTP/1.1 500 x\r\nContent-Length: 99\r\n\r\n'));
    });
    expect(await ask(endless, teapot)).toMatchObject({ kind: 'status', detail: 'HTTP 500, expected 418' });
  });

  it('asks as the host it is given, with the fields it is given, and its own stay what they are', async () => {
    let request = '';
    const port = await serve((socket, text) => {
      void text.then((head) => {
        request = head;
        socket.end(withBody(''));
      });
    });
    const headers = { 'X-Health-Token': 'hush hush', accept: 'application/json' };
    expect(await ask(port, { ...HTTP, host: 'shop.example:8443', headers })).toMatchObject({ ok: true });
    const [requestLine, ...fields] = request.trimEnd().split('\r\n');
    expect(requestLine).toBe('GET /health HTTP/1.1');
    expect(fields.map((field) => field.toLowerCase()).sort()).toEqual([
      'accept: application/json',
      'connection: close',
      'host: shop.example:8443',
      'user-agent: holdfast-probe',
      'x-health-token: hush hush',
    ]);
  });

  it.each([400, 403, 421])(
    'names healthHost where HTTP %i can mean a list of allowed hosts',
    async (status) => {
      const port = await answering(withBody('', `HTTP/1.1 ${status} x`));
      const detail = `HTTP ${status}, expected 200–399`;
      expect(await ask(port)).toMatchObject({
        detail: `${detail}; it was asked as host 127.0.0.1:${port}, and healthHost sets another`,
      });
      expect(await ask(port, { ...HTTP, host: 'shop.example' })).toMatchObject({ detail });
    },
  );

  it('does not follow a redirect', async () => {
    const elsewhere = `http://127.0.0.1:${await freePort()}/`;
    const head = `HTTP/1.1 302 Found\r\nLocation: ${elsewhere}`;
    expect(await ask(await answering(withBody('', head)))).toMatchObject({ ok: true });
    const strict = { ...HTTP, statusMax: 299 };
    expect(await ask(await answering(withBody('', head)), strict)).toMatchObject({ kind: 'status' });
  });

  it('finds a text in the body, also over the seams of its pieces', async () => {
    const spec = { ...HTTP, bodyIncludes: 'status: grün' };
    expect(await ask(await answering(withBody('all well; status: grün')), spec)).toMatchObject({ ok: true });
    const body = Buffer.from(withBody('status: grün'));
    const pieces = await serve((socket, request) => {
      socket.setNoDelay(true);
      void request.then(async () => {
        for (const byte of body) {
          socket.write(Buffer.from([byte]));
          await new Promise((resolve) => setImmediate(resolve));
        }
      });
    });
    expect(await ask(pieces, spec)).toMatchObject({ ok: true });
    expect(await ask(await answering(withBody('status: rot')), spec)).toMatchObject({
      ok: false,
      kind: 'body',
      detail: '"status: grün" is not in the body',
    });
  });

  it('reads no more than 64 KiB of a body without an end', async () => {
    const flood = await serve((socket, request) => {
      const chunk = Buffer.alloc(16 * 1024, 'x');
      const pour = (): void => {
        while (!socket.destroyed && socket.write(chunk));
      };
      socket.on('drain', pour);
      void request.then(() => {
        socket.write('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n');
        pour();
      });
    });
    expect(await ask(flood)).toMatchObject({ ok: true });
    expect(await ask(flood, { ...HTTP, bodyIncludes: 'y' })).toMatchObject({
      kind: 'body',
      detail: expect.stringContaining('first 65536 bytes'),
    });
    await allClosed();
  });

  it.each<[string, (socket: Socket, request: Promise<string>) => void, string]>([
    ['never answers', () => undefined, 'no answer within 500 ms'],
    [
      'stops in the middle of the headers',
      (socket, request) => void request.then(() => socket.write('HTTP/1.1 200 OK\r\nX-')),
      'no answer within 500 ms',
    ],
    [
      'stops in the middle of the body',
      (socket, request) =>
        void request.then(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc')),
      'no end of the answer within 500 ms',
    ],
    [
      'answers byte by byte for ever',
      (socket, request) =>
        void request.then(async () => {
          socket.write('HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n');
          while (!socket.destroyed) {
            socket.write('x');
            await new Promise((resolve) => setTimeout(resolve, 5));
          }
        }),
      'no end of the answer within 500 ms',
    ],
  ])('gives up on a server that %s', async (_what, behave, detail) => {
    const result = await ask(await serve(behave), HTTP, 500);
    expect(result).toMatchObject({ ok: false, kind: 'timeout', detail });
    expect(result.latencyMs).toBeGreaterThanOrEqual(499);
    await allClosed();
  });

  it.each([
    ['garbage', 'SSH-2.0-OpenSSH_9.2\r\n', /not HTTP/],
    ['binary garbage', Buffer.alloc(2_000, 0x80), /not HTTP/],
    ['nothing', '', /connection closed before an answer/],
    ['half a body', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc', /closed in the middle of the answer/],
    ['bad chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', /not HTTP/],
    ['headers without an end', `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(40_000)}\r\n\r\n`, /headers .* too large/],
  ])('is not fooled by %s', async (_what, bytes, detail) => {
    const result = await ask(await answering(bytes));
    expect(result).toMatchObject({ ok: false, kind: 'error', detail: expect.stringMatching(detail) });
    await allClosed();
  });

  it('says when it is reset', async () => {
    const port = await serve((socket, request) => void request.then(() => socket.resetAndDestroy()));
    expect(await ask(port)).toMatchObject({ kind: 'error', detail: 'connection closed before an answer' });
  });
});

it('an answer that came in time counts, also when this process was held up and reads it too late', async () => {
  const child = spawn('sh', ['-c', 'read line; echo answer'], { stdio: ['pipe', 'pipe', 'ignore'] });
  try {
    const outcome = runProbe(
      100,
      () => 'answer',
      (settle) => {
        child.stdout.once('data', () => settle({ ok: true }));
        return () => undefined;
      },
    );
    child.stdin.write('go\n');
    await new Promise((resolve) => setImmediate(resolve));
    const heldUntilMs = performance.now() + 300;
    while (performance.now() < heldUntilMs);
    expect(await outcome).toMatchObject({ ok: true });
  } finally {
    child.kill('SIGKILL');
  }
});
