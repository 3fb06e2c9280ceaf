/** What the gateway's primary is built from. */
import type { HealthPolicy } from '../../domain/policy.js';
import type {
  CertificateSource,
  Clock,
  Discovery,
  Logger,
  Prober,
  StateStore,
  SupervisorLink,
} from '../../ports.js';
import type { TlsMaterial } from '../tls/contexts.js';
import type { WorkerListeners, WorkerProcess } from './fleetOptions.js';
import type { ListenAddress, StopTimes } from './messages.js';
import type { RoutingSettings } from './publisher.js';
import type { StandInPlan } from './standIn.js';

/** Takes whole lines, in bounded memory, and rotates itself. */
export interface AccessLogFile {
  write(line: string): void;
  /** Lines that could not be kept. */
  dropped(): number;
}

/** Where one pool's upstreams come from. */
export interface Source {
  /** `supervisor`, `static`, `dns`, …; with the pool's name unique. */
  readonly name: string;
  readonly pool: string;
  readonly discovery: Discovery;
  /** It announces only what it has probed itself. */
  readonly verified: boolean;
  /** Where they come from and why from there, for people; completes "3 upstreams". */
  readonly whence: string;
  /** Why calls may not change its upstreams, a sentence; null: they may. */
  readonly fixed: string | null;
  /** What the pool has until the source has answered for the first time; null: nothing. */
  readonly standIn: StandInPlan | null;
}

export interface PrimaryOptions<Settings> {
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  readonly prober: Prober;
  /** Keeps the last good pool. */
  readonly store: StateStore;
  /** Keeps what calls have changed. */
  readonly editStore: StateStore;
  /** Whether this address is the gateway's own. */
  readonly isSelf: (host: string, port: number) => boolean;
  /** Keeps how each service fared over the day. */
  readonly dayStore: StateStore;
  /** Where workers' requests are logged, when they are. */
  readonly accessLog: AccessLogFile;
  /** null: there is no supervisor to tell. */
  readonly link: SupervisorLink | null;
  /** `<host>:<pid>`. */
  readonly name: string;
  readonly version: string;
  readonly routing: RoutingSettings;
  /** Where a pool's upstreams come from; asked once for each pool. */
  readonly sourceOf: (pool: string) => Source;
  readonly checkOf: (pool: string) => HealthPolicy;
  readonly workers: {
    readonly count: number;
    readonly listen: ListenAddress;
    readonly settings: Settings;
    /** Of workers that are replaced. */
    readonly stop: () => StopTimes;
    readonly spawn: (listeners: WorkerListeners) => WorkerProcess;
  };
  /** null: no TLS. */
  readonly tls: { readonly source: CertificateSource; readonly minVersion: TlsMaterial['minVersion'] } | null;
  /** Another process has our port; workers go on trying while their patience lasts. */
  readonly onPortTaken: () => void;
}
