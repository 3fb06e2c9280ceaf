/** What the access log is told of a request that is over. */
import type { RequestRecord } from './context.js';
import type { Peer } from './forwarded.js';
import type { RequestHead } from './http1/requestHead.js';
import type { Refusal } from './http1/refusal.js';

type Outcome = Pick<
  RequestRecord,
  'status' | 'code' | 'bodyBytes' | 'durationMs' | 'upstream' | 'attempts' | 'clientAddress' | 'requestId'
>;

export function recordOf(head: RequestHead, peer: Peer, outcome: Outcome): RequestRecord {
  const { method, target, host, lines } = head;
  return { method, target, version: peer.versionOf(head), host, lines, ...outcome };
}

/** No upstream was asked for it. */
export const NOBODY_ASKED = { upstream: null, attempts: 0 } as const;

/** It could not be read, so nothing of it can be told. */
export function unreadRecord(peer: Peer, { status, code }: Refusal): RequestRecord {
  return {
    method: '-',
    target: '-',
    version: '-',
    host: '-',
    lines: '',
    clientAddress: peer.address,
    requestId: '-',
    status,
    code,
    bodyBytes: 0,
    durationMs: 0,
    ...NOBODY_ASKED,
  };
}
