/**
 * A pool at work in one worker: who may be picked now, whose turn it is, who waits.
 *
 * Who may be picked is worked out when something changes (a snapshot, an ejection, an upstream that is full), never
 * on a request:
 *   fit        up and not ejected. When no upstream is fit the pool fails open: all that are not draining are fit,
 *              because a guess at a sick upstream beats a certain 503.
 *   available  fit, and has room for one more request.
 * When all that are fit are full, requests wait in one bounded queue per pool for whichever has room first.
 */
import { algorithms } from '../../domain/balancing/registry.js';
import type { Algorithm, Picker } from '../../domain/balancing/picker.js';
import { mayEjectOne } from '../../domain/upstreams/ejection.js';
import type { PoolSnapshot } from '../../domain/upstreams/pool.js';
import { RetryBudget } from '../../domain/upstreams/retry.js';
import { rampOf } from '../../domain/upstreams/slowStart.js';
import type { PortOwners } from '../../ports.js';
import type { Deadlines } from '../shared/deadlines.js';
import type { GatewayLimits } from '../shared/limits.js';
import { StickySessions } from './sticky.js';
import { Upstream } from './upstream.js';

/** A request that waits for room. */
export interface Waiting {
  /** Never called twice; `upstream` is leased to it. */
  onRoom(upstream: Upstream): void;
  readonly hash: number;
  readonly tried: readonly Upstream[] | null;
  /** The only upstream that will do (its session lives there), or null. */
  readonly wanted: Upstream | null;
}

interface Built {
  readonly algorithm: Algorithm | null;
  readonly endpoints: readonly Upstream[];
  readonly weights: readonly number[];
}

export type Outcome = 'success' | 'failure' | 'neutral';

export class Pool {
  readonly name: string;
  snapshot: PoolSnapshot;
  algorithm: Algorithm;
  sticky: StickySessions | null = null;
  readonly budget = new RetryBudget();
  #upstreams = new Map<string, Upstream>();
  /** No longer in the snapshot, with requests still under way. */
  readonly #leaving = new Set<Upstream>();
  readonly #queue = new Set<Waiting>();
  readonly #context: { hash: number; tried: readonly Upstream[] | null } = { hash: 0, tried: null };
  readonly #limits: GatewayLimits;
  readonly #deadlines: Deadlines;
  readonly #random: () => number;
  readonly #owners: PortOwners | null;
  #picker: Picker;
  /** What `#picker` was built from. */
  #built: Built = { algorithm: null, endpoints: [], weights: [] };
  #ramping = false;
  #anyEjected = false;

  constructor(
    snapshot: PoolSnapshot,
    limits: GatewayLimits,
    deadlines: Deadlines,
    wallMs: number,
    random: () => number,
    owners: PortOwners | null = null,
  ) {
    this.name = snapshot.name;
    this.#limits = limits;
    this.#deadlines = deadlines;
    this.#random = random;
    this.#owners = owners;
    this.snapshot = snapshot;
    this.algorithm = algorithmOf(snapshot);
    this.#picker = this.algorithm.build([], random);
    this.swap(snapshot, wallMs);
  }

  /** Takes over a new snapshot; what belongs to upstreams that stay, stays. */
  swap(snapshot: PoolSnapshot, wallMs: number): void {
    this.snapshot = snapshot;
    this.algorithm = algorithmOf(snapshot);
    const before = this.#upstreams;
    this.#upstreams = new Map();
    for (const row of snapshot.upstreams) {
      const known = before.get(row.id);
      before.delete(row.id);
      known?.update(row);
      this.#upstreams.set(row.id, known ?? new Upstream(row, this.#limits, this.#deadlines, this.#owners));
    }
    for (const upstream of before.values()) {
      upstream.leave();
      if (upstream.inFlight > 0) this.#leaving.add(upstream);
    }
    this.sticky =
      snapshot.sticky === null ? null : new StickySessions(snapshot.name, snapshot.sticky, this.#upstreams);
    this.#rebuildPicker();
    this.passTime(this.#deadlines.nowMs, wallMs);
    this.refresh();
  }

  /**
   * Only for another algorithm, membership or weight: who is available is looked at, never built in. A snapshot that
   * only says who is well leaves turns where they are, and costs no table.
   */
  #rebuildPicker(): void {
    const { algorithm } = this;
    const endpoints = [...this.#upstreams.values()];
    const built = this.#built;
    const isSame =
      algorithm === built.algorithm &&
      endpoints.length === built.endpoints.length &&
      endpoints.every((each, i) => each === built.endpoints[i] && each.weight === built.weights[i]);
    if (isSame) return;
    this.#built = { algorithm, endpoints, weights: endpoints.map(({ weight }) => weight) };
    this.#picker = algorithm.build(endpoints, this.#random);
  }

  /** The pool itself is no longer in the snapshot. */
  leave(wallMs: number): void {
    this.swap({ ...this.snapshot, upstreams: [] }, wallMs);
  }

  /** @throws RangeError when a snapshot can't be taken over. */
  static check(snapshot: PoolSnapshot): void {
    algorithmOf(snapshot);
    if (snapshot.sticky?.keys.length === 0) {
      throw new RangeError(`Pool "${snapshot.name}" has sticky sessions but no key to sign them.`);
    }
  }

  get isGone(): boolean {
    return this.#upstreams.size === 0 && this.#leaving.size === 0 && this.#queue.size === 0;
  }

  /**
   * Leases an upstream: to be released exactly once. null: nobody is available.
   * @param wanted is taken when it is available and was not tried.
   */
  lease(hash: number, tried: readonly Upstream[] | null, wanted: Upstream | null): Upstream | null {
    if (wanted !== null && wanted.fit && (tried === null || !tried.includes(wanted))) {
      return wanted.available ? this.#take(wanted) : null;
    }
    this.#context.hash = hash;
    this.#context.tried = tried;
    const picked = this.#picker.pick(this.#context) as Upstream | null;
    return picked === null ? null : this.#take(picked);
  }

  /**
   * Leases somebody who is not fit, any of them, for a request for which nobody fit could be reached: the checks may be
   * wrong about the one and late about the other, and a guess beats a certain failure. null: nobody is left.
   */
  leaseUnfit(tried: readonly Upstream[] | null): Upstream | null {
    if (this.hasFit(tried)) return null;
    const left = [...this.#upstreams.values()].filter(
      (one) => !one.fit && one.state !== 'draining' && one.hasRoom && tried?.includes(one) !== true,
    );
    const one = left[Math.floor(this.#random() * left.length)];
    return one === undefined ? null : this.#take(one);
  }

  #take(upstream: Upstream): Upstream {
    upstream.inFlight += 1;
    upstream.available = upstream.fit && upstream.hasRoom;
    return upstream;
  }

  /** A request has become an upgraded connection: it keeps its lease, but not its place among the requests. */
  upgraded(upstream: Upstream): void {
    upstream.upgraded += 1;
    upstream.available = upstream.fit && upstream.hasRoom;
    if (this.#queue.size > 0) this.#serveQueue();
  }

  /** Ends the lease of an upgraded connection. */
  releaseUpgraded(upstream: Upstream): void {
    upstream.upgraded -= 1;
    this.release(upstream, 'neutral');
  }

  /** Ends a lease. */
  release(upstream: Upstream, outcome: Outcome): void {
    upstream.inFlight -= 1;
    if (outcome === 'success') upstream.succeeded();
    else if (outcome === 'failure') this.#failed(upstream);
    upstream.available = upstream.fit && upstream.hasRoom;
    if (this.#queue.size > 0) this.#serveQueue();
    if (upstream.inFlight === 0) this.#leaving.delete(upstream);
  }

  #failed(upstream: Upstream): void {
    const { ejection } = this.snapshot;
    const inService = count(
      this.#upstreams.values(),
      ({ state, ejection: own }) => state === 'up' && own.kind === 'in',
    );
    const mayEject = mayEjectOne(inService, this.#upstreams.size, ejection.minHealthyShare);
    if (upstream.failed(ejection, mayEject, this.#deadlines.nowMs)) this.refresh();
  }

  /** Whether somebody would be available if they were not full (or already tried). */
  hasFit(tried: readonly Upstream[] | null): boolean {
    for (const upstream of this.#upstreams.values()) {
      if (upstream.fit && (tried === null || !tried.includes(upstream))) return true;
    }
    return false;
  }

  /** Whether an upstream passes its checks and is not ejected. Without one, `fit` are those that may be asked all the same. */
  get hasUp(): boolean {
    for (const { state, ejection } of this.#upstreams.values()) {
      if (state === 'up' && ejection.kind === 'in') return true;
    }
    return false;
  }

  /** Whether among those that were not tried somebody is fit whose last answers were good. */
  hasWell(tried: readonly Upstream[] | null): boolean {
    for (const upstream of this.#upstreams.values()) {
      if (upstream.fit && upstream.answersWell && (tried === null || !tried.includes(upstream))) return true;
    }
    return false;
  }

  /** @returns false when the queue is full. */
  wait(waiting: Waiting): boolean {
    if (this.#queue.size >= this.#limits.maxQueued) return false;
    this.#queue.add(waiting);
    return true;
  }

  /** Idempotent. */
  stopWaiting(waiting: Waiting): void {
    this.#queue.delete(waiting);
  }

  #serveQueue(): void {
    for (const waiting of this.#queue) {
      const upstream = this.lease(waiting.hash, waiting.tried, waiting.wanted);
      if (upstream === null) {
        if (waiting.wanted === null && waiting.tried === null) return;
        continue;
      }
      this.#queue.delete(waiting);
      waiting.onRoom(upstream);
    }
  }

  /** Ends ejections whose time is up and moves slow starts on. Ten times a second. */
  passTime(nowMs: number, wallMs: number): void {
    if (this.#anyEjected) {
      let back = false;
      for (const upstream of this.#upstreams.values()) {
        if (upstream.passTime(nowMs)) {
          upstream.upSinceMs = wallMs;
          back = true;
        }
      }
      if (back) this.refresh();
    }
    const { slowStartMs } = this.snapshot;
    this.#ramping = false;
    for (const upstream of this.#upstreams.values()) {
      upstream.ramp = rampOf(upstream.upSinceMs, wallMs, slowStartMs);
      if (upstream.ramp < 1) this.#ramping = true;
    }
  }

  /** Whether time changes anything here. */
  get isUnsettled(): boolean {
    return this.#ramping || this.#anyEjected;
  }

  /** Works out who may be picked. */
  refresh(): void {
    let fit = 0;
    this.#anyEjected = false;
    for (const upstream of this.#upstreams.values()) {
      const ejected = upstream.ejection.kind === 'ejected';
      if (ejected) this.#anyEjected = true;
      upstream.fit = upstream.state === 'up' && !ejected;
      if (upstream.fit) fit += 1;
    }
    for (const upstream of this.#upstreams.values()) {
      if (fit === 0 && upstream.state !== 'draining') upstream.fit = true;
      upstream.available = upstream.fit && upstream.hasRoom;
    }
    if (this.#queue.size > 0) this.#serveQueue();
  }

  /** Those of the snapshot and those that are leaving. */
  *upstreams(): Iterable<Upstream> {
    yield* this.#upstreams.values();
    yield* this.#leaving;
  }
}

function algorithmOf(snapshot: PoolSnapshot): Algorithm {
  const algorithm = algorithms.get(snapshot.algorithm);
  if (algorithm === undefined) {
    const known = [...algorithms.keys()].join(', ');
    throw new RangeError(
      `Pool "${snapshot.name}" asks for the algorithm "${snapshot.algorithm}"; known: ${known}.`,
    );
  }
  return algorithm;
}

function count<T>(items: Iterable<T>, matches: (item: T) => boolean): number {
  let matching = 0;
  for (const item of items) if (matches(item)) matching += 1;
  return matching;
}
