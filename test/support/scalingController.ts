/** The real LoadBalancer as a controller in the simulation: one observation and one decision a second. */
import type { InstanceView } from '../../backend/src/domain/views/serviceView.js';
import type { ScalingPolicy, ServicePolicy } from '../../backend/src/domain/policy.js';
import { DEFAULT_DOWN_WINDOW_MS, DEFAULT_UP_WINDOW_MS } from '../../backend/src/domain/scaling/scaling.js';
import { DRAIN_MS } from '../../backend/src/domain/scaling/backlog.js';
import { LoadBalancer } from '../../backend/src/services/loadBalancer.js';
import { MAX_WORKERS, type Controller, type Moment } from './scalingSimulation.js';

const MEBIBYTE = 1_048_576;

export const DEFAULT_SCALING: ScalingPolicy = {
  minInstances: 1,
  maxInstances: 4,
  cpuHighPercent: 80,
  cpuLowPercent: 30,
  memoryHighPercent: 80,
  memoryLowPercent: 30,
  cooldownMs: 60_000,
  upWindowMs: DEFAULT_UP_WINDOW_MS,
  downWindowMs: DEFAULT_DOWN_WINDOW_MS,
  autoscale: true,
};

/** A service held to the defaults, except for `changes` to its scaling. */
export function scalingPolicyOf(changes: Partial<ScalingPolicy>, name = 'simulated'): ServicePolicy {
  return {
    name,
    ports: null,
    memoryLimitBytes: 512 * MEBIBYTE,
    scaling: { ...DEFAULT_SCALING, ...changes },
    health: {
      probe: { kind: 'tcp' },
      intervalMs: 30_000,
      timeoutMs: 5_000,
      fastIntervalMs: 1_000,
      fall: 3,
      rise: 2,
      startTimeoutMs: 30_000,
    },
    failure: {
      maxRestartAttempts: 3,
      windowMs: 600_000,
      restartCooldownMs: 60_000,
      backoffBaseMs: 500,
      stableMs: 10_000,
    },
    hangTimeoutMs: 1_000,
    lifecycle: { drainGraceMs: 500, killTimeoutMs: 5_000, canaryMs: 10_000 },
  };
}

/** An instance that serves with these figures, or one that is starting. */
export function instanceWith(figures: {
  readonly service?: string;
  readonly pmId?: number;
  readonly serving?: boolean;
  readonly cpuPercent?: number | null;
  readonly eluPercent?: number | null;
  readonly backlogPercent?: number | null;
  readonly memoryBytes?: number | null;
}): InstanceView {
  const pmId = figures.pmId ?? 0;
  const serving = figures.serving ?? true;
  return {
    service: figures.service ?? 'simulated',
    host: '127.0.0.1',
    owner: null,
    pmId,
    startedAtMs: 1,
    pid: 1000 + pmId,
    port: null,
    status: 'online',
    mode: 'cluster',
    restarts: 0,
    createdAtMs: 1,
    killTimeoutMs: 10_000,
    fitness: serving ? { kind: 'fit', sinceMs: 1 } : { kind: 'starting' },
    serving,
    draining: false,
    quarantined: false,
    attemptsUsed: 0,
    cpuPercent: figures.cpuPercent ?? null,
    memoryBytes: figures.memoryBytes === undefined ? 60 * MEBIBYTE : figures.memoryBytes,
    eluPercent: figures.eluPercent ?? null,
    memoryTrend: { kind: 'unknown' },
    backlogPercent: figures.backlogPercent ?? null,
    agent: 'absent',
  };
}

/** The controller without agents; `reasons` receives every move as people would read it. */
export function holdfast(changes: Partial<ScalingPolicy>, reasons?: string[]): () => Controller {
  return controllerOf(changes, () => null, reasons);
}

/** The same with agents, which see what waits in a saturated worker. */
export function holdfastWithAgents(changes: Partial<ScalingPolicy>, reasons?: string[]): () => Controller {
  return controllerOf(
    changes,
    ({ ready, load, queue }) => (load < 0.95 ? 0 : Math.min(100, (100_000 * queue) / ready / DRAIN_MS)),
    reasons,
  );
}

function controllerOf(
  changes: Partial<ScalingPolicy>,
  backlogPercentOf: (moment: Moment) => number | null,
  reasons?: string[],
): () => Controller {
  const policy = scalingPolicyOf({ maxInstances: MAX_WORKERS, ...changes });
  const host = { memoryTotalBytes: 16_384 * MEBIBYTE, memoryAvailableBytes: 8_192 * MEBIBYTE };
  return () => {
    const balancer = new LoadBalancer();
    return (moment) => {
      const { second, ready, starting, load } = moment;
      const backlogPercent = backlogPercentOf(moment);
      const at = { nowMs: second * 1000, wallMs: second * 1000 };
      const instances = Array.from({ length: ready + starting }, (_, pmId) =>
        pmId < ready
          ? instanceWith({ pmId, cpuPercent: 100 * load, backlogPercent })
          : instanceWith({ pmId, serving: false }),
      );
      balancer.observe(policy, instances, at.nowMs);
      const decision = balancer.decide(policy, { desired: ready + starting, host, blocked: null }, at);
      if (decision.action !== 'hold') {
        balancer.noteMove(policy.name, decision.from, decision.to, at.nowMs, 'autoscaler');
        reasons?.push(`${second} s ${decision.reason}`);
      }
      return decision.to;
    };
  };
}
