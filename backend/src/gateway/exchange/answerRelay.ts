/**
 * An upstream's answer on its way to the client: finds the head, rewrites it for this hop, sends the body on as it
 * comes and notices its end.
 *
 *   head ──▶ 1xx: sent on, next head       head ──▶ final: written with what there is of the body ──▶ body ──▶ done
 *     │                                      └────▶ dropped (the request is tried elsewhere)
 *     └────▶ 101: the connection becomes a tunnel
 */
import type { ClientSocket } from '../shared/clientSocket.js';
import { writeCopied } from './copiedWrites.js';
import { BodyScanner } from '../http1/bodyScanner.js';
import { findHeadEnd, HOPELESS, INCOMPLETE } from '../http1/headFinder.js';
import type { HeadLimits } from '../http1/refusal.js';
import { valueOf } from '../http1/fields.js';
import { CHUNKED, UNTIL_CLOSE } from '../http1/framing.js';
import type { RequestHead } from '../http1/requestHead.js';
import { parseResponseHead, ResponseHead } from '../http1/responseHead.js';
import { acceptFor } from '../webSocket/accept.js';

export type RelayResult =
  /** More is to come. */
  | 'more'
  | 'done'
  /** The host did not want this answer. Nothing of it was sent. */
  | 'dropped'
  /** 101: `head` is its head, `rest` what followed. Nothing was sent. */
  | 'upgraded'
  /** It is an answer, but to this client it would be none, or another: `problem` says why. Nothing of it was sent. */
  | 'untranslatable'
  /** It is no HTTP, or its end can't be known: `problem` says why. */
  | 'bad';

/** Who decides about an answer. */
export interface RelayHost {
  /** Whether the client speaks HTTP/2: what is said to it is translated. */
  readonly toHttp2: boolean;
  /** Whether to send it on. Asked once, when its head is complete. */
  wantsAnswer(head: ResponseHead): boolean;
  /** Whether, as far as the request is concerned, the client's connection stays open after it. */
  keepsClient(): boolean;
  /** Nothing but the end of the client's connection is the answer's end. */
  onUndelimited(): void;
  /** Further field lines for it, each with its CRLF. */
  answerLines(head: ResponseHead): string;
}

/** Up to this many bytes a head and what came with it are written as one piece of text. */
const MAX_JOINED_BYTES = 16_384;
/**
 * Of all interim answers to one request. How many there may be depends on how long the work takes (102); each of them
 * begins the time-out for an answer anew, so an upstream that says nothing more is not waited for.
 */
const MAX_INTERIM_BYTES = 65_536;
/** RFC 9110 section 15; HTTP/2 in Node has no others. */
const LAST_STATUS = 599;
const NOTHING = Buffer.alloc(0);
const HEAD_END = '\r\n\r\n';

export class AnswerRelay {
  /** The final answer's, once it is complete and wanted. */
  head: ResponseHead | null = null;
  /** Of the final answer, also of one that was not wanted; 0 before. */
  status = 0;
  /** Whether the client's connection stays open after the answer. */
  keepsClient = false;
  problem = '';
  /** Bytes behind a 101. */
  rest: Buffer = NOTHING;
  /** A byte of an answer, also of a 1xx, was written to the client. */
  begun = false;
  /** The upstream has sent something. */
  heard = false;
  /** Bytes arrived behind the end of the answer: the connection is of no more use. */
  surplus = false;
  /** The client can't take more at the moment. */
  clientIsFull = false;
  bodyBytes = 0;
  readonly #client: ClientSocket;
  readonly #request: RequestHead;
  readonly #limits: HeadLimits;
  readonly #host: RelayHost;
  #partial: Buffer | null = null;
  #interimBytes = 0;
  #scanner: BodyScanner | null = null;
  /** Set for a client that does not know the chunked coding: payload that is to be written. */
  #pieces: Buffer[] | null = null;

  constructor(client: ClientSocket, request: RequestHead, limits: HeadLimits, host: RelayHost) {
    this.#client = client;
    this.#request = request;
    this.#limits = limits;
    this.#host = host;
  }

  /** Goes on with what the upstream sent. `chunk` is valid only during the call; what waits in the client's socket is copied. */
  feed(chunk: Buffer): RelayResult {
    this.heard = true;
    return this.#scanner === null ? this.#readHead(chunk) : this.#relayBody(this.#scanner, chunk);
  }

  /** Whether the end of the upstream's connection is a proper end of the answer. */
  get endsWithConnection(): boolean {
    return this.head?.bodyLength === UNTIL_CLOSE;
  }

  #readHead(chunk: Buffer): RelayResult {
    const buffer = this.#partial === null ? chunk : Buffer.concat([this.#partial, chunk]);
    this.#partial = null;
    // Usually the whole answer is here and small: then it becomes text once, and leaves as text in one write.
    const text = buffer.length <= MAX_JOINED_BYTES ? buffer.toString('latin1') : null;
    for (let at = 0; ;) {
      const lineEnd = text === null ? -1 : text.indexOf(HEAD_END, at);
      const end = lineEnd === -1 ? findHeadEnd(buffer, at, 0) : lineEnd + HEAD_END.length;
      if (end === HOPELESS) return this.#bad('it is not HTTP');
      if ((end === INCOMPLETE ? buffer.length : end) - at > this.#limits.maxHeadBytes) {
        return this.#bad(`its head is longer than ${this.#limits.maxHeadBytes} bytes`);
      }
      if (end === INCOMPLETE) {
        if (at < buffer.length) this.#partial = Buffer.from(buffer.subarray(at));
        return 'more';
      }
      const head = new ResponseHead();
      const problem =
        text !== null && at === 0
          ? this.#parse(text, end - 2, head)
          : this.#parse(buffer.toString('latin1', at, end - 2), end - 2 - at, head);
      if (problem !== null) return this.#bad(problem);
      if (head.status >= 200 || head.status === 101) return this.#takeFinal(head, buffer, text, end);
      this.#interimBytes += end - at;
      if (this.#interimBytes > MAX_INTERIM_BYTES) return this.#bad('it never comes to a final answer');
      this.#sendInterim(head);
      at = end;
      if (at === buffer.length) return 'more';
    }
  }

  #parse(text: string, end: number, head: ResponseHead): string | null {
    return parseResponseHead(text, end, this.#request.method === 'HEAD', this.#limits, head);
  }

  /** HTTP/1.0 knows no interim answers (RFC 9110 section 15.2). */
  #sendInterim(head: ResponseHead): void {
    if (this.#request.minorVersion === 0) return;
    this.begun = true;
    this.#client.write(`HTTP/1.1 ${head.status} ${head.reason}\r\n${head.lines}\r\n`, 'latin1');
  }

  #takeFinal(head: ResponseHead, buffer: Buffer, text: string | null, bodyAt: number): RelayResult {
    if (head.status === 101) {
      if (!this.#request.webSocket || head.upgradeTo?.toLowerCase() !== 'websocket' || !head.upgrade) {
        return this.#bad('it switches to a protocol that was not asked for');
      }
      // A client of HTTP/1.1 looks for itself; in HTTP/2 there is no key, and the gateway made it.
      if (this.#host.toHttp2 && !this.#acceptsKey(head)) {
        return this.#bad('its Sec-WebSocket-Accept is not that of the key that it was sent');
      }
      this.head = head;
      this.status = 101;
      this.rest = Buffer.from(buffer.subarray(bodyAt));
      return 'upgraded';
    }
    this.status = head.status;
    if (head.status > LAST_STATUS) {
      this.problem = `there is no status ${head.status}`;
      return 'untranslatable';
    }
    if (this.#host.toHttp2 && this.#request.webSocket && head.status < 300) {
      // RFC 8441 section 5: there, any 2xx says that the WebSocket is open.
      this.problem = `it answered the WebSocket's handshake with ${head.status}`;
      return 'untranslatable';
    }
    if (!this.#host.wantsAnswer(head)) return 'dropped';
    const scanner = this.#scannerFor(head);
    const end = scanner.scan(buffer, bodyAt);
    if (scanner.failed) return this.#bad(scanner.problem);
    this.head = head;
    this.#scanner = scanner;
    this.begun = true;
    this.#writeHead(this.#headText(head), scanner, buffer, text, bodyAt, end);
    this.surplus = end < buffer.length;
    return scanner.done ? 'done' : 'more';
  }

  #acceptsKey(head: ResponseHead): boolean {
    const key = valueOf(this.#request.lines, 'sec-websocket-key');
    return key !== null && valueOf(head.lines, 'sec-websocket-accept') === acceptFor(key);
  }

  #scannerFor(head: ResponseHead): BodyScanner {
    if (head.bodyLength !== CHUNKED || this.#request.minorVersion !== 0)
      return new BodyScanner(head.bodyLength, null, true);
    // HTTP/1.0 does not know the chunked coding: the client gets the payload alone, and the connection's end is its end.
    const pieces: Buffer[] = [];
    this.#pieces = pieces;
    const keep = (buffer: Buffer, from: number, to: number): void => {
      pieces.push(Buffer.from(buffer.subarray(from, to)));
    };
    return new BodyScanner(CHUNKED, keep, true);
  }

  #headText(head: ResponseHead): string {
    const chunked =
      head.bodyLength === CHUNKED && this.#pieces === null ? 'Transfer-Encoding: chunked\r\n' : '';
    const isDelimited = this.#pieces === null && head.bodyLength !== UNTIL_CLOSE;
    this.keepsClient = isDelimited && this.#host.keepsClient();
    if (!isDelimited) this.#host.onUndelimited();
    const lines = this.#host.answerLines(head);
    return `HTTP/1.1 ${head.status} ${head.reason}\r\n${head.lines}${chunked}${lines}${this.#connectionLines(head)}\r\n`;
  }

  #connectionLines({ status, upgradeTo }: ResponseHead): string {
    // RFC 9110 section 15.5.22: without Upgrade, a 426 does not say what is required.
    if (status === 426 && upgradeTo !== null) {
      return `Upgrade: ${upgradeTo}\r\nConnection: upgrade${this.keepsClient ? '' : ', close'}\r\n`;
    }
    if (!this.keepsClient) return 'Connection: close\r\n';
    return this.#request.minorVersion === 0 ? 'Connection: keep-alive\r\n' : '';
  }

  #writeHead(
    head: string,
    scanner: BodyScanner,
    buffer: Buffer,
    text: string | null,
    from: number,
    to: number,
  ): void {
    if (this.#pieces !== null) {
      this.#client.write(head, 'latin1');
      this.#writePieces(this.#pieces);
      return;
    }
    if (scanner.isEdited) {
      const body = scanner.passedOn(buffer, from, to);
      this.bodyBytes += body.length;
      this.#wrote(writeCopied(this.#client, body, head));
      return;
    }
    this.bodyBytes += to - from;
    if (from === to) this.#wrote(this.#client.write(head, 'latin1'));
    else if (text !== null) this.#wrote(this.#client.write(head + text.slice(from, to), 'latin1'));
    else this.#wrote(writeCopied(this.#client, buffer.subarray(from, to), head));
  }

  #relayBody(scanner: BodyScanner, chunk: Buffer): RelayResult {
    const end = scanner.scan(chunk, 0);
    if (scanner.failed) return this.#bad(scanner.problem);
    if (end < chunk.length) this.surplus = true;
    if (this.#pieces !== null) this.#writePieces(this.#pieces);
    else {
      const passed = scanner.passedOn(chunk, 0, end);
      this.bodyBytes += passed.length;
      if (passed.length > 0) this.#wrote(writeCopied(this.#client, passed));
    }
    return scanner.done ? 'done' : 'more';
  }

  #writePieces(pieces: Buffer[]): void {
    for (const piece of pieces.splice(0)) {
      this.bodyBytes += piece.length;
      this.#wrote(this.#client.write(piece));
    }
  }

  #wrote(roomLeft: boolean): void {
    if (!roomLeft) this.clientIsFull = true;
  }

  #bad(problem: string): RelayResult {
    this.problem = problem;
    return 'bad';
  }
}
