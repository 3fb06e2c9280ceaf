/**
 * What the gateway's primary hands to its workers: an immutable snapshot of routes, pools and upstreams. Workers build
 * their pickers from it and keep what belongs to an upstream (connections, counters, ejections) by its id, so that a
 * new snapshot disturbs nothing that stayed the same. Plain data: it crosses a process boundary and is kept on disk.
 */

import type { PortOwner } from '../network/portOwner.js';

/** Where an upstream stands by membership and active checks; what a worker knows from traffic comes on top. */
export type UpstreamState =
  /** Takes traffic. */
  | 'up'
  /** Takes no new requests; those in flight finish. */
  | 'draining'
  /** Failed its active checks. */
  | 'down';

export interface UpstreamSnapshot {
  /** host:port. */
  readonly id: string;
  readonly host: string;
  readonly port: number;
  readonly weight: number;
  readonly state: UpstreamState;
  /** Wall clock since when it is up: slow start counts from here, ms. */
  readonly upSinceMs: number;
  /** On this machine: to which users its port must belong. Absent: to any. */
  readonly owner?: PortOwner | undefined;
}

export interface StickySnapshot {
  readonly cookieName: string;
  readonly lifetimeMs: number;
  /** Newest first: the first signs, all verify. */
  readonly keys: readonly string[];
}

/** What answers in the place of a pool of which no upstream can be reached. */
export type FallbackSnapshot =
  /** Another pool of the snapshot. */
  | { readonly kind: 'pool'; readonly pool: string }
  /** A page, with status 503. */
  | { readonly kind: 'page'; readonly html: string }
  /** An absolute URL. */
  | { readonly kind: 'redirect'; readonly location: string };

export interface PoolSnapshot {
  readonly name: string;
  /** A name of the balancing registry. */
  readonly algorithm: string;
  /** For `consistent-hash`: `ip`, `path`, `header:<name>`, `cookie:<name>`. */
  readonly hashOn: string;
  readonly slowStartMs: number;
  readonly sticky: StickySnapshot | null;
  /** Retries on top of traffic, share 0–1, and how many are always allowed. */
  readonly retryBudget: { readonly share: number; readonly min: number };
  /** POST and PATCH without Idempotency-Key are retried like idempotent ones. */
  readonly retryUnsafe: boolean;
  /** Passive ejection from real traffic. */
  readonly ejection: {
    readonly consecutiveFailures: number;
    readonly baseMs: number;
    readonly maxMs: number;
    /** Never eject below this share of the pool, 0–1; when all are bad the pool fails open. */
    readonly minHealthyShare: number;
  };
  /** Absent: the client gets the gateway's own 502 or 503. */
  readonly fallback?: FallbackSnapshot;
  /** Why no upstream of it is up, for people who run it. Absent: one is, or that is not known. */
  readonly trouble?: string;
  readonly upstreams: readonly UpstreamSnapshot[];
}

export interface RouteSnapshot {
  /** Lower case, without port; null: any. `*.example.org` matches one or more labels. */
  readonly host: string | null;
  /** `/` matches everything; `/api` matches `/api` and `/api/…`. Longest wins. */
  readonly pathPrefix: string;
  readonly pool: string;
}

export interface GatewaySnapshot {
  /** Grows with every change. */
  readonly version: number;
  readonly routes: readonly RouteSnapshot[];
  readonly pools: readonly PoolSnapshot[];
}

/** Whether a pool sends everything of one client address to one upstream, so that a person alone sees but one of them. */
export function isKeyedByAddress({ algorithm, hashOn }: Pick<PoolSnapshot, 'algorithm' | 'hashOn'>): boolean {
  return algorithm === 'ip-hash' || (algorithm === 'consistent-hash' && hashOn === 'ip');
}

/** What to tell a person who wonders why. @param one what an upstream is called there. */
export function addressHint(one: string): string {
  return `Every request from one address goes to one ${one}, so all that you try from this machine does, too. LB_ALGORITHM=round-robin spreads it.`;
}
