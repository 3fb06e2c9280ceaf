/**
 * The HTTP server around the app: its limits against slow and garbled clients, and a stop that lets what is in
 * flight finish. States: idle → listening → closing → closed.
 */
import { createServer } from 'node:http';
import type { RequestListener, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { HoldfastError, messageOf } from '../domain/errors.js';
import type { Logger } from '../ports.js';
import { failure } from './envelope.js';
import type { ApiLimits } from './settings.js';

export interface HttpServerOptions {
  readonly host: string;
  readonly port: number;
  readonly limits: ApiLimits;
  readonly logger: Logger;
  /** Who holds a port, for the message of `port.taken`; null when that can't be found out. */
  readonly describePortHolder: (port: number) => Promise<string | null>;
}

export class HttpServer {
  readonly #server: Server;
  readonly #options: HttpServerOptions;
  readonly #inFlight = new Set<ServerResponse>();
  /** At most `limits.connections`. */
  readonly #sockets = new Set<Socket>();
  #closing: Promise<void> | null = null;

  constructor(handler: RequestListener, options: HttpServerOptions) {
    const { limits } = options;
    this.#options = options;
    this.#server = createServer(
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
    this.#server.maxConnections = limits.connections;
    this.#server.timeout = limits.idleTimeoutMs;
    this.#server.on('clientError', (error, socket) => this.#refuse(error, socket as Socket));
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  /**
   * Starts to accept.
   * @throws HoldfastError `port.taken`, `port.forbidden`, `host.unavailable` or `listen.failed`.
   */
  async listen(): Promise<{ readonly url: string; readonly port: number }> {
    const { host, port } = this.#options;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject);
        this.#server.listen({ host, port }, () => {
          this.#server.off('error', reject);
          resolve();
        });
      });
    } catch (error) {
      throw await this.#explain(error);
    }
    const bound = this.#server.address() as AddressInfo;
    const shownHost = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;
    return { url: `http://${shownHost}:${bound.port}`, port: bound.port };
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
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    for (const response of this.#inFlight) endConnectionAfter(response);
    // Browsers connect ahead of need; Node does not count a socket that never said anything as idle.
    for (const socket of this.#sockets) if (socket.bytesRead === 0) socket.destroy();
    const cut = setTimeout(() => {
      this.#options.logger.warn('Requests were cut off at shutdown', {
        requests: this.#inFlight.size,
        graceMs,
      });
      this.#server.closeAllConnections();
    }, graceMs);
    await closed;
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
          { cause: error, details: { host, port, holder } },
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
          { cause: error, details: { host, port } },
        );
      default:
        return new HoldfastError('listen.failed', `Can't listen on ${host}:${port}: ${messageOf(error)}.`, {
          cause: error,
        });
    }
  }
}

function endConnectionAfter(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader('Connection', 'close');
}

function rawRefusal(error: NodeJS.ErrnoException): {
  readonly status: number;
  readonly reason: string;
  readonly code: string;
  readonly message: string;
} {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      return {
        status: 431,
        reason: 'Request Header Fields Too Large',
        code: 'request.headers-too-large',
        message: 'The header of the request is too large.',
      };
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return {
        status: 408,
        reason: 'Request Timeout',
        code: 'request.timeout',
        message: 'The request did not arrive in time.',
      };
    default:
      return {
        status: 400,
        reason: 'Bad Request',
        code: 'request.malformed',
        message: 'This is not a well-formed HTTP request.',
      };
  }
}
