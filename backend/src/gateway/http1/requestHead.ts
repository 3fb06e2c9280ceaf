/**
 * The head of a request: strictly parsed and ready to be sent on.
 *
 * What is ambiguous is refused, never repaired (RFC 9112 sections 3, 5, 6.3 and 11.2): two readers that repair it
 * differently see different messages, and that is how requests are smuggled. Where the body ends is decided by
 * Content-Length and Transfer-Encoding alone, never by the method.
 *
 * Parsing and hop-by-hop removal are one pass over the text: lines that go on unchanged are kept as slices, and what
 * the gateway writes itself (Host, framing, forwarded fields) is left out of them.
 */
import { withoutApiCookies } from '../../lib/apiCookies.js';
import { equalsIgnoringCase, TAB } from './chars.js';
import { readConnectionField, type ConnectionOptions } from './connectionField.js';
import { ABSENT, CHUNKED, parseLength } from './framing.js';
import { MALFORMED, NAME, readField, requestNameOf, withoutListed, type FieldSpan } from './fields.js';
import { refusal, type HeadLimits, type Refusal } from './refusal.js';
import { readRequestLine } from './requestLine.js';
import { isSameHost, isValidHost, splitAbsoluteTarget } from './target.js';

/** Fields that a trusted peer may have set, as they arrived; null when absent. */
export interface ArrivedFields {
  forwardedFor: string | null;
  forwardedProto: string | null;
  forwardedHost: string | null;
  forwarded: string | null;
  realIp: string | null;
  requestId: string | null;
}

export class RequestHead implements ConnectionOptions, ArrivedFields {
  method = '';
  /** Path and query (or `*`), as sent on. */
  target = '';
  /** 0 or 1: HTTP/1.0 or HTTP/1.1. */
  minorVersion = 1;
  /** As sent by the client; '' only with HTTP/1.0. */
  host = '';
  /** Bytes, or CHUNKED. 0: none. */
  bodyLength = 0;
  hasContentLength = false;
  expectsContinue = false;
  /** A complete and valid WebSocket opening handshake (RFC 6455 section 4.2.1). */
  webSocket = false;
  acceptsTrailers = false;
  hasIdempotencyKey = false;
  cookie: string | null = null;
  traceparent: string | null = null;
  via: string | null = null;
  maxForwards: string | null = null;
  forwardedFor: string | null = null;
  forwardedProto: string | null = null;
  forwardedHost: string | null = null;
  forwarded: string | null = null;
  realIp: string | null = null;
  requestId: string | null = null;
  /** X-Forwarded-… beyond the three above, with their CRLF. */
  forwardedOther = '';
  close = false;
  keepAlive = false;
  upgrade = false;
  listed: string[] | null = null;
  /** The field lines that go on unchanged, each with its CRLF. */
  lines = '';

  /** Whether the client's connection may carry another request after this one. */
  get persistent(): boolean {
    return this.minorVersion === 1 ? !this.close : this.keepAlive && !this.close;
  }
}

// What only parsing needs to remember; parsing is synchronous, so one of each is enough.
const span: FieldSpan = { nameEnd: 0, valueStart: 0, valueEnd: 0 };
let hosts = 0;
let contentLength = ABSENT;
let transferEncodings = 0;
let asksForWebSocket = false;
let hasWebSocketKey = false;
let hasWebSocketVersion = false;

/**
 * Parses a complete head into `head`, which must be fresh.
 * @param text latin1, from the request line to the CRLF of the last field line; without the empty line behind it.
 * @returns null, or why the request is refused (then `head` is of no use).
 */
export function parseRequestHead(text: string, limits: HeadLimits, head: RequestHead): Refusal | null {
  hosts = 0;
  contentLength = ABSENT;
  transferEncodings = 0;
  asksForWebSocket = false;
  hasWebSocketKey = false;
  hasWebSocketVersion = false;
  const fieldsAt = readRequestLine(text, limits, head);
  if (typeof fieldsAt !== 'number') return fieldsAt;
  return readFields(text, fieldsAt, limits, head) ?? conclude(head);
}

function readFields(text: string, from: number, limits: HeadLimits, head: RequestHead): Refusal | null {
  let keptFrom = from;
  let fields = 0;
  for (let at = from; at < text.length;) {
    const next = readField(text, at, span);
    if (next === MALFORMED) {
      return refusal(400, 'head.malformed', 'A header line is malformed: expected "name: value" and CRLF.');
    }
    fields += 1;
    if (fields > limits.maxFields) {
      return refusal(
        431,
        'head.too-many-fields',
        `The request has more than ${limits.maxFields} header lines.`,
      );
    }
    const name = requestNameOf(text, at, span.nameEnd);
    if (name !== NAME.other) {
      const problem = takeField(name, text, at, head);
      if (problem !== null) return problem;
      const instead = replacementOf(name, text);
      if (instead !== null) {
        head.lines += text.slice(keptFrom, at) + instead;
        keptFrom = next;
      }
    }
    at = next;
  }
  if (keptFrom < text.length) head.lines += text.slice(keptFrom);
  return null;
}

/** The line that goes on in the place of the special one in `span`, '' for none; null: it goes on as it came. */
function replacementOf(name: number, text: string): string | null {
  if (name !== NAME.cookie) return goesOn(name) ? null : '';
  const value = text.slice(span.valueStart, span.valueEnd);
  const others = withoutApiCookies(value);
  if (others === value) return null;
  return others === '' ? '' : `Cookie: ${others}\r\n`;
}

/** Whether a field with a special name is sent on as it came. */
function goesOn(name: number): boolean {
  return (
    name === NAME.idempotencyKey ||
    name === NAME.via ||
    name === NAME.webSocketKey ||
    name === NAME.webSocketVersion ||
    name === NAME.neverInTrailer
  );
}

/** Remembers what a special field says. The line is text[at, …), its parts are in `span`. */
function takeField(name: number, text: string, at: number, head: RequestHead): Refusal | null {
  const framing = name === NAME.connection || name === NAME.contentLength || name === NAME.transferEncoding;
  if (framing && text.charCodeAt(span.valueEnd) === TAB) {
    // Allowed, but llhttp takes a tab there for a part of the value, and others don't.
    return refusal(400, 'framing.ambiguous', 'A header that decides about framing ends with a tab.');
  }
  switch (name) {
    case NAME.host:
      hosts += 1;
      head.host = text.slice(span.valueStart, span.valueEnd);
      return null;
    case NAME.connection:
      return takeConnection(text, head);
    case NAME.contentLength:
      return takeContentLength(text, head);
    case NAME.transferEncoding:
      return takeTransferEncoding(text);
    case NAME.misspeltFraming:
      return refusal(400, 'framing.ambiguous', 'A field that decides about framing is misspelt.');
    case NAME.upgrade:
      // A list of protocols (RFC 9110 section 7.8), of which this is the one that can be switched to here.
      asksForWebSocket ||= /(?:^|,)[\t ]*websocket[\t ]*(?:$|,)/i.test(
        text.slice(span.valueStart, span.valueEnd),
      );
      return null;
    case NAME.te:
      head.acceptsTrailers ||= /(?:^|,)\s*trailers\s*(?:$|,)/i.test(
        text.slice(span.valueStart, span.valueEnd),
      );
      return null;
    case NAME.expect:
      if (head.expectsContinue || !equalsIgnoringCase(text, span.valueStart, span.valueEnd, '100-continue')) {
        return refusal(417, 'expect.unknown', 'The only expectation that can be met is "100-continue".');
      }
      head.expectsContinue = true;
      return null;
    case NAME.idempotencyKey:
      head.hasIdempotencyKey = true;
      return null;
    case NAME.webSocketKey:
      hasWebSocketKey = span.valueEnd - span.valueStart === 24;
      return null;
    case NAME.webSocketVersion:
      hasWebSocketVersion = equalsIgnoringCase(text, span.valueStart, span.valueEnd, '13');
      return null;
    default:
      takeText(name, text, at, head);
      return null;
  }
}

/** Fields whose text is all there is to remember; several lines of one name are one list (RFC 9110 section 5.3). */
function takeText(name: number, text: string, at: number, head: RequestHead): void {
  const value = text.slice(span.valueStart, span.valueEnd);
  switch (name) {
    case NAME.forwardedFor:
      head.forwardedFor = head.forwardedFor === null ? value : `${head.forwardedFor}, ${value}`;
      return;
    case NAME.forwarded:
      head.forwarded = head.forwarded === null ? value : `${head.forwarded}, ${value}`;
      return;
    case NAME.via:
      head.via = head.via === null ? value : `${head.via}, ${value}`;
      return;
    case NAME.cookie:
      head.cookie = head.cookie === null ? value : `${head.cookie}; ${value}`;
      return;
    case NAME.forwardedProto:
      head.forwardedProto = head.forwardedProto === null ? value : `${head.forwardedProto}, ${value}`;
      return;
    case NAME.forwardedHost:
      head.forwardedHost = head.forwardedHost === null ? value : `${head.forwardedHost}, ${value}`;
      return;
    case NAME.realIp:
      head.realIp = value;
      return;
    case NAME.requestId:
      head.requestId = value;
      return;
    case NAME.traceparent:
      // Two of them are none (W3C Trace Context, 3.2.2): the second makes it invalid.
      head.traceparent = head.traceparent === null ? value : '';
      return;
    case NAME.maxForwards:
      head.maxForwards = value;
      return;
    case NAME.forwardedOther:
      head.forwardedOther += `${text.slice(at, span.valueEnd)}\r\n`;
      return;
    default:
  }
}

function takeConnection(text: string, head: RequestHead): Refusal | null {
  if (equalsIgnoringCase(text, span.valueStart, span.valueEnd, 'keep-alive')) {
    head.keepAlive = true;
    return null;
  }
  return readConnectionField(text.slice(span.valueStart, span.valueEnd), head)
    ? null
    : refusal(
        400,
        'head.malformed',
        'The Connection header is malformed, or names a field that must not end here.',
      );
}

function takeContentLength(text: string, head: RequestHead): Refusal | null {
  if (contentLength !== ABSENT) {
    return refusal(400, 'framing.ambiguous', 'There is more than one Content-Length.');
  }
  contentLength = parseLength(text, span.valueStart, span.valueEnd);
  if (contentLength === ABSENT) {
    return refusal(400, 'framing.ambiguous', 'Content-Length is not a plain decimal number.');
  }
  head.bodyLength = contentLength;
  head.hasContentLength = true;
  return null;
}

function takeTransferEncoding(text: string): Refusal | null {
  transferEncodings += 1;
  const exact = equalsIgnoringCase(text, span.valueStart, span.valueEnd, 'chunked');
  return exact && transferEncodings === 1
    ? null
    : refusal(400, 'framing.ambiguous', 'The only Transfer-Encoding understood here is one "chunked".');
}

/** What can be said only when all fields are known. */
function conclude(head: RequestHead): Refusal | null {
  if (transferEncodings > 0) {
    if (contentLength !== ABSENT || head.minorVersion === 0) {
      return refusal(
        400,
        'framing.ambiguous',
        'Transfer-Encoding stands beside Content-Length, or in HTTP/1.0.',
      );
    }
    head.bodyLength = CHUNKED;
  }
  const problem = concludeTarget(head);
  if (problem !== null) return problem;
  if (head.minorVersion === 0) head.expectsContinue = false;
  head.webSocket =
    head.upgrade &&
    asksForWebSocket &&
    hasWebSocketKey &&
    hasWebSocketVersion &&
    head.method === 'GET' &&
    head.minorVersion === 1 &&
    head.bodyLength === 0;
  if (head.listed !== null) head.lines = withoutListed(head.lines, head.listed);
  return null;
}

function concludeTarget(head: RequestHead): Refusal | null {
  if (hosts > 1 || (hosts === 0 && head.minorVersion === 1)) {
    return refusal(400, 'host.invalid', 'A request has exactly one Host header.');
  }
  if (hosts === 1 && !isValidHost(head.host)) {
    return refusal(400, 'host.invalid', 'The Host header is not "name" or "name:port".');
  }
  if (head.method === 'CONNECT') {
    return refusal(
      405,
      'method.not-allowed',
      'This is a gateway to its own services, not a proxy to others.',
    );
  }
  if (head.target.charCodeAt(0) === 0x2f) return null;
  if (head.target === '*') {
    return head.method === 'OPTIONS'
      ? null
      : refusal(400, 'target.invalid', 'The target "*" is for OPTIONS only.');
  }
  const absolute = splitAbsoluteTarget(head.target, head.method);
  if (absolute === null) {
    return refusal(400, 'target.invalid', 'The request target is neither a path nor an http(s) URL.');
  }
  if (hosts === 1 && !isSameHost(absolute.host, head.host, absolute.scheme)) {
    return refusal(400, 'host.invalid', 'The Host header and the host in the request target differ.');
  }
  head.host = absolute.host;
  head.target = absolute.path;
  return null;
}
