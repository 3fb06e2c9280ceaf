/**
 * X-Request-Id and traceparent (W3C Trace Context). One random trace id serves as both, so that a log line of the
 * application and a trace can be found from either. Randomness is drawn in blocks: a call per request would cost more
 * than parsing it.
 */
import { randomFillSync } from 'node:crypto';
import type { RequestHead } from '../http1/requestHead.js';

const BLOCK_BYTES = 4_096;
const TRACE_ID_LENGTH = 32;
const PARENT_ID_LENGTH = 16;
const REQUEST_ID = /^[A-Za-z0-9._~:/+=@-]{1,128}$/;
/** Version 00 has four parts, later ones at least these; ids of zeros are invalid. */
const TRACEPARENT =
  /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:$|(?<!^00.*)-)/;

const block = Buffer.alloc(BLOCK_BYTES);
let hex = '';
let used = 0;

function randomHex(length: number): string {
  if (used + length > hex.length) {
    hex = randomFillSync(block).toString('hex');
    used = 0;
  }
  used += length;
  return hex.slice(used - length, used);
}

/**
 * The id of a request: a trusted peer's own when it is well-formed, else the trace id of a valid traceparent, else a
 * new one.
 */
export function requestIdOf(head: RequestHead, trusted: boolean): string {
  if (trusted && head.requestId !== null && REQUEST_ID.test(head.requestId)) return head.requestId;
  return hasTraceparent(head)
    ? (head.traceparent ?? '').slice(3, 3 + TRACE_ID_LENGTH)
    : randomHex(TRACE_ID_LENGTH);
}

/** Both fields, each with its CRLF. The gateway records no span: a valid traceparent goes on as it came. */
export function idLines(head: RequestHead, requestId: string): string {
  if (hasTraceparent(head)) return `X-Request-Id: ${requestId}\r\ntraceparent: ${head.traceparent}\r\n`;
  const traceId =
    requestId.length === TRACE_ID_LENGTH && head.requestId === null ? requestId : randomHex(TRACE_ID_LENGTH);
  return `X-Request-Id: ${requestId}\r\ntraceparent: 00-${traceId}-${randomHex(PARENT_ID_LENGTH)}-00\r\n`;
}

function hasTraceparent(head: RequestHead): boolean {
  return head.traceparent !== null && TRACEPARENT.test(head.traceparent);
}
