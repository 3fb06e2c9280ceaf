/** Restart budgets, quarantines and the state of each instance, put together for the API. Reads only. */
import { instanceKey, isAlive } from '../../domain/model.js';
import type { ManagedProcess } from '../../domain/model.js';
import type { ServicePolicy } from '../../domain/policy.js';
import type { FailoverView } from '../../domain/views/controlPlane.js';
import { explainUnverified } from '../../domain/health/unverified.js';
import type { ControlLoop } from '../loop/controlLoop.js';
import type { SupervisedService } from '../service/supervisedService.js';

/** @param policy whose limits are shown: those of the default service. */
export function failoverView(loop: ControlLoop, policy: ServicePolicy): FailoverView {
  const { health, failure } = policy;
  return {
    limits: {
      healthCheckIntervalMs: health.intervalMs,
      healthCheckTimeoutMs: health.timeoutMs,
      maxRestartAttempts: failure.maxRestartAttempts,
      restartCooldownMs: failure.restartCooldownMs,
      restartWindowMs: failure.windowMs,
      unhealthyThreshold: health.fall,
      healthyThreshold: health.rise,
    },
    services: [...loop.services.values()].map((service) => serviceFailover(loop, service)),
  };
}

function serviceFailover(loop: ControlLoop, service: SupervisedService): FailoverView['services'][number] {
  const { failover, availability } = loop;
  const { name } = service;
  const quarantine = failover.quarantine(name);
  const lastFailure = failover.lastFailure(name);
  const lastRecovery = availability.lastRecovery(name);
  return {
    name,
    state: service.state(),
    attemptsUsed: failover.attemptsUsed(name),
    attemptsMax: service.policy.failure.maxRestartAttempts,
    quarantine:
      quarantine.kind === 'none'
        ? null
        : {
            since: iso(quarantine.sinceMs),
            reason: quarantine.reason,
            nextTrialAt: quarantine.kind === 'quarantined' ? iso(quarantine.nextTrialAtMs) : null,
            trials: quarantine.trials,
          },
    lastFailure:
      lastFailure === null
        ? null
        : {
            at: iso(lastFailure.atMs),
            cause: lastFailure.cause,
            detail: lastFailure.detail,
            pmId: lastFailure.pmId,
          },
    lastRecovery:
      lastRecovery === null ? null : { at: iso(lastRecovery.atMs), afterMs: lastRecovery.afterMs },
    instances: service.processes.map((process) => instanceFailover(loop, service, process)),
  };
}

function instanceFailover(
  loop: ControlLoop,
  service: SupervisedService,
  process: ManagedProcess,
): FailoverView['services'][number]['instances'][number] {
  const key = instanceKey(process);
  const health = loop.health.state(key);
  const probe = loop.health.lastProbe(key);
  const { state, detail } = describe(loop, service, process);
  return {
    pmId: process.pmId,
    state,
    detail,
    attemptsUsed: loop.failover.attemptsUsed(service.name, process.pmId),
    consecutiveFailures: health?.kind === 'fit' || health?.kind === 'starting' ? health.failures : 0,
    lastProbe:
      probe === null
        ? null
        : {
            at: iso(probe.atWallMs),
            ok: probe.ok,
            latencyMs: Math.round(probe.latencyMs * 100) / 100,
            detail: probe.detail,
          },
  };
}

function describe(
  loop: ControlLoop,
  service: SupervisedService,
  process: ManagedProcess,
): Pick<FailoverView['services'][number]['instances'][number], 'state' | 'detail'> {
  if (loop.failover.quarantinedSlot(service.name, process.pmId) !== null) {
    return { state: 'quarantined', detail: 'its restart budget is spent' };
  }
  if (service.isDraining(process))
    return { state: 'draining', detail: 'withdrawn from traffic, about to stop' };
  if (!isAlive(process)) return { state: 'stopped', detail: `PM2 says ${process.status}` };
  const health = loop.health.state(instanceKey(process));
  if (health === null || health.kind === 'starting') return { state: 'starting', detail: 'not verified yet' };
  if (health.kind === 'unfit') return { state: 'unfit', detail: `${health.cause}: ${health.detail}` };
  if (health.kind === 'unverified') {
    return { state: 'unverified', detail: explainUnverified(process, service.policy, health.detail) };
  }
  return { state: 'fit', detail: health.problem ?? 'serving' };
}

function iso(wallMs: number): string {
  return new Date(wallMs).toISOString();
}
