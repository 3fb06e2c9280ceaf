/** A request for one of the gateway's own pages. */
import { acceptIn, prefersPage } from './accept.js';
import type { Activity } from './activity.js';
import { problemAnswer, type OwnAnswer } from './answer.js';
import type { ClientConnection } from './clientConnection.js';
import type { GatewayContext } from './context.js';
import { valueOf } from './http1/fields.js';
import type { RequestHead } from './http1/requestHead.js';
import { NOBODY_ASKED, recordOf } from './requestRecord.js';

export class PageVisit implements Activity {
  readonly #client: ClientConnection;
  readonly #context: GatewayContext;
  readonly #head: RequestHead;
  readonly #requestId: string;
  readonly #clientAddress: string;
  readonly #startedMs: number;
  #open = true;

  constructor(
    client: ClientConnection,
    context: GatewayContext,
    head: RequestHead,
    requestId: string,
    clientAddress: string,
  ) {
    this.#client = client;
    this.#context = context;
    this.#head = head;
    this.#requestId = requestId;
    this.#clientAddress = clientAddress;
    this.#startedMs = context.clock.nowMs();
  }

  /** Pages take no bodies: a request that has one is answered, and its connection closed. */
  get wantsBytes(): boolean {
    return false;
  }

  /** @param path the target without its query. */
  start(path: string): void {
    const { method, target, host, lines } = this.#head;
    this.#client.deadlineMs = this.#context.deadlines.nowMs + this.#context.limits.responseTimeoutMs;
    this.#context.ownPages
      .answer({
        method,
        path,
        query: target.slice(path.length + 1),
        host,
        clientAddress: this.#clientAddress,
        peerAddress: this.#client.peer.address,
        secure: this.#client.peer.isSecure(this.#head),
        passedOn: isPassedOn(this.#head),
        requestId: this.#requestId,
        header: (name) => valueOf(lines, name),
      })
      .then(
        (answer) => this.#give(answer),
        () => this.#fail(500, 'page.failed', 'The page could not be made; the log says why.'),
      );
  }

  readBytes(_chunk: Buffer, from: number): number {
    return from;
  }

  onClientDrain(): void {
    // Nothing waits: a page is written at once.
  }

  onClientEnd(): void {
    // It may still read the answer.
  }

  onClientGone(): void {
    if (this.#open) this.#end(0, 0, 'client.gone');
  }

  onTimeout(): void {
    this.#fail(504, 'page.timeout', 'The page was not ready in time.');
  }

  #fail(status: number, code: string, message: string): void {
    if (!this.#open) return;
    this.#context.refusals.count(code);
    const asPage = prefersPage(acceptIn(this.#head.lines));
    this.#give(problemAnswer({ status, code, message }, this.#requestId, asPage), code);
  }

  #give(answer: OwnAnswer, code = ''): void {
    if (!this.#open) return;
    const bodyBytes = this.#head.method === 'HEAD' ? 0 : Buffer.byteLength(answer.body);
    this.#end(answer.status, bodyBytes, code);
    this.#client.answer(answer, this.#head, this.#head.bodyLength === 0);
  }

  /** Logged like any other request, but not counted: what watches the gateway is no traffic. */
  #end(status: number, bodyBytes: number, code: string): void {
    this.#open = false;
    this.#context.onRequestEnd?.(
      recordOf(this.#head, this.#client.peer, {
        clientAddress: this.#clientAddress,
        requestId: this.#requestId,
        status,
        code,
        bodyBytes,
        durationMs: this.#context.clock.nowMs() - this.#startedMs,
        ...NOBODY_ASKED,
      }),
    );
  }
}

function isPassedOn(head: RequestHead): boolean {
  const { forwardedFor, forwardedProto, forwardedHost, forwarded, realIp, via, forwardedOther } = head;
  const any = forwardedFor ?? forwardedProto ?? forwardedHost ?? forwarded ?? realIp ?? via;
  return any !== null || forwardedOther !== '';
}
