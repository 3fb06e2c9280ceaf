import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { acceptWithSharedReads, SharedReadsSocket } from './sharedReads.js';

let server: Server;
let clients: Socket[] = [];

afterEach(() => {
  for (const client of clients) client.destroy();
  clients = [];
  server.close();
});

/** A connection: the client's end, and the accepted one. */
async function pair(): Promise<{ client: Socket; served: Socket }> {
  const connection = once(server, 'connection') as Promise<[Socket]>;
  const client = connect({
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    allowHalfOpen: true,
  });
  clients.push(client);
  const [served] = await connection;
  served.on('error', () => {});
  return { client, served };
}

async function listen(): Promise<void> {
  server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  expect(acceptWithSharedReads(server)).toBe(true);
}

describe('an accepted socket with shared reads', () => {
  it('really has them: Node still is as it must be for that', async () => {
    await listen();
    const { served } = await pair();
    expect(served).toBeInstanceOf(SharedReadsSocket);
    expect(served.remoteAddress).toBe('127.0.0.1');
    const memories = new Set<ArrayBufferLike>();
    const other = await pair();
    for (const { client, served: one } of [{ client: clients[0]!, served }, other]) {
      const data = once(one, 'data') as Promise<[Buffer]>;
      client.write('x');
      memories.add((await data)[0].buffer);
    }
    expect(memories.size).toBe(1);
  });

  it('brings every byte of many sockets at the same time, writes, and ends each side by itself', async () => {
    await listen();
    const pairs = [await pair(), await pair(), await pair()];
    const results = pairs.map(async ({ client, served }, index) => {
      let received = '';
      served.on('data', (chunk: Buffer) => {
        received += chunk.toString('latin1');
      });
      const text = String(index).repeat(1_000_000);
      client.end(text);
      await once(served, 'end');
      expect(received).toBe(text);
      let answer = '';
      client.on('data', (chunk: Buffer) => {
        answer += chunk.toString('latin1');
      });
      const closed = once(served, 'close');
      served.end(text);
      await once(client, 'end');
      expect(answer).toBe(text);
      await closed;
    });
    await Promise.all(results);
  });

  it('gives what it reads to its reader, where it has one', async () => {
    await listen();
    const { client, served } = await pair();
    const received: string[] = [];
    const ended = once(served, 'end');
    (served as SharedReadsSocket).reader = (chunk) => received.push(chunk.toString('latin1'));
    served.on('data', () => received.push('not to be emitted'));
    client.end('to the reader');
    await ended;
    expect(received).toEqual(['to the reader']);
  });

  it('is an ordinary one where Node is not as expected', async () => {
    server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const handle = (server as unknown as { _handle: { onconnection: unknown } })._handle;
    const { onconnection } = handle;
    handle.onconnection = undefined;
    expect(acceptWithSharedReads(server)).toBe(false);
    handle.onconnection = onconnection;
    const { client, served } = await pair();
    expect(served).not.toBeInstanceOf(SharedReadsSocket);
    const data = once(served, 'data') as Promise<[Buffer]>;
    client.write('x');
    expect((await data)[0].toString()).toBe('x');
  });

  it('reads nothing while it is paused', async () => {
    await listen();
    const { client, served } = await pair();
    let bytes = 0;
    served.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      served.pause();
    });
    const total = 32 << 20;
    client.end(Buffer.alloc(total));
    while (bytes === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(client.writableLength).toBeGreaterThan(0);
    const before = bytes;
    for (let turn = 0; turn < 100; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(bytes).toBe(before);
    served.removeAllListeners('data');
    served.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    served.resume();
    await once(served, 'end');
    expect(bytes).toBe(total);
  });

  it('counts for its server, which is closed when the last one is', async () => {
    await listen();
    const { client, served } = await pair();
    served.resume();
    const closed = once(server, 'close');
    server.close();
    expect(server.listening).toBe(false);
    client.destroy();
    await once(served, 'end');
    served.end();
    await closed;
  });
});
