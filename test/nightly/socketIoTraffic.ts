/**
 * Clients of socket.io, with its own client in one of its transports. Each sends a message after the other and waits for
 * its acknowledgement, with the client's documented `retries`: a connection that moves to another instance costs a repetition.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { waitFor } from '../support/waitFor.js';
import type { NightlyTraffic } from './services.js';

interface Socket {
  readonly connected: boolean;
  readonly io: { readonly engine: { readonly transport: { readonly name: string } } };
  emitWithAck(event: string, text: string): Promise<string>;
  disconnect(): void;
}
interface Client {
  io(url: string, options: Readonly<Record<string, unknown>>): Socket;
}

const CLIENTS = 3;
const PAUSE_MS = 10;

export class SocketIoTraffic implements NightlyTraffic {
  readonly failed: string[] = [];
  sent = 0;
  readonly #sockets: readonly Socket[];
  readonly #name: string;
  #stopping = false;
  #loops: Promise<unknown> = Promise.resolve();

  private constructor(sockets: readonly Socket[], name: string) {
    this.#sockets = sockets;
    this.#name = name;
  }

  /** @param folder where socket.io-client is installed. */
  static async start(port: number, folder: string, transports: readonly string[]): Promise<SocketIoTraffic> {
    const { io } = createRequire(join(folder, 'x.js'))('socket.io-client') as Client;
    const options = { transports, retries: 10, ackTimeout: 3_000, reconnectionDelay: 50, forceNew: true };
    const sockets = Array.from({ length: CLIENTS }, () => io(`http://127.0.0.1:${port}`, options));
    const last = transports.at(-1);
    await waitFor(
      () => sockets.every((socket) => socket.connected && socket.io.engine.transport.name === last),
      { what: `${CLIENTS} connections by ${last}`, deadlineMs: 30_000 },
    );
    const traffic = new SocketIoTraffic(sockets, transports.join(' to '));
    traffic.#loops = Promise.all(sockets.map((socket) => traffic.#run(socket)));
    return traffic;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#loops;
    for (const socket of this.#sockets) socket.disconnect();
  }

  async #run(socket: Socket): Promise<void> {
    for (let number = 0; !this.#stopping; number += 1) {
      const text = `message ${number}`;
      this.sent += 1;
      const answer = await socket.emitWithAck('message', text).catch((error: Error) => error.message);
      if (answer !== text) this.failed.push(`${this.#name}, ${text}: ${answer}`);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}
