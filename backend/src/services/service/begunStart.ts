/**
 * A start that was begun: PM2's list may show the new process, and that may end, before the call has come back, and the call
 * may never come back: it ran out of time, or the supervisor that called has died. PM2 carries it out all the same, sooner or
 * later. What is new is told by the numbers that were listed before.
 */
import { HoldfastError } from '../../domain/errors.js';
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

/** From the first list that could show it to the end of the doubt: PM2 opens log files before it lists a process. */
const LISTED_WITHIN_MS = 2_000;

/** Whether its call will not come back, and it is not known yet whether PM2 has carried it out. */
export function isInDoubt({ begun, underWay }: Pick<SupervisedService, 'begun' | 'underWay'>): boolean {
  return begun !== null && underWay !== 'start' && underWay !== 'trial';
}

/** Whether PM2 may have carried out, or may still carry out, what it was asked for. */
export function isUnanswered(thrown: unknown): boolean {
  return thrown instanceof HoldfastError && ['pm2.unreachable', 'pm2.timeout'].includes(thrown.code);
}

/** Seen before the call that starts it has come back, or begun by a rollout whose supervisor did not live to hear of it. */
export function isStartedByUs(
  service: Pick<SupervisedService, 'begun' | 'rollout'>,
  { pmId }: ManagedProcess,
): boolean {
  if (startOf(service, pmId) !== null) return true;
  return service.rollout !== null && !service.rollout.outdated.some((key) => pmIdOf(key) === pmId);
}

/** With each list: what was started by a call that will not come back is given its place as soon as it is there. */
export function takeOverStart(
  service: SupervisedService,
  newDaemon: boolean,
  failover: FailoverManager,
  nowMs: number,
): void {
  const { begun } = service;
  if (begun === null || !isInDoubt(service)) return;
  if (newDaemon) return settle(service);
  if (findStarted(service, failover)) return;
  service.doubtedSinceMs ??= nowMs;
  if (nowMs - service.doubtedSinceMs < LISTED_WITHIN_MS) return;
  settle(service);
  if (begun.kind === 'trial') failover.trialNotStarted(service.name);
}

/** Gives what was started its place, if it is listed. False when nothing is. */
export function findStarted(service: SupervisedService, failover: FailoverManager): boolean {
  const { begun, processes } = service;
  if (begun === null) return true;
  const { kind, replaces, resumes, before } = begun;
  const resumed = processes.filter((one) => one.pmId === resumes && isAlive(one));
  const fresh = processes.filter(({ pmId }) => !before.includes(pmId));
  const [started, ...others] = resumed.length > 0 ? resumed : fresh;
  if (started === undefined) return false;
  settle(service);
  // Of several it can't be told which one it is.
  if (others.length > 0) return true;
  const { pmId } = started;
  service.provenance.started(started);
  if (kind === 'trial') {
    failover.trialStarted(service.name, pmId, new Set(processes.filter(isAlive).map((one) => one.pmId)));
    return true;
  }
  if (replaces !== null) failover.succeed(service.name, replaces, pmId);
  const numbers = new Set(processes.map((one) => one.pmId));
  const fillsGap = replaces === null && failover.fillGap(service.name, pmId, numbers);
  noteStart(service, refOf(started), { isNew: replaces === null && !fillsGap });
  return true;
}

function settle(service: SupervisedService): void {
  service.begun = null;
  service.doubtedSinceMs = null;
}
