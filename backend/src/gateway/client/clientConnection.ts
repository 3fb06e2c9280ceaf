/**
 * One client's connection: reads heads, one request at a time.
 *
 *   reading head ──▶ active (exchange or own page) ──▶ reading head …
 *        │               │                    └──────▶ tunnel (upgraded) ──▶ closed
 *        └───────────────┴──▶ closing (answer written, our side ended, what still arrives is thrown away) ──▶ closed
 *
 * Requests that are pipelined wait as bytes in `#pending`, bounded; answers therefore leave in order. Closing is done
 * in two steps, because a connection that is closed with unread bytes is reset, and a reset overtakes the answer.
 */
import { acceptIn, prefersPage } from '../shared/accept.js';
import type { Activity } from '../shared/activity.js';
import { problemAnswer, redirectToTls, renderAnswer, type OwnAnswer } from '../shared/answer.js';
import { breakOff, type ClientSocket } from '../shared/clientSocket.js';
import type { Timed } from '../shared/deadlines.js';
import { Exchange } from '../exchange/exchange.js';
import type { ExchangeClient } from '../exchange/exchangeClient.js';
import type { ExchangeContext } from '../exchange/exchangeContext.js';
import { Farewell } from './farewell.js';
import type { Failure } from '../exchange/failures.js';
import type { Peer } from '../shared/forwarded.js';
import { pathOf } from '../exchange/hashKey.js';
import { findHeadEnd, HOPELESS, INCOMPLETE, skipEmptyLines, textOfHead } from '../http1/headFinder.js';
import { refusal, type Refusal } from '../http1/refusal.js';
import { parseRequestHead, RequestHead } from '../http1/requestHead.js';
import { endsHere, OPTIONS_ANSWER } from '../exchange/maxForwards.js';
import { NO_ROUTE, objectionTo } from './objections.js';
import { isFromHere } from '../pages/access.js';
import { PageVisit } from '../pages/pageVisit.js';
import { requestIdOf } from '../exchange/requestIds.js';
import { NOBODY_ASKED, recordOf, unreadRecord } from '../shared/requestRecord.js';
import { giveReads } from './sharedReads.js';
import { Standstill } from '../shared/standstill.js';

/** Who wants to know when it is gone. */
export interface ClientOwner {
  onClientClosed(client: ClientConnection): void;
}

export class ClientConnection implements Timed, ExchangeClient {
  readonly socket: ClientSocket;
  readonly peer: Peer;
  deadlineMs: number;
  notedIn = -1;
  notedAddress = '';
  /** Its answers say themselves where they end. */
  isDelimited = true;
  readonly #context: ExchangeContext;
  readonly #owner: ClientOwner;
  #pending: Buffer | null = null;
  /** `#pending` is (part of) what a socket has just brought. */
  #borrowed = false;
  /** Bytes of `#pending` that were looked over for the end of a head. */
  #seen = 0;
  #activity: Activity | null = null;
  #closing = false;
  #farewell: Farewell | null = null;
  /** The client will send nothing more. */
  #ended = false;
  /** By its activity. */
  #paused = false;
  #stopped = false;
  /** Made when a request first waits until the answer before it is taken. */
  #standstill: Standstill | null = null;
  #reading = false;

  constructor(socket: ClientSocket, peer: Peer, context: ExchangeContext, owner: ClientOwner) {
    this.socket = socket;
    this.peer = peer;
    this.#context = context;
    this.#owner = owner;
    this.deadlineMs = context.deadlines.nowMs + context.limits.headTimeoutMs;
    context.deadlines.add(this);
    giveReads(socket, (chunk) => this.#onData(chunk));
    socket.on('drain', () => this.#onDrain());
    socket.on('end', () => this.#onEnd());
    // 'close' follows, and that is all there is to know: the client is gone.
    socket.on('error', () => undefined);
    socket.on('close', () => this.#onClose());
  }

  /** Between two requests. */
  get isIdle(): boolean {
    return this.#activity === null && !this.#closing;
  }

  pause(): void {
    this.#paused = true;
    this.#regulate();
  }

  resume(): void {
    this.#paused = false;
    this.#regulate();
  }

  /** Reads on, unless its activity has paused it, or as many bytes wait as may and nobody takes them now. */
  #regulate(): void {
    const isFull =
      this.#pending !== null &&
      this.#pending.length > this.#context.limits.maxHeadBytes &&
      (this.#activity !== null || this.socket.writableNeedDrain);
    const stop = this.#paused || isFull;
    if (stop === this.#stopped) return;
    this.#stopped = stop;
    if (stop) this.socket.pause();
    else this.socket.resume();
  }

  /** The request is answered. @param keep whether the connection goes on. */
  finish(keep: boolean): void {
    this.#activity = null;
    if (!keep) {
      this.closeGently();
      return;
    }
    this.#paused = false;
    const { deadlines, limits, draining } = this.#context;
    this.deadlineMs = deadlines.nowMs + (draining ? limits.lingerMs : limits.idleTimeoutMs);
    this.#readHeads();
  }

  /** From now on it is an upgraded connection. */
  become(tunnel: Activity): void {
    this.#activity = tunnel;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    const early = this.#pending;
    this.#pending = null;
    this.resume();
    if (early !== null) tunnel.readBytes(early, 0);
    if (this.#ended) tunnel.onClientEnd();
  }

  /** Answers a request in an upstream's place and finishes it. */
  answerFailure(failure: Failure, requestId: string, head: RequestHead, bodyDone: boolean): void {
    this.#context.refusals.count(failure.code);
    const { status, code, message, trouble } = failure;
    const reason =
      trouble !== undefined && this.#context.trustsLoopback && isFromHere(this.peer, head)
        ? trouble
        : undefined;
    const asPage = prefersPage(acceptIn(head.lines));
    this.answer(problemAnswer({ status, code, message, reason }, requestId, asPage), head, bodyDone);
  }

  /** Gives one of the gateway's own answers and finishes the request. */
  answer(answer: OwnAnswer, head: RequestHead, bodyDone: boolean): void {
    const keep = head.persistent && bodyDone && !this.#context.draining;
    const connection = keep ? (head.minorVersion === 0 ? 'keep-alive' : '') : 'close';
    const wallMs = this.#context.clock.wallMs();
    this.socket.write(renderAnswer(answer, connection, head.method === 'HEAD', wallMs));
    this.finish(keep);
  }

  /** Ends our side once everything is written, and then reads on for a moment. Idempotent. */
  closeGently(patienceMs = this.#context.limits.bodyTimeoutMs): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#pending = null;
    this.#farewell = new Farewell(this, this.#context, patienceMs);
    this.resume();
  }

  /** An upgraded connection is over; what was written to the client still goes out, unless it takes nothing for so long. */
  leaveTunnel(patienceMs: number): void {
    this.#activity = null;
    this.closeGently(patienceMs);
  }

  /** Ends it at once, in a way that the client can't take for the end of an answer. */
  cut(): void {
    this.#activity = null;
    breakOff(this.socket, this.isDelimited);
  }

  /** Ends it at once, whatever is under way: a client that has not got all of its answer can tell. */
  endAtOnce(): void {
    if (this.#activity === null && this.socket.writableLength === 0) this.socket.destroy();
    else breakOff(this.socket, this.isDelimited);
  }

  onDeadline(): void {
    if (this.#closing) this.#farewell?.onDeadline();
    else if (this.#activity !== null) this.#activity.onTimeout();
    else if (this.#isTaking()) return;
    else if (this.#pending === null || skipEmptyLines(this.#pending, 0) === this.#pending.length)
      this.closeGently();
    else {
      const message = 'The request head did not arrive in time.';
      this.#refuse({ status: 408, code: 'head.timeout', message }, textOfHead(this.#pending));
    }
  }

  /** Whether a request waits only until the client has taken the answer before it, and the client takes it. */
  #isTaking(): boolean {
    if (this.#pending === null || !this.socket.writableNeedDrain) return false;
    this.#standstill ??= new Standstill(this.socket, this.#context.deadlines);
    const lookMs = this.#standstill.lookOrBegin(this.#context.limits.bodyTimeoutMs);
    this.deadlineMs = lookMs ?? this.deadlineMs;
    return lookMs !== null;
  }

  #onData(chunk: Buffer): void {
    if (this.#closing) {
      this.#farewell?.onData(chunk);
      return;
    }
    let at = 0;
    if (this.#activity?.wantsBytes === true) {
      at = this.#activity.readBytes(chunk, 0);
      if (at === chunk.length || this.#closing) return;
    }
    this.#append(at === 0 ? chunk : chunk.subarray(at));
    if (this.#activity === null) this.#readHeads();
    // The chunk is valid only during this call: what waits is copied.
    if (this.#pending !== null && this.#borrowed) this.#pending = Buffer.from(this.#pending);
    this.#borrowed = false;
    this.#regulate();
  }

  #append(bytes: Buffer): void {
    if (this.#pending === null) {
      this.#pending = bytes;
      this.#borrowed = true;
      this.#seen = 0;
      if (this.#activity === null) {
        this.deadlineMs = this.#context.deadlines.nowMs + this.#context.limits.headTimeoutMs;
      }
    } else this.#pending = Buffer.concat([this.#pending, bytes]);
  }

  /** Reads as many requests as have arrived and are answered at once. */
  #readHeads(): void {
    if (this.#reading) return;
    this.#reading = true;
    while (this.#activity === null && this.#pending !== null && !this.#closing) {
      if (this.socket.writableNeedDrain || !this.#readHead(this.#pending)) break;
    }
    this.#reading = false;
    this.#regulate();
    if (this.#ended && this.#activity === null && !this.#closing && !this.socket.writableNeedDrain)
      this.closeGently();
  }

  /** @returns false when more bytes are needed. */
  #readHead(pending: Buffer): boolean {
    const from = skipEmptyLines(pending, 0);
    const { limits } = this.#context;
    const end = findHeadEnd(pending, from, Math.max(0, this.#seen - from));
    if (end === HOPELESS) {
      this.#refuse(refusal(400, 'head.malformed', 'This is not an HTTP/1.1 request.'), textOfHead(pending));
      return false;
    }
    if ((end === INCOMPLETE ? pending.length : end) - from > limits.maxHeadBytes) {
      const message = `The request's head is larger than ${limits.maxHeadBytes} bytes.`;
      this.#refuse({ status: 431, code: 'head.too-large', message }, textOfHead(pending));
      return false;
    }
    if (end === INCOMPLETE) {
      this.#seen = pending.length;
      return false;
    }
    const head = new RequestHead();
    const text = pending.toString('latin1', from, end - 2);
    const problem = parseRequestHead(text, limits, head);
    this.#pending = end < pending.length ? pending.subarray(end) : null;
    this.#seen = 0;
    if (problem === null) this.#begin(head);
    else this.#refuse(problem, text);
    return true;
  }

  #begin(head: RequestHead): void {
    const context = this.#context;
    const requestId = requestIdOf(head, this.peer.trusted);
    const clientAddress = this.peer.clientAddress(head);
    if (head.host === '')
      head.host = `${this.socket.localAddress ?? 'localhost'}:${this.socket.localPort ?? 80}`;
    const refusal = objectionTo(head, clientAddress, context);
    if (refusal !== null) {
      this.#turnDown(refusal, head, requestId, clientAddress);
      return;
    }
    if (endsHere(head)) {
      this.#record(OPTIONS_ANSWER.status, '', head, requestId, clientAddress);
      this.answer(OPTIONS_ANSWER, head, head.bodyLength === 0);
      return;
    }
    const path = pathOf(head.target);
    if (context.ownPages.handles(path)) {
      const visit = new PageVisit(this, context, head, requestId, clientAddress);
      this.#activity = visit;
      visit.start(path);
      this.#feed(visit);
      return;
    }
    if (context.tlsRedirectPort !== null && !this.peer.isSecure(head)) {
      this.#record(308, '', head, requestId, clientAddress);
      this.answer(redirectToTls(head, context.tlsRedirectPort), head, head.bodyLength === 0);
      return;
    }
    const pool = context.route(head.host, path);
    if (pool === null) {
      this.#turnDown(NO_ROUTE, head, requestId, clientAddress);
      return;
    }
    const exchange = new Exchange(this, context, head, pool, requestId, clientAddress);
    this.#activity = exchange;
    this.#feed(exchange);
    exchange.start();
  }

  /** Refuses a well-formed request before anything was tried for it. */
  #turnDown(refusal: Refusal, head: RequestHead, requestId: string, clientAddress: string): void {
    this.#record(refusal.status, refusal.code, head, requestId, clientAddress);
    this.answerFailure(refusal, requestId, head, head.bodyLength === 0);
  }

  /** A request that goes nowhere is counted and logged like any other. */
  #record(status: number, code: string, head: RequestHead, requestId: string, clientAddress: string): void {
    const outcome = { status, code, bodyBytes: 0, durationMs: 0, clientAddress, requestId, ...NOBODY_ASKED };
    this.#context.answers.count(status);
    this.#context.onRequestEnd?.(recordOf(head, this.peer, outcome));
  }

  /** Gives an activity what of its request's body has arrived with the head. */
  #feed(activity: Activity): void {
    const pending = this.#pending;
    if (pending === null || !activity.wantsBytes) return;
    const end = activity.readBytes(pending, 0);
    if (this.#pending !== null) this.#pending = end < pending.length ? pending.subarray(end) : null;
  }

  /**
   * Answers what is no acceptable request. The connection can't go on, because where the next request begins is unknown.
   * @param text of the head, as far as it has arrived.
   */
  #refuse(refusal: Refusal, text: string): void {
    this.#context.refusals.count(refusal.code);
    this.#context.answers.count(refusal.status);
    this.#context.onRequestEnd?.(unreadRecord(this.peer, refusal));
    const answer = problemAnswer(refusal, '', prefersPage(acceptIn(text)));
    const wallMs = this.#context.clock.wallMs();
    this.socket.write(renderAnswer(answer, 'close', text.startsWith('HEAD '), wallMs));
    this.closeGently();
  }

  #onDrain(): void {
    this.#standstill = null;
    if (this.#activity === null) this.#readHeads();
    else this.#activity.onClientDrain();
  }

  #onEnd(): void {
    this.#ended = true;
    if (this.#activity !== null) this.#activity.onClientEnd();
    else if (!this.#closing) this.#readHeads();
  }

  #onClose(): void {
    this.#context.deadlines.delete(this);
    const activity = this.#activity;
    this.#activity = null;
    this.#closing = true;
    activity?.onClientGone();
    this.#owner.onClientClosed(this);
  }
}
