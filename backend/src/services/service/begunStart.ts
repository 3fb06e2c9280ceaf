/**
 * A start that was begun: PM2's list may show the new process, and that may end, before the call has come back, or when
 * the supervisor that called has died meanwhile. What is new is told by the numbers that were listed before.
 */
import { isAlive, pmIdOf, refOf } from '../../domain/model.js';
import type { ManagedProcess } from '../../domain/model.js';
import type { Action } from '../../domain/reconcile/action.js';
import type { FailoverManager } from '../failoverManager.js';
import { noteStart } from './operationProgress.js';
import type { SupervisedService } from './supervisedService.js';

export interface BegunStart {
  readonly kind: 'start' | 'trial';
  /** The number of the one that it is to replace; null: it replaces none. */
  readonly replaces: number | null;
  /** The number of the halted one that is to run again; null: none is. */
  readonly resumes: number | null;
  /** All numbers that PM2 listed when it was begun. */
  readonly before: readonly number[];
}

/** null: that action starts nothing. */
export function begunBy(action: Action, listed: ReadonlySet<number>): BegunStart | null {
  const before = [...listed];
  switch (action.kind) {
    case 'start':
      return { kind: 'start', replaces: action.replaces?.pmId ?? null, resumes: null, before };
    case 'trial':
      return { kind: 'trial', replaces: null, resumes: action.target?.pmId ?? null, before };
    default:
      return null;
  }
}

/** The start under way that may be that of this number; null: it is none of it. */
export function startOf({ begun }: Pick<SupervisedService, 'begun'>, pmId: number): BegunStart | null {
  if (begun === null) return null;
  return pmId === begun.resumes || !begun.before.includes(pmId) ? begun : null;
}

/** Seen before the call that starts it has come back, or begun by a rollout whose supervisor did not live to hear of it. */
export function isStartedByUs(
  service: Pick<SupervisedService, 'begun' | 'rollout'>,
  { pmId }: ManagedProcess,
): boolean {
  if (startOf(service, pmId) !== null) return true;
  return service.rollout !== null && !service.rollout.outdated.some((key) => pmIdOf(key) === pmId);
}

/** The supervisor that began a start did not live to hear of it: what it has started is given its place now. */
export function takeOverStart(
  service: SupervisedService,
  newDaemon: boolean,
  failover: FailoverManager,
): void {
  const { begun, processes } = service;
  service.begun = null;
  if (begun === null || newDaemon) return;
  const { kind, replaces, resumes, before } = begun;
  const resumed = processes.filter((one) => one.pmId === resumes && isAlive(one));
  const fresh = processes.filter(({ pmId }) => !before.includes(pmId));
  const [started, ...others] = resumed.length > 0 ? resumed : fresh;
  // Of several it can't be told which one it is.
  if (started === undefined || others.length > 0) return;
  const { pmId } = started;
  service.provenance.started(started);
  if (kind === 'trial') {
    failover.trialStarted(service.name, pmId, new Set(processes.filter(isAlive).map((one) => one.pmId)));
    return;
  }
  if (replaces !== null) failover.succeed(service.name, replaces, pmId);
  const numbers = new Set(processes.map((one) => one.pmId));
  const fillsGap = replaces === null && failover.fillGap(service.name, pmId, numbers);
  noteStart(service, refOf(started), { isNew: replaces === null && !fillsGap });
}
