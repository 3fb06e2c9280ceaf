/**
 * One attempt to have a request answered by one upstream. Holds the lease of the upstream from the first moment and
 * releases it exactly once, with the outcome; the connection goes back to the upstream only when both messages on it
 * are complete, and is destroyed in every other case.
 */
import type { Socket } from 'node:net';
import { countsAgainstUpstream, type AttemptFailure } from '../../domain/upstreams/retry.js';
import type { AnswerRelay, RelayHost } from './answerRelay.js';
import type { GatewayContext } from '../shared/context.js';
import { writeCopied } from './copiedWrites.js';
import type { ResponseHead } from '../http1/responseHead.js';
import type { Outcome, Pool } from '../upstreams/pool.js';
import type { RequestBody } from './requestBody.js';
import type { Upstream } from '../upstreams/upstream.js';
import type { UpstreamConnection } from '../upstreams/upstreamConnection.js';
import type { Borrower } from '../upstreams/upstreamConnections.js';

/** Whose attempt it is. */
export interface AttemptHost extends RelayHost {
  readonly body: RequestBody;
  /** The head as upstreams get it. */
  readonly headText: string;
  /** The request, or more of the answer, has been passed on; `roomLeft` false: the upstream can't take more now. */
  onProgress(roomLeft: boolean): void;
  /** The answer was passed on completely. */
  onAnswered(attempt: Attempt): void;
  /** The attempt is over: lease and connection are gone. Nothing of a final answer was sent to the client. */
  onAttemptFailed(attempt: Attempt, failure: AttemptFailure, detail: string): void;
  /** The attempt is over: the upstream's answer is not its fault, and can't be told to this client. Nothing of it was sent. */
  onUntranslatable(attempt: Attempt, detail: string): void;
  /** The attempt is over in the middle of an answer. */
  onAnswerCut(attempt: Attempt): void;
  /** 101: lease and connection are to be taken over. */
  onUpgraded(attempt: Attempt, connection: UpstreamConnection, head: ResponseHead, rest: Buffer): void;
}

/** Bodies up to this many bytes are written together with their head, as one piece of text. */
const MAX_JOINED_BYTES = 16_384;

export class Attempt implements Borrower {
  readonly upstream: Upstream;
  readonly relay: AnswerRelay;
  readonly startedMs: number;
  /** Something of the request has been written. */
  sent = false;
  readonly #host: AttemptHost;
  readonly #pool: Pool;
  readonly #context: GatewayContext;
  #connection: UpstreamConnection | null = null;
  #leased = true;

  /** @param upstream leased from `pool`; released by this attempt. */
  constructor(
    host: AttemptHost,
    relay: AnswerRelay,
    pool: Pool,
    upstream: Upstream,
    context: GatewayContext,
  ) {
    this.#host = host;
    this.relay = relay;
    this.#pool = pool;
    this.upstream = upstream;
    this.#context = context;
    this.startedMs = context.clock.nowMs();
  }

  /** @param fresh on a new connection. */
  begin(fresh: boolean): void {
    this.upstream.lend(this, fresh);
  }

  /** Sends on a piece of the body, which is valid only during the call. @returns false when the upstream can't take more at the moment. */
  write(piece: Buffer): boolean {
    return this.#connection === null || writeCopied(this.#connection.socket, piece);
  }

  /** Of its connection; null: there is none (yet). */
  get socket(): Socket | null {
    return this.#connection?.socket ?? null;
  }

  /** The client can take more of the answer again. */
  resume(): void {
    this.#connection?.socket.resume();
  }

  /** Ends it; nothing is reported to the host any more. Idempotent. */
  end(outcome: Outcome): void {
    if (this.#connection === null) this.upstream.stopWaiting(this);
    else this.#connection.destroy();
    this.#connection = null;
    this.#release(outcome);
  }

  onLent(connection: UpstreamConnection): void {
    this.#connection = connection;
  }

  onConnected({ socket }: UpstreamConnection): void {
    const { headText, body } = this.#host;
    const kept = body.kept ?? [];
    const first = kept[0];
    this.sent = true;
    let roomLeft = true;
    if (first === undefined) roomLeft = socket.write(headText, 'latin1');
    else if (kept.length === 1 && first.length <= MAX_JOINED_BYTES) {
      roomLeft = socket.write(headText + first.toString('latin1'), 'latin1');
    } else {
      socket.cork();
      socket.write(headText, 'latin1');
      for (const piece of kept) roomLeft = socket.write(piece);
      socket.uncork();
    }
    body.trim();
    this.#host.onProgress(roomLeft);
  }

  onUpstreamDrain(): void {
    this.#host.onProgress(true);
  }

  onUpstreamBytes(chunk: Buffer): void {
    switch (this.relay.feed(chunk)) {
      case 'more':
        if (this.relay.clientIsFull) this.#connection?.socket.pause();
        this.#host.onProgress(this.#connection?.socket.writableNeedDrain !== true);
        return;
      case 'done':
        this.#complete();
        return;
      case 'dropped':
        this.#fail('status', `it answered ${this.relay.status}`);
        return;
      case 'upgraded':
        this.#handOver();
        return;
      case 'untranslatable':
        this.end('neutral');
        this.#host.onUntranslatable(this, this.relay.problem);
        return;
      default:
        this.#fail('lost', this.relay.problem);
    }
  }

  onUpstreamEnd(): void {
    if (this.relay.endsWithConnection) this.#complete();
    else this.#lose('it closed the connection');
  }

  onUpstreamGone(problem: string, connected: boolean): void {
    if (connected) this.#lose(`the connection was lost (${problem})`);
    else this.#fail('connect', problem);
  }

  /** No answer in time. */
  timeOut(): void {
    this.#fail('timeout', 'it did not answer in time');
  }

  #lose(detail: string): void {
    if (!this.sent) this.#fail('unsent', detail);
    else this.#fail(this.#connection?.reused === true && !this.relay.heard ? 'stale' : 'lost', detail);
  }

  #fail(failure: AttemptFailure, detail: string): void {
    const atFault = countsAgainstUpstream(failure);
    if (atFault && failure !== 'status') this.upstream.failures += 1;
    this.end(atFault ? 'failure' : 'neutral');
    if (this.relay.head === null) this.#host.onAttemptFailed(this, failure, detail);
    else this.#host.onAnswerCut(this);
  }

  #complete(): void {
    const { head, surplus } = this.relay;
    const connection = this.#connection;
    this.#connection = null;
    if (connection !== null) {
      if (head?.persistent === true && !surplus && this.#host.body.done) this.upstream.giveBack(connection);
      else connection.destroy();
    }
    this.upstream.recordLatency(this.#context.clock.nowMs() - this.startedMs);
    this.#release(isFailure(this.relay.status) ? 'failure' : 'success');
    this.upstream.answers.count(this.relay.status);
    this.#host.onAnswered(this);
  }

  #handOver(): void {
    const { head, rest } = this.relay;
    const connection = this.#connection;
    if (connection === null || head === null) return;
    this.#connection = null;
    this.#leased = false;
    this.upstream.answers.count(head.status);
    this.#host.onUpgraded(this, connection, head, rest);
  }

  #release(outcome: Outcome): void {
    if (!this.#leased) return;
    this.#leased = false;
    this.#pool.release(this.upstream, outcome);
  }
}

/** Whether a status says that the upstream is unwell; 501 and 505 say something about the request (as in HAProxy). */
function isFailure(status: number): boolean {
  return status >= 500 && status !== 501 && status !== 505;
}
