/** How far an operation is: what it has done, what is left to its goal, and for how long it has come no closer. */
import { instanceKey } from '../../domain/model.js';
import type { InstanceRef, ManagedProcess, Operation } from '../../domain/model.js';
import type { FailoverManager } from '../failoverManager.js';
import { emptyPlacesOf } from './slotState.js';
import type { SupervisedService } from './supervisedService.js';

export interface Left {
  /** 0: it is at its goal. */
  readonly steps: number;
  /** The same in words. */
  readonly pending: readonly string[];
}

export function leftOf(service: SupervisedService, operation: Operation, failover: FailoverManager): Left {
  const wanted = Math.max(0, service.wantedServing() - emptyPlacesOf(service, failover));
  const present = service.processes.filter(
    (process) =>
      service.ends.runEndOf(process) === null &&
      failover.quarantinedSlot(service.name, process.pmId) === null,
  );
  const { rollout } = service;
  const outdated = rollout?.outdated.filter((key) => present.some((one) => instanceKey(one) === key)) ?? [];
  const serving = service.settledServing().length;
  const pending: string[] = [];
  // A scale-down only takes away: it does not wait for those that are missing for another reason.
  const isToServe = operation.failure === null && operation.kind !== 'scale-down';
  // Like a hole: the budget of its replacement is spent, and that is another matter.
  const isGivenUp = (process: ManagedProcess): boolean =>
    failover.isHeld(service.name, process.pmId) && !service.isServing(process);
  const givenUp = present.filter(isGivenUp).length;
  const missing = isToServe ? Math.max(0, wanted - givenUp - serving) : 0;
  const surplus = outdated.length > 0 ? 0 : Math.max(0, present.length - wanted);
  if (missing > 0) pending.push(`${serving} of ${wanted} instances serve`);
  if (outdated.length > 0) pending.push(`${outdated.length} instances are still to be replaced`);
  if (surplus > 0) pending.push(`${surplus} instances are still to be removed`);
  // What was asked for is in the list already, but which instance it was is known when the call comes back.
  const call = pending.length === 0 ? service.underWay : null;
  if (call !== null) pending.push(`a ${call} is under way`);
  const canary = rollout?.kind === 'deploy' && !rollout.canaryVerified ? 1 : 0;
  const steps = missing + outdated.length + surplus + (call === null ? 0 : 1);
  return { steps: steps === 0 ? 0 : steps + canary, pending };
}

/** A longer time between two looks is not its own: PM2 did not answer, or the machine was suspended. */
const LONGEST_LOOK_MS = 15_000;

/** @param elapsedMs since it was looked at before. */
export function progressed(operation: Operation, steps: number, elapsedMs: number): Operation {
  const { stepsLeft, idleMs } = operation;
  if (stepsLeft === null || steps < stepsLeft) return { ...operation, stepsLeft: steps, idleMs: 0 };
  return { ...operation, idleMs: idleMs + Math.min(LONGEST_LOOK_MS, Math.max(0, elapsedMs)) };
}

/** Whether it is being taken back, or what it started has failed, or takes too long, since it last came closer. */
export function isStuck(
  service: SupervisedService,
  { failure, started, idleMs }: Operation,
  failover: FailoverManager,
  wallMs: number,
): boolean {
  const last = failover.lastFailure(service.name);
  const hasFailed =
    last !== null && wallMs - last.atMs <= idleMs && started.some(({ pmId }) => pmId === last.pmId);
  const isSlow = idleMs >= service.policy.health.startTimeoutMs;
  return failure !== null || hasFailed || service.refusedStarts !== null || isSlow;
}

/**
 * One was started while an operation is under way. A failover and a deploy replace all that run; of a scaling only those are
 * its own that are more than there were.
 * @param isNew it replaces none, and fills no place that had become empty.
 */
export function noteStart(
  service: SupervisedService,
  instance: InstanceRef,
  { isNew }: { readonly isNew: boolean },
): void {
  const { operation } = service;
  if (operation === null || !(isRollout(operation) || (operation.kind === 'scale-up' && isNew))) return;
  service.operation = { ...operation, started: [...operation.started, instance] };
}

/** … was stopped. @param isSurplus it was one too many, and not replaced. */
export function noteStop(
  service: SupervisedService,
  instance: InstanceRef,
  { isSurplus }: { readonly isSurplus: boolean },
): void {
  const { operation } = service;
  if (operation === null || !(isRollout(operation) || isSurplus)) return;
  service.operation = { ...operation, stopped: [...operation.stopped, instance] };
}

function isRollout({ kind }: Operation): boolean {
  return kind === 'failover' || kind === 'deploy';
}

/** One that could not be taken back in time either says what is left of it. */
export function withWhatIsLeft(operation: Operation, pending: readonly string[]): Operation {
  if (operation.failure === null) return operation;
  const { code, message } = operation.failure;
  const failure = { code, message: `${message} Not all of that is done yet: ${pending.join('; ')}.` };
  return { ...operation, failure };
}
