/** What the fleet of gateway workers is made of and with: processes, and what it tells its owner. */
import type { WorkerStats } from '../../domain/statistics/gatewayStats.js';
import type { GatewaySnapshot } from '../../domain/upstreams/pool.js';
import type { Clock, Logger } from '../../ports.js';
import type { OwnAnswer, Problem } from '../shared/answer.js';
import type { CallPath, PrimaryPath } from '../pages/ownPaths.js';
import type { TlsMaterial } from '../tls/contexts.js';
import type { ListenAddress, StopTimes } from './messages.js';

/** One forked process. */
export interface WorkerProcess {
  readonly pid: number;
  send(message: unknown): void;
  kill(signal: NodeJS.Signals): void;
}

export interface WorkerListeners {
  readonly onMessage: (raw: unknown) => void;
  readonly onExit: (how: { readonly code: number | null; readonly signal: string | null }) => void;
}

export interface FleetOptions<Settings> {
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  readonly size: number;
  readonly listen: ListenAddress;
  readonly settings: Settings;
  /** Of workers that are replaced. */
  readonly stop: () => StopTimes;
  readonly snapshot: GatewaySnapshot;
  /** What new workers serve TLS with; null: no TLS. */
  readonly tls: () => TlsMaterial | null;
  readonly spawn: (listeners: WorkerListeners) => WorkerProcess;
  readonly onStats: (workerId: number, stats: WorkerStats) => void;
  readonly onGone: (workerId: number) => void;
  /** Takes lines for the access log; never waits. */
  readonly onLog: (lines: readonly string[]) => void;
  /** Renders a page for a worker. Never rejects. */
  readonly onAsk: (path: PrimaryPath) => Promise<OwnAnswer | Problem>;
  /** Carries a call out for a worker. Never rejects. @param body null: it only reads. */
  readonly onCall: (path: CallPath, body: string | null) => Promise<OwnAnswer | Problem>;
  /** Another process has the port; workers go on trying. */
  readonly onWaiting: () => void;
  /** Which upstreams are drained may have changed. */
  readonly onProgress: () => void;
}
