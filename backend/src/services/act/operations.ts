/**
 * What operators ask for: scale, failover, deploy. An operation changes what is desired and then watches until that
 * is so; the reconciler does the work. One at a time per service. It is persisted, so that a restarted supervisor
 * ends what was begun, and it always ends:
 *
 *   running ──everything as asked──▶ done
 *      └── a new instance failed for good, none can be started, or it comes no closer to its goal for as long as
 *          a step can take (domain/failures/endings) ──▶ taken back, for no longer than that ──▶ failed
 *
 * What is stuck meanwhile makes way for a deploy, which may bring the build that mends it.
 */
import { diagnosisText } from '../../domain/diagnosis/facts.js';
import { longestStepMs } from '../../domain/failures/endings.js';
import { HoldfastError } from '../../domain/errors.js';
import { unprovenText } from '../../domain/failures/unprovenFiles.js';
import { instanceKey, isAlive, pmIdOf } from '../../domain/model.js';
import type { Operation, OperationKind, OperationReport } from '../../domain/model.js';
import type { Clock } from '../../ports.js';
import type { Diagnostician } from '../diagnosis/diagnostician.js';
import type { EventLog } from '../events/eventLog.js';
import type { FailoverManager } from '../failoverManager.js';
import type { HealthMonitor } from '../observe/healthMonitor.js';
import { isStuck, leftOf, progressed, withWhatIsLeft } from '../service/operationProgress.js';
import type { SupervisedService } from '../service/supervisedService.js';

export interface OperationsOptions {
  readonly clock: Clock;
  readonly events: EventLog;
  readonly failover: FailoverManager;
  readonly health: HealthMonitor;
  /** Why new instances fail. */
  readonly diagnostician: Pick<Diagnostician, 'about'>;
  readonly newId: () => string;
  /** Changes the desired count, and tells. */
  readonly setDesired: (service: SupervisedService, to: number, reason: string) => void;
  /** The desired state changed: let the reconciler go on, persist it, resolve when that is safe. */
  readonly onChange: (service: SupervisedService) => Promise<void>;
}

type Ending = { readonly report: OperationReport } | { readonly error: HoldfastError };

interface Waiter {
  readonly operationId: string;
  readonly end: (ending: Ending) => void;
}

/** How long the caller of an operation that failed waits for what its instances left behind. */
const LONGEST_DIAGNOSIS_MS = 10_000;
const CANARY_FAILED = 'the canary did not verify';
const STATUS_OF: Readonly<Record<string, number>> = {
  'deploy.canary-failed': 424,
  'operation.superseded': 409,
};

export class Operations {
  readonly #options: OperationsOptions;
  readonly #waiters = new Set<Waiter>();
  /** When (Clock.nowMs) the operation of a service was looked at last. */
  readonly #lookedAtMs = new Map<string, number>();

  constructor(options: OperationsOptions) {
    this.#options = options;
  }

  /** Throws `operation.conflict` (409) when one is under way on that service, unless it is stuck and a deploy is to come. */
  assertNone(service: SupervisedService, before?: OperationKind): void {
    const { operation } = service;
    const { failover, clock } = this.#options;
    if (operation === null) return;
    if (before === 'deploy' && isStuck(service, operation, failover, clock.wallMs())) return;
    throw new HoldfastError(
      'operation.conflict',
      `${service.name} is busy: ${operation.kind} ${operation.id} has been under way since ` +
        `${new Date(operation.sinceMs).toISOString()}. Try again when it has ended (GET /api/ha/status).`,
      { status: 409, retryable: true, details: { operationId: operation.id, kind: operation.kind } },
    );
  }

  /** Begins and waits, at most `timeoutMs`; the operation itself goes on after that. */
  async run(
    service: SupervisedService,
    request: { kind: OperationKind; to: number; reason: string; timeoutMs: number },
  ): Promise<OperationReport> {
    const { kind, to, reason } = request;
    this.assertNone(service, kind);
    if (service.operation !== null) this.#supersede(service, service.operation);
    const operation: Operation = {
      id: this.#options.newId(),
      kind,
      reason,
      sinceMs: this.#options.clock.wallMs(),
      from: service.desired,
      to,
      started: [],
      stopped: [],
      failure: null,
      stepsLeft: null,
      idleMs: 0,
    };
    service.operation = operation;
    this.#lookedAtMs.delete(service.name);
    service.refusedStarts = null;
    this.#options.setDesired(service, to, reason);
    if (kind === 'failover' || kind === 'deploy') {
      const outdated = service.processes.filter(isAlive).map(instanceKey);
      service.rollout = { kind, outdated, canaryVerified: kind === 'failover' };
    }
    this.#options.events.emit('operation.started', {
      service: service.name,
      operationId: operation.id,
      kind,
      reason,
    });
    const ended = this.#wait(service, operation.id, request.timeoutMs);
    await this.#options.onChange(service);
    return ended;
  }

  /** The answer to a call that asks for what is desired already. No operation begins, and no event tells of one. */
  nothingToDo(service: SupervisedService, kind: OperationKind): OperationReport {
    const { name, desired } = service;
    const serving = service.settledServing().length;
    const already = `${name} already has ${desired} ${desired === 1 ? 'instance' : 'instances'}`;
    const message = serving < desired ? `${already}, of which ${serving} serve now` : already;
    return this.#unchanged(service, kind, message);
  }

  /** A run that is replaced would be made twice. */
  leftToItsRuns(service: SupervisedService, kind: OperationKind): OperationReport {
    const message = `${service.name} is a job (autorestart: false): no run is replaced, the next one runs what lies there then`;
    return this.#unchanged(service, kind, message);
  }

  #unchanged(service: SupervisedService, kind: OperationKind, message: string): OperationReport {
    const { name, desired } = service;
    return {
      operationId: null,
      kind,
      serviceName: name,
      changed: false,
      done: true,
      message,
      fromInstances: desired,
      toInstances: desired,
      started: [],
      stopped: [],
      pending: [],
      durationMs: 0,
    };
  }

  #wait(service: SupervisedService, operationId: string, timeoutMs: number): Promise<OperationReport> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        operationId,
        end: (ending) => {
          this.#waiters.delete(waiter);
          cancel();
          if ('error' in ending) reject(ending.error);
          else resolve(ending.report);
        },
      };
      const cancel = this.#options.clock.after(timeoutMs, () => {
        const { operation } = service;
        // Another one may have taken its place: the answer to this one is on its way then.
        if (operation?.id === operationId) waiter.end({ report: this.#report(service, operation, false) });
      });
      this.#waiters.add(waiter);
    });
  }

  /** Looks how far it is. Called after every step and every look. */
  check(service: SupervisedService): void {
    if (service.operation === null) return;
    this.#verifyCanary(service);
    const operation = this.#look(service, service.operation);
    service.operation = operation;
    if (operation.failure === null) {
      const problem = this.#problem(service, operation);
      if (problem !== null) return this.#takeBack(service, operation, problem);
    }
    const left = leftOf(service, operation, this.#options.failover);
    const isDone = left.steps === 0;
    if (isDone) this.#end(service, operation);
    else if (this.#isAtEnd(service, operation)) this.#end(service, withWhatIsLeft(operation, left.pending));
  }

  #look(service: SupervisedService, operation: Operation): Operation {
    const nowMs = this.#options.clock.nowMs();
    const elapsedMs = nowMs - (this.#lookedAtMs.get(service.name) ?? nowMs);
    this.#lookedAtMs.set(service.name, nowMs);
    return progressed(operation, leftOf(service, operation, this.#options.failover).steps, elapsedMs);
  }

  #isAtEnd({ policy }: SupervisedService, { idleMs }: Operation): boolean {
    return idleMs >= longestStepMs(policy);
  }

  /** A deploy takes its place: what is wanted stays, and whatever runs now is replaced by the new build. */
  #supersede(service: SupervisedService, operation: Operation): void {
    const message = `${operation.kind} of ${service.name} had come to a standstill (${service.lastAction.reason}), and a deploy has taken its place.`;
    this.#close(service, { ...operation, failure: { code: 'operation.superseded', message } });
  }

  /** Whether a process that just failed is the canary of a deploy: one failure is then enough. */
  canaryFailed(service: SupervisedService, pmId: number, detail: string): void {
    const { operation, rollout } = service;
    if (operation?.failure !== null || rollout?.kind !== 'deploy' || rollout.canaryVerified) return;
    if (rollout.outdated.some((key) => pmIdOf(key) === pmId)) return;
    service.leaving.drainPlace(pmId, CANARY_FAILED);
    this.#takeBack(service, operation, {
      code: 'deploy.canary-failed',
      message: `The canary (pm ${pmId}) of ${service.name} did not verify: ${detail}. It is removed; the old instances stayed.`,
    });
  }

  #verifyCanary(service: SupervisedService): void {
    const { rollout } = service;
    if (rollout?.kind !== 'deploy' || rollout.canaryVerified) return;
    const { clock, health } = this.#options;
    const verified = service.settledServing().some((process) => {
      const state = health.state(instanceKey(process));
      return state?.kind === 'fit' && clock.nowMs() - state.sinceMs >= service.policy.lifecycle.canaryMs;
    });
    if (!verified) return;
    service.rollout = { ...rollout, canaryVerified: true };
    void this.#options.onChange(service);
  }

  /** Why it can't succeed any more, or null. */
  #problem(service: SupervisedService, operation: Operation): { code: string; message: string } | null {
    const { refusedStarts, rollout, policy } = service;
    if (refusedStarts !== null && refusedStarts.count > policy.failure.maxRestartAttempts) {
      const isCanary = rollout?.kind === 'deploy' && !rollout.canaryVerified;
      const message =
        `${operation.kind} of ${service.name} failed: no instance can be started (${refusedStarts.problem}). ` +
        'What it began was taken back.';
      return { code: isCanary ? 'deploy.canary-failed' : 'operation.failed', message };
    }
    for (const { pmId } of operation.started) {
      if (this.#options.failover.quarantinedSlot(service.name, pmId) === null) continue;
      const failure = this.#options.failover.lastFailure(service.name);
      const detail = failure === null ? 'its restart budget is spent' : `${failure.cause}, ${failure.detail}`;
      const ending =
        service.rollout?.kind === 'deploy'
          ? 'What was not replaced yet stays as it was; what was replaced runs the new build.'
          : 'What it began was taken back.';
      const message = `${operation.kind} of ${service.name} failed: pm ${pmId} does not stay up (${detail}). ${ending}`;
      return { code: 'operation.failed', message };
    }
    if (!this.#isAtEnd(service, operation)) return null;
    const { pending } = leftOf(service, operation, this.#options.failover);
    const message =
      `${operation.kind} of ${service.name} failed: it came no closer to its goal for ${Math.round(operation.idleMs / 1000)} s ` +
      `(${pending.join('; ')}; ${service.lastAction.reason}). What it began was taken back.`;
    return { code: 'operation.failed', message };
  }

  #takeBack(
    service: SupervisedService,
    operation: Operation,
    failure: { code: string; message: string },
  ): void {
    const { failover } = this.#options;
    for (const { pmId } of operation.started) {
      const hasFailed = failover.quarantinedSlot(service.name, pmId) !== null;
      if (hasFailed) failover.forgetSlot(service.name, pmId, true);
      // What failed goes, also when PM2 has brought it back to life before it is removed; of a deploy all that is new.
      if (failure.code === 'deploy.canary-failed') service.leaving.drainPlace(pmId, CANARY_FAILED);
      else if (hasFailed) service.leaving.drainPlace(pmId, 'it did not stay up');
    }
    service.rollout = null;
    service.refusedStarts = null;
    this.#options.setDesired(service, operation.from, `${operation.kind} failed and is taken back`);
    service.operation = { ...operation, failure, stepsLeft: null, idleMs: 0 };
    void this.#options.onChange(service);
  }

  #end(service: SupervisedService, operation: Operation): void {
    this.#close(service, operation);
    void this.#options.onChange(service);
  }

  #close(service: SupervisedService, operation: Operation): void {
    const { events, clock } = this.#options;
    const report = this.#report(service, operation, true);
    service.operation = null;
    service.rollout = null;
    const { id: operationId, kind, failure } = operation;
    if (failure === null) {
      const tookMs = Math.max(0, clock.wallMs() - operation.sinceMs);
      events.emit('operation.finished', { service: service.name, operationId, kind, tookMs });
    } else {
      events.emit('operation.failed', { service: service.name, operationId, kind, problem: failure.message });
    }
    if (kind === 'deploy' || kind === 'failover') this.#noteFiles(service, operation);
    if (failure === null) this.#answer(operationId, { report });
    else void this.#refuse(service, operation, failure);
  }

  /** New instances have run what lies in the folder: it has verified, or it has not and lies there all the same. */
  #noteFiles(service: SupervisedService, { kind, failure }: Operation): void {
    if (failure === null) service.unproven = null;
    else if (kind === 'deploy') {
      const since = new Date(this.#options.clock.wallMs()).toISOString();
      service.unproven = { since, problem: failure.message };
    }
  }

  #answer(operationId: string, ending: Ending): void {
    for (const waiter of this.#waiters) if (waiter.operationId === operationId) waiter.end(ending);
  }

  /** With what the instances that failed left behind: that is what has to be mended. */
  async #refuse(
    service: SupervisedService,
    { id: operationId, kind, started, stopped }: Operation,
    { code, message }: NonNullable<Operation['failure']>,
  ): Promise<void> {
    const pmIds = started.map(({ pmId }) => pmId);
    const { diagnostician, clock } = this.#options;
    const tooLate = new Promise<null>((resolve) => clock.after(LONGEST_DIAGNOSIS_MS, () => resolve(null)));
    const diagnosis = await Promise.race([diagnostician.about(service.name, pmIds), tooLate]).catch(
      () => null,
    );
    const files = kind === 'deploy' ? ` ${unprovenText(service.name)}` : '';
    const why = `${diagnosis === null ? '' : ` ${diagnosisText(diagnosis)}`}${files}`;
    const error = new HoldfastError(code, `${message}${why}`, {
      status: STATUS_OF[code] ?? 502,
      details: { operationId, started, stopped, ...(diagnosis === null ? {} : { diagnosis }) },
    });
    this.#answer(operationId, { error });
  }

  #report(service: SupervisedService, operation: Operation, done: boolean): OperationReport {
    const pending = done ? [] : leftOf(service, operation, this.#options.failover).pending;
    const serving = service.settledServing().length;
    const settled = `${service.name} runs ${serving} ${serving === 1 ? 'instance' : 'instances'}`;
    return {
      operationId: operation.id,
      kind: operation.kind,
      serviceName: service.name,
      changed: true,
      done,
      message: done ? settled : `still under way: ${pending.join('; ')} (${service.lastAction.reason})`,
      fromInstances: operation.from,
      toInstances: operation.to,
      started: operation.started,
      stopped: operation.stopped,
      pending,
      durationMs: Math.max(0, Math.round(this.#options.clock.wallMs() - operation.sinceMs)),
    };
  }
}
