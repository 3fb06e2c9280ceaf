/**
 * Field lines (RFC 9112 section 5), strictly: a name of token characters, the colon right behind it, a value without
 * control characters, CRLF. Whitespace before the colon, obs-fold, bare CR or LF and NUL are no field lines.
 *
 * Names that a proxy has to know are told apart by length first and compared without allocating anything.
 */
import {
  COLON,
  compareName,
  CR,
  DIFFERS,
  equalsIgnoringCase,
  FIELD_VALUE,
  IS_LOOKALIKE,
  IS_NAME,
  LF,
  SPACE,
  TAB,
  TOKEN,
} from './chars.js';

/** Where the parts of one line are in the text; reused from line to line. */
export interface FieldSpan {
  nameEnd: number;
  /** Without the whitespace around the value. */
  valueStart: number;
  valueEnd: number;
}

export const MALFORMED = -1;

/** Reads the line that begins at `at`. @returns where the next one begins, or MALFORMED. */
export function readField(text: string, at: number, span: FieldSpan): number {
  let i = at;
  while (TOKEN[text.charCodeAt(i)] === 1) i += 1;
  if (i === at || text.charCodeAt(i) !== COLON) return MALFORMED;
  span.nameEnd = i;
  i += 1;
  let code = text.charCodeAt(i);
  while (code === SPACE || code === TAB) {
    i += 1;
    code = text.charCodeAt(i);
  }
  span.valueStart = i;
  while (FIELD_VALUE[code] === 1) {
    i += 1;
    code = text.charCodeAt(i);
  }
  if (code !== CR || text.charCodeAt(i + 1) !== LF) return MALFORMED;
  let end = i;
  while (end > span.valueStart && (text.charCodeAt(end - 1) === SPACE || text.charCodeAt(end - 1) === TAB))
    end -= 1;
  span.valueEnd = end;
  return i + 2;
}

/** The names that matter to a proxy. `other` passes through untouched. */
export const NAME = {
  other: 0,
  host: 1,
  connection: 2,
  contentLength: 3,
  transferEncoding: 4,
  upgrade: 5,
  te: 6,
  expect: 7,
  /** Hop by hop, and nothing else to know: Keep-Alive, Trailer, Proxy-…, HTTP2-Settings. */
  hopByHop: 8,
  /** Everything that begins with X-Forwarded-. */
  forwardedFor: 9,
  forwardedProto: 10,
  forwardedHost: 11,
  forwardedOther: 12,
  realIp: 13,
  forwarded: 14,
  requestId: 15,
  traceparent: 16,
  cookie: 17,
  idempotencyKey: 18,
  via: 19,
  webSocketKey: 20,
  webSocketVersion: 21,
  maxForwards: 22,
  /** Not ours, but never in a trailer. */
  neverInTrailer: 23,
  /** Of a request: Content_Length or Transfer_Encoding. A server that takes them for the real ones sees another end. */
  misspeltFraming: 24,
  /** Of a request: a name that a server may take for one that the gateway takes out or writes itself: X_Forwarded_For. */
  misspelt: 25,
} as const;

const NAMES: readonly (readonly [string, number])[] = [
  ['host', NAME.host],
  ['connection', NAME.connection],
  ['content-length', NAME.contentLength],
  ['transfer-encoding', NAME.transferEncoding],
  ['upgrade', NAME.upgrade],
  ['te', NAME.te],
  ['expect', NAME.expect],
  ['keep-alive', NAME.hopByHop],
  ['trailer', NAME.hopByHop],
  ['proxy-connection', NAME.hopByHop],
  ['proxy-authenticate', NAME.hopByHop],
  ['proxy-authorization', NAME.hopByHop],
  ['http2-settings', NAME.hopByHop],
  ['x-forwarded-for', NAME.forwardedFor],
  ['x-forwarded-proto', NAME.forwardedProto],
  ['x-forwarded-host', NAME.forwardedHost],
  ['x-real-ip', NAME.realIp],
  ['forwarded', NAME.forwarded],
  ['x-request-id', NAME.requestId],
  ['traceparent', NAME.traceparent],
  ['cookie', NAME.cookie],
  ['idempotency-key', NAME.idempotencyKey],
  ['via', NAME.via],
  ['sec-websocket-key', NAME.webSocketKey],
  ['sec-websocket-version', NAME.webSocketVersion],
  ['max-forwards', NAME.maxForwards],
  ['authorization', NAME.neverInTrailer],
  ['set-cookie', NAME.neverInTrailer],
  ['content-encoding', NAME.neverInTrailer],
  ['content-type', NAME.neverInTrailer],
  ['content-range', NAME.neverInTrailer],
];

const FORWARDED_PREFIX = 'x-forwarded-';

const BY_LENGTH: readonly (readonly (readonly [string, number])[])[] = Array.from(
  { length: 32 },
  (_, length) => NAMES.filter(([name]) => name.length === length),
);

/** Which of NAME the name text[start, end) is: a name with underscores is never one of those with hyphens. */
export function nameOf(text: string, start: number, end: number): number {
  return lookUp(text, start, end, false);
}

/**
 * Which of NAME the name of a request's field is. A name with underscores decides nothing; it is `misspelt` where a
 * server behind the gateway, reading it like CGI, would take it for what the gateway says.
 */
export function requestNameOf(text: string, start: number, end: number): number {
  return lookUp(text, start, end, true);
}

function lookUp(text: string, start: number, end: number, seesLookalikes: boolean): number {
  const length = end - start;
  const candidates = BY_LENGTH[length];
  if (candidates !== undefined) {
    for (const candidate of candidates) {
      const match = compareName(text, start, candidate[0]);
      if (match === DIFFERS) continue;
      if (match === IS_NAME) return candidate[1];
      return seesLookalikes ? lookalikeOf(candidate[1]) : NAME.other;
    }
  }
  if (length <= FORWARDED_PREFIX.length) return NAME.other;
  const prefix = compareName(text, start, FORWARDED_PREFIX);
  if (prefix === IS_NAME) return NAME.forwardedOther;
  return prefix === IS_LOOKALIKE && seesLookalikes ? NAME.misspelt : NAME.other;
}

/** What a request's field is whose name only looks like that one. */
function lookalikeOf(name: number): number {
  switch (name) {
    case NAME.contentLength:
    case NAME.transferEncoding:
      return NAME.misspeltFraming;
    case NAME.idempotencyKey:
    case NAME.webSocketKey:
    case NAME.webSocketVersion:
    case NAME.neverInTrailer:
      return NAME.other; // the gateway has no word in them
    default:
      return NAME.misspelt;
  }
}

/**
 * `lines` without those whose name is in `listed` (lower case): what a Connection field names ends at this hop.
 * `lines` are well-formed field lines.
 */
export function withoutListed(lines: string, listed: readonly string[]): string {
  const span: FieldSpan = { nameEnd: 0, valueStart: 0, valueEnd: 0 };
  let kept = '';
  for (let at = 0; at < lines.length;) {
    const next = readField(lines, at, span);
    if (next === MALFORMED) break;
    if (!listed.includes(lines.slice(at, span.nameEnd).toLowerCase())) kept += lines.slice(at, next);
    at = next;
  }
  return kept;
}

/** The value of the first line named `name` (lower case), or null. For names only now and then asked for. */
export function valueOf(lines: string, name: string): string | null {
  const span: FieldSpan = { nameEnd: 0, valueStart: 0, valueEnd: 0 };
  for (let at = 0; at < lines.length;) {
    const next = readField(lines, at, span);
    if (next === MALFORMED) return null;
    if (equalsIgnoringCase(lines, at, span.nameEnd, name)) return lines.slice(span.valueStart, span.valueEnd);
    at = next;
  }
  return null;
}
