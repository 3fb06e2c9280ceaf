/**
 * The end of a client's connection after its last answer.
 *
 *   answer leaves ──▶ all of it has left, and our side is ended ──▶ what still arrives is thrown away ──▶ closed
 *        └── the client takes nothing for as long as it may ──▶ cut
 *
 * In two steps, because a connection that is closed with unread bytes is reset, and a reset overtakes the answer. And a
 * client that is slow, but goes on, is waited for: closing without what had not left would end half an answer like a
 * whole one.
 */
import type { ClientSocket } from '../shared/clientSocket.js';
import type { GatewayContext } from '../shared/context.js';
import type { Timed } from '../shared/deadlines.js';
import { Standstill } from '../shared/standstill.js';

/** How much is still read from a client after its last answer; what it sends beyond that waits on its side. */
const LINGER_BYTES = 16_777_216;

/** Whose end it is; its deadline belongs to the farewell from now on. */
export interface Leaving extends Timed {
  readonly socket: ClientSocket;
  /** Ends it at once, in a way that the client can't take for the end of an answer. */
  cut(): void;
}

export class Farewell {
  readonly #client: Leaving;
  readonly #context: Pick<GatewayContext, 'limits' | 'deadlines'>;
  readonly #standstill: Standstill;
  #received = 0;

  /**
   * Begins it: everything has been written.
   * @param patienceMs for how long the client may take nothing.
   */
  constructor(client: Leaving, context: Pick<GatewayContext, 'limits' | 'deadlines'>, patienceMs: number) {
    this.#client = client;
    this.#context = context;
    this.#standstill = new Standstill(client.socket, context.deadlines);
    client.deadlineMs = this.#standstill.begin(patienceMs);
    client.socket.end(() => this.#allow(context.limits.lingerMs));
  }

  onData(chunk: Buffer): void {
    this.#received += chunk.length;
    if (this.#received > LINGER_BYTES) this.#client.socket.pause();
  }

  onDeadline(): void {
    const { socket } = this.#client;
    const lookMs = socket.writableFinished ? null : this.#standstill.look();
    if (socket.writableFinished) socket.destroy();
    else if (lookMs !== null) this.#client.deadlineMs = lookMs;
    else this.#client.cut();
  }

  #allow(ms: number): void {
    this.#client.deadlineMs = this.#context.deadlines.nowMs + ms;
  }
}
