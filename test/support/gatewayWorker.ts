/** A gateway worker in the test's own process, on a free port. */
import { systemClock } from '../../backend/src/adapters/clock.js';
import type {
  GatewaySnapshot,
  PoolSnapshot,
  UpstreamSnapshot,
} from '../../backend/src/domain/upstreams/pool.js';
import type { GatewayLimits } from '../../backend/src/gateway/shared/limits.js';
import { GatewayWorker, type WorkerOptions } from '../../backend/src/gateway/worker/worker.js';

export function upstreamRow(port: number, changes: Partial<UpstreamSnapshot> = {}): UpstreamSnapshot {
  const host = '127.0.0.1';
  return { id: `${host}:${port}`, host, port, weight: 1, state: 'up', upSinceMs: 0, ...changes };
}

export function poolRow(ports: readonly number[], changes: Partial<PoolSnapshot> = {}): PoolSnapshot {
  return {
    name: 'main',
    algorithm: 'round-robin',
    hashOn: 'ip',
    slowStartMs: 0,
    sticky: null,
    retryBudget: { share: 0.2, min: 3 },
    retryUnsafe: false,
    ejection: { consecutiveFailures: 5, baseMs: 30_000, maxMs: 300_000, minHealthyShare: 0.5 },
    upstreams: ports.map((port) => upstreamRow(port)),
    ...changes,
  };
}

let version = 0;

/** One pool for everything. */
export function snapshotOf(pool: PoolSnapshot): GatewaySnapshot {
  version += 1;
  return { version, routes: [{ host: null, pathPrefix: '/', pool: pool.name }], pools: [pool] };
}

export interface TestWorker {
  readonly worker: GatewayWorker;
  readonly port: number;
}

/** Ticks every 10 ms, lingers shortly and holds nothing, so that a test with time-outs or failures is short. */
export async function startWorker(
  pool: PoolSnapshot,
  limits: Partial<GatewayLimits> = {},
  options: Partial<WorkerOptions> = {},
): Promise<TestWorker> {
  const worker = new GatewayWorker({
    clock: systemClock,
    random: Math.random,
    limits: { tickMs: 10, lingerMs: 50, holdMs: 0, ...limits },
    ...options,
  });
  worker.swap(snapshotOf(pool));
  return { worker, port: await worker.listen({ port: 0, host: '127.0.0.1' }) };
}
