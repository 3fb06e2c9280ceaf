/**
 * The data path of one gateway process: accepts clients, picks an upstream for each request, passes bytes both ways.
 *
 * It holds a snapshot (domain/upstreams/pool.ts) and what belongs to its upstreams; `swap` takes over a new snapshot between two
 * requests and disturbs nothing that stayed the same. Whatever is slow or clever (membership, active checks, pages)
 * lives in the primary and reaches it through `swap` and `OwnPages`.
 */
import type { ListenOptions } from 'node:net';
import type { WorkerStats } from '../../domain/statistics/gatewayStats.js';
import type { GatewaySnapshot } from '../../domain/upstreams/pool.js';
import { compileRoutes, type RouteTable } from '../../domain/upstreams/routing.js';
import { upstreamKey } from '../../domain/statistics/trafficLedger.js';
import type { Clock, PortOwners, ProcessNews, TcpSockets } from '../../ports.js';
import { AddressLimits } from '../client/addressLimits.js';
import { ClientConnection, type ClientOwner } from '../client/clientConnection.js';
import type { ClientSocket } from '../shared/clientSocket.js';
import { AnswerCounter, CodeCounter } from '../shared/counters.js';
import { Deadlines } from '../shared/deadlines.js';
import type { ExchangeContext, OpenTunnel } from '../exchange/exchangeContext.js';
import { TrustedPeers, type Peer } from '../shared/forwarded.js';
import { DEFAULT_LIMITS, type GatewayLimits } from '../shared/limits.js';
import { Listeners, type Reception } from '../client/listeners.js';
import type { OwnPages } from '../shared/ownPages.js';
import { Pool } from '../upstreams/pool.js';
import type { TlsMaterial } from '../tls/contexts.js';
import type { RequestRecord } from '../shared/requestRecord.js';
import { SeenSessions } from '../upstreams/seenSessions.js';
import { StrandedRequests } from '../upstreams/strandedRequests.js';
import { FAREWELL_MS } from '../exchange/tunnel.js';
import { TurnedAway } from '../client/turnedAway.js';
import type { Upstream } from '../upstreams/upstream.js';

export interface WorkerOptions {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Default: DEFAULT_LIMITS. */
  readonly limits?: Partial<GatewayLimits>;
  /** Addresses and CIDR ranges of proxies in front whose forwarded fields are believed. Default: none. */
  readonly trustedProxies?: readonly string[];
  /** Peers that begin every connection with a PROXY header (version 1 or 2). Default: none. */
  readonly proxyProtocolFrom?: readonly string[];
  /** Whether TLS clients may speak HTTP/2. Default true. */
  readonly http2?: boolean;
  /** Plain requests are sent to https on this port. Default: they are served. */
  readonly tlsRedirectPort?: number | null;
  /** Default: no pages of its own. */
  readonly ownPages?: OwnPages;
  /** Name of this gateway in Via; must not be that of another one on the path. Default `holdfast`. */
  readonly viaName?: string;
  /** Called once per request when it is over. Must not throw. Default: nobody. */
  readonly onRequestEnd?: (record: RequestRecord) => void;
  /** Over which time WebSockets are closed whose upstream leaves. Default 10 000 ms. */
  readonly tunnelDrainMs?: number;
  /** Whether clients on this machine are told why a request failed. Default true. */
  readonly trustsLoopback?: boolean;
  /** The sockets of this machine; null: they are not known. Default: never known, so requests that no process reads are not found. */
  readonly sockets?: () => Promise<TcpSockets | null>;
  /** Default: it is not looked at to whom an upstream's port belongs. */
  readonly portOwners?: PortOwners;
}

export interface DrainOptions {
  /** How long requests under way may take. Then they are cut. */
  readonly timeoutMs: number;
  /** Over which part of it WebSockets and idle connections are closed, evenly. */
  readonly windowMs: number;
}

const NO_PAGES: OwnPages = {
  handles: () => false,
  answer: () => Promise.reject(new Error('this worker has no pages')),
};
/** An answer that its process sent just before it ended has arrived by then. */
const ABANDON_AFTER_MS = 100;
const NO_ROUTES: GatewaySnapshot = { version: 0, routes: [], pools: [] };

export class GatewayWorker implements ExchangeContext, ClientOwner, Reception {
  readonly limits: GatewayLimits;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly ownPages: OwnPages;
  readonly answers = new AnswerCounter();
  readonly refusals = new CodeCounter();
  readonly seen = new SeenSessions();
  readonly tunnels = new Set<OpenTunnel>();
  readonly random: () => number;
  readonly viaName: string;
  readonly trustsLoopback: boolean;
  readonly tlsRedirectPort: number | null;
  readonly onRequestEnd: ((record: RequestRecord) => void) | null;
  draining = false;
  /** Over which time WebSockets are closed while it is. */
  #drainWindowMs = 0;
  #snapshot = NO_ROUTES;
  #routes: RouteTable = compileRoutes([]);
  #pools = new Map<string, Pool>();
  /** Where everything goes, when there is one route and it takes everything. */
  #onlyPool: Pool | null = null;
  readonly #leavingPools = new Set<Pool>();
  readonly #clients = new Set<ClientConnection>();
  readonly #listeners: Listeners;
  readonly #addresses: AddressLimits;
  readonly #turnedAway: TurnedAway;
  readonly #tunnelDrainMs: number;
  readonly #owners: PortOwners | null;
  readonly #stranded: StrandedRequests;
  /** Of connections, and of streams of HTTP/2. */
  #places = 0;
  #onIdle: (() => void) | null = null;

  /** @throws RangeError when a trusted range is malformed. */
  constructor(options: WorkerOptions) {
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.clock = options.clock;
    this.ownPages = options.ownPages ?? NO_PAGES;
    this.viaName = options.viaName ?? 'holdfast';
    this.trustsLoopback = options.trustsLoopback ?? true;
    this.tlsRedirectPort = options.tlsRedirectPort ?? null;
    this.onRequestEnd = options.onRequestEnd ?? null;
    this.random = options.random;
    this.#owners = options.portOwners ?? null;
    this.#tunnelDrainMs = options.tunnelDrainMs ?? 10_000;
    this.#listeners = new Listeners(this, this, {
      trust: new TrustedPeers(options.trustedProxies ?? []),
      proxies: new TrustedPeers(options.proxyProtocolFrom ?? []),
      http2: options.http2 ?? true,
    });
    this.#addresses = new AddressLimits(this.limits);
    this.#turnedAway = new TurnedAway(this.clock);
    this.deadlines = new Deadlines(this.clock, this.limits.tickMs, (nowMs) => this.#tick(nowMs));
    this.deadlines.start();
    this.#stranded = new StrandedRequests({
      clock: this.clock,
      sockets: options.sockets ?? (() => Promise.resolve(null)),
      unanswered: () => this.#allUpstreams().flatMap((upstream) => upstream.unanswered()),
    });
  }

  /** The version of the snapshot in use; 0 before the first. */
  get version(): number {
    return this.#snapshot.version;
  }

  /**
   * Accepts clients. May be called for several addresses.
   * @returns the port. Rejects with the system's error (EADDRINUSE, EACCES, …).
   */
  listen(options: ListenOptions): Promise<number> {
    return this.#listeners.listen(options);
  }

  /** Like `listen`, for clients that come through TLS. Once. */
  listenTls(options: ListenOptions, material: TlsMaterial): Promise<number> {
    return this.#listeners.listenTls(options, material);
  }

  /** Other certificates or ticket keys: for connections from now on, those that are open stay as they are. */
  updateTls(material: TlsMaterial): void {
    this.#listeners.updateTls(material);
  }

  admit(peer: Peer, socket: ClientSocket | null): boolean {
    if (this.#places >= this.limits.maxConnections) {
      this.#turnAway(socket, 503, 'limit.connections', 'The gateway has as many connections as it allows.');
      return false;
    }
    if (!peer.trusted && !this.#addresses.open(peer.address)) {
      this.#turnAway(socket, 429, 'limit.connections-per-ip', 'Too many connections from this address.');
      return false;
    }
    this.#places += 1;
    return true;
  }

  leave(peer: Peer): void {
    this.#places -= 1;
    if (!peer.trusted) this.#addresses.close(peer.address);
    if (this.draining && this.#places === 0) this.#onIdle?.();
  }

  serve(socket: ClientSocket, peer: Peer): void {
    this.#clients.add(new ClientConnection(socket, peer, this, this));
  }

  /**
   * Takes over a snapshot: what stays the same keeps its connections, counters and ejections.
   * @throws RangeError when it names an algorithm that does not exist; then nothing has changed.
   */
  swap(snapshot: GatewaySnapshot): void {
    const routes = compileRoutes(snapshot.routes);
    for (const pool of snapshot.pools) Pool.check(pool);
    const before = this.#pools;
    const wallMs = this.clock.wallMs();
    this.#pools = new Map();
    for (const row of snapshot.pools) {
      const known = before.get(row.name);
      before.delete(row.name);
      known?.swap(row, wallMs);
      this.#pools.set(
        row.name,
        known ?? new Pool(row, this.limits, this.deadlines, wallMs, this.random, this.#owners),
      );
    }
    for (const pool of before.values()) {
      pool.leave(wallMs);
      this.#leavingPools.add(pool);
    }
    this.#routes = routes;
    const [first, ...others] = snapshot.routes;
    const takesAll = first?.host === null && first.pathPrefix === '/' && others.length === 0;
    this.#onlyPool = takesAll ? (this.#pools.get(first.pool) ?? null) : null;
    this.#snapshot = snapshot;
    const orphans = [...this.tunnels].filter(({ upstream }) => upstream.state === 'draining');
    this.#dismiss(orphans, this.#tunnelDrainMs);
  }

  /** What it has counted and what is under way; the log's and `seen` are added where they are handed on. */
  stats(): WorkerStats {
    const nowMs = this.clock.nowMs();
    const pools = [...this.#pools.values(), ...this.#leavingPools];
    return {
      upstreams: pools.flatMap((pool) =>
        [...pool.upstreams()].map((upstream) => upstream.stats(pool.name, nowMs)),
      ),
      clients: {
        connections: this.#clients.size - this.#listeners.streams + this.#listeners.http2Connections,
        upgraded: this.tunnels.size,
        accepted: this.#listeners.accepted,
        answers: this.answers.snapshot(),
      },
      refusals: this.refusals.snapshot(),
      accessLogDropped: 0,
      seen: [],
    };
  }

  /**
   * The process at this address (host:port) has ended: requests that it has not begun to answer fail over. Or it was
   * superseded: connections that may lead to it are not used again.
   */
  heardOfProcess(id: string, news: ProcessNews): void {
    const atMs = this.clock.nowMs() + ABANDON_AFTER_MS;
    for (const upstream of this.#allUpstreams()) {
      if (upstream.id !== id) continue;
      if (news === 'ended') upstream.abandon(atMs);
      else upstream.retireConnections();
    }
  }

  /** Upstreams (`upstreamKey`) that take nothing new but have requests or upgraded connections under way here. */
  finishing(): string[] {
    const keys: string[] = [];
    for (const pool of [...this.#pools.values(), ...this.#leavingPools]) {
      for (const { state, inFlight, id } of pool.upstreams()) {
        if (state === 'draining' && inFlight > 0) keys.push(upstreamKey(pool.name, id));
      }
    }
    return keys;
  }

  /**
   * Stops gracefully: accepts nobody, lets requests under way finish, tells clients with their next answer to come
   * back on another connection, and closes idle connections and WebSockets over the window. A request that no process
   * will ever read is not waited for (strandedRequests.ts).
   * @returns whether everything had ended by itself.
   */
  async drain({ timeoutMs, windowMs }: DrainOptions): Promise<boolean> {
    this.draining = true;
    this.#listeners.stopListening();
    this.#listeners.drain(windowMs, this.random);
    this.#drainWindowMs = windowMs;
    this.#dismiss(this.tunnels, windowMs);
    const nowMs = this.clock.nowMs();
    for (const client of this.#clients)
      if (client.isIdle) client.deadlineMs = nowMs + this.random() * windowMs;
    this.#stranded.start();
    const ended = await new Promise<boolean>((resolve) => {
      if (this.#places === 0) {
        resolve(true);
        return;
      }
      const cancel = this.clock.after(timeoutMs, () => resolve(false));
      this.#onIdle = () => {
        cancel();
        resolve(true);
      };
    });
    this.close();
    return ended;
  }

  /** Ends everything at once. */
  close(): void {
    this.draining = true;
    this.deadlines.stop();
    this.#stranded.close();
    for (const client of this.#clients) client.endAtOnce();
    this.#listeners.close();
    for (const upstream of this.#allUpstreams()) upstream.closeIdle();
  }

  route(host: string, path: string): Pool | null {
    if (this.#onlyPool !== null) return this.#onlyPool;
    const name = this.#routes.match(host, path);
    return name === null ? null : (this.#pools.get(name) ?? null);
  }

  poolNamed(name: string): Pool | null {
    return this.#pools.get(name) ?? null;
  }

  admits(clientAddress: string): boolean {
    return this.#addresses.request(clientAddress, this.deadlines.nowMs);
  }

  /** One that came about while its upstream or this worker was on its way out already is not to outlive it. */
  onTunnel(tunnel: OpenTunnel): void {
    this.tunnels.add(tunnel);
    if (this.draining) this.#dismiss([tunnel], this.#drainWindowMs);
    else if (tunnel.upstream.state === 'draining') this.#dismiss([tunnel], this.#tunnelDrainMs);
  }

  onClientClosed(client: ClientConnection): void {
    this.#clients.delete(client);
    this.leave(client.peer);
  }

  #allUpstreams(): readonly Upstream[] {
    return [...this.#pools.values(), ...this.#leavingPools].flatMap((pool) => [...pool.upstreams()]);
  }

  #turnAway(socket: ClientSocket | null, status: number, code: string, message: string): void {
    this.refusals.count(code);
    if (socket === null) return;
    this.answers.count(status);
    this.#turnedAway.add(socket, { status, code, message });
  }

  /** Has WebSockets closed within the window: begun evenly over it, but for the time that a good end takes. */
  #dismiss(tunnels: Iterable<OpenTunnel>, windowMs: number): void {
    const nowMs = this.clock.nowMs();
    const farewellMs = Math.min(FAREWELL_MS, windowMs / 2);
    for (const tunnel of tunnels) {
      const atMs = nowMs + this.random() * (windowMs - farewellMs);
      tunnel.leave(atMs, atMs + farewellMs);
    }
  }

  #tick(nowMs: number): void {
    const wallMs = this.clock.wallMs();
    for (const pool of this.#pools.values()) if (pool.isUnsettled) pool.passTime(nowMs, wallMs);
    for (const pool of this.#leavingPools) if (pool.isGone) this.#leavingPools.delete(pool);
    this.#addresses.passTime(nowMs);
    this.seen.passTime(nowMs);
  }
}
