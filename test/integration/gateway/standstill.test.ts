/**
 * A side that takes what it is sent slowly, but goes on, is waited for; one that stands still is not. Slow means that the
 * buffers on the way are full for longer than it may stand still.
 */
import { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { acceptFor } from '../../../backend/src/gateway/webSocket/accept.js';
import { PROTOCOLS, Stage, type Protocol } from '../../support/protocols.js';
import { waitFor } from '../../support/waitFor.js';

/** More than all buffers on the way hold. */
const BYTES = 6_000_000;
const BYTES_PER_MS = 600;
const MAY_STAND_STILL_MS = 1_500;
const body = Buffer.alloc(BYTES, 'x');
const DEADLINE_MS = 60_000;

let stage: Stage;
beforeAll(async () => {
  const limits = { bodyTimeoutMs: MAY_STAND_STILL_MS, tunnelTimeoutMs: MAY_STAND_STILL_MS };
  stage = await Stage.start({ ...limits, idleTimeoutMs: MAY_STAND_STILL_MS });
  stage.reply = (connection) => {
    const { socket, received } = connection;
    const request = received.slice(Math.max(0, received.lastIndexOf(' HTTP/1.1') - 10));
    if (request.includes('/ws')) openWebSocket(socket, received);
    else if (request.includes('/up')) {
      const here = received.length - received.lastIndexOf('\r\n\r\n') - 4;
      socket.removeAllListeners('data');
      slowly(socket, (bytes) => {
        if (bytes + here >= BYTES)
          socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok');
      });
    } else if (request.includes('/small')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsmall');
    else {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${BYTES}\r\n\r\n`);
      socket.write(body);
    }
  };
});
afterAll(() => stage.close());

function openWebSocket(socket: Socket, received: string): void {
  const key = /^sec-websocket-key: (.*)\r$/im.exec(received)?.[1] ?? '';
  const frame = Buffer.alloc(10);
  frame[0] = 0x82;
  frame[1] = 127;
  frame.writeBigUInt64BE(BigInt(BYTES - 10), 2);
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptFor(key)}\r\n\r\n`,
  );
  socket.write(frame);
  socket.write(body.subarray(10));
}

/** Reads steadily, and says how much it has. */
function slowly(from: Readable, onBytes: (bytes: number, chunk: Buffer) => void): void {
  let bytes = 0;
  from.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    from.pause();
    setTimeout(() => from.resume(), chunk.length / BYTES_PER_MS);
    onBytes(bytes, chunk);
  });
}

/** What a slow client gets until its connection ends, or it has `enough`. */
function take(socket: Readable, enough = Number.POSITIVE_INFINITY): Promise<number> {
  return new Promise((resolve) => {
    let got = 0;
    slowly(socket, (bytes) => {
      got = bytes;
      if (bytes >= enough) resolve(got);
    });
    socket.on('error', () => undefined);
    if (socket instanceof Socket) socket.on('end', () => socket.end());
    socket.on('close', () => resolve(got));
  });
}

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n';

describe.concurrent('what moves slowly is waited for', () => {
  it.each(PROTOCOLS)('an answer, through %s', { timeout: DEADLINE_MS }, async (protocol) => {
    if (protocol === 'HTTP/2') {
      const session = await stage.openHttp2();
      expect(await take(session.request({ ':path': '/' }), BYTES)).toBe(BYTES);
      session.destroy();
      return;
    }
    const socket = stage.open(protocol);
    socket.write(`${GET}\r\n`);
    expect(await take(socket, BYTES + 40)).toBeGreaterThan(BYTES);
    socket.destroy();
  });

  it.each(['HTTP/1.1', 'TLS'] as const)(
    'the last answer of a connection, through %s',
    { timeout: DEADLINE_MS },
    async (protocol) => {
      const socket = stage.open(protocol);
      socket.write(`${GET}Connection: close\r\n\r\n`);
      expect(await take(socket)).toBeGreaterThan(BYTES);
    },
  );

  it.each(['HTTP/1.1', 'TLS'] as const)(
    'an answer with another request behind it, through %s',
    { timeout: DEADLINE_MS },
    async (protocol) => {
      const socket = stage.open(protocol);
      socket.write(`${GET}\r\nGET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
      let end = '';
      slowly(socket, (_bytes, chunk) => (end = (end + chunk.toString('latin1')).slice(-5)));
      socket.on('end', () => socket.end());
      await new Promise((resolve) => socket.on('close', resolve));
      expect(end).toBe('small');
    },
  );

  it.each(['HTTP/1.1', 'TLS'] as const)(
    'a WebSocket, through %s',
    { timeout: DEADLINE_MS },
    async (protocol) => {
      const socket = stage.open(protocol);
      socket.write(
        'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
          'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
      );
      expect(await take(socket, BYTES)).toBeGreaterThanOrEqual(BYTES);
      socket.destroy();
    },
  );

  it.each(PROTOCOLS)('an upload, through %s', { timeout: DEADLINE_MS }, async (protocol) => {
    const heard = await stage.ask(protocol, { method: 'POST', path: '/up', body: body.toString('latin1') });
    expect([heard.status, heard.body.slice(0, 10)]).toEqual([200, 'ok']);
  });
});

describe('what stands still', () => {
  async function stopReading(protocol: Protocol): Promise<() => void> {
    if (protocol === 'HTTP/2') {
      const session = await stage.openHttp2();
      session.request({ ':path': '/' }).on('error', () => undefined);
      return () => session.destroy();
    }
    const socket = stage.open(protocol).on('error', () => undefined);
    socket.write(`${GET}\r\n`);
    return () => socket.destroy();
  }

  it('is cut', { timeout: DEADLINE_MS }, async () => {
    const before = stage.worker.stats().refusals['client.slow'] ?? 0;
    const ends = await Promise.all(PROTOCOLS.map(stopReading));
    await waitFor(() => stage.worker.stats().refusals['client.slow'] === before + 3, {
      what: 'three cuts',
      deadlineMs: 20_000,
    });
    for (const end of ends) end();
  });
});
