/**
 * Client sockets that read into one shared buffer instead of allocating 64 KB per read, as upstream connections do
 * (upstreamConnection.ts). It is worth a twentieth of the cost of a small request and a third of that of an upload.
 *
 * Node offers this (`onread`) for sockets that one opens, not for those that a server accepts. So the server's handle is
 * given another function to call for a connection that it has accepted: it makes the socket that is wanted, where Node's
 * makes an ordinary one. (To make an ordinary one first and then move its handle costs a seventh more.) That needs what
 * Node does not document, unchanged since it has `onread` (12.10): `_handle` and `_connections` of a server, `onconnection`
 * of its handle, a socket's `_server` and the constructor's option `handle`. Where they are not as expected, Node's sockets
 * are used as they are: slower, and otherwise the same.
 */
import { Socket, type ConnectOpts, type Server, type SocketConstructorOpts } from 'node:net';
import type { Duplex } from 'node:stream';
import { HIGH_WATER_BYTES } from '../upstreams/upstreamConnection.js';

const sharedBuffer = Buffer.allocUnsafeSlow(65_536);

/**
 * With how many sockets a worker listens on the plain port, where each of them may have it (SO_REUSEPORT). libuv accepts one
 * connection of a socket in each turn of the event loop, so with one socket a new connection costs a turn of its own
 * (decision 38). More than these save hardly anything.
 */
export const LISTENING_SOCKETS = 8;

/** What Node calls a TCP handle: of a connection. */
interface Handle {
  readonly useUserBuffer?: unknown;
  setNoDelay?(noDelay: boolean): unknown;
}

interface ServerInternals {
  readonly _handle:
    { onconnection?: (error: number, accepted: Handle | undefined) => void } | null | undefined;
  /** The server is closed when none is left. */
  _connections: unknown;
}

interface Options extends SocketConstructorOpts, ConnectOpts {
  readonly handle: Handle;
  readonly highWaterMark: number;
}

/** A client's connection whose bytes lie in the shared buffer: what is read is valid only during the call that brings it. */
export class SharedReadsSocket extends Socket {
  /** Is given what arrives; null: it is emitted as 'data'. */
  reader: ((chunk: Buffer) => void) | null = null;

  /** Of a connection that `server` has accepted. */
  static of(handle: Handle, server: Server): SharedReadsSocket {
    const options: Options = {
      handle,
      allowHalfOpen: true,
      readable: true,
      writable: true,
      highWaterMark: HIGH_WATER_BYTES,
      onread: {
        buffer: sharedBuffer,
        callback: (bytes) => {
          const chunk = sharedBuffer.subarray(0, bytes);
          if (socket.reader === null) socket.emit('data', chunk);
          else socket.reader(chunk);
          return true;
        },
      },
    };
    const socket = new SharedReadsSocket(options);
    // It counts its connections down by this.
    (socket as unknown as { _server: Server })._server = server;
    return socket;
  }
}

/** What arrives is given to `reader`, by the short way where there is one; valid only during the call. */
export function giveReads(socket: Duplex, reader: (chunk: Buffer) => void): void {
  if (socket instanceof SharedReadsSocket) socket.reader = reader;
  else socket.on('data', reader);
}

/**
 * From now on the sockets that `server`, which listens, brings are those above. They may be half open, and write without
 * delay (TCP_NODELAY).
 * @returns false where Node is not as expected: then the server goes on as it is.
 */
export function acceptWithSharedReads(server: Server): boolean {
  const internals = server as unknown as ServerInternals;
  const { _handle: listening } = internals;
  const ordinary = listening?.onconnection;
  if (!listening || typeof ordinary !== 'function' || typeof internals._connections !== 'number')
    return false;
  listening.onconnection = (error, accepted) => {
    if (error !== 0 || typeof accepted?.useUserBuffer !== 'function') {
      ordinary.call(listening, error, accepted);
      return;
    }
    accepted.setNoDelay?.(true);
    internals._connections = (internals._connections as number) + 1;
    server.emit('connection', SharedReadsSocket.of(accepted, server));
  };
  return true;
}
