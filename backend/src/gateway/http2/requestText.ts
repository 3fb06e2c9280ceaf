/**
 * An HTTP/2 request head (RFC 9113 section 8.3) as the text of an HTTP/1.1 one.
 *
 * Requests of both versions then go through the same strict parser, the same limits and the same forwarding; there is
 * no second path with rules of its own, which is where "downgrade" smuggling lives. For that the text has to say what
 * the head said: every part is checked for the bytes that would let it become something else (RFC 9113 section
 * 10.3), and what only HTTP/1.1 knows (Connection and its kin, section 8.2.2) is refused.
 */
import { TARGET, TOKEN, FIELD_VALUE } from '../http1/chars.js';
import { ABSENT, CHUNKED, parseLength } from '../http1/framing.js';
import { refusal, type Refusal } from '../http1/refusal.js';
import { isSameHost } from '../http1/target.js';

export interface RequestText {
  /** Latin1, with the empty line behind it. */
  readonly text: string;
  readonly method: string;
  /** Bytes, CHUNKED, or 0. */
  readonly bodyLength: number;
  /** An extended CONNECT (RFC 8441), as the WebSocket handshake that it stands for. */
  readonly webSocket: boolean;
}

const PSEUDO_FIELDS = new Set([':method', ':scheme', ':authority', ':path', ':protocol']);

/** What HTTP/1.1 says of the connection, HTTP/2 says in frames. */
const CONNECTION_FIELDS = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);

interface Head {
  readonly pseudo: Map<string, string>;
  lines: string;
  cookie: string;
  host: string | null;
  /** Bytes; ABSENT where there is none. */
  contentLength: number;
  /** Field lines that the HTTP/1.1 head will have. */
  fields: number;
}

/**
 * @param fields names and values in turns, as received.
 * @param isWhole nothing follows the head.
 * @param maxFields lines that the HTTP/1.1 head may have; all crumbs of a cookie are one.
 * @param webSocketKey for an extended CONNECT: HTTP/2 has none, HTTP/1.1 asks for one.
 */
export function requestText(
  fields: readonly string[],
  isWhole: boolean,
  maxFields: number,
  webSocketKey: () => string,
): RequestText | Refusal {
  const head: Head = {
    pseudo: new Map(),
    lines: '',
    cookie: '',
    host: null,
    contentLength: ABSENT,
    fields: 0,
  };
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const problem = takeField(head, fields[i] ?? '', fields[i + 1] ?? '');
    if (problem !== null) return malformed(problem);
    if (head.fields > maxFields) {
      return refusal(431, 'head.too-many-fields', `The request has more than ${maxFields} header lines.`);
    }
  }
  const { pseudo, host } = head;
  const method = pseudo.get(':method') ?? '';
  const protocol = pseudo.get(':protocol');
  if (method === 'CONNECT' && protocol === undefined) {
    const message = 'This is a gateway to its own services, not a proxy to others.';
    return refusal(405, 'method.not-allowed', message);
  }
  if (protocol !== undefined && (method !== 'CONNECT' || protocol !== 'websocket')) {
    return refusal(501, 'protocol.unknown', 'The only protocol that CONNECT can switch to is "websocket".');
  }
  const path = pseudo.get(':path') ?? '';
  if (!consistsOf(method, TOKEN) || !consistsOf(path, TARGET)) {
    return malformed('The method or the path is missing or malformed.');
  }
  const authority = pseudo.get(':authority') ?? host ?? '';
  const scheme = pseudo.get(':scheme')?.toLowerCase() === 'http' ? 'http' : 'https';
  if (host !== null && !isSameHost(host, authority, scheme)) {
    return refusal(400, 'host.invalid', 'The Host header and :authority differ.');
  }
  return protocol === undefined
    ? plainRequest(head, method, path, authority, isWhole)
    : webSocketRequest(head, path, authority, webSocketKey());
}

/** @returns what is wrong with it, or null. */
function takeField(head: Head, name: string, value: string): string | null {
  if (name.startsWith(':')) {
    if (!isValue(value)) return `${name} has bytes that may not be in it.`;
    if (!PSEUDO_FIELDS.has(name)) return 'There is a pseudo-header that is none.';
    if (head.pseudo.has(name)) return `There is more than one ${name}.`;
    head.pseudo.set(name, value);
    return null;
  }
  if (!isField(name, value)) return 'A header name or value has bytes that may not be in it.';
  if (CONNECTION_FIELDS.has(name)) return `"${name}" has no place in HTTP/2.`;
  if (name === 'te' && value.toLowerCase() !== 'trailers') return 'The only TE in HTTP/2 is "trailers".';
  if (name === 'host') {
    if (head.host !== null) return 'There is more than one Host.';
    head.host = value;
  } else if (name === 'cookie') {
    // One field in HTTP/1.1, any number of them here (RFC 9113 section 8.2.3).
    head.cookie += head.cookie === '' ? value : `; ${value}`;
  } else if (name === 'content-length') {
    if (head.contentLength !== ABSENT) return 'There is more than one Content-Length.';
    head.contentLength = parseLength(value, 0, value.length);
    if (head.contentLength === ABSENT) return 'Content-Length is not a plain decimal number.';
  } else {
    head.fields += 1;
    head.lines += `${name}: ${value}\r\n`;
  }
  return null;
}

function plainRequest(
  head: Head,
  method: string,
  path: string,
  authority: string,
  isWhole: boolean,
): RequestText | Refusal {
  const { contentLength } = head;
  if (isWhole && contentLength > 0) return malformed('Content-Length announces a body, but there is none.');
  const bodyLength = isWhole ? 0 : contentLength === ABSENT ? CHUNKED : contentLength;
  let framing = bodyLength === CHUNKED ? 'Transfer-Encoding: chunked\r\n' : '';
  if (contentLength !== ABSENT) framing = `Content-Length: ${contentLength}\r\n`;
  const text = `${method} ${path} HTTP/1.1\r\nHost: ${authority}\r\n${linesOf(head)}${framing}\r\n`;
  return { text, method, bodyLength, webSocket: false };
}

function webSocketRequest(head: Head, path: string, authority: string, key: string): RequestText | Refusal {
  if (head.contentLength !== ABSENT) return malformed('A WebSocket has no Content-Length.');
  const upgrade = `Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: ${key}\r\n`;
  const text = `GET ${path} HTTP/1.1\r\nHost: ${authority}\r\n${upgrade}${linesOf(head)}\r\n`;
  return { text, method: 'GET', bodyLength: 0, webSocket: true };
}

function linesOf({ lines, cookie }: Head): string {
  return cookie === '' ? lines : `${lines}cookie: ${cookie}\r\n`;
}

function consistsOf(text: string, allowed: Uint8Array): boolean {
  for (let i = 0; i < text.length; i += 1) if (allowed[text.charCodeAt(i)] !== 1) return false;
  return text !== '';
}

/** Whether name and value can be written as an HTTP/1.1 field line without becoming anything else. */
export function isField(name: string, value: string): boolean {
  return consistsOf(name, TOKEN) && name === name.toLowerCase() && isValue(value);
}

function isValue(text: string): boolean {
  return text === '' || consistsOf(text, FIELD_VALUE);
}

function malformed(message: string): Refusal {
  return refusal(400, 'head.malformed', message);
}
