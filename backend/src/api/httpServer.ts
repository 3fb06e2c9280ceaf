/**
 * The HTTP server around the app: its limits against slow and garbled clients, and a stop that lets what is in
 * flight finish. It listens on a TCP port, and on a Unix socket for programs of its own user (gateway, command line),
 * which nothing that strangers do on the port can keep out. States: idle → listening → closing → closed.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Server as NetServer, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { HoldfastError, messageOf } from '../domain/errors.js';
import type { Logger } from '../ports.js';
import { Complaints } from '../lib/complaints.js';
import { networkOf } from '../domain/network/network.js';
import { Connections, type ClosedFor } from './connections.js';
import { failure } from './envelope.js';
import { rawRefusal } from './rawRefusal.js';
import { NetworkRates } from './networkRates.js';
import { markPrivate } from './security/callers.js';
import type { ApiLimits } from './settings.js';

/** A Unix socket in a folder that only this user, and root, can enter. */
export interface PrivateSocket {
  /** Makes `server` listen there. @returns why it can't, for people; null: it listens. Never rejects. */
  claim(server: NetServer): Promise<string | null>;
  release(): void;
}

export interface HttpServerOptions {
  readonly host: string;
  readonly port: number;
  readonly limits: ApiLimits;
  readonly logger: Logger;
  /** Who holds a port, for the message of `port.taken`; null when that can't be found out. */
  readonly describePortHolder: (port: number) => Promise<string | null>;
  /** How long to try again while the port is taken, ms. Default 0. */
  readonly portPatienceMs?: number;
  /** Whether callers have to show a token. */
  readonly hasToken: boolean;
  /** Whether a request shows the token, or a session. */
  readonly isBelieved: (request: IncomingMessage) => boolean;
  /** null: it listens on the port only. */
  readonly privateSocket: PrivateSocket | null;
}

/** Connections by TCP that were closed for want of places, and those that are open. */
export interface ConnectionFigures {
  readonly authenticated: number;
  readonly unauthenticated: number;
  readonly onPrivateSocket: number;
  readonly closed: Readonly<Record<ClosedFor, number>>;
}

const PORT_RETRY_MS = 50;
/** Connections that wait to be accepted: in a queue that is full, those of operators would wait for seconds. */
const BACKLOG = 4_096;
const LOGIN_PATH = '/api/session';

export class HttpServer {
  readonly #server: Server;
  /** On the private socket. */
  readonly #private: Server;
  readonly #options: HttpServerOptions;
  readonly #inFlight = new Set<ServerResponse>();
  readonly #complaints: Complaints;
  readonly #closed: Record<ClosedFor, number> = { address: 0, total: 0 };
  /** Of the port. */
  readonly connections: Connections;
  readonly #privateSockets = new Set<Socket>();
  readonly #rates = new NetworkRates();
  #closing: Promise<void> | null = null;

  constructor(handler: RequestListener, options: HttpServerOptions) {
    const { limits, logger, hasToken } = options;
    this.#options = options;
    this.#complaints = new Complaints(logger, () => performance.now());
    this.connections = new Connections({
      limits,
      hasToken,
      onClosed: (network, reason) => this.#onClosed(network, reason),
    });
    this.#server = this.#createServer((request, response) => {
      this.connections.asks(request.socket, response);
      if (hasToken && this.#isTooOften(request)) refuseCheaply(response);
      else handler(request, response);
    });
    this.#server.on('connection', (socket) => this.connections.open(socket));
    this.#private = this.#createServer(handler);
    this.#private.maxConnections = limits.privateConnections;
    this.#private.on('connection', (socket) => {
      markPrivate(socket);
      this.#privateSockets.add(socket);
      socket.once('close', () => this.#privateSockets.delete(socket));
    });
  }

  get figures(): ConnectionFigures {
    const { size, authenticated } = this.connections;
    return {
      authenticated,
      unauthenticated: size - authenticated,
      onPrivateSocket: this.#privateSockets.size,
      closed: this.#closed,
    };
  }

  #createServer(handler: RequestListener): Server {
    const { limits } = this.#options;
    const server = createServer(
      {
        maxHeaderSize: limits.headerBytes,
        headersTimeout: limits.headersTimeoutMs,
        requestTimeout: limits.requestTimeoutMs,
        connectionsCheckingInterval: limits.timeoutCheckMs,
        keepAliveTimeout: limits.keepAliveTimeoutMs,
        keepAlive: true,
        // A missing Host is refused by us, in the envelope.
        requireHostHeader: false,
      },
      (request, response) => {
        this.#track(response);
        handler(request, response);
      },
    );
    server.timeout = limits.idleTimeoutMs;
    server.on('clientError', (error, socket) => this.#refuse(error, socket as Socket));
    return server;
  }

  /** Before anything else is done for it: so a flood of requests without the token costs little. */
  #isTooOften(request: IncomingMessage): boolean {
    const { limits, isBelieved } = this.#options;
    const network = networkOf(request.socket.remoteAddress ?? '');
    // A login shows the token in its body.
    if (request.method === 'POST' && request.url === LOGIN_PATH) return false;
    if (isBelieved(request) || this.#rates.take(network, performance.now(), limits.unauthenticatedPerSecond))
      return false;
    this.#complaints.complain('rate', 'Requests without the token are refused: too many a second', {
      network,
    });
    return true;
  }

  #onClosed(network: string, reason: ClosedFor): void {
    this.#closed[reason] += 1;
    this.#complaints.complain(
      reason,
      'Connections to the API that showed no token were closed, because their places were needed for new ones',
      { network, bound: reason },
    );
  }

  /**
   * Starts to accept.
   * @throws HoldfastError `port.taken`, `port.forbidden`, `host.unavailable` or `listen.failed`.
   */
  async listen(): Promise<{ readonly url: string; readonly port: number }> {
    const { portPatienceMs = 0 } = this.#options;
    const patience = performance.now() + portPatienceMs;
    for (;;) {
      const error = await this.#tryListen();
      if (error === null) break;
      if (error.code !== 'EADDRINUSE' || performance.now() > patience) throw await this.#explain(error);
      await sleep(PORT_RETRY_MS);
    }
    await this.#listenPrivately();
    const bound = this.#server.address() as AddressInfo;
    const shownHost = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;
    return { url: `http://${shownHost}:${bound.port}`, port: bound.port };
  }

  /** Without it programs of this user call by the port, like all others. */
  async #listenPrivately(): Promise<void> {
    const { privateSocket, logger } = this.#options;
    const problem = (await privateSocket?.claim(this.#private)) ?? null;
    if (problem !== null) logger.warn('The API has no private socket; its callers use the port', { problem });
  }

  /** @returns why it does not listen; null: it does. */
  #tryListen(): Promise<NodeJS.ErrnoException | null> {
    const { host, port } = this.#options;
    return new Promise((resolve) => {
      this.#server.once('error', resolve);
      this.#server.listen({ host, port, backlog: BACKLOG }, () => {
        this.#server.off('error', resolve);
        resolve(null);
      });
    });
  }

  /**
   * Stops accepting, lets requests in flight finish for `graceMs`, then cuts what is left. Idempotent; resolves
   * when every socket is closed.
   */
  close(graceMs: number): Promise<void> {
    this.#closing ??= this.#close(graceMs);
    return this.#closing;
  }

  async #close(graceMs: number): Promise<void> {
    if (!this.#server.listening) return;
    this.#options.privateSocket?.release();
    const servers = [this.#server, this.#private];
    const closed = servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    for (const response of this.#inFlight) endConnectionAfter(response);
    // Browsers connect ahead of need; Node does not count a socket that never said anything as idle.
    for (const socket of [...this.connections.sockets, ...this.#privateSockets])
      if (socket.bytesRead === 0) socket.destroy();
    const cut = setTimeout(() => {
      this.#options.logger.warn('Requests were cut off at shutdown', {
        requests: this.#inFlight.size,
        graceMs,
      });
      for (const server of servers) server.closeAllConnections();
    }, graceMs);
    await Promise.all(closed);
    clearTimeout(cut);
  }

  #track(response: ServerResponse): void {
    this.#inFlight.add(response);
    response.once('close', () => this.#inFlight.delete(response));
    if (this.#closing !== null) endConnectionAfter(response);
  }

  /** What could not even be parsed, or came too slowly: one answer, then the connection ends. */
  #refuse(error: NodeJS.ErrnoException, socket: Socket): void {
    const answering = [...this.#inFlight].find((response) => response.socket === socket);
    if (answering?.req.complete === true && !answering.headersSent && socket.writable) {
      // Garbage behind a good request: that one still gets its answer, the connection ends with it.
      answering.setHeader('Connection', 'close');
      return;
    }
    if (answering?.headersSent === true || !socket.writable || error.code === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    const { status, reason, code, message } = rawRefusal(error);
    const body = JSON.stringify(failure(code, message));
    socket.end(
      `HTTP/1.1 ${status} ${reason}\r\nContent-Type: application/json; charset=utf-8\r\n` +
        `Content-Length: ${Buffer.byteLength(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n${body}`,
    );
    // It need not read on; half a second is plenty for the answer to leave.
    setTimeout(() => socket.destroy(), 500).unref();
  }

  async #explain(error: unknown): Promise<HoldfastError> {
    const { host, port, describePortHolder } = this.#options;
    const code = (error as NodeJS.ErrnoException).code;
    switch (code) {
      case 'EADDRINUSE': {
        const holder = await describePortHolder(port).catch(() => null);
        return new HoldfastError(
          'port.taken',
          `Port ${port} on ${host} is already taken${holder === null ? '' : ` by ${holder}`}. Stop that process, or set HA_PORT to a free port.`,
          { cause: error, details: { host, port, holder }, retryable: true },
        );
      }
      case 'EACCES':
        return new HoldfastError(
          'port.forbidden',
          `This user may not listen on port ${port}. Set HA_PORT to a port above 1023.`,
          { cause: error, details: { host, port } },
        );
      case 'EADDRNOTAVAIL':
      case 'ENOTFOUND':
        return new HoldfastError(
          'host.unavailable',
          `${host} is not an address of this machine. Set HA_HOST to one that is, e.g. 127.0.0.1.`,
          // An address may come yet (DHCP at boot, one that moves between machines); a name that is unknown is a mistake.
          { cause: error, details: { host, port }, retryable: code === 'EADDRNOTAVAIL' },
        );
      default:
        return new HoldfastError('listen.failed', `Can't listen on ${host}:${port}: ${messageOf(error)}.`, {
          cause: error,
          retryable: true,
        });
    }
  }
}

function refuseCheaply(response: ServerResponse): void {
  const body = JSON.stringify(
    failure('auth.too-many-requests', 'Too many requests without the token came from this address.'),
  );
  response.writeHead(429, {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'Retry-After': '1',
    Connection: 'close',
  });
  response.end(body);
}

function endConnectionAfter(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader('Connection', 'close');
}
