/** Answers that the gateway gives itself: small, with a code for machines and a sentence for people. */
import { STATUS_CODES } from 'node:http';

export interface OwnAnswer {
  readonly status: number;
  /** Field lines beyond Content-Type, Content-Length and Connection; each with its CRLF. */
  readonly lines: string;
  readonly contentType: string;
  readonly body: string;
}

/** An answer in an upstream's place. `code` is one of a fixed set; `requestId` may be '' (no request was read). */
export function failureAnswer(status: number, code: string, message: string, requestId: string): OwnAnswer {
  const retryAfter = status === 429 || status === 503 ? 'Retry-After: 1\r\n' : '';
  return {
    status,
    lines: `Cache-Control: no-store\r\n${retryAfter}`,
    contentType: 'application/json; charset=utf-8',
    body: `${JSON.stringify({
      success: false,
      error: { code, message },
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
 */
export function renderAnswer(answer: OwnAnswer, connection: string, toHead: boolean): Buffer {
  const { status, lines, contentType, body } = answer;
  const withoutBody = status === 204 || status === 304;
  const framing = withoutBody
    ? ''
    : `Content-Type: ${contentType}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`;
  const hop = connection === '' ? '' : `Connection: ${connection}\r\n`;
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\n${lines}${framing}${hop}\r\n`;
  return Buffer.from(toHead || withoutBody ? head : head + body);
}
