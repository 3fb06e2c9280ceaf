/**
 * `Connection: close` on the answers of a stopping server, so that clients take another connection for their next
 * request. It belongs on the *last* answer of a connection alone: what a client has pipelined behind an answer that says
 * `close` would not be answered (RFC 9112, section 9.6).
 */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export class LastAnswers {
  readonly #last = new WeakMap<Socket, ServerResponse>();

  /** To be called for the requests of a connection in their order. An answer whose head is out stays as it is. */
  mark(response: ServerResponse): void {
    const { socket } = response.req;
    const before = this.#last.get(socket);
    if (before !== undefined && before !== response && !before.headersSent) before.shouldKeepAlive = true;
    if (response.headersSent || !response.shouldKeepAlive) return;
    response.shouldKeepAlive = false;
    this.#last.set(socket, response);
  }
}
