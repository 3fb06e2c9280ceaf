/**
 * What an exchange knows of its request, and what follows from that and from how far it is: what the answer says beside the
 * upstream's own words, and whose turn it is for how long. What is done then is exchange.ts.
 */
import type { RelayHost } from './answerRelay.js';
import type { Attempt } from './attempt.js';
import type { ClientSocket } from '../shared/clientSocket.js';
import type { ExchangeClient } from './exchangeClient.js';
import type { ExchangeContext } from './exchangeContext.js';
import type { RequestHead } from '../http1/requestHead.js';
import type { ResponseHead } from '../http1/responseHead.js';
import { dateLine } from '../shared/httpDate.js';
import { allowedMs } from '../shared/limits.js';
import type { Pool } from '../upstreams/pool.js';
import { NO_BODY, RequestBody } from './requestBody.js';
import { requestHeadText } from './requestText.js';
import { Standstill } from '../shared/standstill.js';
import type { StickyChoice } from '../upstreams/sticky.js';

export abstract class ExchangeTerms implements RelayHost {
  readonly body: RequestBody;
  /** The head as upstreams get it. */
  readonly headText: string;
  protected readonly client: ExchangeClient;
  protected readonly context: ExchangeContext;
  protected readonly head: RequestHead;
  /** The request's own pool, or the one that stands in for it. */
  protected pool: Pool;
  protected readonly requestId: string;
  protected readonly clientAddress: string;
  protected readonly startedMs: number;
  protected session: StickyChoice | null = null;
  protected attempt: Attempt | null = null;
  protected standsIn = false;
  /** The upstream can't take more of the request at the moment. */
  protected upstreamIsFull = false;
  /** While one side can't take more; null: both can. */
  protected standstill: Standstill | null = null;

  constructor(
    client: ExchangeClient,
    context: ExchangeContext,
    head: RequestHead,
    pool: Pool,
    requestId: string,
    clientAddress: string,
  ) {
    this.client = client;
    this.context = context;
    this.head = head;
    this.pool = pool;
    this.requestId = requestId;
    this.clientAddress = clientAddress;
    this.startedMs = context.clock.nowMs();
    this.body =
      head.bodyLength === 0 ? NO_BODY : new RequestBody(head.bodyLength, context.limits.maxKeptBodyBytes);
    this.headText = requestHeadText(head, client.peer, requestId, context.viaName);
  }

  abstract wantsAnswer(head: ResponseHead): boolean;

  get toHttp2(): boolean {
    return this.client.peer.http2;
  }

  keepsClient(): boolean {
    return this.head.persistent && this.body.done && !this.context.draining;
  }

  onUndelimited(): void {
    this.client.isDelimited = false;
  }

  answerLines(answer: ResponseHead): string {
    return this.#cookieLine() + this.#dateLine(answer);
  }

  #cookieLine(): string {
    const { sticky } = this.pool;
    // The cookie of a client names an upstream of its own pool: it is to find that again.
    if (sticky === null || this.attempt === null || this.standsIn) return '';
    const secure = this.client.peer.isSecure(this.head);
    return sticky.setCookieLine(this.attempt.upstream, this.session, secure, this.context.clock.wallMs());
  }

  /** RFC 9110 section 6.6.1: what comes without its date gets that of its reception, where it goes on. */
  #dateLine({ hasDate, status }: ResponseHead): string {
    return hasDate || status < 200 ? '' : dateLine(this.context.clock.wallMs());
  }

  /** Sets the time-out that fits what is awaited now. */
  protected setTimeout(): void {
    const { limits, deadlines } = this.context;
    const patienceMs = allowedMs(limits, this.attempt?.relay, this.#isBodyDue);
    const full = this.#fullSide;
    this.standstill = full === null ? null : new Standstill(full, deadlines);
    this.client.deadlineMs = this.standstill?.begin(patienceMs) ?? deadlines.nowMs + patienceMs;
  }

  /** Whether it is the client's turn to send more of its body: not while the upstream takes no more. */
  protected get awaitsBody(): boolean {
    return this.#isBodyDue && !this.upstreamIsFull;
  }

  /** Whether more of the body is due: not while the client waits for the 100 that it asked for (RFC 9110 section 10.1.1). */
  get #isBodyDue(): boolean {
    if (this.body.done) return false;
    return !this.head.expectsContinue || this.body.payloadBytes > 0 || this.attempt?.relay.heard !== false;
  }

  /** The side that can't take more at the moment; null: both can. */
  get #fullSide(): ClientSocket | null {
    if (this.attempt?.relay.clientIsFull === true) return this.client.socket;
    return this.upstreamIsFull ? (this.attempt?.socket ?? null) : null;
  }
}
