/** What the control plane shows: the `data` of the API's answers (SPEC 3). All times are ISO 8601, UTC. */
import type { BlackBoxEntry, BlackBoxFile, BlackBoxSummary } from '../blackBox/blackBox.js';
import type { EventRecord } from '../events.js';
import type { FailureCause, InstanceRef, OperationReport } from '../model.js';
import type { HighAvailabilityFigures } from '../statistics/availability.js';
import type { Percentiles } from '../statistics/percentiles.js';
import type { TrafficReport } from '../statistics/traffic.js';
import type { ServiceState, ServiceView } from './serviceView.js';

export type { Percentiles } from '../statistics/percentiles.js';

export interface StatusView {
  /** Automatic management on or off. */
  readonly running: boolean;
  readonly version: string;
  readonly startedAt: string;
  readonly node: {
    readonly hostname: string;
    readonly pid: number;
    readonly cores: number;
    readonly memoryTotalBytes: number;
  };
  readonly daemon: DaemonView;
  readonly services: readonly ServiceView[];
  /** Gateways that reported within the last seconds. */
  readonly gateways: readonly GatewayView[];
  /** Newest last, at most 20. */
  readonly lastEvents: readonly EventRecord[];
}

/** A gateway as its last report shows it. */
export interface GatewayView {
  /** `<host>:<pid>`. */
  readonly gateway: string;
  /** Workers that serve. */
  readonly workers: number;
  readonly upstreams: number;
  /** Requests under way in all of them. */
  readonly inFlight: number;
  readonly lastReportAt: string;
}

export interface DaemonView {
  readonly state: 'connected' | 'unresponsive' | 'lost';
  readonly version: string | null;
  /** Since when it is in this state. */
  readonly since: string;
  readonly problem: string | null;
}

export interface HealthCheckView {
  /** `pm2`, `state`, or `<service>` / `<service>#<pmId>`. */
  readonly name: string;
  readonly ok: boolean;
  /** null where nothing was timed. */
  readonly latencyMs: number | null;
  readonly detail: string;
}

export interface HealthView {
  /**
   * healthy: every check passes. degraded: one does not, such as that of a service that an operator stopped, but every
   * service that should serve does. unhealthy: one does not.
   */
  readonly status: 'healthy' | 'degraded' | 'unhealthy';
  readonly checks: readonly HealthCheckView[];
}

/** From inside an instance; null: not known. */
export interface AgentMetrics {
  readonly loopDelayP50Ms: number | null;
  readonly loopDelayP99Ms: number | null;
  readonly heapUsedBytes: number | null;
  readonly heapLimitBytes: number | null;
  /** Right after the last major garbage collection. */
  readonly liveHeapBytes: number | null;
  /** HTTP requests begun and not finished. */
  readonly requestsActive: number;
  /** Those among them without an answer for more than two seconds. */
  readonly requestsOverdue: number;
  /** Since the start of the process. */
  readonly requestsFinished: number;
  /** Cut off by their client or by the application, since the start of the process. */
  readonly requestsAborted: number;
  /** Of HTTP servers. */
  readonly connections: number;
  readonly debugged: boolean;
}

export interface InstanceMetrics extends InstanceRef {
  readonly cpuPercent: number | null;
  readonly memoryBytes: number | null;
  /** How fast its memory grows for good; 0 when it doesn't, null while that is not known. */
  readonly memoryGrowthBytesPerSecond: number | null;
  /** Until it meets a limit at that pace; null when none is in sight. */
  readonly memoryLimitInMs: number | null;
  /** Event-loop utilisation 0–100; null until an agent reports it. */
  readonly eventLoopPercent: number | null;
  /** Work that waits for the event loop, in time of one core; null until an agent reports it. */
  readonly waitingWorkMs: number | null;
  /** The latest that its agent told; null without one, or when it is silent. */
  readonly agent: AgentMetrics | null;
  readonly uptimeMs: number;
  readonly restarts: number;
  /** Of real traffic where a gateway reports it, else of health probes over the last 100. */
  readonly responseTimeMs: Percentiles | null;
  /** Share of failed requests where a gateway reports traffic, else of failed probes over the last 100, 0–1. */
  readonly errorRate: number | null;
  /** Requests per second; null where no gateway counts them. */
  readonly throughputPerSecond: number | null;
}

export interface ServiceMetrics {
  readonly name: string;
  readonly desired: number;
  readonly serving: number;
  readonly cpuPercent: number | null;
  readonly memoryBytes: number | null;
  readonly responseTimeMs: Percentiles | null;
  readonly errorRate: number | null;
  readonly throughputPerSecond: number | null;
  readonly restarts: number;
  /** Instances replaced because of their memory, in this life of the supervisor. */
  readonly recycled: number;
  readonly instances: readonly InstanceMetrics[];
  readonly highAvailability: HighAvailabilityFigures;
}

export interface MetricsView {
  readonly system: {
    readonly cores: number;
    readonly cpuPercent: number | null;
    readonly memoryTotalBytes: number;
    readonly memoryUsedPercent: number;
    readonly diskUsedPercent: number | null;
    readonly connections: number | null;
    readonly loadAverage1m: number;
    readonly uptimeSeconds: number;
  };
  readonly supervisor: {
    readonly cpuPercent: number | null;
    readonly memoryBytes: number;
    readonly uptimeSeconds: number;
  };
  readonly services: readonly ServiceMetrics[];
  readonly highAvailability: HighAvailabilityFigures;
  /** The socket that agents speak to. Counts since the supervisor started. */
  readonly agents: {
    /** Now. */
    readonly connected: number;
    /** Connections ended because of what their peer did, or for want of room. */
    readonly refused: number;
    /** Lines that were not understood. */
    readonly badLines: number;
    /** Why agents can't connect at all; null when they can. */
    readonly problem: string | null;
  };
  readonly dropped: {
    readonly events: number;
    readonly notifications: number;
    /** Entries and files of them that are not there though they should be. */
    readonly blackBoxes: number;
  };
}

/** One tick's answer for one service, "hold" included. */
export interface DecisionView {
  readonly at: string;
  readonly action: 'up' | 'down' | 'hold';
  readonly from: number;
  readonly to: number;
  readonly reason: string;
  readonly limitedBy: string | null;
  readonly inputs: {
    readonly loadPercent: number | null;
    readonly backlogPercent: number | null;
    readonly memoryPercent: number | null;
    readonly ready: number;
    readonly starting: number;
  };
}

export interface LoadBalancerView {
  readonly thresholds: {
    readonly cpuHighPercent: number;
    readonly cpuLowPercent: number;
    readonly memoryHighPercent: number;
    readonly memoryLowPercent: number;
  };
  readonly scaleCooldownMs: number;
  readonly services: readonly {
    readonly name: string;
    readonly current: number;
    readonly desired: number;
    readonly min: number;
    readonly max: number;
    readonly autoscale: boolean;
    readonly cooldownLeftMs: number;
    /** The latest decision, also when it was to hold. */
    readonly last: DecisionView | null;
    /** Newest last: moves, and holds whose reason changed. At most 50. */
    readonly decisions: readonly DecisionView[];
  }[];
}

export interface FailoverView {
  readonly limits: {
    readonly healthCheckIntervalMs: number;
    readonly healthCheckTimeoutMs: number;
    readonly maxRestartAttempts: number;
    readonly restartCooldownMs: number;
    readonly restartWindowMs: number;
    readonly unhealthyThreshold: number;
    readonly healthyThreshold: number;
  };
  readonly services: readonly {
    readonly name: string;
    readonly state: ServiceState;
    readonly attemptsUsed: number;
    readonly attemptsMax: number;
    readonly quarantine: {
      readonly since: string;
      readonly reason: string;
      readonly nextTrialAt: string | null;
      readonly trials: number;
    } | null;
    readonly lastFailure: {
      readonly at: string;
      readonly cause: FailureCause;
      readonly detail: string;
      readonly pmId: number;
    } | null;
    readonly lastRecovery: { readonly at: string; readonly afterMs: number } | null;
    readonly instances: readonly {
      readonly pmId: number;
      readonly state: 'starting' | 'fit' | 'unfit' | 'unverified' | 'draining' | 'quarantined' | 'stopped';
      readonly detail: string;
      readonly attemptsUsed: number;
      readonly consecutiveFailures: number;
      readonly lastProbe: {
        readonly at: string;
        readonly ok: boolean;
        readonly latencyMs: number;
        readonly detail: string;
      } | null;
    }[];
  }[];
}

/** Whether Holdfast takes care of a service, after a call that settles it. */
export interface CustodyView {
  readonly serviceName: string;
  readonly released: boolean;
  /** Whether this call changed it. */
  readonly changed: boolean;
  /** One sentence: what follows. */
  readonly message: string;
}

/** One black box as it is shown. */
export interface BlackBoxView {
  readonly entry: BlackBoxEntry;
  readonly summary: BlackBoxSummary;
  /** Where it was blocked; null where that is not known. */
  readonly stack: string | null;
}

/**
 * The control plane as the API sees it. Operations resolve when done or when `timeoutMs` ran out (then
 * `done: false`), and reject with a HoldfastError whose `status` is the HTTP status: `service.unknown` 404,
 * `operation.conflict` 409, `scale.not-above-current` / `scale.not-below-current` 409 (the other way), `service.quarantined` 409 (scale-up,
 * failover), `scale.above-max` / `scale.below-min` 422, `deploy.canary-failed` 424, `deploy.nothing-kept` 409, `operation.failed` 502,
 * `pm2.unreachable` / `pm2.timeout` 503, `service.not-adopted` 503, `service.unverified` 409 (scale-up, failover),
 * `service.not-managed` 409 (of a released service), `service.is-job` 409 (scale-up, scale-down), `service.not-configured` 409 (adopt).
 */
export interface ControlPlane {
  start(by: string): Promise<{ readonly running: true; readonly changed: boolean }>;
  stop(by: string): Promise<{ readonly running: false; readonly changed: boolean }>;
  status(): StatusView;
  /** Probes every instance now. */
  health(): Promise<HealthView>;
  metrics(): Promise<MetricsView>;
  /**
   * `serviceName` defaults to the first supervised service; `targetInstances` to one more or one less. A target that is
   * reached already resolves with `changed: false`.
   */
  scale(request: {
    direction: 'up' | 'down';
    serviceName?: string;
    targetInstances?: number;
    timeoutMs: number;
  }): Promise<OperationReport>;
  failover(request: { serviceName: string; reason?: string; timeoutMs: number }): Promise<OperationReport>;
  /** `putBack`: the files that served last, instead of those that lie there now. */
  deploy(request: { serviceName: string; putBack?: boolean; timeoutMs: number }): Promise<OperationReport>;
  resetFailure(
    serviceName: string,
    by: string,
  ): Promise<{ readonly serviceName: string; readonly cleared: { attempts: number; quarantined: boolean } }>;
  /** Leaves the service alone from now on, over restarts of the supervisor, until `adopt`. Idempotent. */
  release(serviceName: string, by: string): Promise<CustodyView>;
  /** Takes care of it again, with what runs then as what is wanted. Idempotent. */
  adopt(serviceName: string, by: string): Promise<CustodyView>;
  loadBalancer(): LoadBalancerView;
  failoverManager(): FailoverView;
  events(filter: { sinceMs?: number; service?: string; limit: number }): readonly EventRecord[];
  /** What is kept of instances that were replaced or died, newest last. */
  blackBoxes(): Promise<readonly BlackBoxEntry[]>;
  /** Rejects with `blackbox.unknown` 404. */
  blackBox(id: string): Promise<BlackBoxView>;
  /** Rejects with `blackbox.unknown` 404, and `blackbox.no-file` 404 where it has no such file. */
  blackBoxFile(id: string, file: BlackBoxFile): Promise<string>;
  /**
   * What a gateway saw of real traffic. Rejected with `gateway.too-many` 429 when more report than are listened to, or when
   * its name is that of a known one.
   * @param isKnown it showed the token, or is a program of this user.
   */
  reportTraffic(report: TrafficReport, isKnown: boolean): void;
  /** Live events; returns the unsubscribe. A listener that throws is dropped on the floor, counted. */
  subscribe(listener: (event: EventRecord) => void): () => void;
}
