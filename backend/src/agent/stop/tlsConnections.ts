/**
 * The connections of TLS servers, as their protocol sees them. All others are found when they are looked for
 * (connections.ts), but from the TCP connection below there is no way up to the TLS one, and that is where requests and
 * WebSockets are. So a TLS server is met at its first connection and listened to from then on: `secureConnection` means
 * nothing to node beyond telling, unlike `upgrade` or `connection`.
 */
import diagnostics from 'node:diagnostics_channel';
import type { Server, Socket } from 'node:net';

interface TlsServer extends Server {
  setSecureContext?: unknown;
}

/** Whether a server speaks TLS, without loading node:tls to ask. */
export function isTlsServer(server: object): boolean {
  return typeof (server as TlsServer).setSecureContext === 'function';
}

export class TlsConnections {
  readonly #servers = new WeakSet<object>();
  readonly #open = new Set<Socket>();

  /** Begins to follow; loads nothing, and costs connections without TLS a look at their server. */
  follow(): void {
    diagnostics.subscribe('net.server.socket', (message) => {
      const { server } = (message as { socket: { server?: TlsServer | null } }).socket;
      if (server === null || server === undefined || !isTlsServer(server) || this.#servers.has(server))
        return;
      this.#servers.add(server);
      server.on('secureConnection', (socket: Socket) => {
        this.#open.add(socket);
        socket.once('close', () => this.#open.delete(socket));
      });
    });
  }

  open(): Iterable<Socket> {
    return this.#open;
  }
}
