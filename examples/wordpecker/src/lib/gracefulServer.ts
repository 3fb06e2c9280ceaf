/**
 * An HTTP server that can leave without breaking a request.
 *
 *   listening ──drain()──▶ draining ──linger──▶ closing ──last connection gone──▶ closed
 *
 * listening  answers, keep-alive.
 * draining   still accepts and answers everything, but each answer carries `Connection: close`, so that clients
 *            take their next request elsewhere. It accepts for `lingerMs` more because connections that the
 *            kernel has completed but not yet handed over are reset when a listening socket is closed.
 * closing    the listening socket is gone. Requests in flight go on; connections idle for `lingerMs` are closed.
 *
 * Why not `server.close()`: it destroys idle keep-alive connections at once, and a request that is on the wire
 * at that moment meets a reset. Here a connection must have been silent for `lingerMs` first, and it is then
 * half-closed (FIN, not RST). A request that still crosses the FIN on its way is never run: the client sees a
 * connection that closed without an answer, which HTTP lets it retry (RFC 9112, 9.6).
 */
import http from 'node:http';
import net, { type AddressInfo, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

export type UpgradeListener = (request: http.IncomingMessage, socket: Duplex, head: Buffer) => void;

export interface GracefulServerOptions {
  /** Default 200 ms: longer than a round trip on any network an instance and its proxy share. */
  readonly lingerMs?: number;
}

interface Connection {
  /** Requests whose answer is not complete. */
  inFlight: number;
  quietSinceMs: number;
  /** Bytes seen when `quietSinceMs` was set: more of them mean that a request is on its way in. */
  bytesRead: number;
  closingSinceMs: number | null;
}

const SWEEP_INTERVAL_MS = 25;
/** How long a half-closed peer has to close its side. */
const FIN_TIMEOUT_MS = 500;

export class GracefulServer {
  readonly #server: http.Server;
  readonly #lingerMs: number;
  readonly #connections = new Map<Socket, Connection>();
  readonly #answers = new Set<http.ServerResponse>();
  #drained: Promise<void> | null = null;
  /** Counts connections and requests as they come in. */
  #activity = 0;

  constructor(listener: http.RequestListener, options: GracefulServerOptions = {}) {
    this.#lingerMs = options.lingerMs ?? 200;
    this.#server = http.createServer((request, response) => this.#onRequest(listener, request, response));
    // Longer than proxies keep an idle connection, so that it is them who close it, not we under their request.
    this.#server.keepAliveTimeout = 65_000;
    this.#server.on('connection', (socket) => this.#onConnection(socket));
  }

  get draining(): boolean {
    return this.#drained !== null;
  }

  /** Requests whose answer is not complete. */
  get requestsInFlight(): number {
    return this.#answers.size;
  }

  /** The socket belongs to `listener` from then on: `drain` does not wait for it. */
  onUpgrade(listener: UpgradeListener): void {
    this.#server.on('upgrade', (request, socket, head) => {
      if (socket instanceof net.Socket) this.#connections.delete(socket);
      listener(request, socket, head);
    });
  }

  /** Rejects with the system's error, e.g. code `EADDRINUSE`. Port 0 takes any free one. */
  listen(port: number, host: string): Promise<AddressInfo> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => {
        this.#server.off('error', reject);
        const address = this.#server.address();
        if (address === null || typeof address === 'string') reject(new Error('not listening on TCP'));
        else resolve(address);
      });
    });
  }

  /** Resolves when the last connection is gone. Never forces one: the caller has the deadline. Idempotent. */
  drain(): Promise<void> {
    this.#drained ??= this.#drain();
    return this.#drained;
  }

  /** Cuts every connection. */
  destroy(): void {
    this.#server.close();
    for (const socket of this.#connections.keys()) socket.destroy();
  }

  async #drain(): Promise<void> {
    for (const answer of this.#answers) if (!answer.headersSent) answer.shouldKeepAlive = false;
    await sleep(this.#lingerMs);
    await this.#untilQuietTurn();
    // net's close, not http's: the latter would destroy idle connections (see above). Its callback is not
    // awaited, as it also waits for the sockets that were upgraded away from us.
    net.Server.prototype.close.call(this.#server);
    while (this.#connections.size > 0) {
      this.#closeQuietConnections(performance.now());
      await sleep(SWEEP_INTERVAL_MS);
    }
    this.#server.close(); // now only stops http's own timer
  }

  /**
   * Ends right after a turn of the event loop that had nothing to accept or to answer, so that closing the
   * listener resets next to no connection (the kernel leaves no way to be certain). Under a load that leaves no
   * such turn it gives up after another `lingerMs`.
   */
  async #untilQuietTurn(): Promise<void> {
    const deadlineMs = performance.now() + this.#lingerMs;
    let before: number;
    do {
      before = this.#activity;
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.#activity !== before && performance.now() < deadlineMs);
  }

  #closeQuietConnections(nowMs: number): void {
    for (const [socket, connection] of this.#connections) {
      if (connection.closingSinceMs !== null) {
        if (nowMs - connection.closingSinceMs >= FIN_TIMEOUT_MS) socket.destroy();
      } else if (connection.inFlight > 0 || socket.bytesRead !== connection.bytesRead) {
        connection.bytesRead = socket.bytesRead;
        connection.quietSinceMs = nowMs;
      } else if (nowMs - connection.quietSinceMs >= this.#lingerMs) {
        connection.closingSinceMs = nowMs;
        socket.end();
      }
    }
  }

  #onConnection(socket: Socket): void {
    this.#activity += 1;
    this.#connections.set(socket, {
      inFlight: 0,
      quietSinceMs: performance.now(),
      bytesRead: 0,
      closingSinceMs: null,
    });
    socket.once('close', () => this.#connections.delete(socket));
  }

  #onRequest(
    listener: http.RequestListener,
    request: http.IncomingMessage,
    response: http.ServerResponse & { req: http.IncomingMessage },
  ): void {
    const connection = this.#connections.get(request.socket);
    if (connection === undefined || connection.closingSinceMs !== null) {
      request.socket.destroy(); // it crossed our FIN: there is no way left to answer
      return;
    }
    this.#activity += 1;
    connection.inFlight += 1;
    this.#answers.add(response);
    if (this.draining) response.shouldKeepAlive = false;
    response.once('close', () => {
      connection.inFlight -= 1;
      connection.quietSinceMs = performance.now();
      connection.bytesRead = request.socket.bytesRead;
      this.#answers.delete(response);
    });
    listener(request, response);
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
