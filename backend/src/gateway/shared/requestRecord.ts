/** What the access log is told of a request that is over. */
import type { Peer } from './forwarded.js';
import type { RequestHead } from '../http1/requestHead.js';
import type { Refusal } from '../http1/refusal.js';

/** One finished request, for the access log. */
export interface RequestRecord {
  readonly method: string;
  readonly target: string;
  /** Of the client's HTTP: 1.0, 1.1 or 2.0. */
  readonly version: string;
  readonly host: string;
  /** The request's field lines that were forwarded unchanged; `valueOf` in http1/fields reads one of them. */
  readonly lines: string;
  readonly clientAddress: string;
  readonly requestId: string;
  /** 0: the client left before there was an answer. */
  readonly status: number;
  /** Of the answer's body, as sent. */
  readonly bodyBytes: number;
  readonly durationMs: number;
  /** host:port, or null when none answered. */
  readonly upstream: string | null;
  readonly attempts: number;
  /** What went wrong, by code; '' when nothing did. */
  readonly code: string;
}

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
