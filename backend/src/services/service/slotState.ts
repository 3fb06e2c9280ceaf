/** What the rules see of one instance: its state as domain/reconcile names it. */
import { isUnknown, mayServe } from '../../domain/health/health.js';
import type { HealthState } from '../../domain/health/health.js';
import { instanceKey, isAlive } from '../../domain/model.js';
import type { ManagedProcess } from '../../domain/model.js';
import type { SlotState } from '../../domain/reconcile/slot.js';
import { emptyPlacesAmong } from '../../domain/reconcile/slotGroups.js';
import type { FailoverManager } from '../failoverManager.js';
import type { Collaborators, SupervisedService } from './supervisedService.js';

export function slotStateOf(
  service: SupervisedService,
  process: ManagedProcess,
  { failover, health: monitor, traffic }: Collaborators,
): SlotState {
  const health = monitor.state(instanceKey(process));
  const quarantined = failover.quarantinedSlot(service.name, process.pmId);
  const draining = service.leaving.draining(process);
  if (draining !== null) {
    const { sinceMs, why } = draining;
    // What a gateway has under way at a port that two have says nothing of this one.
    const isTold = process.port !== null && !service.doubles.has(process);
    const drained = isTold ? traffic.drained(process.port, sinceMs) : null;
    const canReturn = quarantined === null ? canServe(process, health) : 'no';
    return { kind: 'draining', sinceMs, why, drained, canReturn };
  }
  if (quarantined !== null) {
    const passes = health?.kind === 'fit';
    return { kind: 'quarantined', running: isAlive(process), passes, failOpen: quarantined.failOpen };
  }
  // It cannot listen, and nothing is started in its place any more: it is of no use.
  const isStuck = service.doubles.isTaken(process.pmId) && failover.isHeld(service.name, process.pmId);
  if (isStuck && isAlive(process)) return { kind: 'quarantined', running: true, failOpen: false };
  if (service.ends.runEndOf(process) !== null) return { kind: 'ended' };
  if (!isAlive(process)) {
    return service.ends.isLifelessForGood(process)
      ? { kind: 'debris', detail: `PM2 says ${process.status}` }
      : { kind: 'starting' };
  }
  // Being restarted or stopped by an operator: the next look tells which.
  if (process.status === 'stopping') return { kind: 'starting' };
  switch (health?.kind) {
    case 'fit':
    case 'unverified':
      return { kind: health.kind };
    case 'unfit': {
      const { cause, detail, wasReady } = health;
      return { kind: 'unfit', cause, detail, wasReady };
    }
    case 'starting':
      return { kind: isUnknown(health) ? 'unknown' : 'starting' };
    case undefined:
      return { kind: 'starting' };
  }
}

/** Whether one that drains could take traffic again. */
function canServe(process: ManagedProcess, health: HealthState | null): 'yes' | 'no' | 'unknown' {
  if (!isAlive(process) || process.status === 'stopping') return 'no';
  if (mayServe(health)) return 'yes';
  return health !== null && isUnknown(health) ? 'unknown' : 'no';
}

/** How many places of a service are empty because their budget is spent. */
export function emptyPlacesOf(service: SupervisedService, failover: FailoverManager): number {
  const holes = failover.holes(service.name);
  return holes === 0 ? 0 : emptyPlacesAmong(service.slots(), service.desired, holes);
}
