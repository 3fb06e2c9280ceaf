/**
 * What the primary and its workers say to each other, over the channel that Node gives a forked process.
 *
 *   primary                               worker
 *      │ ◀───────────────────────── ready ─┤ its code is loaded
 *      ├─ start (address, snapshot) ─────▶ │
 *      │ ◀── waiting │ listening │ failed ─┤ waiting: somebody else has the port
 *      ├─ tls (certificates, keys) ──────▶ │ from now on; with start as well
 *      ├─ snapshot ──────────────────────▶ │ at most one without its answer; the latest wins
 *      ├─ process (upstream, news) ──────▶ │ ended: what it has not begun to answer fails over;
 *      │                                   │ superseded: what was connected before is not used again
 *      │ ◀─ swapped (version, busy) ───────┤ after the swap, and whenever a leaving upstream has finished
 *      │ ◀─ stats ─────────────────────────┤ twice a second; a worker that falls silent is replaced
 *      │ ◀─ ask (id, path) ────────────────┤ a page that only the primary can render
 *      │ ◀─ call (id, path, body) ─────────┤ a change of upstreams that its caller may make
 *      ├─ page (id, answer) ─────────────▶ │ of either
 *      │ ◀─ log (batch) ───────────────────┤ lines for the access log; at most one batch without its answer
 *      ├─ logged ────────────────────────▶ │
 *      ├─ stop (times) ──────────────────▶ │ finishes what is under way, then exits
 *
 * Both sides run the same build, but a worker that went wrong must not take the primary with it: what comes from
 * workers is checked for shape and size, and dropped and counted when it is not right.
 */
import type { WorkerStats } from '../../domain/statistics/gatewayStats.js';
import type { GatewaySnapshot } from '../../domain/upstreams/pool.js';
import type { ProcessNews } from '../../ports.js';
import { MOST_WAITING_CHARACTERS } from '../accessLog/accessLog.js';
import type { OwnAnswer, Problem } from '../shared/answer.js';
import type { TlsMaterial } from '../tls/contexts.js';
import { isCallPath, isPrimaryPath } from '../pages/ownPaths.js';
import type { CallPath, PrimaryPath } from '../pages/ownPaths.js';

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
  /** null: no TLS. */
  readonly tlsPort: number | null;
  /** Every worker binds for itself (SO_REUSEPORT) instead of sharing the primary's handle. */
  readonly reusePort: boolean;
  /** How long to try again while the port is taken, ms: whoever holds it was asked to let go. */
  readonly patienceMs: number;
}

/** How a worker ends: in-flight requests get `graceMs`, upgraded connections are closed spread over a window. */
export interface StopTimes {
  readonly graceMs: number;
  readonly webSocketWindowMs: number;
}

/** @typeParam Settings what the worker is built from besides; the primary only passes it on. */
export type ToWorker<Settings> =
  | {
      readonly kind: 'start';
      readonly listen: ListenAddress;
      readonly snapshot: GatewaySnapshot;
      readonly settings: Settings;
      /** null: there is no TLS port. */
      readonly tls: TlsMaterial | null;
    }
  | { readonly kind: 'tls'; readonly tls: TlsMaterial }
  | { readonly kind: 'snapshot'; readonly snapshot: GatewaySnapshot }
  /** What has become of the process at this address (host:port). */
  | { readonly kind: 'process'; readonly upstream: string; readonly news: ProcessNews }
  | { readonly kind: 'page'; readonly id: number; readonly answer: OwnAnswer | Problem }
  | { readonly kind: 'logged' }
  | { readonly kind: 'stop'; readonly times: StopTimes }
  /** It ends at once, whatever is under way. */
  | { readonly kind: 'end' };

export type FromWorker =
  | { readonly kind: 'ready' }
  | { readonly kind: 'listening'; readonly port: number }
  /** The port is taken; it tries again. */
  | { readonly kind: 'waiting' }
  /** It cannot listen. */
  | { readonly kind: 'failed'; readonly code: string; readonly message: string; readonly port: number }
  | {
      readonly kind: 'swapped';
      readonly version: number;
      /** Upstreams (`pool\nid`) that take nothing new but still have requests under way here. */
      readonly busy: readonly string[];
    }
  | { readonly kind: 'stats'; readonly stats: WorkerStats }
  | { readonly kind: 'ask'; readonly id: number; readonly path: PrimaryPath }
  /** `body` is null with a GET. */
  | { readonly kind: 'call'; readonly id: number; readonly path: CallPath; readonly body: string | null }
  /** Whole lines of the access log, separated by line feeds. */
  | { readonly kind: 'log'; readonly batch: string };

/** More rows than this in one message are a defect. */
const MOST_ROWS = 20_000;
const LONGEST_TEXT = 2_048;
const LONGEST_BODY = 16_384;
const LONGEST_LOG_BATCH = 2 * MOST_WAITING_CHARACTERS;

/** The message, or null when it is none. */
export function readWorkerMessage(raw: unknown): FromWorker | null {
  if (!isRecord(raw)) return null;
  switch (raw['kind']) {
    case 'ready':
    case 'waiting':
      return { kind: raw['kind'] };
    case 'listening':
      return isCount(raw['port']) ? { kind: 'listening', port: raw['port'] } : null;
    case 'failed':
      return isText(raw['code']) && isText(raw['message']) && isCount(raw['port'])
        ? { kind: 'failed', code: raw['code'], message: raw['message'], port: raw['port'] }
        : null;
    case 'swapped':
      return isCount(raw['version']) && isList(raw['busy'], isText)
        ? { kind: 'swapped', version: raw['version'], busy: raw['busy'] }
        : null;
    case 'stats':
      return isStats(raw['stats']) ? { kind: 'stats', stats: raw['stats'] } : null;
    case 'ask':
      return isCount(raw['id']) && isText(raw['path']) && isPrimaryPath(raw['path'])
        ? { kind: 'ask', id: raw['id'], path: raw['path'] }
        : null;
    case 'call':
      return isCount(raw['id']) && isText(raw['path']) && isCallPath(raw['path']) && isBody(raw['body'])
        ? { kind: 'call', id: raw['id'], path: raw['path'], body: raw['body'] }
        : null;
    case 'log':
      return typeof raw['batch'] === 'string' && raw['batch'].length <= LONGEST_LOG_BATCH
        ? { kind: 'log', batch: raw['batch'] }
        : null;
    default:
      return null;
  }
}

type Shape = Readonly<Record<string, unknown>>;

function isRecord(value: unknown): value is Shape {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= LONGEST_TEXT;
}

function isBody(value: unknown): value is string | null {
  return value === null || (typeof value === 'string' && value.length <= LONGEST_BODY);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER;
}

function isList<T>(value: unknown, isItem: (item: unknown) => item is T): value is readonly T[] {
  return Array.isArray(value) && value.length <= MOST_ROWS && value.every(isItem);
}

function isStats(value: unknown): value is WorkerStats {
  if (!isRecord(value) || !isRecord(value['clients']) || !isRecord(value['refusals'])) return false;
  const { connections, upgraded, accepted, answers } = value['clients'];
  return (
    isList(value['upstreams'], isUpstreamRow) &&
    [connections, upgraded, accepted, value['accessLogDropped']].every(isCount) &&
    isAnswers(answers) &&
    isList(Object.values(value['refusals']), isCount) &&
    isList(value['seen'], isCount)
  );
}

function isUpstreamRow(row: unknown): row is WorkerStats['upstreams'][number] {
  if (!isRecord(row) || !isRecord(row['counters'])) return false;
  const { answers, failures, retries, ejections, connectionsOpened, latency } = row['counters'];
  return (
    isText(row['pool']) &&
    isText(row['id']) &&
    [row['inFlight'], row['connections'], row['ejectedForMs']].every(isCount) &&
    [failures, retries, ejections, connectionsOpened].every(isCount) &&
    isAnswers(answers) &&
    isRecord(latency) &&
    isCount(latency['sumMs']) &&
    isList(latency['counts'], isCount)
  );
}

function isAnswers(value: unknown): boolean {
  return isList(value, isCount) && value.length === 5;
}
