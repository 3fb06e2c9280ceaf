import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { UpstreamSocket } from './upstreamSocket.js';

const ANSWER = 'x'.repeat(10_000);

let server: Server;
let peer: Socket;
let socket: UpstreamSocket;
let read: string;
let problem: NodeJS.ErrnoException | null;
let closed: Promise<unknown>;

beforeEach(async () => {
  server = createServer((accepted) => accepted.on('error', () => undefined)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  [read, problem] = ['', null];
  // So small that one turn of the loop does not read it all.
  const buffer = Buffer.alloc(64);
  socket = UpstreamSocket.connect({
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    allowHalfOpen: true,
    highWaterMark: 65_536,
    onread: {
      buffer,
      callback: (bytes) => {
        read += buffer.toString('latin1', 0, bytes);
        return true;
      },
    },
  });
  socket.on('error', (error) => (problem = error));
  closed = new Promise((resolve) => void socket.once('close', resolve));
  await once(socket, 'connect');
  [peer] = await accepted;
});
afterEach(async () => {
  socket.destroy();
  peer.destroy();
  server.close();
  await once(server, 'close');
});

/** The other side sends this, and resets the connection. Both have arrived, and nothing of them was read. */
async function sendAndReset(text: string): Promise<void> {
  socket.pause();
  if (text !== '') await new Promise<void>((resolve) => void peer.write(text, () => resolve()));
  peer.resetAndDestroy();
  await once(peer, 'close');
}

const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i += 1) await nextTurn();
};

describe('a write that fails', () => {
  it('leaves what had arrived to be read', async () => {
    await sendAndReset(ANSWER);
    socket.write('more of the request');
    socket.resume();
    await closed;
    expect(read).toBe(ANSWER);
    expect(problem).toMatchObject({ syscall: 'write' });
  });

  it('ends it where nobody reads', async () => {
    await sendAndReset(ANSWER);
    socket.write('more of the request');
    await closed;
    expect([read, problem?.syscall]).toEqual(['', 'write']);
  });

  it('ends it where there is nothing', async () => {
    await sendAndReset('');
    socket.write('more of the request');
    socket.resume();
    await closed;
    expect(problem?.code).toMatch(/^(ECONNRESET|EPIPE)$/);
  });

  it('does not keep it from being ended at once', async () => {
    await sendAndReset(ANSWER);
    socket.write('more of the request');
    await turns(1);
    socket.destroy();
    expect(socket.destroyed).toBe(true);
    await closed;
    expect(read).toBe('');
  });
});
