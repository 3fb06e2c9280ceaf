/** What the agent tells of the ports that its process listens on. Real servers. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { ListenerWatch } from './listeners.js';
import type { Listening } from './protocol.js';

const servers: Server[] = [];
afterEach(() => Promise.all(servers.splice(0).map((server) => new Promise((done) => server.close(done)))));

async function listen(port: number, host = '127.0.0.1'): Promise<Server> {
  const server = createServer();
  servers.push(server);
  server.listen(port, host);
  await once(server, 'listening');
  return server;
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

it('tells every address, and one that it could not have', async () => {
  const told: Listening[] = [];
  const failures: number[] = [];
  const watch = new ListenerWatch(
    (listening) => told.push(listening),
    () => failures.push(1),
  );
  watch.start();
  const first = await listen(0);
  const second = await listen(0, '::1');
  const places = [
    { address: '127.0.0.1', port: portOf(first) },
    { address: '::1', port: portOf(second) },
  ];
  expect(told.at(-1)).toEqual({ type: 'listening', addresses: places, refused: null });

  const late = createServer();
  late.listen(portOf(first), '127.0.0.1');
  await once(late, 'error');
  const refused = { code: 'EADDRINUSE', address: '127.0.0.1', port: portOf(first) };
  expect(told.at(-1)).toEqual({ type: 'listening', addresses: places, refused });

  await new Promise((done) => first.close(done));
  expect(watch.listening().addresses).toEqual([places[1]]);
  // Its place is free again.
  for (let count = 0; count < 20; count += 1) await listen(0);
  expect(told.at(-1)?.addresses).toHaveLength(16);
  expect(failures).toEqual([]);
});
