import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createApi } from './api.js';
import { readAll, startHarness, until } from './testing/harness.js';
import type { Harness } from './testing/harness.js';
import { MemoryControlPlane } from './testing/memoryControlPlane.js';

let harness: Harness | null = null;
afterEach(async () => {
  await harness?.close();
  harness = null;
});

async function sent(bytes: string): Promise<string> {
  harness ??= await startHarness();
  const socket = await harness.raw();
  const answer = readAll(socket);
  socket.write(bytes, 'latin1');
  return answer;
}

const envelopeIn = (answer: string) => JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)) as unknown;

describe('garbled HTTP', () => {
  it.each([
    ['no HTTP', 'hello\r\n\r\n'],
    ['a TLS greeting', '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003'],
    ['a bad version', 'GET / HTTP/9.9\r\nHost: localhost\r\n\r\n'],
    ['a header without a name', 'GET / HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n'],
    ['a NUL', 'GET / HTTP/1.1\r\nHost: local\u0000host\r\n\r\n'],
    [
      'two lengths',
      'POST /api/ha/stop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}',
    ],
    [
      'a length and chunks',
      'POST /api/ha/stop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
  ])('%s is answered 400 in the envelope, and the connection ends', async (_name, bytes) => {
    const answer = await sent(bytes);
    expect(answer).toMatch(/^HTTP\/1.1 400 Bad Request\r\n/);
    expect(envelopeIn(answer)).toMatchObject({ success: false, error: { code: 'request.malformed' } });
    expect(harness?.controlPlane.calls).toEqual([]);
  });

  it('a missing or double Host is refused', async () => {
    for (const hosts of ['', 'Host: localhost\r\nHost: localhost\r\n']) {
      const answer = await sent(`GET /healthz HTTP/1.1\r\n${hosts}Connection: close\r\n\r\n`);
      expect(answer).toMatch(/^HTTP\/1.1 400 /);
      expect(envelopeIn(answer)).toMatchObject({ error: { code: 'host.missing' } });
    }
  });

  it('a header beyond the limit is 431', async () => {
    const answer = await sent(`GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(9_000)}\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1.1 431 /);
    expect(envelopeIn(answer)).toMatchObject({ error: { code: 'request.headers-too-large' } });
  });

  it('garbage after a good request ends the connection, not the answer before it', async () => {
    const answer = await sent('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n\u0001\u0002\u0003\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1.1 200 OK\r\n/);
    expect(envelopeIn(answer)).toMatchObject({ data: { alive: true } });
    expect((await harness?.call('GET', '/healthz'))?.status).toBe(200);
  });

  it('a body that ends early changes nothing', async () => {
    harness = await startHarness();
    const socket = await harness.raw();
    socket.write(
      'POST /api/ha/stop HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{',
    );
    socket.end();
    await readAll(socket);
    expect((await harness.call('GET', '/healthz')).status).toBe(200);
    expect(harness.controlPlane.calls).toEqual([]);
  });
});

describe('slow clients', () => {
  const limits = { headersTimeoutMs: 60, requestTimeoutMs: 120, timeoutCheckMs: 20 };

  it('a header that does not arrive ends with 408', async () => {
    harness = await startHarness({ limits });
    const socket = await harness.raw();
    const answer = readAll(socket);
    socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: ');
    const drip = setInterval(() => socket.write('x'), 10);
    try {
      expect(await answer).toMatch(/^HTTP\/1.1 408 /);
    } finally {
      clearInterval(drip);
    }
  });

  it('so does a body that does not arrive', async () => {
    harness = await startHarness({ limits });
    const socket = await harness.raw();
    const answer = readAll(socket);
    socket.write(
      'POST /api/ha/stop HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n\r\n{',
    );
    expect(await answer).toMatch(/^HTTP\/1.1 408 /);
    expect(harness.controlPlane.calls).toEqual([]);
  });

  it('connections beyond the limit are closed', async () => {
    harness = await startHarness({ limits: { connections: 2 } });
    const kept = [await harness.raw(), await harness.raw()];
    await readAll(await harness.raw());
    for (const socket of kept) {
      expect(socket.destroyed).toBe(false);
      socket.destroy();
    }
  });
});

describe('shutdown', () => {
  it('finishes what is in flight, refuses what is new, closes what is idle', async () => {
    let open = (): void => undefined;
    const running = await startHarness();
    running.controlPlane.gate = new Promise((resolve) => (open = resolve));
    const inFlight = running.call('POST', '/api/ha/scale-up');
    await until('it is under way', () => running.controlPlane.calls.includes('scale'));
    const silent = await running.raw();
    const idle = await running.raw();
    const idleAnswer = readAll(idle);
    idle.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await until('the idle one had its answer', () => idle.bytesRead > 0);

    const closed = running.api.close({ graceMs: 20_000 });
    await until('the silent one is closed', () => silent.destroyed);
    expect(await idleAnswer).toContain('200 OK');
    await expect(running.call('GET', '/healthz')).rejects.toThrow(/ECONNREFUSED/);
    open();
    const answer = await inFlight;
    expect([answer.status, answer.headers.connection]).toEqual([200, 'close']);
    await closed;
    await running.api.close({ graceMs: 0 });
  });

  it('cuts what outlasts the grace, and says so', async () => {
    const running = await startHarness();
    running.controlPlane.gate = new Promise(() => undefined);
    const cut = running.call('POST', '/api/ha/scale-up', { body: { timeoutMs: 3_000 } });
    const failed = expect(cut).rejects.toThrow(/socket hang up|ECONNRESET/);
    await until('it is under way', () => running.controlPlane.calls.includes('scale'));
    await running.api.close({ graceMs: 10 });
    await failed;
    expect(running.log.find(({ level }) => level === 'warn')?.fields).toEqual({ requests: 1, graceMs: 10 });
  });

  it('of an API that never listened is nothing to do', async () => {
    await apiAt('127.0.0.1', 0).close({ graceMs: 10 });
  });
});

describe('a port that can not be had', () => {
  it('is named, with its holder where that is known', async () => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
    const { port } = holder.address() as AddressInfo;
    try {
      await expect(apiAt('127.0.0.1', port).listen()).rejects.toMatchObject({
        code: 'port.taken',
        message: expect.stringContaining(`Port ${port} on 127.0.0.1 is already taken. Stop`),
      });
      const named = apiAt('127.0.0.1', port, (asked) => Promise.resolve(`node (pid ${asked})`));
      await expect(named.listen()).rejects.toThrow(`already taken by node (pid ${port}). Stop`);
      const blind = apiAt('127.0.0.1', port, () => Promise.reject(new Error('no /proc')));
      await expect(blind.listen()).rejects.toMatchObject({ code: 'port.taken' });
    } finally {
      await new Promise((resolve) => holder.close(resolve));
    }
  });

  it('nor is an address of another machine', async () => {
    await expect(apiAt('192.0.2.1', 0).listen()).rejects.toMatchObject({
      code: 'host.unavailable',
      retryable: true,
    });
  });

  it('is had as soon as it is given back', async () => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
    const { port } = holder.address() as AddressInfo;
    const api = apiAt('127.0.0.1', port, undefined, 60_000);
    const listening = api.listen();
    await new Promise((resolve) => setTimeout(resolve, 120));
    await new Promise((resolve) => holder.close(resolve));
    expect(await listening).toMatchObject({ port });
    await api.close({ graceMs: 10 });
  });
});

function apiAt(
  host: string,
  port: number,
  describePortHolder?: (port: number) => Promise<string | null>,
  portPatienceMs = 0,
) {
  return createApi({
    controlPlane: new MemoryControlPlane(),
    settings: { host, port, token: 'a-token', sessionSecret: null, version: '1' },
    logger: console,
    readiness: () => ({ ready: true, reason: '' }),
    portPatienceMs,
    ...(describePortHolder === undefined ? {} : { describePortHolder }),
  });
}
