/**
 * An upgraded connection: bytes both ways, each side paused while the other can't take more. Half-closed sides are
 * passed on; when either is gone, both are. Ends also after a long silence, or at the time it was told to.
 */
import type { Activity } from './activity.js';
import type { ClientSocket } from './clientSocket.js';
import type { GatewayContext } from './context.js';
import { writeCopied } from './copiedWrites.js';
import type { Timed } from './deadlines.js';
import type { Pool } from './pool.js';
import type { Upstream } from './upstream.js';
import type { ConnectionUser, UpstreamConnection } from './upstreamConnection.js';

export class Tunnel implements Activity, ConnectionUser, Timed {
  deadlineMs: number;
  readonly upstream: Upstream;
  readonly #pool: Pool;
  readonly #client: ClientSocket;
  readonly #connection: UpstreamConnection;
  readonly #context: GatewayContext;
  #closeAtMs = Number.POSITIVE_INFINITY;
  #open = true;

  /** Takes over the lease of `upstream` and its connection. */
  constructor(
    client: ClientSocket,
    pool: Pool,
    upstream: Upstream,
    connection: UpstreamConnection,
    context: GatewayContext,
  ) {
    this.#client = client;
    this.#pool = pool;
    this.upstream = upstream;
    this.#connection = connection;
    this.#context = context;
    this.deadlineMs = context.deadlines.nowMs + context.limits.tunnelTimeoutMs;
    connection.lend(this);
    pool.upgraded(upstream);
    context.tunnels.add(this);
    context.deadlines.add(this);
  }

  /** Ends it at that time (monotonic, ms) at the latest. */
  closeBy(atMs: number): void {
    this.#closeAtMs = Math.min(this.#closeAtMs, atMs);
    this.deadlineMs = Math.min(this.deadlineMs, this.#closeAtMs);
  }

  get isClosing(): boolean {
    return this.#closeAtMs !== Number.POSITIVE_INFINITY;
  }

  get wantsBytes(): boolean {
    return true;
  }

  readBytes(chunk: Buffer, from: number): number {
    this.#touch();
    if (!writeCopied(this.#connection.socket, chunk.subarray(from))) this.#client.pause();
    return chunk.length;
  }

  onClientDrain(): void {
    this.#connection.socket.resume();
  }

  onClientEnd(): void {
    this.#connection.socket.end();
  }

  onClientGone(): void {
    this.#end();
  }

  onTimeout(): void {
    // Its deadline is its own, not the client connection's.
  }

  onConnected(): void {
    // It is connected already.
  }

  onUpstreamBytes(chunk: Buffer): void {
    this.#touch();
    if (!writeCopied(this.#client, chunk)) this.#connection.socket.pause();
  }

  onUpstreamDrain(): void {
    this.#client.resume();
  }

  onUpstreamEnd(): void {
    this.#client.end();
  }

  onUpstreamGone(): void {
    this.#end();
  }

  onDeadline(): void {
    this.#context.refusals.count(this.isClosing ? 'tunnel.drained' : 'tunnel.idle');
    this.#end();
  }

  #touch(): void {
    this.deadlineMs = Math.min(
      this.#closeAtMs,
      this.#context.deadlines.nowMs + this.#context.limits.tunnelTimeoutMs,
    );
  }

  #end(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#context.tunnels.delete(this);
    this.#context.deadlines.delete(this);
    this.#connection.destroy();
    // What was written to the client still goes out before the connection ends.
    this.#client.destroySoon();
    this.#pool.releaseUpgraded(this.upstream);
  }
}
