/**
 * What the data path needs of a client's connection: a TCP or TLS socket, or an HTTP/2 stream that behaves like one
 * (http2/streamSocket.ts).
 */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';

export interface ClientSocket extends Duplex {
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly remotePort?: number | undefined;
  /** The connection of an HTTP/2 stream. */
  readonly carrier?: Socket | undefined;
  /** Of an HTTP/2 stream: grows as HTTP/2 takes bytes from it. */
  readonly takenBytes?: number | undefined;
  /** Ends it at once, in a way that can't be taken for a proper end. */
  resetAndDestroy(): unknown;
}

/**
 * Ends a client's connection in a way that it can't take for the end of an answer.
 * @param isDelimited whether its answers say themselves where they end.
 */
export function breakOff(socket: ClientSocket, isDelimited: boolean): void {
  if (socket.destroyed) return;
  // In TLS an end without close_notify is no proper one; but few clients that have nothing else to go by look at that.
  if (socket instanceof TLSSocket && isDelimited) socket.destroy();
  else socket.resetAndDestroy();
}
