/**
 * What a client gets in the place of a pool of which no upstream can be reached (LB_FALLBACK): a page or a redirect is
 * answered here; another pool is for the exchange to ask.
 */
import type { FallbackSnapshot } from '../../domain/upstreams/pool.js';
import { acceptIn, prefersJson } from '../shared/accept.js';
import type { OwnAnswer } from '../shared/answer.js';
import type { RequestHead } from '../http1/requestHead.js';

/** A browser or a crawler that comes back sooner finds the same. */
const RETRY_AFTER_SECONDS = 5;

/**
 * @returns the answer, or null where the client is better served by the gateway's own 502 or 503: a program that asks
 *   for JSON can do nothing with a page.
 */
export function fallbackAnswer(
  fallback: Exclude<FallbackSnapshot, { kind: 'pool' }>,
  { method, lines }: Pick<RequestHead, 'method' | 'lines'>,
): OwnAnswer | null {
  if (fallback.kind === 'page') {
    if (prefersJson(acceptIn(lines))) return null;
    return {
      status: 503,
      lines: `Cache-Control: no-store\r\nVary: Accept\r\nX-Content-Type-Options: nosniff\r\nRetry-After: ${RETRY_AFTER_SECONDS}\r\n`,
      contentType: 'text/html; charset=utf-8',
      body: fallback.html,
    };
  }
  // 303: what is at the other address is read, whatever was to be done here (RFC 9110 section 15.4.4).
  return {
    status: method === 'GET' || method === 'HEAD' ? 302 : 303,
    lines: `Cache-Control: no-store\r\nLocation: ${fallback.location}\r\n`,
    contentType: 'text/plain; charset=utf-8',
    body: `This service cannot be reached at the moment; see ${fallback.location}\n`,
  };
}
