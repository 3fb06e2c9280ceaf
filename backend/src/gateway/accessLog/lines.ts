/**
 * One finished request as a line of the access log.
 *
 * Never in it: queries (of the target and of the referring page), user names and passwords, cookies, authorization.
 * Queries carry tokens and search words; a log lives longer and is read by more people than the request.
 */
import type { RequestRecord } from '../shared/requestRecord.js';
import { valueOf } from '../http1/fields.js';

/** `off` is no format: then there is no log. */
export type AccessLogFormat = 'json' | 'combined';

/** @param wallMs when the request was over. Without a line feed; nothing a client sends can add one. */
export type LineFormatter = (record: RequestRecord, wallMs: number) => string;

export const FORMATTERS: Readonly<Record<AccessLogFormat, LineFormatter>> = {
  json: jsonLine,
  combined: combinedLine,
};

const LONGEST_HEADER = 512;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** One JSON object; durations in ms, `status` 0 when the client left before there was an answer. */
function jsonLine(record: RequestRecord, wallMs: number): string {
  const { lines } = record;
  return JSON.stringify({
    time: new Date(wallMs).toISOString(),
    requestId: record.requestId,
    client: record.clientAddress,
    method: record.method,
    host: record.host,
    path: withoutQuery(record.target),
    protocol: `HTTP/${record.version}`,
    status: record.status,
    bytes: record.bodyBytes,
    durationMs: Math.round(record.durationMs * 100) / 100,
    upstream: record.upstream,
    attempts: record.attempts,
    // Absent rather than empty: most requests have none.
    code: record.code === '' ? undefined : record.code,
    referer: refererOf(lines) ?? undefined,
    userAgent: headerOf(lines, 'user-agent') ?? undefined,
  });
}

/**
 * The combined log format of Apache and nginx, and behind it what it lacks: request id, upstream, seconds.
 * `203.0.113.9 - - [04/May/2026:09:00:00 +0000] "GET /a HTTP/1.1" 200 12 "-" "curl/8" "f3…" 127.0.0.1:13004 0.012`
 */
function combinedLine(record: RequestRecord, wallMs: number): string {
  const { clientAddress, method, target, version, status, bodyBytes, lines, requestId } = record;
  const request = `${method} ${withoutQuery(target)} HTTP/${version}`;
  const referer = refererOf(lines) ?? '-';
  const agent = headerOf(lines, 'user-agent') ?? '-';
  // nginx says 499 for a client that left; 0 is no status to those who parse this format.
  const shownStatus = status === 0 ? 499 : status;
  const seconds = (record.durationMs / 1_000).toFixed(3);
  const quoted = [referer, agent, requestId].map((text) => `"${escapeQuoted(text)}"`).join(' ');
  return (
    `${clientAddress} - - [${timeOf(wallMs)}] "${escapeQuoted(request)}" ${shownStatus} ${bodyBytes} ` +
    `${quoted} ${record.upstream ?? '-'} ${seconds}`
  );
}

function withoutQuery(target: string): string {
  const query = target.indexOf('?');
  return query === -1 ? target : target.slice(0, query);
}

/** Where the client came from: origin and path only. */
function refererOf(lines: string): string | null {
  const referer = headerOf(lines, 'referer');
  if (referer === null) return null;
  const page = /^[^?#]*/.exec(referer)?.[0] ?? '';
  return page.replace(/\/\/[^/@]*@/, '//');
}

function headerOf(lines: string, name: string): string | null {
  const value = valueOf(lines, name);
  return value === null ? null : value.slice(0, LONGEST_HEADER);
}

/** Quotes, backslashes and whatever is not printable ASCII, as Apache writes them. */
export function escapeQuoted(text: string): string {
  return text.replace(/["\\]|[^\x20-\x7e]/g, (character) =>
    character === '"' || character === '\\'
      ? `\\${character}`
      : `\\x${(character.charCodeAt(0) & 0xff).toString(16).padStart(2, '0')}`,
  );
}

/** What `escapeQuoted` was given. */
export function unescapeQuoted(text: string): string {
  return text.replace(/\\(?:x([0-9a-f]{2})|(.))/g, (_all, hex: string | undefined, character: string) =>
    hex === undefined ? character : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

function timeOf(wallMs: number): string {
  const time = new Date(wallMs);
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${two(time.getUTCDate())}/${MONTHS[time.getUTCMonth()] ?? ''}/${time.getUTCFullYear()}`;
  return `${day}:${two(time.getUTCHours())}:${two(time.getUTCMinutes())}:${two(time.getUTCSeconds())} +0000`;
}
