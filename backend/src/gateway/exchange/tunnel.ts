/**
 * An upgraded connection, a WebSocket: bytes both ways, each side paused while the other can't take more. Half-closed
 * sides are passed on; when either is gone, both are.
 *
 * It also ends when it was told to leave (its upstream or the gateway goes), and after a long silence. Then the client
 * is told so by a Close frame of ours, 1001, which it can tell from a network that broke (1006):
 *
 *   open ──time to leave──▶ leaving ──between two frames──▶ farewell ──client answers, upstream ends──▶ ended
 *                              │     to the client: Close     │  the client's Close goes on to the upstream
 *                              │                              │
 *                              └──── out of time ─────────────┴──▶ last ──upstream ends, or out of time──▶ ended
 *                                                                   to the upstream: a Close in the client's name
 *
 * While it is in farewell the client's bytes still go to the upstream, whose own are dropped: they would come behind a
 * Close. Where frames end is followed from the first byte on, by their heads (webSocket/frameFollower.ts).
 */
import type { Activity } from '../shared/activity.js';
import type { ClientSocket } from '../shared/clientSocket.js';
import { writeCopied } from './copiedWrites.js';
import type { Timed } from '../shared/deadlines.js';
import type { ExchangeClient } from './exchangeClient.js';
import type { ExchangeContext, OpenTunnel } from './exchangeContext.js';
import type { ResponseHead } from '../http1/responseHead.js';
import type { Pool } from '../upstreams/pool.js';
import { Standstill } from '../shared/standstill.js';
import type { Upstream } from '../upstreams/upstream.js';
import type { ConnectionUser, UpstreamConnection } from '../upstreams/upstreamConnection.js';
import { closeFrame, maskedCloseFrame } from '../webSocket/closeFrame.js';
import { FrameFollower } from '../webSocket/frameFollower.js';

/** How long a client gets to answer a Close: a round trip, and a while for a busy page. */
export const FAREWELL_MS = 2_000;
/** How long an upstream gets to answer the Close that a silent client left to us. */
const LAST_MS = 500;

export class Tunnel implements Activity, ConnectionUser, OpenTunnel, Timed {
  deadlineMs: number;
  readonly upstream: Upstream;
  readonly #pool: Pool;
  readonly #client: ExchangeClient;
  readonly #connection: UpstreamConnection;
  readonly #context: ExchangeContext;
  readonly #fromUpstream = new FrameFollower();
  readonly #fromClient = new FrameFollower();
  #state: 'open' | 'leaving' | 'farewell' | 'last' | 'ended' = 'open';
  /** Monotonic, ms; Infinity: it stays. */
  #leaveAtMs = Number.POSITIVE_INFINITY;
  #overByMs = Number.POSITIVE_INFINITY;
  /** Our Close is on its way to the client. */
  #closeSent = false;
  /** While one side can't take more; null: both can. */
  #standstill: Standstill | null = null;

  /** Takes over the lease of `upstream` and its connection. */
  constructor(
    client: ExchangeClient,
    pool: Pool,
    upstream: Upstream,
    connection: UpstreamConnection,
    context: ExchangeContext,
  ) {
    this.#client = client;
    this.#pool = pool;
    this.upstream = upstream;
    this.#connection = connection;
    this.#context = context;
    this.deadlineMs = context.deadlines.nowMs + context.limits.tunnelTimeoutMs;
    connection.lend(this);
    pool.upgraded(upstream);
    context.deadlines.add(this);
    context.onTunnel(this);
  }

  /** Begins to close it at `atMs`, and has it closed for the client by `overByMs` (both monotonic, ms). Once. */
  leave(atMs: number, overByMs: number): void {
    if (this.isLeaving) return;
    this.#leaveAtMs = atMs;
    this.#overByMs = overByMs;
    this.deadlineMs = Math.min(this.deadlineMs, atMs);
  }

  get isLeaving(): boolean {
    return this.#leaveAtMs !== Number.POSITIVE_INFINITY;
  }

  get wantsBytes(): boolean {
    return true;
  }

  readBytes(chunk: Buffer, from: number): number {
    if (this.#state === 'last' || this.#state === 'ended') return chunk.length;
    this.#touch();
    const bytes = from === 0 ? chunk : chunk.subarray(from);
    this.#fromClient.follow(bytes);
    if (!writeCopied(this.#connection.socket, bytes)) {
      this.#client.pause();
      this.#watch(this.#connection.socket);
    }
    if (this.#closeSent) this.#lookForAnswer();
    return chunk.length;
  }

  onClientDrain(): void {
    this.#standstill = null;
    this.#touch();
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
    if (this.#closeSent || this.#state === 'last') return;
    this.#touch();
    if (this.#state !== 'leaving') {
      this.#fromUpstream.follow(chunk);
      this.#pass(chunk);
      return;
    }
    const end = this.#fromUpstream.toBoundary(chunk, 0);
    this.#pass(chunk.subarray(0, end));
    if (this.#fromUpstream.atBoundary) this.#sayFarewell();
  }

  onUpstreamDrain(): void {
    this.#standstill = null;
    this.#touch();
    this.#client.resume();
  }

  onUpstreamEnd(): void {
    if (this.#state === 'open') this.#client.socket.end();
    else this.#end();
  }

  onUpstreamGone(): void {
    this.#end();
  }

  onDeadline(): void {
    const { refusals, deadlines } = this.#context;
    const lookMs = this.#state === 'open' && !this.#isDue ? (this.#standstill?.look() ?? null) : null;
    if (lookMs !== null) this.deadlineMs = Math.min(this.#leaveAtMs, lookMs);
    else if (this.#state === 'open') {
      refusals.count(this.isLeaving ? 'tunnel.drained' : 'tunnel.idle');
      this.#beginToLeave(this.isLeaving ? this.#overByMs : deadlines.nowMs + FAREWELL_MS);
    } else if (this.#state === 'last') this.#end();
    else {
      if (this.#state === 'leaving') refusals.count('tunnel.cut');
      this.#tellUpstream();
    }
  }

  #touch(): void {
    if (this.#state !== 'open') return;
    this.deadlineMs = Math.min(
      this.#leaveAtMs,
      this.#context.deadlines.nowMs + this.#context.limits.tunnelTimeoutMs,
    );
  }

  /** It was told to leave, and it is time. */
  get #isDue(): boolean {
    return this.#context.deadlines.nowMs >= this.#leaveAtMs;
  }

  #pass(bytes: Buffer): void {
    if (writeCopied(this.#client.socket, bytes)) return;
    this.#connection.socket.pause();
    this.#watch(this.#client.socket);
  }

  /** That side can't take more at the moment: as long as it takes some of it, the WebSocket is not silent. */
  #watch(full: ClientSocket): void {
    if (this.#state !== 'open') return;
    this.#standstill = new Standstill(full, this.#context.deadlines);
    this.deadlineMs = Math.min(this.#leaveAtMs, this.#standstill.begin(this.#context.limits.tunnelTimeoutMs));
  }

  #beginToLeave(overByMs: number): void {
    this.#state = 'leaving';
    this.deadlineMs = overByMs;
    if (this.#fromUpstream.atBoundary) this.#sayFarewell();
  }

  /** Between two frames of the upstream. One that has said its own Close needs none of ours. */
  #sayFarewell(): void {
    this.#state = 'farewell';
    if (this.#fromUpstream.closing) return;
    this.#closeSent = true;
    this.#client.socket.write(closeFrame());
    // What it sends from now on is dropped, but its end must be seen.
    this.#connection.socket.resume();
    this.#lookForAnswer();
  }

  /** The client's Close is complete and on its way to the upstream, which will end the connection. */
  #lookForAnswer(): void {
    if (this.#fromClient.closing && this.#fromClient.atBoundary) this.#client.socket.end();
  }

  /** The client did not answer in time, or there was no place for a Close: it is let go, and the upstream told. */
  #tellUpstream(): void {
    this.#state = 'last';
    this.deadlineMs = this.#context.deadlines.nowMs + LAST_MS;
    const { socket } = this.#connection;
    if (this.#fromClient.atBoundary && !this.#fromClient.closing) {
      socket.write(maskedCloseFrame(Math.floor(this.#context.random() * 2 ** 32)));
    }
    socket.end();
    socket.resume();
    this.#client.leaveTunnel(this.#context.limits.lingerMs);
  }

  #end(): void {
    if (this.#state === 'ended') return;
    const { bodyTimeoutMs, lingerMs } = this.#context.limits;
    // One that was told to leave has had its time.
    const patienceMs = this.#state === 'open' ? bodyTimeoutMs : lingerMs;
    this.#state = 'ended';
    this.#context.tunnels.delete(this);
    this.#context.deadlines.delete(this);
    this.#connection.destroy();
    this.#client.leaveTunnel(patienceMs);
    this.#pool.releaseUpgraded(this.upstream);
  }
}

/**
 * The head that tells a client that its connection is upgraded from here on.
 * @param answer the upstream's.
 * @param further field lines of the gateway's own, each with its CRLF.
 */
export function switchingHead({ reason, lines }: ResponseHead, further: string): string {
  return `HTTP/1.1 101 ${reason}\r\n${lines}${further}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n`;
}
