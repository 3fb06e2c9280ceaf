/**
 * What a service goes through from its first failure until it is whole again, and has stayed so for the stable period. Failures
 * meanwhile belong to the same incident.
 */
import type { Clock } from '../../ports.js';
import type { AvailabilityKeeper } from '../observe/availabilityKeeper.js';
import type { EventLog } from '../events/eventLog.js';
import type { FailoverManager } from '../failoverManager.js';
import type { SupervisedService } from './supervisedService.js';

export interface Incident {
  /** Of the first failure, Clock.nowMs(). */
  readonly sinceMs: number;
  /** The same, Clock.wallMs(): it outlives the supervisor. */
  readonly sinceWallMs: number;
  restoredAtMs: number | null;
  /** It led to a quarantine. */
  isLost: boolean;
}

interface Surroundings {
  readonly clock: Clock;
  readonly availability: AvailabilityKeeper;
}

/** Something failed. */
export function openIncident(service: SupervisedService, { clock, availability }: Surroundings): void {
  if (service.incident === null) {
    const since = { sinceMs: clock.nowMs(), sinceWallMs: clock.wallMs() };
    service.incident = { ...since, restoredAtMs: null, isLost: false };
    availability.failed(service.name);
  }
  service.incident.restoredAtMs = null;
}

/** It led to a quarantine. However many instances are quarantined, it is one failure. */
export function loseIncident(
  { name, incident }: SupervisedService,
  { availability }: Pick<Surroundings, 'availability'>,
): void {
  if (incident?.isLost === true) return;
  if (incident !== null) incident.isLost = true;
  availability.lost(name);
}

/** A recovery counts when all that are wanted serve, and have done so for the stable period. */
export function reviewIncident(
  service: SupervisedService,
  {
    clock,
    availability,
    failover,
    events,
  }: Surroundings & { readonly failover: FailoverManager; readonly events: EventLog },
): void {
  const { incident } = service;
  if (incident === null) return;
  if (
    service.settledServing().length < service.wantedServing() ||
    failover.quarantine(service.name).kind !== 'none'
  ) {
    incident.restoredAtMs = null;
    return;
  }
  incident.restoredAtMs ??= clock.nowMs();
  if (clock.nowMs() - incident.restoredAtMs < service.policy.failure.stableMs) return;
  const afterMs = Math.round(incident.restoredAtMs - incident.sinceMs);
  service.incident = null;
  // What has ended in quarantine has been counted.
  if (!incident.isLost) availability.recovered(service.name, afterMs);
  events.emit('service.recovered', { service: service.name, afterMs });
}
