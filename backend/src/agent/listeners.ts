/**
 * Where the process listens, learnt from the channels that node:net itself publishes. In cluster mode it is only from
 * inside that this can be told at all: there, PM2's daemon holds the sockets of every application.
 *
 *   tracing:net.server.listen:asyncEnd  → it listens
 *   tracing:net.server.listen:error     → it could not (the port is taken, say)
 *
 * Told when it changed, and bounded: the first MOST servers that exist.
 */
import diagnostics from 'node:diagnostics_channel';
import type { Server } from 'node:net';
import type { Listening } from './protocol.js';

const MOST = 16;
const LONGEST_ADDRESS = 64;

export class ListenerWatch {
  readonly #servers: WeakRef<Server>[] = [];
  readonly #tell: (listening: Listening) => void;
  readonly #failed: () => void;
  #refused: Listening['refused'] = null;

  /** @param failed counts an error of the agent's own. */
  constructor(tell: (listening: Listening) => void, failed: () => void) {
    this.#tell = tell;
    this.#failed = failed;
  }

  start(): void {
    this.#subscribe('tracing:net.server.listen:asyncEnd', ({ server }) => this.#listens(server));
    this.#subscribe('tracing:net.server.listen:error', ({ error }) => this.#couldNot(error));
  }

  /** Now. */
  listening(): Listening {
    const addresses = this.#servers.flatMap((reference) => {
      const address = reference.deref()?.address();
      if (typeof address !== 'object' || address === null) return [];
      return [{ address: address.address.slice(0, LONGEST_ADDRESS), port: address.port }];
    });
    return { type: 'listening', addresses, refused: this.#refused };
  }

  #subscribe(
    channel: string,
    hear: (message: { server: Server; error: NodeJS.ErrnoException }) => void,
  ): void {
    diagnostics.subscribe(channel, (message) => {
      try {
        hear(message as { server: Server; error: NodeJS.ErrnoException });
        this.#tell(this.listening());
      } catch {
        this.#failed();
      }
    });
  }

  #listens(server: Server): void {
    const gone = this.#servers.findIndex((reference) => reference.deref()?.listening !== true);
    if (gone >= 0) this.#servers.splice(gone, 1);
    if (this.#servers.length < MOST) this.#servers.push(new WeakRef(server));
  }

  #couldNot(error: NodeJS.ErrnoException): void {
    const { code = '', address = '', port = 0 } = error as { code?: string; address?: string; port?: number };
    if (port > 0) this.#refused = { code, address: address.slice(0, LONGEST_ADDRESS), port };
  }
}
