/**
 * The HTTP/1.1 text of an answer, as the data path writes it, back into HTTP/2.
 *
 *   head ──1xx──▶ head        head ──▶ body ──▶ done        head ──101──▶ tunnel
 *
 * The text comes from this process, so a head is always written in one piece; what does not make sense is a defect
 * and resets the stream, so that no client takes half an answer for a whole one.
 */
import type { OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { BodyScanner } from '../http1/bodyScanner.js';
import { MALFORMED, readField, type FieldSpan } from '../http1/fields.js';
import { CHUNKED, UNTIL_CLOSE } from '../http1/framing.js';
import { findHeadEnd } from '../http1/headFinder.js';
import type { HeadLimits } from '../http1/refusal.js';
import { parseResponseHead, ResponseHead } from '../http1/responseHead.js';

type State = 'head' | 'body' | 'tunnel' | 'done';

/** Limits were kept when the upstream's head was read; the gateway's own lines come on top. */
const UNLIMITED: HeadLimits = {
  maxHeadBytes: Number.POSITIVE_INFINITY,
  maxTargetBytes: Number.POSITIVE_INFINITY,
  maxFields: Number.POSITIVE_INFINITY,
};

export interface AnswerListener {
  /** The upstream has switched to WebSocket: everything from now on is its bytes. */
  onTunnel(): void;
  /** Everything is on its way, the end of the stream included. */
  onEnded(): void;
}

export class AnswerWriter {
  readonly #stream: ServerHttp2Stream;
  readonly #toHead: boolean;
  readonly #listener: AnswerListener;
  #state: State = 'head';
  #body: BodyScanner = new BodyScanner(0);
  #endsWithConnection = false;
  #hasTrailers = false;
  #pieces: Buffer[] = [];

  /** @param toHead whether it answers a HEAD request. */
  constructor(stream: ServerHttp2Stream, toHead: boolean, listener: AnswerListener) {
    this.#stream = stream;
    this.#toHead = toHead;
    this.#listener = listener;
  }

  /** A whole answer has been written. */
  get done(): boolean {
    return this.#state === 'done';
  }

  /**
   * Goes on with `bytes`, which are kept until they are sent.
   * @param sent called when more can be taken, with an error when the answer can't go on.
   */
  write(bytes: Buffer, sent: (error?: Error | null) => void): void {
    try {
      this.#take(bytes);
    } catch (error) {
      sent(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    const pieces = this.#pieces;
    this.#pieces = [];
    const last = pieces.pop();
    for (const piece of pieces) this.#stream.write(piece);
    if (last === undefined) sent();
    else this.#stream.write(last, sent);
    if (this.#state === 'done') this.#end();
  }

  /** The data path has written everything. */
  end(): void {
    const isWhole = this.#state === 'tunnel' || (this.#state === 'body' && this.#endsWithConnection);
    if (!isWhole) return;
    this.#state = 'done';
    this.#end();
  }

  #end(): void {
    this.#stream.end();
    if (!this.#hasTrailers) this.#listener.onEnded();
  }

  #take(bytes: Buffer): void {
    let at = 0;
    while (this.#state === 'head' && at < bytes.length) at = this.#takeHead(bytes, at);
    if (at >= bytes.length) return;
    if (this.#state === 'tunnel') this.#pieces.push(bytes.subarray(at));
    else if (this.#state === 'body') {
      const end = this.#body.scan(bytes, at);
      if (this.#body.failed || end < bytes.length)
        throw new Error(`answer is misframed: ${this.#body.problem}`);
      if (this.#body.done) this.#state = 'done';
    } else throw new Error('bytes behind the end of an answer');
  }

  #takeHead(bytes: Buffer, at: number): number {
    const end = findHeadEnd(bytes, at, 0);
    if (end < 0) throw new Error('an answer begins with an incomplete head');
    const head = new ResponseHead();
    const text = bytes.toString('latin1', at, end - 2);
    const problem = parseResponseHead(text, text.length, this.#toHead, UNLIMITED, head);
    if (problem !== null) throw new Error(`an answer's head can't be read: ${problem}`);
    const headers = headersOf(head.lines);
    if (head.status === 101) this.#switch(headers);
    else if (head.status < 200) this.#sendInterim(head.status, headers);
    else this.#respond(head, headers);
    return end;
  }

  #sendInterim(status: number, headers: OutgoingHttpHeaders): void {
    sendLines({ ...headers, ':status': status }, (all) => this.#stream.additionalHeaders(all));
  }

  #respond({ status, bodyLength }: ResponseHead, headers: OutgoingHttpHeaders): void {
    this.#endsWithConnection = bodyLength === UNTIL_CLOSE;
    this.#hasTrailers = bodyLength === CHUNKED;
    if (this.#hasTrailers) this.#stream.once('wantTrailers', () => this.#sendTrailers());
    const options = bodyLength === 0 ? { endStream: true } : { waitForTrailers: this.#hasTrailers };
    sendLines({ ...headers, ':status': status }, (all) => this.#stream.respond(all, options));
    this.#state = bodyLength === 0 ? 'done' : 'body';
    this.#body = new BodyScanner(bodyLength, (buffer, from, to) => {
      this.#pieces.push(buffer.subarray(from, to));
    });
  }

  /** RFC 8441 section 5.1: 200 is what 101 is in HTTP/1.1; the key was ours, so its answer is not the client's. */
  #switch(headers: OutgoingHttpHeaders): void {
    delete headers['sec-websocket-accept'];
    sendLines({ ...headers, ':status': 200 }, (all) => this.#stream.respond(all));
    this.#state = 'tunnel';
    this.#listener.onTunnel();
  }

  #sendTrailers(): void {
    try {
      sendLines(headersOf(this.#body.trailerLines), (all) => this.#stream.sendTrailers(all));
    } catch (error) {
      // Reset in the meantime; or the stream would stay open for ever.
      this.#stream.destroy(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    this.#listener.onEnded();
  }
}

/**
 * Names that the HTTP/2 of Node 20 and 22 sends in one line only. A second line of them makes no sense in HTTP/1.1 either; the
 * first one counts, as in Node's own HTTP/1.1 client.
 */
const SENT_ONCE = new Set(
  (
    'access-control-allow-credentials access-control-max-age access-control-request-method age authorization ' +
    'content-length content-location content-md5 content-range content-type date dnt etag expires from host ' +
    'if-modified-since if-range if-unmodified-since last-modified location max-forwards proxy-authorization range ' +
    'referer retry-after tk upgrade-insecure-requests user-agent x-content-type-options'
  ).split(' '),
);
/** It sends these in one line only as well, but they are lists (RFC 9110 section 5.3): their lines become one. */
const JOINED = new Set(['content-encoding', 'content-language', 'if-match', 'if-none-match']);

/** Field lines as they came: several of one name stay several, because not every field is a list. */
export function headersOf(lines: string): OutgoingHttpHeaders {
  const headers = Object.create(null) as Record<string, string | string[]>;
  const span: FieldSpan = { nameEnd: 0, valueStart: 0, valueEnd: 0 };
  for (let at = 0; at < lines.length;) {
    const next = readField(lines, at, span);
    if (next === MALFORMED) break;
    const name = lines.slice(at, span.nameEnd).toLowerCase();
    const value = lines.slice(span.valueStart, span.valueEnd);
    const before = headers[name];
    headers[name] = before === undefined ? value : [before, value].flat();
    at = next;
  }
  return headers;
}

/** Sends them in as many lines as they have; where this Node does not do that for every name, in as many as it does. */
function sendLines(headers: OutgoingHttpHeaders, send: (headers: OutgoingHttpHeaders) => void): void {
  try {
    send(headers);
  } catch (error) {
    // Nothing was sent: it looks at the fields first.
    if ((error as NodeJS.ErrnoException).code !== 'ERR_HTTP2_HEADER_SINGLE_VALUE') throw error;
    send(inSingleLines(headers));
  }
}

function inSingleLines(headers: OutgoingHttpHeaders): OutgoingHttpHeaders {
  const fewer: OutgoingHttpHeaders = { ...headers };
  for (const [name, values] of Object.entries(headers)) {
    if (!Array.isArray(values)) continue;
    if (JOINED.has(name)) fewer[name] = values.join(', ');
    else if (SENT_ONCE.has(name)) fewer[name] = values[0];
  }
  return fewer;
}
