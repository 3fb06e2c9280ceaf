/**
 * The head of an upstream's answer, as strictly parsed as a request: an answer whose end is ambiguous would let one
 * client's answer run into another's. Hop-by-hop fields are removed in the same pass.
 *
 * Where the body ends (RFC 9112 section 6.3): none for HEAD, 1xx, 204 and 304; else Transfer-Encoding, else
 * Content-Length, else the end of the connection. A 205 has none either (RFC 9110 section 15.3.6): what comes behind its
 * head all the same goes no further, and ends with the connection.
 */
import { CR, equalsIgnoringCase, LF, SPACE } from './chars.js';
import { readConnectionField, type ConnectionOptions } from './connectionField.js';
import { MALFORMED, NAME, nameOf, readField, withoutListed, type FieldSpan } from './fields.js';
import type { HeadLimits } from './refusal.js';
import { ABSENT, CHUNKED, parseLength, UNTIL_CLOSE } from './framing.js';

export class ResponseHead implements ConnectionOptions {
  status = 0;
  reason = '';
  minorVersion = 1;
  /** Bytes, CHUNKED or UNTIL_CLOSE. */
  bodyLength = 0;
  /** The field lines that go on, each with its CRLF; with Content-Length where there may be one, without Transfer-Encoding. */
  lines = '';
  /** What Upgrade says: the protocol that it switches to, with 101; those that it asks for, with 426. */
  upgradeTo: string | null = null;
  /** It says when it was made, in `lines`. */
  hasDate = false;
  close = false;
  keepAlive = false;
  upgrade = false;
  listed: string[] | null = null;

  /** Whether the upstream's connection may be used again after the body. */
  get persistent(): boolean {
    if (this.bodyLength === UNTIL_CLOSE) return false;
    return this.minorVersion === 1 ? !this.close : this.keepAlive && !this.close;
  }
}

const span: FieldSpan = { nameEnd: 0, valueStart: 0, valueEnd: 0 };
const FIRST_FIELD_AFTER_STATUS = 12;
let contentLength = ABSENT;
let transferEncodings = 0;

/**
 * Parses a complete head into `head`, which must be fresh.
 * @param text latin1; the head is text[0, end): from the status line to the CRLF of the last field line.
 * @param toHead whether it answers a HEAD request.
 * @returns null, or what is wrong with it.
 */
export function parseResponseHead(
  text: string,
  end: number,
  toHead: boolean,
  limits: HeadLimits,
  head: ResponseHead,
): string | null {
  contentLength = ABSENT;
  transferEncodings = 0;
  const from = readStatusLine(text, head);
  if (from === MALFORMED) return 'its status line is malformed';
  const problem = readFields(text, from, end, limits, head);
  if (problem !== null) return problem;
  const { status } = head;
  if (transferEncodings > 0) {
    if (contentLength !== ABSENT || head.minorVersion === 0) return 'its framing is ambiguous';
  }
  if (toHead || status < 200 || status === 204 || status === 205 || status === 304) head.bodyLength = 0;
  else if (transferEncodings > 0) head.bodyLength = CHUNKED;
  else head.bodyLength = contentLength === ABSENT ? UNTIL_CLOSE : contentLength;
  if (status < 200 || status === 204 || status === 205) leaveOutLength(head, status, toHead);
  if (head.listed !== null) {
    head.lines = withoutListed(head.lines, head.listed);
    if (head.listed.includes('date')) head.hasDate = false;
  }
  return null;
}

/** A 1xx and a 204 have no Content-Length (RFC 9110 section 8.6), and that of a 205 is 0. */
function leaveOutLength(head: ResponseHead, status: number, toHead: boolean): void {
  if (contentLength !== ABSENT) head.lines = withoutListed(head.lines, ['content-length']);
  if (status === 205) head.lines += 'Content-Length: 0\r\n';
  // Where the next answer begins is not known when there is a body that there must not be.
  const announcesBody = transferEncodings > 0 || contentLength > 0;
  if (announcesBody || (status === 205 && contentLength === ABSENT && !toHead)) head.close = true;
}

function readStatusLine(text: string, head: ResponseHead): number {
  const minor = text.charCodeAt(7) - 0x30;
  if (!text.startsWith('HTTP/1.') || (minor !== 0 && minor !== 1) || text.charCodeAt(8) !== SPACE)
    return MALFORMED;
  const status = parseLength(text, 9, FIRST_FIELD_AFTER_STATUS);
  if (status < 100 || status > 999) return MALFORMED;
  head.minorVersion = minor;
  head.status = status;
  let at = FIRST_FIELD_AFTER_STATUS;
  if (text.charCodeAt(at) === SPACE) {
    const end = text.indexOf('\r', at);
    head.reason = text.slice(at + 1, end);
    if (!isReason(head.reason)) return MALFORMED;
    at = end;
  }
  return text.charCodeAt(at) === CR && text.charCodeAt(at + 1) === LF ? at + 2 : MALFORMED;
}

function isReason(reason: string): boolean {
  return reason === 'OK' || !/[^\t\x20-\x7e\x80-\xff]/.test(reason);
}

function readFields(
  text: string,
  from: number,
  end: number,
  limits: HeadLimits,
  head: ResponseHead,
): string | null {
  let keptFrom = from;
  let fields = 0;
  for (let at = from; at < end;) {
    const next = readField(text, at, span);
    if (next === MALFORMED) return 'a header line is malformed';
    fields += 1;
    if (fields > limits.maxFields) return `it has more than ${limits.maxFields} header lines`;
    const name = nameOf(text, at, span.nameEnd);
    if (endsHere(name)) {
      const problem = takeField(name, text, head);
      if (problem !== null) return problem;
      if (keptFrom < at) head.lines += text.slice(keptFrom, at);
      keptFrom = next;
    } else if (name === NAME.contentLength) {
      if (contentLength !== -1) return 'it has several Content-Length';
      contentLength = parseLength(text, span.valueStart, span.valueEnd);
      if (contentLength === ABSENT) return 'its Content-Length is not a number';
    } else if (equalsIgnoringCase(text, at, span.nameEnd, 'date')) head.hasDate = true;
    at = next;
  }
  if (keptFrom < end) head.lines += text.slice(keptFrom, end);
  return null;
}

function endsHere(name: number): boolean {
  return (
    name === NAME.connection ||
    name === NAME.hopByHop ||
    name === NAME.transferEncoding ||
    name === NAME.upgrade ||
    name === NAME.te
  );
}

function takeField(name: number, text: string, head: ResponseHead): string | null {
  if (name === NAME.connection) {
    if (equalsIgnoringCase(text, span.valueStart, span.valueEnd, 'keep-alive')) head.keepAlive = true;
    else if (!readConnectionField(text.slice(span.valueStart, span.valueEnd), head)) {
      return 'its Connection header is malformed';
    }
  } else if (name === NAME.transferEncoding) {
    transferEncodings += 1;
    const exact = equalsIgnoringCase(text, span.valueStart, span.valueEnd, 'chunked');
    if (!exact || transferEncodings > 1) return 'its Transfer-Encoding is not one "chunked"';
  } else if (name === NAME.upgrade) {
    const value = text.slice(span.valueStart, span.valueEnd);
    head.upgradeTo = head.upgradeTo === null ? value : `${head.upgradeTo}, ${value}`;
  }
  return null;
}
