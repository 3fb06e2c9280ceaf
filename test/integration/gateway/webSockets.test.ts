/** How WebSockets end when a gateway or an upstream leaves: with a Close frame, between two frames, spread over time. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import {
  atTearDown,
  client,
  expectIdle,
  gateway,
  tearDown,
  upstream,
  switching,
  upgrade,
} from '../../support/gatewayScene.js';
import { poolRow, snapshotOf } from '../../support/gatewayWorker.js';
import type { RawConnection, RawUpstream } from '../../support/rawHttp.js';
import { waitFor } from '../../support/waitFor.js';

afterEach(tearDown);

const GOING_AWAY = 1001;
/** 1001 as a server sends it. */
const CLOSE = '\x88\x02\x03\xe9';
/** 1001 as a client sends it, masked with zeros. */
const CLIENT_CLOSE = '\x88\x82\0\0\0\0\x03\xe9';
/** A text frame with a length in one byte, as servers send it. */
const frame = (text: string): string => `\x81${String.fromCharCode(text.length)}${text}`;

interface Application {
  readonly port: number;
  readonly sockets: WebSocketServer;
  /** Codes with which its WebSockets ended. */
  readonly codes: number[];
}

async function application(): Promise<Application> {
  const server = createServer();
  const sockets = new WebSocketServer({ server });
  const codes: number[] = [];
  sockets.on('connection', (socket) => {
    socket.on('message', (data) => socket.send(data));
    socket.on('error', () => undefined);
    socket.on('close', (code) => codes.push(code));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  atTearDown(() => {
    sockets.close();
    for (const socket of sockets.clients) socket.terminate();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, sockets, codes };
}

interface Ended {
  readonly code: number;
  readonly atMs: number;
}

async function open(port: number): Promise<{ readonly socket: WebSocket; readonly ended: Promise<Ended> }> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
  atTearDown(() => socket.terminate());
  socket.on('error', () => undefined);
  const ended = new Promise<Ended>((resolve) =>
    socket.once('close', (code) => resolve({ code, atMs: performance.now() })),
  );
  await once(socket, 'open');
  return { socket, ended };
}

/** An upstream that upgrades, and then does what the test says. */
async function rawUpstream(onBytes: (connection: RawConnection, bytes: string) => void = () => undefined) {
  const up = await upstream((connection, chunk) => {
    if (chunk.startsWith('GET')) connection.socket.write(switching);
    else onBytes(connection, chunk);
  });
  return up;
}

/** A raw client whose connection is upgraded. */
async function rawClient(port: number) {
  const one = client(port).send(upgrade());
  await one.until('101');
  await one.until('\r\n\r\n');
  one.received = '';
  return one;
}

const behindUpgrade = ({ received }: RawUpstream): string => received.slice(received.indexOf('\r\n\r\n') + 4);

describe('a gateway that leaves', () => {
  it('says so to both sides of every WebSocket, and is done when they have answered', async () => {
    const app = await application();
    const started = await gateway([app.port]);
    const all = await Promise.all(Array.from({ length: 20 }, () => open(started.port)));
    expect(await started.worker.drain({ timeoutMs: 10_000, windowMs: 200 })).toBe(true);
    const ends = await Promise.all(all.map(({ ended }) => ended));
    expect(ends.map(({ code }) => code)).toEqual(all.map(() => GOING_AWAY));
    await waitFor(() => app.codes.length === all.length, { what: 'the end at the application' });
    expect(new Set(app.codes)).toEqual(new Set([GOING_AWAY]));
    expect(started.worker.stats().refusals).toEqual({ 'tunnel.drained': all.length });
  });

  it('spreads that over its window', async () => {
    const app = await application();
    const started = await gateway([app.port], {}, {}, { random: evenly(40) });
    const all = await Promise.all(Array.from({ length: 40 }, () => open(started.port)));
    const beganMs = performance.now();
    const drained = started.worker.drain({ timeoutMs: 20_000, windowMs: 2_000 });
    const ends = await Promise.all(all.map(({ ended }) => ended));
    expect(await drained).toBe(true);
    // Half of the window is for clients that are slow to answer; the others are told in its first half.
    const early = ends.filter(({ atMs }) => atMs - beganMs < 500).length;
    expect(early).toBeLessThanOrEqual(20);
    const last = Math.max(...ends.map(({ atMs }) => atMs)) - beganMs;
    expect(last).toBeGreaterThan(900);
  });

  it('tells a WebSocket that comes about only now as well', async () => {
    let switchLater: () => void = () => undefined;
    const up = await upstream(({ socket }) => {
      switchLater = () => socket.write(switching);
    });
    const started = await gateway([up.port]);
    const one = client(started.port).send(upgrade());
    await waitFor(() => up.received !== '', { what: 'the request' });
    const drained = started.worker.drain({ timeoutMs: 10_000, windowMs: 100 });
    switchLater();
    await one.until(CLOSE);
    one.send(CLIENT_CLOSE);
    await waitFor(() => behindUpgrade(up) === CLIENT_CLOSE, { what: "the client's Close" });
    up.connections[0]!.socket.end();
    expect(await drained).toBe(true);
  });
});

describe('an upstream that leaves', () => {
  it('takes its own WebSockets along, those of others stay', async () => {
    const [leaving, staying] = [await application(), await application()];
    const started = await gateway([leaving.port, staying.port], {}, {}, { tunnelDrainMs: 100 });
    const all = await Promise.all(Array.from({ length: 8 }, () => open(started.port)));
    expect([leaving.sockets.clients.size, staying.sockets.clients.size]).toEqual([4, 4]);
    started.worker.swap(snapshotOf(poolRow([staying.port])));
    await waitFor(() => leaving.codes.length === 4, { what: 'four to end' });
    expect(leaving.codes).toEqual([GOING_AWAY, GOING_AWAY, GOING_AWAY, GOING_AWAY]);
    await waitFor(() => started.worker.finishing().length === 0, { what: 'the upstream to be drained' });
    const alive = all.filter(({ socket }) => socket.readyState === WebSocket.OPEN);
    expect(alive).toHaveLength(4);
    for (const { socket } of alive) {
      socket.send('still there?');
      await once(socket, 'message');
    }
  });
});

describe('the Close', () => {
  /** Everybody is told at once, and has 300 ms to answer. */
  const soon = { tunnelDrainMs: 600, random: () => 0 };

  it('waits for the end of a message that is under way, and nothing follows it', async () => {
    const up = await rawUpstream();
    const started = await gateway([up.port], {}, {}, soon);
    const one = await rawClient(started.port);
    const { socket } = up.connections[0]!;
    const message = frame('a message in two parts');
    socket.write(message.slice(0, 10), 'latin1');
    await one.until(message.slice(0, 10));
    started.worker.swap(snapshotOf(poolRow([])));
    await waitFor(() => started.worker.stats().refusals['tunnel.drained'] === 1, { what: 'its time' });
    expect(one.received).toBe(message.slice(0, 10));
    socket.write(message.slice(10) + frame('too late'), 'latin1');
    await one.until(CLOSE);
    expect(one.received).toBe(message + CLOSE);
    one.send(CLIENT_CLOSE);
    await waitFor(() => behindUpgrade(up) === CLIENT_CLOSE, { what: "the client's Close" });
    // The server ends the connection (RFC 6455 section 7.1.1), for the client as soon as it has answered.
    await one.untilEnded();
    socket.end(CLOSE, 'latin1');
    one.socket.end();
    await expectIdle(started);
    expect(one.received).toBe(message + CLOSE);
  });

  it('does not come when the message never ends: the connection does', async () => {
    const up = await rawUpstream();
    const started = await gateway([up.port], {}, {}, soon);
    const one = await rawClient(started.port);
    const half = frame('half of it').slice(0, 6);
    up.connections[0]!.socket.write(half, 'latin1');
    await one.until(half);
    started.worker.swap(snapshotOf(poolRow([])));
    await one.untilEnded();
    expect(one.received).toBe(half);
    await waitFor(() => up.connections[0]!.ended, { what: 'the end at the upstream' });
    expect(started.worker.stats().refusals).toEqual({ 'tunnel.drained': 1, 'tunnel.cut': 1 });
    one.destroy();
    await expectIdle(started);
  });

  it("is said to the upstream in the client's place when the client does not answer", async () => {
    const app = await application();
    const started = await gateway([app.port], {}, {}, soon);
    const silent = await rawClient(started.port);
    started.worker.swap(snapshotOf(poolRow([])));
    await waitFor(() => app.codes.length === 1, { what: 'the end at the application' });
    expect(app.codes).toEqual([GOING_AWAY]);
    expect(await silent.untilEnded()).toBe(CLOSE);
    await expectIdle(started);
  });

  it('does not break into a message of the client', async () => {
    const up = await rawUpstream();
    const started = await gateway([up.port], {}, {}, soon);
    const one = await rawClient(started.port);
    const half = '\x81\x85\0\0\0\0he';
    one.send(half);
    await waitFor(() => behindUpgrade(up) === half, { what: 'half of a message' });
    started.worker.swap(snapshotOf(poolRow([])));
    await waitFor(() => up.connections[0]!.ended, { what: 'the end at the upstream' });
    expect(behindUpgrade(up)).toBe(half);
    expect(await one.untilEnded()).toBe(CLOSE);
    await expectIdle(started);
  });

  it('is the one of the upstream when that has begun to close by itself', async () => {
    const up = await rawUpstream();
    const started = await gateway([up.port], {}, {}, soon);
    const one = await rawClient(started.port);
    const own = '\x88\x02\x0f\xa0';
    up.connections[0]!.socket.write(own, 'latin1');
    await one.until(own);
    started.worker.swap(snapshotOf(poolRow([])));
    await waitFor(() => started.worker.stats().refusals['tunnel.drained'] === 1, { what: 'its time' });
    one.send(CLIENT_CLOSE);
    await waitFor(() => behindUpgrade(up) === CLIENT_CLOSE, { what: "the client's Close" });
    up.connections[0]!.socket.end();
    expect(await one.untilEnded()).toBe(own);
  });

  it('comes after a long silence, too', async () => {
    const app = await application();
    const started = await gateway([app.port], { tunnelTimeoutMs: 100 });
    const { ended } = await open(started.port);
    expect((await ended).code).toBe(GOING_AWAY);
    await waitFor(() => app.codes.length === 1, { what: 'the end at the application' });
    expect(app.codes).toEqual([GOING_AWAY]);
    expect(started.worker.stats().refusals).toEqual({ 'tunnel.idle': 1 });
  });

  it('reaches a client that reads nothing no more than its other bytes do: it is let go all the same', async () => {
    const up = await rawUpstream();
    const started = await gateway([up.port], {}, {}, soon);
    const one = client(started.port, { paused: true }).send(upgrade());
    await waitFor(() => started.worker.stats().clients.upgraded === 1, { what: 'the upgrade' });
    const { socket } = up.connections[0]!;
    // More than all buffers on the way take, in whole frames of 64 KiB.
    const large = Buffer.concat([Buffer.from([0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]), Buffer.alloc(65_536)]);
    for (let i = 0; i < 400; i += 1) socket.write(large);
    let waiting = 0;
    const isFull = (): boolean => {
      const before = waiting;
      waiting = socket.writableLength;
      return waiting > 0 && waiting === before;
    };
    await waitFor(isFull, { what: 'the way to be full', intervalMs: 100 });
    started.worker.swap(snapshotOf(poolRow([])));
    await expectIdle(started);
    one.destroy();
  });
});

/** 0, 1/n, 2/n, …, and again: what chance would give on average. */
function evenly(n: number): () => number {
  let i = 0;
  return () => (i++ % n) / n;
}
