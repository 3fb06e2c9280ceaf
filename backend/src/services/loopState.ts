/** What of the control loop outlives the supervisor: gathered for the state file, and put back from it. */
import type { Adoption } from './adoption.js';
import type { AvailabilityKeeper } from './availabilityKeeper.js';
import { capturedService } from './desiredState.js';
import type { PersistedState } from './desiredState.js';
import type { FailoverManager } from './failoverManager.js';
import type { LoadBalancer, Moment } from './loadBalancer.js';
import type { Observer } from './observer.js';
import type { SupervisedService } from './supervisedService.js';

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
    { desired, rollout, operation, released, runningWhenOff, provenance, unproven },
  ] of Object.entries(state.services)) {
    const service = loop.services.get(name);
    if (service === undefined) continue;
    adoption.remember(name, desired);
    service.desired = desired;
    service.rollout = rollout;
    service.operation = operation;
    if (released) service.letGo = 'released';
    service.runningWhenOff = runningWhenOff;
    service.provenance.restore(provenance);
    service.unproven = unproven;
  }
  loop.failover.restore(state.failover);
  loop.loadBalancer.restore(state.scaling, loop.moment());
  loop.availability.restore(state.availability);
}
