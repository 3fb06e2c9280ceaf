import type http from 'node:http';
import net from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { GracefulServer } from './gracefulServer.js';

/** A raw client: what is on the wire, nothing hidden by an HTTP library. */
class Wire {
  received = '';
  readonly socket: net.Socket;
  readonly ended: Promise<void>;

  constructor(port: number) {
    this.socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.socket.on('data', (chunk) => (this.received += String(chunk)));
    this.ended = new Promise((resolve, reject) => {
      this.socket.once('end', resolve);
      this.socket.once('error', reject);
    });
    this.ended.catch(() => undefined);
  }

  get(path: string): void {
    this.socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
  }

  async until(text: string): Promise<void> {
    while (!this.received.includes(text)) await new Promise((resolve) => this.socket.once('data', resolve));
  }
}

describe('GracefulServer', () => {
  const cleanups: (() => void)[] = [];
  afterEach(() => {
    for (const cleanup of cleanups.splice(0)) cleanup();
  });

  /** `/slow` is answered when `release` is called; everything else at once. */
  async function setup(lingerMs: number) {
    const waiting: http.ServerResponse[] = [];
    const seen: string[] = [];
    let arrived: () => void = () => undefined;
    const server = new GracefulServer(
      (request, response) => {
        seen.push(request.url ?? '');
        if (request.url === '/slow') waiting.push(response);
        else response.end('done');
        arrived();
      },
      { lingerMs },
    );
    const { port } = await server.listen(0, '127.0.0.1');
    const connect = (): Wire => {
      const wire = new Wire(port);
      cleanups.push(() => wire.socket.destroy());
      return wire;
    };
    cleanups.push(() => server.destroy());
    const untilSeen = async (count: number): Promise<void> => {
      while (seen.length < count) await new Promise<void>((resolve) => (arrived = resolve));
    };
    return {
      server,
      port,
      seen,
      untilSeen,
      connect,
      release: () => waiting.splice(0).forEach((r) => r.end('slow')),
    };
  }

  it('keeps connections alive until it is told to drain', async () => {
    const { connect } = await setup(50);
    const wire = connect();
    wire.get('/1');
    await wire.until('done');
    expect(wire.received).toMatch(/connection: keep-alive/i);
  });

  it('finishes what is in flight, with close, and waits for it', async () => {
    const { server, connect, release, untilSeen } = await setup(20);
    const wire = connect();
    wire.get('/slow');
    await untilSeen(1);
    let drained = false;
    const draining = server.drain().then(() => (drained = true));
    expect(server.draining).toBe(true);
    expect(server.requestsInFlight).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 100)); // well past the linger
    expect(drained).toBe(false);
    release();
    await wire.ended;
    expect(wire.received).toMatch(/^HTTP\/1.1 200 OK[^]*connection: close[^]*slow$/i);
    wire.socket.end();
    await draining;
    expect(server.requestsInFlight).toBe(0);
  });

  it('answers what idle and new connections send while it lingers, with close', async () => {
    const { server, connect } = await setup(2000);
    const idle = connect();
    idle.get('/1');
    await idle.until('done');
    idle.received = '';
    void server.drain();
    const fresh = connect();
    idle.get('/2');
    fresh.get('/3');
    await Promise.all([idle.ended, fresh.ended]);
    for (const { received } of [idle, fresh]) expect(received).toMatch(/200 OK[^]*connection: close/i);
  });

  it('half-closes silent connections after the linger, then refuses new ones', async () => {
    const { server, port, connect } = await setup(20);
    const wire = connect();
    await new Promise((resolve) => wire.socket.once('connect', resolve));
    const drained = server.drain();
    await wire.ended; // FIN; a reset would have rejected
    expect(wire.received).toBe('');
    wire.socket.end();
    await drained;
    await expect(new Wire(port).ended).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('never runs a request that crosses its FIN', async () => {
    const { server, connect, seen } = await setup(20);
    const wire = connect();
    await new Promise((resolve) => wire.socket.once('connect', resolve));
    const drained = server.drain();
    await wire.ended;
    wire.get('/too-late');
    await drained;
    expect(seen).toEqual([]);
  });

  it('cuts a peer that never closes its side', async () => {
    const { server, connect } = await setup(20);
    const wire = connect();
    await new Promise((resolve) => wire.socket.once('connect', resolve));
    await server.drain(); // half-open on the client's side for ever
  });

  it('hands upgraded sockets over and does not wait for them', async () => {
    const { server, connect } = await setup(20);
    const upgraded = new Promise<void>((resolve) => {
      server.onUpgrade((_request, socket) => {
        cleanups.push(() => socket.destroy());
        socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n');
        resolve();
      });
    });
    const wire = connect();
    wire.socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n');
    await upgraded;
    await server.drain();
    await wire.until('101');
    expect(wire.socket.readableEnded).toBe(false);
  });

  it('rejects with the reason when it cannot listen', async () => {
    const { port } = await setup(20);
    const second = new GracefulServer(() => undefined);
    await expect(second.listen(port, '127.0.0.1')).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });
});
