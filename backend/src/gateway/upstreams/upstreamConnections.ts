/**
 * The connections to one upstream: those that wait for a request, and requests that wait for a connection.
 *
 *   request ──▶ an idle connection, the one used last ─── none ──▶ a new one ─── too many are being opened ──▶ waits
 *                                                                                                                │
 *   served by whichever comes first: a connection that is given back, a place to open one, WAIT_MS ◀─────────────┘
 *
 * Why waiting: opening a connection costs as much as five requests. A worker that was held up for some milliseconds finds
 * hundreds of requests at once; if it opened a connection for each, that would hold it up for longer than what had done
 * so first (measured: turns of 40 ms), while the connections that it has come free within one.
 */
import type { Deadlines } from '../shared/deadlines.js';
import type { GatewayLimits } from '../shared/limits.js';
import {
  UpstreamConnection,
  type ConnectionOwner,
  type ConnectionUser,
  type UpstreamAddress,
} from './upstreamConnection.js';

/** Being opened at a time, unless somebody has waited for long. */
const MOST_OPENING = 16;
/** An upstream that is far away, or closes after every answer, gives none back: this much later it costs, then. */
const WAIT_MS = 25;

/** Who asks for a connection. */
export interface Borrower extends ConnectionUser {
  /** That is the one. `onConnected` follows when it can be written on, at once or later. */
  onLent(connection: UpstreamConnection): void;
}

export class UpstreamConnections implements ConnectionOwner {
  readonly #address: UpstreamAddress;
  readonly #limits: GatewayLimits;
  readonly #deadlines: Deadlines;
  readonly #waitMs: number;
  /** The one used last is at the end and is taken first, so that a surplus gets old and is closed. */
  readonly #idle: UpstreamConnection[] = [];
  readonly #all = new Set<UpstreamConnection>();
  /** First come, first served. */
  readonly #waiting = new Set<Borrower>();
  #opening = 0;
  #opened = 0;
  #isTimed = false;

  /** @param waitMs how long a request waits at least for a connection that is given back. */
  constructor(address: UpstreamAddress, limits: GatewayLimits, deadlines: Deadlines, waitMs = WAIT_MS) {
    this.#address = address;
    this.#limits = limits;
    this.#deadlines = deadlines;
    this.#waitMs = waitMs;
  }

  get size(): number {
    return this.#all.size;
  }

  /** Opened since the start. */
  get opened(): number {
    return this.#opened;
  }

  /**
   * Lends a connection: an idle one, else a new one, else whichever there will be first.
   * @param fresh a new one, at once: the last attempt met a connection that was being closed.
   */
  lend(user: Borrower, fresh: boolean): void {
    for (let idle = fresh ? undefined : this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (idle.usable) return handOver(idle, user);
      idle.destroy();
    }
    if (fresh || this.#opening < MOST_OPENING) this.#open(user);
    else {
      this.#waiting.add(user);
      this.#limitWait();
    }
  }

  /** It needs none any more. */
  stopWaiting(user: Borrower): void {
    this.#waiting.delete(user);
  }

  /** Takes a connection back whose exchange is complete on both sides. @param keep for later. */
  giveBack(connection: UpstreamConnection, keep: boolean): void {
    const [next] = this.#waiting;
    const wanted = next !== undefined || (keep && this.#idle.length < this.#limits.maxIdlePerUpstream);
    if (!wanted || !connection.usable) {
      connection.destroy();
      return;
    }
    connection.rest(this.#limits.upstreamIdleMs);
    if (next === undefined) this.#idle.push(connection);
    else {
      this.#waiting.delete(next);
      handOver(connection, next);
    }
  }

  /** Those that are lent and have brought nothing since. */
  unanswered(): readonly UpstreamConnection[] {
    return [...this.#all].filter(({ isUnanswered }) => isUnanswered);
  }

  /** See UpstreamConnection.abandon. */
  abandon(atMs: number): void {
    this.closeIdle();
    for (const connection of this.#all) connection.abandon(atMs);
  }

  /**
   * None of the connections that there are now carries another request; new ones may be opened. For an address that two
   * processes share (`pm2 reload` in cluster mode): the one that stops will close its idle connections, and a request
   * that is on its way then is lost.
   */
  retire(): void {
    this.closeIdle();
    for (const connection of this.#all) connection.retire();
  }

  closeIdle(): void {
    for (const connection of this.#idle.splice(0)) connection.destroy();
  }

  onOpened(): void {
    this.#endOpening();
  }

  onClosed(connection: UpstreamConnection, wasOpening: boolean): void {
    this.#all.delete(connection);
    const at = this.#idle.indexOf(connection);
    if (at !== -1) this.#idle.splice(at, 1);
    if (wasOpening) this.#endOpening();
  }

  #open(user: Borrower): void {
    const { connectTimeoutMs } = this.#limits;
    const connection = new UpstreamConnection(this.#address, connectTimeoutMs, this, user, this.#deadlines);
    this.#opening += 1;
    this.#opened += 1;
    this.#all.add(connection);
    user.onLent(connection);
  }

  /** However it ended, there is a place for the next. */
  #endOpening(): void {
    this.#opening -= 1;
    this.#openMore(MOST_OPENING);
  }

  #openMore(most: number): void {
    for (const user of this.#waiting) {
      if (this.#opening >= most) return;
      this.#waiting.delete(user);
      this.#open(user);
    }
  }

  /** Whoever waits then waits no longer, except for what has arrived in the meantime: that is looked at first. */
  #limitWait(): void {
    if (this.#isTimed) return;
    this.#isTimed = true;
    setTimeout(() => {
      setImmediate(() => {
        this.#isTimed = false;
        this.#openMore(Number.POSITIVE_INFINITY);
      });
    }, this.#waitMs);
  }
}

function handOver(idle: UpstreamConnection, user: Borrower): void {
  idle.lend(user);
  user.onLent(idle);
  user.onConnected(idle);
}
