import { once } from 'node:events';
import { request } from 'node:http';
import { connect, createServer, Socket, type AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { isSelf, refuseSelfConnections } from './selfConnection.js';

const HOST = '127.0.0.1';
const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** One on which nothing listens. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, HOST);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

it('tells a connection that meets itself from any other', async () => {
  const port = await freePort();
  // Not opened with net.connect, so not looked at.
  const own = new Socket().connect({ host: HOST, port, localAddress: HOST, localPort: port });
  sockets.push(own);
  await once(own, 'connect');
  expect(isSelf(own)).toBe(true);

  const server = createServer((peer) => sockets.push(peer)).listen(0, HOST);
  await once(server, 'listening');
  const other = new Socket().connect({ host: HOST, port: (server.address() as AddressInfo).port });
  sockets.push(other);
  await once(other, 'connect');
  expect(isSelf(other)).toBe(false);
  other.destroy();
  server.close();
});

it.each([
  ['a socket', (port: number) => connect({ host: HOST, port, localAddress: HOST, localPort: port })],
  [
    'an HTTP request',
    (port: number) =>
      request({ host: HOST, port, localAddress: HOST, localPort: port, agent: false, timeout: 2_000 }).end(),
  ],
])('refuses %s that meets itself, and the port is free for its server', async (_what, open) => {
  refuseSelfConnections();
  const port = await freePort();
  const opened = open(port);
  const error = await new Promise<NodeJS.ErrnoException>((resolve, reject) => {
    opened.once('error', resolve);
    opened.once('timeout', () => reject(new Error('it stays connected to itself')));
  });
  expect(error).toMatchObject({ code: 'ECONNREFUSED', message: `connect ECONNREFUSED ${HOST}:${port}` });
  const server = createServer().listen(port, HOST);
  await once(server, 'listening');
  server.close();
});
