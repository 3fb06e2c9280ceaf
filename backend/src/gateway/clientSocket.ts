/**
 * What the data path needs of a client's connection: a TCP or TLS socket, or an HTTP/2 stream that behaves like one
 * (http2/streamSocket.ts).
 */
import type { Duplex } from 'node:stream';

export interface ClientSocket extends Duplex {
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly remotePort?: number | undefined;
  /** Ends it at once, in a way that can't be taken for a proper end. */
  resetAndDestroy(): unknown;
}
