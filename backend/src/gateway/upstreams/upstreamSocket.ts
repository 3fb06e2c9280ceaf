import { Socket, type TcpNetConnectOpts, type SocketConstructorOpts } from 'node:net';

/** A socket passes highWaterMark on to its streams; the types of node:net don't know. */
export type UpstreamSocketOptions = TcpNetConnectOpts &
  SocketConstructorOpts & { readonly highWaterMark: number };

/**
 * A connection to an upstream that is read to its end when it can't be written to any more.
 *
 * An upstream that answers before it has the whole request (413, 401, a server that is leaving) and closes resets the
 * connection, because there are bytes that it did not read. The next write fails then, while the answer lies in the
 * kernel's buffer: Node would throw it away with the socket. RFC 9112, 9.5 and 9.6: a client that sends a body is to watch
 * for such an answer.
 */
export class UpstreamSocket extends Socket {
  #failure: Error | null = null;

  static connect(options: UpstreamSocketOptions): UpstreamSocket {
    return new UpstreamSocket(options).connect(options);
  }

  override destroy(error?: NodeJS.ErrnoException): this {
    if (error?.syscall !== 'write') return super.destroy(error);
    if (this.#failure === null) {
      this.#failure = error;
      this.#readOn(error);
    }
    return this;
  }

  /** Destroys it as soon as nothing more is read: there is nothing, or no room for it. */
  #readOn(error: Error): void {
    const before = this.bytesRead;
    // A whole turn of the event loop: what has arrived is read in it.
    setImmediate(() =>
      setImmediate(() => {
        if (this.destroyed) return;
        if (this.bytesRead > before) this.#readOn(error);
        else super.destroy(error);
      }),
    );
  }
}
