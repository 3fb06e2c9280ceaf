/**
 * One request and its answer.
 *
 *   lease ──▶ (wait for room) ──▶ attempt ──▶ answer passed on ──▶ finished
 *     ▲                              │
 *     └── domain/retry ◀─── failed ──┘
 *              └──▶ the gateway's own 502, 503 or 504 ──▶ finished
 *
 * Request and answer stream independently: an upstream may answer before the request is complete. Whatever happens to
 * either side, the exchange ends exactly once, and leaves neither a lease nor a connection nor a place in the queue.
 */
import { hashAddress, hashText } from '../domain/balancing/hash.js';
import { decideRetry, type AttemptFailure, type RetryCost, type RetryDecision } from '../domain/retry.js';
import type { Activity } from './activity.js';
import { AnswerRelay } from './answerRelay.js';
import { Attempt, type AttemptHost } from './attempt.js';
import type { ClientConnection } from './clientConnection.js';
import type { GatewayContext } from './context.js';
import { describeFailure, nobodyAvailable, type Failure } from './failures.js';
import { hashKeyOf } from './hashKey.js';
import type { RequestHead } from './http1/requestHead.js';
import type { ResponseHead } from './http1/responseHead.js';
import type { Pool, Waiting } from './pool.js';
import { NO_BODY, RequestBody } from './requestBody.js';
import { recordOf } from './requestRecord.js';
import { requestHeadText } from './requestText.js';
import { RetryTab } from './retryTab.js';
import type { StickyChoice } from './sticky.js';
import { Tunnel } from './tunnel.js';
import type { Upstream } from './upstream.js';
import type { UpstreamConnection } from './upstreamConnection.js';

/** How often a request that is held looks whether somebody serves again. */
const HOLD_STEP_MS = 200;

export class Exchange implements Activity, AttemptHost, Waiting {
  readonly body: RequestBody;
  readonly headText: string;
  hash = 0;
  wanted: Upstream | null = null;
  tried: Upstream[] | null = null;
  readonly #client: ClientConnection;
  readonly #context: GatewayContext;
  readonly #head: RequestHead;
  readonly #pool: Pool;
  readonly #requestId: string;
  readonly #clientAddress: string;
  readonly #startedMs: number;
  #session: StickyChoice | null = null;
  #attempt: Attempt | null = null;
  #attempts = 0;
  #waiting = false;
  #fresh = false;
  /** null: nothing had to be tried again yet. */
  #tab: RetryTab | null = null;
  #ended = false;
  /** Monotonic, ms; null: it is not held. */
  #holdUntilMs: number | null = null;
  /** What really happened first: what the client gets when nothing else comes of it. */
  #failure: Failure | null = null;

  constructor(
    client: ClientConnection,
    context: GatewayContext,
    head: RequestHead,
    pool: Pool,
    requestId: string,
    clientAddress: string,
  ) {
    this.#client = client;
    this.#context = context;
    this.#head = head;
    this.#pool = pool;
    this.#requestId = requestId;
    this.#clientAddress = clientAddress;
    this.#startedMs = context.clock.nowMs();
    this.body =
      head.bodyLength === 0 ? NO_BODY : new RequestBody(head.bodyLength, context.limits.maxKeptBodyBytes);
    this.headText = requestHeadText(head, client.peer, requestId, context.viaName);
  }

  /** Begins the first attempt. What of the body arrived with the head should have been read before. */
  start(): void {
    if (this.#ended) return;
    const { snapshot, algorithm, sticky, budget } = this.#pool;
    budget.request(this.#startedMs);
    if (algorithm.keyedBy === 'client-ip') this.hash = hashAddress(this.#clientAddress);
    else if (algorithm.keyedBy === 'configured') {
      const key = hashKeyOf(snapshot.hashOn, this.#head, this.#clientAddress);
      this.hash = key === null ? 0 : hashText(key);
    }
    if (sticky !== null) {
      this.#session = sticky.find(this.#head.cookie, this.#context.clock.wallMs());
      this.wanted = this.#session?.upstream ?? null;
      if (this.#session !== null) this.#context.seen.cookie(this.#session);
    } else this.#context.seen.client(this.#client, this.#clientAddress);
    this.#tryNext();
  }

  // ---- The request's side ------------------------------------------------------------------------------

  get wantsBytes(): boolean {
    return !this.body.done;
  }

  readBytes(chunk: Buffer, from: number): number {
    const sending = this.#attempt?.sent === true;
    const end = this.body.read(chunk, from, sending);
    const { maxBodyBytes } = this.#context.limits;
    if (this.body.problem !== '') {
      this.#refuse(400, 'body.malformed', `The request's body is malformed: ${this.body.problem}.`);
    } else if (this.body.payloadBytes > maxBodyBytes) {
      this.#refuse(413, 'body.too-large', `The request's body is larger than ${maxBodyBytes} bytes.`);
    } else if (sending && end > from) {
      const piece = from === 0 && end === chunk.length ? chunk : chunk.subarray(from, end);
      this.onProgress(this.#attempt?.write(piece) ?? true);
    } else if (this.body.isFull) this.#client.pause();
    return end;
  }

  onClientEnd(): void {
    if (!this.body.done) this.#abort('client.incomplete');
  }

  onClientGone(): void {
    this.#abort('client.gone');
  }

  onClientDrain(): void {
    if (this.#attempt === null) return;
    this.#attempt.relay.clientIsFull = false;
    this.#attempt.resume();
    this.#setTimeout();
  }

  onTimeout(): void {
    const attempt = this.#attempt;
    if (attempt === null) this.#onWaitedTooLong();
    else if (attempt.relay.head !== null) {
      this.#abort(attempt.relay.clientIsFull || !this.body.done ? 'client.slow' : 'upstream.stalled');
    } else if (!this.body.done && !this.#client.isPaused) {
      this.#refuse(408, 'body.timeout', "The request's body did not arrive in time.");
    } else attempt.timeOut();
  }

  #onWaitedTooLong(): void {
    if (this.#holdUntilMs === null) {
      this.#refuse(503, 'queue.timeout', 'No upstream had room for the request in time.');
      return;
    }
    this.#pool.stopWaiting(this);
    this.#waiting = false;
    this.tried = null;
    this.#tryNext();
  }

  // ---- Attempts ----------------------------------------------------------------------------------------

  /** @param unreached nobody could be reached, so when there is nobody else one that is not fit is asked. */
  #tryNext(unreached = false): void {
    const upstream = this.#pool.lease(this.hash, this.tried, this.wanted);
    if (upstream !== null) this.onRoom(upstream);
    else if (!this.#pool.hasFit(this.tried)) this.#hold(unreached);
    else if (this.#pool.wait(this)) {
      this.#waiting = true;
      this.#holdUntilMs = null;
      this.#setTimeout();
    } else {
      this.#refuse(
        503,
        'queue.full',
        `Every upstream of "${this.#pool.name}" is busy and too many requests wait.`,
      );
    }
  }

  /**
   * Nobody is left to ask. Waits for a change of the pool, and looks again now and then: who refused a moment ago may
   * be a process that is just starting. What may not be repeated does not come here: the retry rule was asked before.
   */
  #hold(unreached: boolean): void {
    const { limits, deadlines } = this.#context;
    this.#holdUntilMs ??= deadlines.nowMs + limits.holdMs;
    if (deadlines.nowMs >= this.#holdUntilMs || !this.#pool.wait(this)) {
      const lastResort = unreached ? this.#pool.leaseUnfit(this.tried) : null;
      const { status, code, message } = this.#failure ?? nobodyAvailable(this.#pool.name);
      if (lastResort === null) this.#refuse(status, code, message);
      else this.onRoom(lastResort);
      return;
    }
    this.#waiting = true;
    this.#attempts = Math.min(this.#attempts, limits.maxAttempts - 1);
    this.#client.deadlineMs = Math.min(this.#holdUntilMs, deadlines.nowMs + HOLD_STEP_MS);
  }

  onRoom(upstream: Upstream): void {
    this.#waiting = false;
    this.#attempts += 1;
    const relay = new AnswerRelay(this.#client.socket, this.#head, this.#context.limits, this);
    this.#attempt = new Attempt(this, relay, this.#pool, upstream, this.#context);
    this.#client.deadlineMs = Number.POSITIVE_INFINITY; // until it is sent the connect time-out is the connection's
    this.#attempt.begin(this.#fresh);
  }

  onProgress(roomLeft: boolean): void {
    if (roomLeft) this.#client.resume();
    else if (!this.body.done) this.#client.pause();
    this.#setTimeout();
  }

  onAttemptFailed(attempt: Attempt, failure: AttemptFailure, detail: string): void {
    this.#attempt = null;
    this.#failure ??= describeFailure(failure, detail, attempt.relay.status);
    // Neither a stale connection nor knocking while it is held is an attempt: a fresh connection is never stale, and
    // holding has its own end.
    const attempted = failure !== 'stale' && (failure !== 'connect' || this.#holdUntilMs === null);
    const attempts = attempted ? this.#attempts : this.#attempts - 1;
    const decision = this.#decide(failure, attempt.relay.begun, attempts);
    // An attempt of which the upstream heard nothing leaves the credit to the next one.
    if (failure === 'lost' || failure === 'timeout') this.#tab?.fail();
    if (decision.action === 'give-up' || !this.#pay(decision.cost, attempt.upstream)) {
      const { status, code, message } = this.#failure;
      this.#refuse(status, code, message);
      return;
    }
    this.#tab?.begin();
    this.#attempts = attempts;
    attempt.upstream.retries += 1;
    if (decision.sameUpstream) this.#fresh = true;
    else {
      (this.tried ??= []).push(attempt.upstream);
      this.wanted = null;
    }
    // Who was lost had been there: what comes now is another outage.
    if (failure === 'lost') this.#holdUntilMs = null;
    this.#tryNext(failure === 'connect' || failure === 'lost');
  }

  #pay(cost: RetryCost, failed: Upstream): boolean {
    this.#tab ??= new RetryTab(this.#pool, this.#context.clock);
    return this.#tab.pay(cost, [...(this.tried ?? []), failed]);
  }

  #decide(failure: AttemptFailure, answerBegun: boolean, attempts: number): RetryDecision {
    return decideRetry({
      failure,
      answerBegun,
      method: this.#head.method,
      hasIdempotencyKey: this.#head.hasIdempotencyKey,
      bodyKept: this.body.kept !== null,
      attempts,
      maxAttempts: this.#context.limits.maxAttempts,
      retryUnsafe: this.#pool.snapshot.retryUnsafe,
    });
  }

  /** Sets the time-out that fits what is awaited now. */
  #setTimeout(): void {
    const { limits, deadlines } = this.#context;
    const relay = this.#attempt?.relay;
    let allowedMs = limits.bodyTimeoutMs;
    if (relay === undefined) allowedMs = limits.queueTimeoutMs;
    else if (this.body.done && !relay.clientIsFull) {
      allowedMs = relay.head === null ? limits.responseTimeoutMs : limits.streamTimeoutMs;
    }
    this.#client.deadlineMs = deadlines.nowMs + allowedMs;
  }

  // ---- The answer's side -------------------------------------------------------------------------------

  wantsAnswer(head: ResponseHead): boolean {
    const attempt = this.#attempt;
    if ((head.status !== 502 && head.status !== 503) || attempt === null) return true;
    this.#tab?.fail();
    if (this.#decide('status', attempt.relay.begun, this.#attempts).action === 'give-up') return true;
    return (
      !this.#pool.hasFit([...(this.tried ?? []), attempt.upstream]) || !this.#pay('place', attempt.upstream)
    );
  }

  keepsClient(): boolean {
    return this.#head.persistent && this.body.done && !this.#context.draining;
  }

  answerLines(): string {
    const { sticky } = this.#pool;
    if (sticky === null || this.#attempt === null) return '';
    const secure = this.#client.peer.isSecure(this.#head);
    return sticky.setCookieLine(this.#attempt.upstream, this.#session, secure, this.#context.clock.wallMs());
  }

  onAnswered(attempt: Attempt): void {
    const { relay } = attempt;
    this.#end(relay.status, relay.bodyBytes, attempt.upstream, '');
    this.#client.finish(relay.keepsClient);
  }

  onAnswerCut(): void {
    this.#tab?.fail();
    this.#abort('upstream.cut');
  }

  onUpgraded(attempt: Attempt, connection: UpstreamConnection, head: ResponseHead, rest: Buffer): void {
    this.#end(101, 0, attempt.upstream, '');
    const { socket } = this.#client;
    socket.write(
      `HTTP/1.1 101 ${head.reason}\r\n${head.lines}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n`,
      'latin1',
    );
    const tunnel = new Tunnel(this.#client, this.#pool, attempt.upstream, connection, this.#context);
    if (rest.length > 0) tunnel.onUpstreamBytes(rest);
    this.#client.become(tunnel);
  }

  // ---- The end -----------------------------------------------------------------------------------------

  /** Answers in the upstream's place. */
  #refuse(status: number, code: string, message: string): void {
    const attempt = this.#attempt;
    if (attempt !== null && attempt.relay.head !== null) {
      this.#abort(code);
      return;
    }
    this.#end(status, 0, null, code);
    attempt?.end('neutral');
    this.#client.answerFailure(status, code, message, this.#requestId, this.#head, this.body.done);
  }

  /** The client can't be given a (complete) answer: cutting the connection is how it is told. */
  #abort(code: string): void {
    if (this.#ended) return;
    const attempt = this.#attempt;
    this.#end(attempt?.relay.status ?? 0, attempt?.relay.bodyBytes ?? 0, attempt?.upstream ?? null, code);
    this.#context.refusals.count(code);
    attempt?.end(code === 'upstream.stalled' ? 'failure' : 'neutral');
    this.#client.cut();
  }

  #end(status: number, bodyBytes: number, upstream: Upstream | null, code: string): void {
    this.#ended = true;
    this.#attempt = null;
    if (this.#waiting) this.#pool.stopWaiting(this);
    this.#waiting = false;
    if (status >= 100) this.#context.answers.count(status);
    this.#context.onRequestEnd?.(
      recordOf(this.#head, this.#client.peer, {
        clientAddress: this.#clientAddress,
        requestId: this.#requestId,
        status,
        bodyBytes,
        durationMs: this.#context.clock.nowMs() - this.#startedMs,
        upstream: upstream?.id ?? null,
        attempts: this.#attempts,
        code,
      }),
    );
  }
}
