/** A request for one of the gateway's own pages. */
import { acceptIn, prefersPage } from '../shared/accept.js';
import type { Activity } from '../shared/activity.js';
import { problemAnswer, type OwnAnswer } from '../shared/answer.js';
import type { Client } from '../shared/client.js';
import type { GatewayContext } from '../shared/context.js';
import { isPassedOn } from '../shared/forwarded.js';
import { BodyScanner } from '../http1/bodyScanner.js';
import { valueOf } from '../http1/fields.js';
import type { RequestHead } from '../http1/requestHead.js';
import { NOBODY_ASKED, recordOf } from '../shared/requestRecord.js';

/** No call needs more. */
const MOST_BODY_BYTES = 16_384;

export class PageVisit implements Activity {
  readonly #client: Client;
  readonly #context: GatewayContext;
  readonly #head: RequestHead;
  readonly #requestId: string;
  readonly #clientAddress: string;
  readonly #startedMs: number;
  #open = true;
  readonly #body: BodyScanner;
  readonly #chunks: Buffer[] = [];
  /** Asked once the body is there; null: it has been, or there is nothing to wait for. */
  #path: string | null = null;

  constructor(
    client: Client,
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
    this.#body = new BodyScanner(head.bodyLength, (buffer, from, to) => this.#keep(buffer, from, to));
  }

  /** Few pages take a body: any other request that has one is answered at once, and its connection closed. */
  get wantsBytes(): boolean {
    return this.#path !== null && !this.#body.done;
  }

  /** @param path the target without its query. */
  start(path: string): void {
    const { ownPages, deadlines, limits } = this.#context;
    if (this.#head.bodyLength === 0 || ownPages.takesBody?.(path, this.#head.method) !== true) {
      this.#ask(path, this.#head.bodyLength === 0 ? '' : null);
      return;
    }
    this.#path = path;
    this.#client.deadlineMs = deadlines.nowMs + limits.bodyTimeoutMs;
    if (this.#head.expectsContinue) this.#client.socket.write('HTTP/1.1 100 Continue\r\n\r\n');
  }

  #ask(path: string, body: string | null): void {
    const { method, target, host, lines } = this.#head;
    const { ownPages, deadlines, limits } = this.#context;
    const { localPort, remotePort } = this.#client.socket;
    this.#path = null;
    this.#client.deadlineMs =
      deadlines.nowMs + Math.max(limits.responseTimeoutMs, ownPages.patienceMs?.(path) ?? 0);
    ownPages
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
        connection:
          this.#client.peer.http2 || localPort === undefined || remotePort === undefined
            ? null
            : { localPort, remotePort },
        body,
        header: (name) => valueOf(lines, name),
      })
      .then(
        (answer) => this.#give(answer),
        () => this.#fail(500, 'page.failed', 'The page could not be made; the log says why.'),
      );
  }

  readBytes(chunk: Buffer, from: number): number {
    const path = this.#path;
    if (path === null) return from;
    const end = this.#body.scan(chunk, from);
    this.#client.deadlineMs = this.#context.deadlines.nowMs + this.#context.limits.bodyTimeoutMs;
    const { problem, payloadBytes, done } = this.#body;
    if (problem !== '') this.#fail(400, 'body.malformed', `The request's body is malformed: ${problem}.`);
    else if (payloadBytes > MOST_BODY_BYTES) this.#ask(path, null);
    else if (done) this.#ask(path, Buffer.concat(this.#chunks).toString('utf8'));
    return end;
  }

  #keep(buffer: Buffer, from: number, to: number): void {
    if (this.#body.payloadBytes <= MOST_BODY_BYTES) this.#chunks.push(Buffer.from(buffer.subarray(from, to)));
  }

  onClientDrain(): void {
    // Nothing waits: a page is written at once.
  }

  onClientEnd(): void {
    // It may still read the answer; but a call that is cut short is none.
    if (this.#path !== null) this.#fail(400, 'body.malformed', "The request's body is cut short.");
  }

  onClientGone(): void {
    if (this.#open) this.#end(0, 0, 'client.gone');
  }

  onTimeout(): void {
    if (this.#path !== null) this.#fail(408, 'body.timeout', "The request's body did not arrive in time.");
    else this.#fail(504, 'page.timeout', 'The page was not ready in time.');
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
    this.#client.answer(answer, this.#head, this.#body.done);
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
