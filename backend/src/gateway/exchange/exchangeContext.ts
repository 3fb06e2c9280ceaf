/** What a request that goes to an upstream needs of its worker, besides what everything on the data path shares. */
import type { GatewayContext } from '../shared/context.js';
import type { Pool } from '../upstreams/pool.js';
import type { SeenSessions } from '../upstreams/seenSessions.js';
import type { Upstream } from '../upstreams/upstream.js';

/** What the worker needs of an upgraded connection: to tell it to leave. */
export interface OpenTunnel {
  readonly upstream: Upstream;
  /** Begins to close it at `atMs`, and has it closed for the client by `overByMs` (both monotonic, ms). Once. */
  leave(atMs: number, overByMs: number): void;
}

export interface ExchangeContext extends GatewayContext {
  readonly seen: SeenSessions;
  readonly tunnels: Set<OpenTunnel>;
  /** The pool for a request, or null. */
  route(host: string, path: string): Pool | null;
  /** A pool of the snapshot by its name, or null. */
  poolNamed(name: string): Pool | null;
  /** A connection was upgraded. */
  onTunnel(tunnel: OpenTunnel): void;
}
