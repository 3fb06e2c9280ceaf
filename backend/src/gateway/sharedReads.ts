/**
 * Client sockets that read into one shared buffer instead of allocating 64 KB per read, as upstream connections do
 * (upstreamConnection.ts). It is worth a twentieth of the cost of a small request and a third of that of an upload.
 *
 * Node offers this (`onread`) for sockets that one opens, not for those that a server accepts. So the accepted socket's
 * handle is moved to a new socket that has it. That needs three things that Node does not document, unchanged since it
 * has `onread` (12.10): a socket's `_handle` and `_server`, and the constructor's option `handle`. Where they are not as
 * expected, the accepted socket is used as it is: slower, and otherwise the same.
 */
import { Socket, type ConnectOpts, type SocketConstructorOpts } from 'node:net';
import { HIGH_WATER_BYTES } from './upstreamConnection.js';

const sharedBuffer = Buffer.allocUnsafeSlow(65_536);

interface Internals {
  _handle: { readonly useUserBuffer?: unknown } | null | undefined;
  /** Counts its connections, and is closed when none is left. */
  _server: unknown;
}

/**
 * The same connection, reading into the shared buffer: what its 'data' brings is valid only during the call. `accepted`
 * must not have been read from, and is of no more use afterwards.
 */
export function withSharedReads(accepted: Socket): Socket {
  const old = accepted as unknown as Internals;
  const handle = old._handle;
  if (handle === null || handle === undefined || typeof handle.useUserBuffer !== 'function') return accepted;
  const options: SocketConstructorOpts &
    ConnectOpts & { readonly handle: unknown; readonly highWaterMark: number } = {
    handle,
    allowHalfOpen: true,
    readable: true,
    writable: true,
    highWaterMark: HIGH_WATER_BYTES,
    onread: {
      buffer: sharedBuffer,
      callback: (bytes) => {
        socket.emit('data', sharedBuffer.subarray(0, bytes));
        return true;
      },
    },
  };
  old._handle = null;
  const socket = new Socket(options);
  (socket as unknown as Internals)._server = old._server;
  old._server = null;
  return socket;
}
