/** How one service fares as a whole, in one word. */
import type { ManagedProcess } from '../../domain/model.js';
import type { ServiceState } from '../../domain/views/serviceView.js';
import type { Collaborators, SupervisedService } from './supervisedService.js';

export function stateOf(
  service: SupervisedService,
  { failover }: Pick<Collaborators, 'failover'>,
): ServiceState {
  if (service.letGo !== null) return 'released';
  if (service.isStoppedByOperator()) return 'stopped';
  if (failover.quarantine(service.name).kind !== 'none') return 'quarantined';
  const runs = service.processes.map((process) => service.ends.runEndOf(process));
  // A job that PM2 does not list: no run of it is to be started by us.
  if (runs.length === 0 && service.isJob()) return 'stopped';
  if (runs.length > 0 && runs.every((run) => run !== null)) {
    return runs.includes('failed') ? 'unhealthy' : 'finished';
  }
  const serving = service.serving().length;
  if (serving === 0) return 'unhealthy';
  if (service.restartLoop() !== null) return 'degraded';
  if (service.unverified().length > 0) return 'unverified';
  return serving < service.wantedServing() || runs.includes('failed') ? 'degraded' : 'healthy';
}

/** Every row stopped, or still ending beside one that is, and an operator wants it so. */
export function wasStoppedByOperator(
  service: SupervisedService,
  isQuarantined: (pmId: number) => boolean,
): boolean {
  const isStopping = (process: ManagedProcess): boolean =>
    process.status === 'stopping' &&
    !service.isDraining(process) &&
    service.restarts.causeOf(process) === null;
  const isEnded = (process: ManagedProcess): boolean => process.status === 'stopped' || isStopping(process);
  const isAsked = (process: ManagedProcess): boolean =>
    process.status === 'stopped' &&
    service.ends.isLifelessForGood(process) &&
    service.ends.runEndOf(process) === null &&
    !service.ends.hasEndedUnasked(process.pmId) &&
    !isQuarantined(process.pmId);
  return service.processes.every(isEnded) && service.processes.some(isAsked);
}
