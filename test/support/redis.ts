import { Redis } from 'ioredis';
import { canRun, PrivateServer, requireBinary } from './privateServer.js';

export const redisAvailable = canRun('redis-server', ['redis-server']);

/** A running Redis of the test's own, without persistence; `dispose` ends it. */
export async function startRedis(): Promise<PrivateServer & { readonly url: string }> {
  const server = await PrivateServer.prepare({
    name: 'redis',
    binary: requireBinary('redis-server', 'redis-server'),
    args: (folder, port) => [
      ...['--port', String(port), '--bind', '127.0.0.1', '--dir', folder],
      ...['--save', '', '--appendonly', 'no', '--daemonize', 'no'],
    ],
    ready: (_folder, port) => ping(port),
  });
  await server.start();
  return Object.assign(server, { url: `redis://127.0.0.1:${server.port}` });
}

async function ping(port: number): Promise<void> {
  const client = new Redis(port, '127.0.0.1', { lazyConnect: true, retryStrategy: () => null });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.ping();
  } finally {
    client.disconnect();
  }
}
