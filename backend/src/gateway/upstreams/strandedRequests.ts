/**
 * Requests that no process will ever read, looked for while the gateway stops.
 *
 * In PM2's cluster mode the daemon accepts a connection and hands it to an instance. When the instance ends at that very
 * moment, the daemon keeps the connection: it stays open, and nothing reads it. `pm2 kill` would then wait for the gateway,
 * and the gateway for an answer that can't come.
 *
 * A request is stranded when all of this has held for `STRANDED_MS`:
 *
 *   - nothing of its answer has come,
 *   - not one byte of what was sent on its connection was read: an instance that works on a request has read it, however
 *     slowly it answers, also while it stops,
 *   - what listened on the port is closed: an instance that is only busy goes on listening.
 *
 * Its attempt then ends as when the process has ended, and the retry rule decides. A request that one of these does not
 * hold for has the whole time that the gateway's stop allows.
 */
import type { Clock, TcpSockets } from '../../ports.js';
import type { UpstreamConnection } from './upstreamConnection.js';

const LOOK_MS = 250;
/** An instance that closes its port reads what it accepted just before within milliseconds. */
const STRANDED_MS = 1_000;

export interface StrandedRequestsOptions {
  readonly clock: Clock;
  /** null: it can't be known on this system. */
  readonly sockets: () => Promise<TcpSockets | null>;
  /** Connections to upstreams that have sent nothing since they were lent. */
  readonly unanswered: () => readonly UpstreamConnection[];
}

interface Sighting {
  /** What listened on the port when the connection was first looked at. */
  readonly listeners: ReadonlySet<string>;
  /** Since when it is stranded, monotonic ms; null: it is not. */
  readonly sinceMs: number | null;
}

export class StrandedRequests {
  readonly #options: StrandedRequestsOptions;
  #sightings = new Map<UpstreamConnection, Sighting>();
  #cancel: () => void = () => undefined;
  #closed = false;

  constructor(options: StrandedRequestsOptions) {
    this.#options = options;
  }

  /** Begins to look, now and again until it is closed. */
  start(): void {
    void this.#look();
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
  }

  async #look(): Promise<void> {
    const { clock, sockets, unanswered } = this.#options;
    if (unanswered().length > 0) {
      const now = await sockets();
      if (now === null) return;
      this.#judge(now);
    }
    if (!this.#closed) this.#cancel = clock.after(LOOK_MS, () => void this.#look());
  }

  #judge(sockets: TcpSockets): void {
    const nowMs = this.#options.clock.nowMs();
    const before = this.#sightings;
    this.#sightings = new Map();
    for (const connection of this.#options.unanswered()) {
      const listening = sockets.listeners(connection.socket.remotePort ?? 0);
      const { listeners, sinceMs } = before.get(connection) ?? { listeners: listening, sinceMs: null };
      const stillListens = [...listeners].some((listener) => listening.has(listener));
      const since = stillListens || !isUnread(connection, sockets) ? null : (sinceMs ?? nowMs);
      this.#sightings.set(connection, { listeners, sinceMs: since });
      if (since !== null && nowMs - since >= STRANDED_MS) connection.abandon(nowMs);
    }
  }
}

/** Whether the other end, on this machine, has read nothing of what was ever sent to it. */
function isUnread({ socket }: UpstreamConnection, sockets: TcpSockets): boolean {
  const { localPort, remotePort, bytesWritten, writableLength } = socket;
  const sentBytes = bytesWritten - writableLength;
  if (localPort === undefined || remotePort === undefined || sentBytes === 0) return false;
  const unreadBytes = sockets.unreadBytes(localPort, remotePort);
  return unreadBytes !== null && unreadBytes >= sentBytes;
}
