/** What everything on a worker's data path shares. */
import type { Clock } from '../ports.js';
import type { OwnAnswer } from './answer.js';
import type { AnswerCounter, CodeCounter } from './counters.js';
import type { Deadlines } from './deadlines.js';
import type { GatewayLimits } from './limits.js';
import type { Pool } from './pool.js';
import type { SeenSessions } from './seenSessions.js';
import type { Tunnel } from './tunnel.js';

/** A request for one of the gateway's own pages. */
export interface OwnPageRequest {
  readonly method: string;
  readonly path: string;
  /** Without the question mark; '' when there is none. */
  readonly query: string;
  readonly host: string;
  /** The client itself, found through trusted proxies. */
  readonly clientAddress: string;
  /** Who opened the connection. */
  readonly peerAddress: string;
  readonly secure: boolean;
  /** It says that a proxy passed it on for somebody else: it carries forwarded fields or Via, true or not. */
  readonly passedOn: boolean;
  readonly requestId: string;
  /** The ports of the connection; null where it is none of its own (a stream of HTTP/2). */
  readonly connection: { readonly localPort: number; readonly remotePort: number } | null;
  /** As text, of pages that take one (`takesBody`); '' when there is none. null: it was not read, or is too long. */
  readonly body: string | null;
  /** A header's value by its name in lower case, or null. Hop-by-hop and forwarded fields are not among them. */
  header(name: string): string | null;
}

/** The pages that the gateway serves itself; everything else belongs to the application. */
export interface OwnPages {
  /** Asked for every request: a look into a set. `path` is without the query. */
  handles(path: string): boolean;
  /** Whether the body of such a request is read, and given to `answer`. Default: never. */
  takesBody?(path: string, method: string): boolean;
  /** How long `answer` may take, ms. Default: as long as an upstream. */
  patienceMs?(path: string): number;
  /** When it rejects, the client gets a 500. */
  answer(request: OwnPageRequest): Promise<OwnAnswer>;
}

/** One finished request, for the access log. */
export interface RequestRecord {
  readonly method: string;
  readonly target: string;
  /** Of the client's HTTP: 1.0, 1.1 or 2.0. */
  readonly version: string;
  readonly host: string;
  /** The request's field lines that went on unchanged, for those who want one of them (http1/fields valueOf). */
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

export interface GatewayContext {
  readonly limits: GatewayLimits;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly ownPages: OwnPages;
  readonly answers: AnswerCounter;
  readonly refusals: CodeCounter;
  readonly seen: SeenSessions;
  readonly tunnels: Set<Tunnel>;
  /** Clients on this machine are told why a request failed. */
  readonly trustsLoopback: boolean;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** What this gateway is called in Via; finding it in a request means that it goes round in circles. */
  readonly viaName: string;
  /** Plain requests, but for own pages, are sent to https on this port; null: they are served. */
  readonly tlsRedirectPort: number | null;
  readonly onRequestEnd: ((record: RequestRecord) => void) | null;
  /** No further request on connections that are open. */
  readonly draining: boolean;
  /** The pool for a request, or null. */
  route(host: string, path: string): Pool | null;
  /** A pool of the snapshot by its name, or null. */
  poolNamed(name: string): Pool | null;
  /** A connection was upgraded. */
  onTunnel(tunnel: Tunnel): void;
  /** Whether a client may send one more request now. */
  admits(clientAddress: string): boolean;
}
