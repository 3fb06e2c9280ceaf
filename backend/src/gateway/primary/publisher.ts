/**
 * The snapshot that workers are to have: built from the pools' settings and the membership whenever either changed,
 * many changes in one turn of the loop making one snapshot, and given out only when it differs from the last.
 */
import { isDeepStrictEqual } from 'node:util';
import type {
  GatewaySnapshot,
  PoolSnapshot,
  RouteSnapshot,
  UpstreamSnapshot,
} from '../../domain/upstreams/pool.js';

/** A pool without its upstreams: what the configuration says of it. */
export type PoolSettings = Omit<PoolSnapshot, 'upstreams' | 'trouble'>;

export interface RoutingSettings {
  readonly routes: readonly RouteSnapshot[];
  readonly pools: readonly PoolSettings[];
}

export interface PublisherOptions {
  readonly routing: RoutingSettings;
  readonly rows: (pool: string) => readonly UpstreamSnapshot[];
  /** Why no upstream of a pool is up; null: that is not known. Asked when none is. */
  readonly troubleOf: (pool: string) => string | null;
  readonly onSnapshot: (snapshot: GatewaySnapshot) => void;
}

export class Publisher {
  readonly #options: PublisherOptions;
  #routing: RoutingSettings;
  #current: GatewaySnapshot;
  #due = false;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#routing = options.routing;
    this.#current = this.#build(1);
  }

  get current(): GatewaySnapshot {
    return this.#current;
  }

  /** Something changed: a new snapshot follows before the loop turns to anything else. */
  touch(): void {
    if (this.#due) return;
    this.#due = true;
    queueMicrotask(() => this.#publish());
  }

  /** Other pools and routes. */
  reconfigure(routing: RoutingSettings): void {
    this.#routing = routing;
    this.touch();
  }

  #publish(): void {
    this.#due = false;
    const next = this.#build(this.#current.version + 1);
    if (isDeepStrictEqual({ ...next, version: 0 }, { ...this.#current, version: 0 })) return;
    this.#current = next;
    this.#options.onSnapshot(next);
  }

  #build(version: number): GatewaySnapshot {
    const { routes, pools } = this.#routing;
    return { version, routes, pools: pools.map((pool) => this.#fill(pool)) };
  }

  #fill(pool: PoolSettings): PoolSnapshot {
    const { rows, troubleOf } = this.#options;
    const upstreams = rows(pool.name);
    const trouble = upstreams.some(({ state }) => state === 'up') ? null : troubleOf(pool.name);
    return trouble === null ? { ...pool, upstreams } : { ...pool, trouble, upstreams };
  }
}
