/**
 * One upstream of one pool as a worker knows it: its keep-alive connections, what is under way there, what it has
 * done so far and whether its traffic speaks for it. Lives as long as the upstream is in the snapshot, and after that
 * until its last request is finished.
 */
import type { Endpoint } from '../../domain/balancing/picker.js';
import {
  afterFailure,
  afterSuccess,
  atTime,
  NEVER_EJECTED,
  type EjectionPolicy,
  type EjectionState,
} from '../../domain/upstreams/ejection.js';
import type { UpstreamStats } from '../../domain/statistics/gatewayStats.js';
import { createHistogram, record } from '../../domain/statistics/histogram.js';
import type { UpstreamSnapshot, UpstreamState } from '../../domain/upstreams/pool.js';
import type { PortOwner } from '../../domain/network/portOwner.js';
import type { PortOwners, PortVerdict } from '../../ports.js';
import { AnswerCounter } from '../shared/counters.js';
import type { Deadlines } from '../shared/deadlines.js';
import type { GatewayLimits } from '../shared/limits.js';
import type { UpstreamConnection } from './upstreamConnection.js';
import { UpstreamConnections, type Borrower } from './upstreamConnections.js';

export class Upstream implements Endpoint {
  readonly id: string;
  readonly host: string;
  readonly port: number;
  weight: number;
  inFlight = 0;
  /** Of `inFlight`: WebSockets. They last for hours, so they are bounded by connections, not by requests. */
  upgraded = 0;
  available = false;
  ramp = 1;
  state: UpstreamState;
  upSinceMs: number;
  /** Takes traffic by membership, checks and its own traffic; `available` adds whether it has room. */
  fit = false;
  ejection: EjectionState = NEVER_EJECTED;
  readonly answers = new AnswerCounter();
  failures = 0;
  retries = 0;
  ejections = 0;
  readonly #latency = createHistogram();
  readonly #limits: GatewayLimits;
  readonly #owners: PortOwners | null;
  #owner: PortOwner | undefined;
  readonly #connections: UpstreamConnections;

  /** @param owners null: to whom a port belongs is not looked at. */
  constructor(
    snapshot: UpstreamSnapshot,
    limits: GatewayLimits,
    deadlines: Deadlines,
    owners: PortOwners | null = null,
  ) {
    this.id = snapshot.id;
    this.host = snapshot.host;
    this.port = snapshot.port;
    this.weight = snapshot.weight;
    this.state = snapshot.state;
    this.upSinceMs = snapshot.upSinceMs;
    this.#limits = limits;
    this.#owners = owners;
    this.#owner = snapshot.owner;
    this.#connections = new UpstreamConnections(this, limits, deadlines);
  }

  /** To whom its port belongs now; see ports.ts. */
  vouch(): PortVerdict {
    if (this.#owners === null || this.#owner === undefined) return 'unknown';
    return this.#owners.check(this.host, this.port, this.#owner);
  }

  get hasRoom(): boolean {
    return this.inFlight - this.upgraded < this.#limits.maxInFlightPerUpstream;
  }

  /** The last that it was asked it answered. */
  get answersWell(): boolean {
    return this.ejection.kind === 'in' && this.ejection.failures === 0 && !this.ejection.probation;
  }

  /** What a new snapshot says of it. */
  update(snapshot: UpstreamSnapshot): void {
    // Whoever comes up there was verified, or is another process: the traffic of the one before says nothing of it.
    if (snapshot.state === 'up' && this.state !== 'up') this.ejection = NEVER_EJECTED;
    this.weight = snapshot.weight;
    this.state = snapshot.state;
    this.#owner = snapshot.owner;
    // After an ejection it starts slowly, too, and that is later than its membership.
    this.upSinceMs = Math.max(this.upSinceMs, snapshot.upSinceMs);
    if (snapshot.state !== 'up') this.closeIdle();
  }

  /** It is no longer in the snapshot. */
  leave(): void {
    this.state = 'draining';
    this.fit = false;
    this.available = false;
    this.closeIdle();
  }

  /** See UpstreamConnections. */
  lend(user: Borrower, fresh: boolean): void {
    this.#connections.lend(user, fresh);
  }

  stopWaiting(user: Borrower): void {
    this.#connections.stopWaiting(user);
  }

  giveBack(connection: UpstreamConnection): void {
    this.#connections.giveBack(connection, this.state === 'up');
  }

  /**
   * The process at this address has ended. What it had begun to answer may still be on its way; what it had not will
   * never come, though the connection may live on: PM2's daemon accepts for its cluster, and keeps connections that it
   * was about to hand to a worker that died.
   */
  abandon(atMs: number): void {
    this.#connections.abandon(atMs);
  }

  /** See UpstreamConnections. */
  unanswered(): readonly UpstreamConnection[] {
    return this.#connections.unanswered();
  }

  /** See UpstreamConnections.retire. */
  retireConnections(): void {
    this.#connections.retire();
  }

  closeIdle(): void {
    this.#connections.closeIdle();
  }

  succeeded(): void {
    this.ejection = afterSuccess(this.ejection);
  }

  /** @returns whether it was ejected for it. */
  failed(policy: EjectionPolicy, mayEject: boolean, nowMs: number): boolean {
    const before = this.ejection;
    this.ejection = afterFailure(before, policy, mayEject, nowMs);
    const ejected = before.kind === 'in' && this.ejection.kind === 'ejected';
    if (ejected) this.ejections += 1;
    return ejected;
  }

  /** @returns whether it came back from an ejection just now. */
  passTime(nowMs: number): boolean {
    const before = this.ejection;
    this.ejection = atTime(before, nowMs);
    return before !== this.ejection;
  }

  recordLatency(elapsedMs: number): void {
    record(this.#latency, elapsedMs);
  }

  stats(pool: string, nowMs: number): UpstreamStats {
    return {
      pool,
      id: this.id,
      counters: {
        answers: this.answers.snapshot(),
        failures: this.failures,
        retries: this.retries,
        ejections: this.ejections,
        connectionsOpened: this.#connections.opened,
        latency: { counts: [...this.#latency.counts], sumMs: this.#latency.sumMs },
      },
      inFlight: this.inFlight,
      connections: this.#connections.size,
      ejectedForMs: this.ejection.kind === 'ejected' ? Math.max(0, this.ejection.untilMs - nowMs) : 0,
    };
  }
}
