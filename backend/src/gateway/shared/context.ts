/** What everything on a worker's data path shares. */
import type { Clock } from '../../ports.js';
import type { AnswerCounter, CodeCounter } from './counters.js';
import type { Deadlines } from './deadlines.js';
import type { GatewayLimits } from './limits.js';
import type { OwnPages } from './ownPages.js';
import type { RequestRecord } from './requestRecord.js';

export interface GatewayContext {
  readonly limits: GatewayLimits;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly ownPages: OwnPages;
  readonly answers: AnswerCounter;
  readonly refusals: CodeCounter;
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
  /** Whether a client may send one more request now. */
  admits(clientAddress: string): boolean;
}
