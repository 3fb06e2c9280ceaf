/**
 * One request and its answer.
 *
 *   lease ──▶ (wait for room) ──▶ attempt ──▶ answer passed on ──▶ finished
 *     ▲                              │
 *     └── decideRetry ◀──── failed ──┘
 *              └──▶ the gateway's own 502, 503 or 504 ──▶ finished
 *
 * Request and answer stream independently: an upstream may answer before the request is complete. Whatever happens to
 * either side, the exchange ends exactly once, and leaves neither a lease nor a connection nor a place in the queue.
 */
import {
  decideRetry,
  type AttemptFailure,
  type RetryCost,
  type RetryDecision,
} from '../../domain/upstreams/retry.js';
import type { Activity } from '../shared/activity.js';
import type { OwnAnswer } from '../shared/answer.js';
import { AnswerRelay } from './answerRelay.js';
import { Attempt, type AttemptHost } from './attempt.js';
import { ExchangeTerms } from './exchangeTerms.js';
import * as failures from './failures.js';
import { fallbackAnswer } from './fallback.js';
import { hashFor } from './hashKey.js';
import type { ResponseHead } from '../http1/responseHead.js';
import type { Waiting } from '../upstreams/pool.js';
import { recordOf } from '../shared/requestRecord.js';
import { RetryTab } from '../upstreams/retryTab.js';
import { switchingHead, Tunnel } from './tunnel.js';
import type { Upstream } from '../upstreams/upstream.js';
import type { UpstreamConnection } from '../upstreams/upstreamConnection.js';

/** How often a request that is held looks whether somebody serves again. */
const HOLD_STEP_MS = 200;

export class Exchange extends ExchangeTerms implements Activity, AttemptHost, Waiting {
  hash = 0;
  wanted: Upstream | null = null;
  tried: Upstream[] | null = null;
  #attempts = 0;
  #waiting = false;
  #fresh = false;
  /** null: nothing had to be tried again yet. */
  #tab: RetryTab | null = null;
  #ended = false;
  /** Monotonic, ms; null: it is not held. */
  #holdUntilMs: number | null = null;
  /** What really happened first: what the client gets when nothing else comes of it. */
  #failure: failures.Failure | null = null;

  /** Begins the first attempt. What of the body arrived with the head should have been read before. */
  start(): void {
    if (this.#ended) return;
    const { sticky } = this.pool;
    this.#enterPool();
    if (sticky !== null) {
      this.session = sticky.find(this.head.cookie, this.context.clock.wallMs());
      this.wanted = this.session?.upstream ?? null;
      if (this.session !== null) this.context.seen.cookie(this.session);
    } else this.context.seen.client(this.client, this.clientAddress);
    this.#tryNext();
  }

  #enterPool(): void {
    this.pool.budget.request(this.startedMs);
    this.hash = hashFor(this.pool, this.head, this.client.peer, this.clientAddress);
  }

  // ---- The request's side ------------------------------------------------------------------------------

  get wantsBytes(): boolean {
    return !this.body.done;
  }

  readBytes(chunk: Buffer, from: number): number {
    const sending = this.attempt?.sent === true;
    const end = this.body.read(chunk, from, sending);
    const { maxBodyBytes } = this.context.limits;
    if (this.body.problem !== '') {
      this.#refuse(failures.bodyMalformed(this.body.problem));
    } else if (this.body.payloadBytes > maxBodyBytes) {
      this.#refuse(failures.bodyTooLarge(maxBodyBytes));
    } else if (sending && end > from) {
      this.onProgress(this.attempt?.write(this.body.passedOn(chunk, from, end)) ?? true);
    } else if (this.body.isFull) this.client.pause();
    return end;
  }

  onClientEnd(): void {
    if (!this.body.done) this.#abort('client.incomplete');
  }

  onClientGone(): void {
    this.#abort('client.gone');
  }

  onClientDrain(): void {
    if (this.attempt === null) return;
    this.attempt.relay.clientIsFull = false;
    this.attempt.resume();
    this.setTimeout();
  }

  onTimeout(): void {
    const attempt = this.attempt;
    if (attempt === null) {
      this.#onWaitedTooLong();
      return;
    }
    const lookMs = this.standstill?.look() ?? null;
    if (lookMs !== null) this.client.deadlineMs = lookMs;
    else if (attempt.relay.head !== null) {
      const isClients = attempt.relay.clientIsFull || this.awaitsBody;
      this.#abort(isClients ? 'client.slow' : 'upstream.stalled');
    } else if (this.awaitsBody) this.#refuse(failures.BODY_TIMEOUT);
    else attempt.timeOut();
  }

  #onWaitedTooLong(): void {
    if (this.#holdUntilMs === null) {
      this.#refuse(failures.QUEUE_TIMEOUT);
      return;
    }
    this.pool.stopWaiting(this);
    this.#waiting = false;
    this.tried = null;
    this.#tryNext();
  }

  // ---- Attempts ----------------------------------------------------------------------------------------

  /** @param unreached nobody could be reached, so when there is nobody else one that is not fit is asked. */
  #tryNext(unreached = false): void {
    const upstream = this.pool.lease(this.hash, this.tried, this.wanted);
    if (upstream !== null) this.onRoom(upstream);
    else if (!this.pool.hasFit(this.tried)) this.#hold(unreached);
    else if (this.pool.wait(this)) {
      this.#waiting = true;
      this.#holdUntilMs = null;
      this.setTimeout();
    } else {
      this.#refuse(failures.queueFull(this.pool.name));
    }
  }

  /**
   * Nobody is left to ask. Waits for a change of the pool, and looks again now and then: who refused a moment ago may
   * be a process that is just starting. What may not be repeated does not come here: the retry rule was asked before.
   */
  #hold(unreached: boolean): void {
    const { limits, deadlines } = this.context;
    this.#holdUntilMs ??= deadlines.nowMs + (this.#isKnownToFail ? 0 : limits.holdMs);
    if (deadlines.nowMs >= this.#holdUntilMs || !this.pool.wait(this)) {
      const lastResort = unreached ? this.pool.leaseUnfit(this.tried) : null;
      if (lastResort === null)
        this.#giveUp(this.#failure ?? failures.nobodyAvailable(this.pool.snapshot), true);
      else this.onRoom(lastResort);
      return;
    }
    this.#waiting = true;
    this.#attempts = Math.min(this.#attempts, limits.maxAttempts - 1);
    this.client.deadlineMs = Math.min(this.#holdUntilMs, deadlines.nowMs + HOLD_STEP_MS);
  }

  onRoom(upstream: Upstream): void {
    this.#waiting = false;
    this.#attempts += 1;
    const relay = new AnswerRelay(this.client.socket, this.head, this.context.limits, this);
    this.attempt = new Attempt(this, relay, this.pool, upstream, this.context);
    this.upstreamIsFull = false;
    this.standstill = null;
    this.client.deadlineMs = Number.POSITIVE_INFINITY; // until it is sent the connect time-out is the connection's
    this.attempt.begin(this.#fresh);
  }

  onProgress(roomLeft: boolean): void {
    this.upstreamIsFull = !roomLeft;
    if (roomLeft) this.client.resume();
    else if (!this.body.done) this.client.pause();
    this.setTimeout();
  }

  onAttemptFailed(attempt: Attempt, failure: AttemptFailure, detail: string): void {
    this.attempt = null;
    this.#failure ??= failures.describeFailure(failure, detail, attempt.relay.status, this.pool.snapshot);
    // Neither a stale connection nor knocking while it is held is an attempt: a fresh connection is never stale, and
    // holding has its own end.
    const attempted = failure !== 'stale' && (failure !== 'connect' || this.#holdUntilMs === null);
    const attempts = attempted ? this.#attempts : this.#attempts - 1;
    const decision = this.#decide(failure, attempt.relay.begun, attempts);
    // An attempt of which the upstream heard nothing leaves the credit to the next one.
    if (failure === 'lost' || failure === 'timeout') this.#tab?.fail();
    const isHopeless = failure === 'connect' && this.#isKnownToFail;
    if (isHopeless || decision.action === 'give-up' || !this.#pay(decision.cost, attempt.upstream)) {
      return this.#giveUp(this.#failure, failure === 'connect');
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

  /** Something stands in for the pool, and by its checks no upstream of it serves: then one attempt is enough. */
  get #isKnownToFail(): boolean {
    return this.pool.snapshot.fallback !== undefined && !this.pool.hasUp;
  }

  /**
   * No upstream answers.
   * @param unreached none is left that could be connected to, and the request may go elsewhere; then what stands in for the
   *   pool answers.
   */
  #giveUp(failure: failures.Failure, unreached: boolean): void {
    const { fallback } = this.pool.snapshot;
    if (fallback === undefined || !unreached) this.#refuse(failure);
    else if (fallback.kind === 'pool') this.#askPool(fallback.pool, failure);
    else this.#refuse(failure, fallbackAnswer(fallback, this.head));
  }

  /** Begins anew in the pool that stands in, with the whole request: what an upstream was sent of it is kept. */
  #askPool(name: string, failure: failures.Failure): void {
    const pool = this.context.poolNamed(name);
    if (pool === null || this.standsIn || this.body.kept === null) return this.#refuse(failure);
    this.standsIn = true;
    this.pool = pool;
    this.tried = this.wanted = this.#tab = this.#holdUntilMs = this.#failure = null;
    this.#attempts = 0;
    this.#fresh = false;
    this.#enterPool();
    this.#tryNext();
  }

  #pay(cost: RetryCost, failed: Upstream): boolean {
    this.#tab ??= new RetryTab(this.pool, this.context.clock);
    return this.#tab.pay(cost, [...(this.tried ?? []), failed]);
  }

  #decide(failure: AttemptFailure, answerBegun: boolean, attempts: number): RetryDecision {
    const { method, hasIdempotencyKey } = this.head;
    const { maxAttempts } = this.context.limits;
    const { retryUnsafe } = this.pool.snapshot;
    const bodyKept = this.body.kept !== null;
    const request = { method, hasIdempotencyKey, bodyKept, retryUnsafe };
    return decideRetry({ ...request, failure, answerBegun, attempts, maxAttempts });
  }

  // ---- The answer's side -------------------------------------------------------------------------------

  wantsAnswer(head: ResponseHead): boolean {
    const attempt = this.attempt;
    if ((head.status !== 502 && head.status !== 503) || attempt === null) return true;
    this.#tab?.fail();
    if (this.#decide('status', attempt.relay.begun, this.#attempts).action === 'give-up') return true;
    return (
      !this.pool.hasFit([...(this.tried ?? []), attempt.upstream]) || !this.#pay('place', attempt.upstream)
    );
  }

  onAnswered(attempt: Attempt): void {
    const { relay } = attempt;
    this.#end(relay.status, relay.bodyBytes, attempt.upstream, '');
    this.client.finish(relay.keepsClient);
  }

  onUntranslatable(attempt: Attempt, detail: string): void {
    this.attempt = null;
    this.#refuse(failures.describeFailure('lost', detail, attempt.relay.status, this.pool.snapshot));
  }

  onAnswerCut(): void {
    this.#tab?.fail();
    this.#abort('upstream.cut');
  }

  onUpgraded(attempt: Attempt, connection: UpstreamConnection, head: ResponseHead, rest: Buffer): void {
    const lines = this.answerLines(head);
    this.#end(101, 0, attempt.upstream, '');
    this.client.socket.write(switchingHead(head, lines), 'latin1');
    const tunnel = new Tunnel(this.client, this.pool, attempt.upstream, connection, this.context);
    if (rest.length > 0) tunnel.onUpstreamBytes(rest);
    this.client.become(tunnel);
  }

  // ---- The end -----------------------------------------------------------------------------------------

  /** Answers in the upstream's place. @param instead of the gateway's own words; null: in those. */
  #refuse(failure: failures.Failure, instead: OwnAnswer | null = null): void {
    const attempt = this.attempt;
    if (attempt !== null && attempt.relay.head !== null) {
      this.#abort(failure.code);
      return;
    }
    this.#end(instead?.status ?? failure.status, 0, null, failure.code);
    attempt?.end('neutral');
    if (instead !== null) {
      this.context.refusals.count(failure.code);
      this.client.answer(instead, this.head, this.body.done);
    } else this.client.answerFailure(failure, this.requestId, this.head, this.body.done);
  }

  /** The client can't be given a (complete) answer: cutting the connection is how it is told. */
  #abort(code: string): void {
    if (this.#ended) return;
    const attempt = this.attempt;
    this.#end(attempt?.relay.status ?? 0, attempt?.relay.bodyBytes ?? 0, attempt?.upstream ?? null, code);
    this.context.refusals.count(code);
    attempt?.end(code === 'upstream.stalled' ? 'failure' : 'neutral');
    this.client.cut();
  }

  #end(status: number, bodyBytes: number, upstream: Upstream | null, code: string): void {
    this.#ended = true;
    this.attempt = null;
    if (this.#waiting) this.pool.stopWaiting(this);
    this.#waiting = false;
    if (status >= 100) this.context.answers.count(status);
    this.context.onRequestEnd?.(
      recordOf(this.head, this.client.peer, {
        clientAddress: this.clientAddress,
        requestId: this.requestId,
        status,
        bodyBytes,
        durationMs: this.context.clock.nowMs() - this.startedMs,
        upstream: upstream?.id ?? null,
        attempts: this.#attempts,
        code,
      }),
    );
  }
}
