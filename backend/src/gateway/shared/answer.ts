/** Answers that the gateway gives itself: small, with a code for machines and a sentence for people. */
import { shownJson } from '../../lib/secrets/ofProcess.js';
import { STATUS_CODES } from 'node:http';
import type { Refusal } from '../http1/refusal.js';
import { dateLine } from './httpDate.js';
import { ERROR_PAGE_LINES, renderErrorPage } from '../html/errorPage.js';

export interface OwnAnswer {
  readonly status: number;
  /** Field lines beyond Content-Type, Content-Length and Connection; each with its CRLF. */
  readonly lines: string;
  readonly contentType: string;
  readonly body: string;
}

/** Something that did not work, before it is known in which form the client reads it. */
export interface Problem extends Refusal {
  /** Field lines that the answer needs, each with its CRLF. */
  readonly lines?: string;
  /** Why, for those who run the gateway: it may name what is inside. Only for a client that may see that. */
  readonly reason?: string | undefined;
}

/** What a service may be asked for through the gateway (RFC 9110 section 10.2.1); not TRACE, and not CONNECT. */
export const ALLOW_LINE = 'Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n';

export function isProblem(result: OwnAnswer | Problem): result is Problem {
  return 'code' in result;
}

/**
 * An answer that says what went wrong. `code` is one of a fixed set.
 * @param requestId may be '' (no request was read).
 * @param asPage for a person in front of a browser (accept.ts); JSON otherwise.
 */
export function problemAnswer(problem: Problem, requestId: string, asPage: boolean): OwnAnswer {
  const { status, code, message, reason } = problem;
  // A 405 says what is allowed (RFC 9110 section 15.5.6); a page knows better for itself.
  const lines = problem.lines ?? (status === 405 ? ALLOW_LINE : '');
  const retryAfter = status === 429 || status === 503 ? 'Retry-After: 1\r\n' : '';
  const common = `Cache-Control: no-store\r\nVary: Accept\r\nX-Content-Type-Options: nosniff\r\n${retryAfter}${lines}`;
  if (asPage) {
    return {
      status,
      lines: common + ERROR_PAGE_LINES,
      contentType: 'text/html; charset=utf-8',
      body: renderErrorPage({ status, code, message, reason, requestId }),
    };
  }
  return {
    status,
    lines: common,
    contentType: 'application/json; charset=utf-8',
    body: `${shownJson({
      success: false,
      error: { code, message, reason },
      ...(requestId === '' ? {} : { requestId }),
    })}\n`,
  };
}

/** Where a plain request is to go instead; 308, so that it stays what it is. */
export function redirectToTls(
  { host, target }: { readonly host: string; readonly target: string },
  port: number,
): OwnAnswer {
  const name = host.replace(/:\d*$/, '');
  const path = target === '*' ? '/' : target;
  return {
    status: 308,
    lines: `Location: https://${name}${port === 443 ? '' : `:${port}`}${path}\r\n`,
    contentType: 'text/plain; charset=utf-8',
    body: 'This service is reached through https.\n',
  };
}

/**
 * The bytes of an answer.
 * @param connection the Connection field's value; '' for none.
 * @param toHead leaves the body out, and says how long it would be.
 * @param wallMs wall clock.
 */
export function renderAnswer(answer: OwnAnswer, connection: string, toHead: boolean, wallMs: number): Buffer {
  const { status, lines, contentType, body } = answer;
  const withoutBody = status === 204 || status === 304;
  const framing = withoutBody
    ? ''
    : `Content-Type: ${contentType}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`;
  const hop = connection === '' ? '' : `Connection: ${connection}\r\n`;
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\n${dateLine(wallMs)}${lines}${framing}${hop}\r\n`;
  return Buffer.from(toHead || withoutBody ? head : head + body);
}
