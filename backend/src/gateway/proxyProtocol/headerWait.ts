/**
 * A connection from a proxy that announces its clients (PROXY protocol): it has to begin with a header, in time.
 *
 *   waiting ──header──▶ handed over, with the client's address      waiting ──no header, or none in time──▶ cut
 *
 * Only connections of configured peers come here. Nobody else's bytes are looked at for a header: a client that sends
 * one is a client that sends nonsense.
 */
import type { Socket } from 'node:net';
import type { GatewayContext } from '../shared/context.js';
import type { Timed } from '../shared/deadlines.js';
import { readProxyHeader } from './header.js';

export class ProxyHeaderWait implements Timed {
  deadlineMs: number;
  readonly #socket: Socket;
  readonly #context: GatewayContext;
  readonly #onHeader: (client: { readonly address: string } | null) => void;
  readonly #onGone: () => void;
  #bytes: Buffer | null = null;

  /**
   * @param onHeader once, with null when the proxy speaks for itself; the socket is paused and gives what follows.
   * @param onGone once, instead: the connection is cut or gone.
   */
  constructor(
    socket: Socket,
    context: GatewayContext,
    onHeader: (client: { readonly address: string } | null) => void,
    onGone: () => void,
  ) {
    this.#socket = socket;
    this.#context = context;
    this.#onHeader = onHeader;
    this.#onGone = onGone;
    this.deadlineMs = context.deadlines.nowMs + context.limits.headTimeoutMs;
  }

  begin(): void {
    this.#context.deadlines.add(this);
    this.#socket.on('data', this.#onData);
    this.#socket.on('end', this.#onEnd);
    this.#socket.on('error', this.#onError);
    this.#socket.on('close', this.#onClose);
  }

  onDeadline(): void {
    this.#refuse('proxy.timeout');
  }

  readonly #onData = (chunk: Buffer): void => {
    const bytes = this.#bytes === null ? chunk : Buffer.concat([this.#bytes, chunk]);
    this.#bytes = bytes;
    const header = readProxyHeader(bytes);
    if (header.kind === 'incomplete') return;
    if (header.kind === 'invalid') {
      this.#refuse('proxy.malformed');
      return;
    }
    this.#letGo();
    this.#socket.pause();
    if (header.length < bytes.length) this.#socket.unshift(bytes.subarray(header.length));
    this.#onHeader(header.client);
  };

  readonly #onEnd = (): void => this.#refuse('proxy.malformed');

  readonly #onError = (): void => {
    // 'close' follows.
  };

  readonly #onClose = (): void => {
    this.#letGo();
    this.#onGone();
  };

  #refuse(code: string): void {
    this.#context.refusals.count(code);
    this.#socket.resetAndDestroy();
  }

  #letGo(): void {
    this.#context.deadlines.delete(this);
    this.#socket.off('data', this.#onData);
    this.#socket.off('end', this.#onEnd);
    this.#socket.off('error', this.#onError);
    this.#socket.off('close', this.#onClose);
  }
}
