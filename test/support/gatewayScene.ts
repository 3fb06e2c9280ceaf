/** Upstreams, a gateway worker and clients of one test; `tearDown` ends all of them. */
import type { PoolSnapshot } from '../../backend/src/domain/upstreams/pool.js';
import type { GatewayLimits } from '../../backend/src/gateway/shared/limits.js';
import type { WorkerOptions } from '../../backend/src/gateway/worker/worker.js';
import { poolRow, startWorker, type TestWorker } from './gatewayWorker.js';
import { RawClient, RawUpstream, type RawConnection } from './rawHttp.js';
import { waitFor } from './waitFor.js';

const cleanups: (() => Promise<void> | void)[] = [];

export async function tearDown(): Promise<void> {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
}

export function atTearDown(cleanup: () => Promise<void> | void): void {
  cleanups.push(cleanup);
}

export async function upstream(
  onData: (connection: RawConnection, chunk: string) => void,
  onConnect?: (connection: RawConnection) => void,
): Promise<RawUpstream> {
  const started = await RawUpstream.start(onData, onConnect);
  cleanups.push(() => started.close());
  return started;
}

export async function gateway(
  ports: readonly number[],
  limits: Partial<GatewayLimits> = {},
  pool: Partial<PoolSnapshot> = {},
  options: Partial<WorkerOptions> = {},
): Promise<TestWorker> {
  const started = await startWorker(poolRow(ports, pool), limits, options);
  cleanups.push(() => {
    started.worker.close();
  });
  return started;
}

export function client(port: number, options: { readonly paused?: boolean } = {}): RawClient {
  const opened = new RawClient(port, options);
  cleanups.push(() => opened.destroy());
  return opened;
}

/** As any upstream says it; the gateway adds one of its own where it is missing. */
export const DATE = 'Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n';

export const ok = (body: string, lines = ''): string =>
  `HTTP/1.1 200 OK\r\n${DATE}${lines}Content-Length: ${body.length}\r\n\r\n${body}`;

export const get = (path: string, lines = ''): string =>
  `GET ${path} HTTP/1.1\r\nHost: a.example\r\n${lines}\r\n`;

/** A WebSocket's handshake, and the answer to it. */
export const upgrade = (lines = ''): string =>
  `GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n` +
  `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${lines}\r\n`;
export const switching =
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n';

/** Answers every complete request head with its path. */
export function echoPath(connection: RawConnection, chunk: string): void {
  for (const match of chunk.matchAll(/^[A-Z]+ (\S+) HTTP\/1\.1\r\n/gm))
    connection.socket.write(ok(match[1] ?? ''));
}

/** Nothing is left of any request: no lease, no client. */
export async function expectIdle({ worker }: TestWorker, clients = 0): Promise<void> {
  await waitFor(
    () => {
      const stats = worker.stats();
      return stats.upstreams.every(({ inFlight }) => inFlight === 0) && stats.clients.connections === clients;
    },
    { what: 'every lease to be released and every client to be gone' },
  );
}
