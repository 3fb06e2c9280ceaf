/** The views of the control plane in memory: real figures where it has them, fixed ones where PM2 would measure. */
import type { InstanceRef } from '../../domain/model.js';
import type { InstanceView, ServiceView } from '../../domain/views/serviceView.js';
import type {
  BlackBoxView,
  FailoverView,
  InstanceMetrics,
  LoadBalancerView,
  MetricsView,
} from '../../domain/views/controlPlane.js';
import type { HighAvailabilityFigures } from '../../domain/statistics/availability.js';

export const STARTED_AT = '2026-01-02T03:04:05.678Z';

export interface MemoryService {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  pmIds: number[];
  /** Instances that answer their probes. */
  serving: number;
  attempts: number;
  quarantined: boolean;
  /** Set by a test: another operation holds the service. */
  busy: boolean;
  /** Set by a test: the next build is broken. */
  brokenBuild: boolean;
}

export const figures: HighAvailabilityFigures = {
  availabilityPercent: 99.9,
  observedSeconds: 1_000,
  mttrMs: 800,
  scaleReactionMs: null,
  failoverSuccessPercent: 100,
  failures: 4,
  recoveries: 4,
};

export function refOf(pmId: number): InstanceRef {
  return { pmId, pid: 1_000 + pmId, port: 13_000 + pmId };
}

export function instanceMetrics(pmId: number): InstanceMetrics {
  return {
    ...refOf(pmId),
    cpuPercent: 25,
    memoryBytes: 5e7,
    memoryGrowthBytesPerSecond: 1e6,
    memoryLimitInMs: 300_000,
    eventLoopPercent: null,
    waitingWorkMs: null,
    agent: null,
    uptimeMs: 90_000,
    restarts: 1,
    responseTimeMs: { p50: 1, p95: 20, p99: 300 },
    errorRate: 0.01,
    throughputPerSecond: null,
  };
}

export function viewOf(service: MemoryService): ServiceView {
  const { name, min, max, pmIds, serving } = service;
  const unhealthy = serving === 0 ? 'unhealthy' : 'degraded';
  return {
    name,
    state: service.quarantined ? 'quarantined' : serving === pmIds.length ? 'healthy' : unhealthy,
    desired: pmIds.length,
    serving,
    min,
    max,
    reason: `${serving} of ${pmIds.length} serve`,
    diagnosis: null,
    unprovenFiles: null,
    startWarnings: [],
    warnings: [],
    operation: null,
    instances: pmIds.map((pmId, index) => instanceView(name, pmId, index < serving)),
  };
}

function instanceView(service: string, pmId: number, serving: boolean): InstanceView {
  return {
    ...refOf(pmId),
    service,
    host: '127.0.0.1',
    owner: null,
    startedAtMs: 1_767_323_045_678,
    createdAtMs: 1_767_323_045_678,
    killTimeoutMs: 10_000,
    status: 'online',
    mode: 'cluster',
    restarts: 1,
    fitness: serving
      ? { kind: 'fit', sinceMs: 1_767_323_045_999 }
      : { kind: 'unfit', sinceMs: 1_767_323_045_999, cause: 'unhealthy', detail: 'HTTP 503' },
    serving,
    draining: false,
    quarantined: false,
    attemptsUsed: 0,
    cpuPercent: null,
    memoryBytes: 5e7,
    eluPercent: null,
    agent: 'absent',
    memoryTrend: {
      kind: 'growing',
      limit: 'resident',
      perSecondBytes: 1e6,
      usedBytes: 5e7,
      limitBytes: 3.5e8,
      etaMs: 300_000,
      spanMs: 600_000,
      sure: true,
    },
    backlogPercent: null,
  };
}

export function metricsOf(services: readonly MemoryService[]): MetricsView {
  return {
    system: {
      cores: 2,
      cpuPercent: 12.5,
      memoryTotalBytes: 4e9,
      memoryUsedPercent: 40,
      diskUsedPercent: null,
      connections: 7,
      loadAverage1m: 0.4,
      uptimeSeconds: 100,
    },
    supervisor: { cpuPercent: 0.5, memoryBytes: 6e7, uptimeSeconds: 50 },
    services: services.map((service) => ({
      name: service.name,
      desired: service.pmIds.length,
      serving: service.serving,
      cpuPercent: 50,
      memoryBytes: 5e7,
      responseTimeMs: { p50: 1, p95: 20, p99: 300 },
      errorRate: 0,
      throughputPerSecond: null,
      restarts: 3,
      recycled: 1,
      instances: service.pmIds.map(instanceMetrics),
      highAvailability: figures,
    })),
    highAvailability: figures,
    agents: { connected: 2, refused: 4, badLines: 5, problem: null },
    dropped: { events: 2, notifications: 1, blackBoxes: 3 },
  };
}

export function loadBalancerOf(services: readonly MemoryService[]): LoadBalancerView {
  const last = {
    at: STARTED_AT,
    action: 'hold',
    from: 2,
    to: 2,
    reason: 'load 50 % is between 30 % and 80 %',
    limitedBy: null,
    inputs: { loadPercent: 50, backlogPercent: null, memoryPercent: null, ready: 2, starting: 0 },
  } as const;
  return {
    thresholds: { cpuHighPercent: 80, cpuLowPercent: 30, memoryHighPercent: 80, memoryLowPercent: 30 },
    scaleCooldownMs: 60_000,
    services: services.map(({ name, pmIds, min, max }) => ({
      name,
      current: pmIds.length,
      desired: pmIds.length,
      min,
      max,
      autoscale: true,
      cooldownLeftMs: 0,
      last,
      decisions: [last],
    })),
  };
}

export function failoverOf(services: readonly MemoryService[]): FailoverView {
  return {
    limits: {
      healthCheckIntervalMs: 30_000,
      healthCheckTimeoutMs: 5_000,
      maxRestartAttempts: 3,
      restartCooldownMs: 60_000,
      restartWindowMs: 300_000,
      unhealthyThreshold: 3,
      healthyThreshold: 2,
    },
    services: services.map((service) => ({
      name: service.name,
      state: viewOf(service).state,
      attemptsUsed: service.attempts,
      attemptsMax: 3,
      quarantine: service.quarantined
        ? { since: STARTED_AT, reason: 'spent', nextTrialAt: null, trials: 0 }
        : null,
      lastFailure: { at: STARTED_AT, cause: 'crashed', detail: 'exit code 1', pmId: 1 },
      lastRecovery: { at: STARTED_AT, afterMs: 800 },
      instances: service.pmIds.map((pmId) => ({
        pmId,
        state: 'fit',
        detail: 'HTTP 200',
        attemptsUsed: 0,
        consecutiveFailures: 0,
        lastProbe: { at: STARTED_AT, ok: true, latencyMs: 1.2, detail: 'HTTP 200' },
      })),
    })),
  };
}

const ID = 'words-1-2026-01-02T03-04-05.678Z';
const JUDGED = {
  id: ID,
  service: 'words',
  pmId: 1,
  at: '2026-01-02T03:04:05.678Z',
  cause: 'hung',
  detail: 'blocked for 1.0 s in spin (/app/words.js:3:1)',
} as const;
const STACK = '    at spin (/app/words.js:3:1)\n';

/** The only one that is kept. */
export const BLACK_BOX: BlackBoxView = {
  entry: {
    ...JUDGED,
    outcome: 'replaced',
    bytes: 1_000 + STACK.length,
    files: [
      { name: 'summary.json', bytes: 1_000 },
      { name: 'stack.txt', bytes: STACK.length },
    ],
  },
  summary: {
    version: 1,
    ...JUDGED,
    pid: 1_001,
    port: 13_001,
    startedAt: STARTED_AT,
    ranMs: 90_000,
    findings: ['2 requests without an answer 0.1 s before, the oldest for 1.2 s'],
    decision: {
      by: 'unfit',
      exitCode: null,
      signal: null,
      lastProbe: { at: STARTED_AT, ok: true, detail: 'ok' },
      attemptsUsed: 0,
      attemptsMax: 3,
      desired: 2,
      serving: 1,
    },
    outcome: { kind: 'replaced', byPmId: 3, servingAfterMs: 640, endedAfterMs: 1_900 },
    hang: {
      silentMs: 1_004,
      where: 'javascript',
      detail: JUDGED.detail,
      requests: [{ method: 'GET', path: '/spin', ageMs: 1_010 }],
    },
    versions: { holdfast: '1.2.3', agent: '1.2.3', node: 'v20.20.2' },
    stderrPath: '/srv/logs/words-error.log',
    omitted: [],
    before: [],
    after: [],
  },
  stack: STACK,
};
