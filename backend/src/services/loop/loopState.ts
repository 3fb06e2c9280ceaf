/** What of the control loop outlives the supervisor: gathered for the state file, and put back from it. */
import type { Operation, Rollout } from '../../domain/model.js';
import type { Adoption } from '../decide/adoption.js';
import type { AvailabilityKeeper } from '../observe/availabilityKeeper.js';
import { capturedService } from './desiredState.js';
import type { PersistedState } from './desiredState.js';
import type { FailoverManager } from '../failoverManager.js';
import type { LoadBalancer, Moment } from '../loadBalancer.js';
import type { Observer } from '../observe/observer.js';
import type { Incident } from '../service/incident.js';
import type { SupervisedService } from '../service/supervisedService.js';

/** The owners of what is kept. */
export interface LoopState {
  running: boolean;
  readonly services: ReadonlyMap<string, SupervisedService>;
  readonly failover: FailoverManager;
  readonly loadBalancer: LoadBalancer;
  readonly availability: AvailabilityKeeper;
  moment(): Moment;
}

export function captureLoop(loop: LoopState, observer: Observer, adoption: Adoption): PersistedState {
  // Of a service that was never seen nothing is known yet: it is not written down.
  const known = [...loop.services.values()].filter((service) => adoption.isKnown(service));
  return {
    version: 1,
    running: loop.running,
    daemonPid: observer.daemonPid,
    services: Object.fromEntries(known.map((service) => [service.name, capturedService(service)])),
    failover: loop.failover.snapshot(),
    scaling: loop.loadBalancer.snapshot(loop.moment()),
    availability: loop.availability.snapshot(),
  };
}

export function restoreLoop(loop: LoopState, state: PersistedState, adoption: Adoption): void {
  loop.running = state.running;
  for (const [
    name,
    {
      desired,
      found,
      rollout,
      operation,
      released,
      runningWhenOff,
      provenance,
      unproven,
      leaving,
      ends,
      begun,
      incident,
    },
  ] of Object.entries(state.services)) {
    const service = loop.services.get(name);
    if (service === undefined) continue;
    if (desired !== null) {
      adoption.remember(name, desired);
      service.desired = desired;
    }
    service.found = found;
    service.operation = restoredOperation(operation, rollout, service.desired, loop.moment().wallMs);
    // Only an operation ends a rollout.
    service.rollout = service.operation === null ? null : rollout;
    if (released) service.letGo = 'released';
    service.runningWhenOff = runningWhenOff;
    service.provenance.restore(provenance);
    service.unproven = unproven;
    service.leaving.restore(leaving, loop.moment().nowMs);
    service.ends.restore(ends);
    service.begun = begun;
    service.incident = incident === null ? null : restoredIncident(incident, loop.moment());
    service.isRestored = true;
  }
  loop.failover.restore(state.failover);
  loop.loadBalancer.restore(state.scaling, loop.moment());
  loop.availability.restore(state.availability);
}

/** A wall clock that was set back meanwhile makes it begin now. */
function restoredIncident(
  saved: Pick<Incident, 'sinceWallMs' | 'isLost'>,
  { nowMs, wallMs }: Moment,
): Incident {
  return { ...saved, sinceMs: nowMs - Math.max(0, wallMs - saved.sinceWallMs), restoredAtMs: null };
}

/** As it goes on. One that has lost what it was to replace can't be ended as asked for. */
function restoredOperation(
  saved: PersistedState['services'][string]['operation'],
  rollout: Rollout | null,
  desired: number,
  wallMs: number,
): Operation | null {
  if (saved === null) return null;
  const { kind, sinceMs, from, to, failure } = saved;
  const isRollout = kind === 'failover' || kind === 'deploy';
  const lost = isRollout && rollout?.kind !== kind && failure === null ? LOST_ROLLOUT : failure;
  return { ...saved, sinceMs: sinceMs ?? wallMs, from: from ?? desired, to: to ?? desired, failure: lost };
}

const LOST_ROLLOUT = {
  code: 'operation.failed',
  message:
    'Which instances were still to be replaced is not known any more, because the state file was damaged.',
};
