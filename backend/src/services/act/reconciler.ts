/**
 * Applies the one next action that domain/reconcile names, observes, and asks again, until it says to hold: one
 * mutation at a time per service. A failed action is reported and asked for again after a pause, while it is still
 * needed; nothing is assumed to have worked that the process manager did not verify.
 */
import { HoldfastError, messageOf } from '../../domain/errors.js';
import { reconcile } from '../../domain/reconcile/reconcile.js';
import type { Action } from '../../domain/reconcile/action.js';
import { isAlive, refOf } from '../../domain/model.js';
import type { InstanceId, ManagedProcess } from '../../domain/model.js';
import type { Clock, EndOptions, ProcessManager } from '../../ports.js';
import { announce } from '../service/announcements.js';
import { begunBy, findStarted, isInDoubt, isUnanswered } from '../service/begunStart.js';
import type { EventLog } from '../events/eventLog.js';
import type { FailoverManager } from '../failoverManager.js';
import type { HealthMonitor } from '../observe/healthMonitor.js';
import { noteStart, noteStop } from '../service/operationProgress.js';
import { emptyPlacesOf } from '../service/slotState.js';
import type { SupervisedService } from '../service/supervisedService.js';

export interface ReconcilerOptions {
  readonly manager: ProcessManager;
  readonly clock: Clock;
  readonly events: EventLog;
  readonly failover: FailoverManager;
  readonly health: HealthMonitor;
  /** Whether it is still defined anywhere. */
  readonly isConfigured: (service: string) => Promise<boolean>;
  /** Whether nothing in it can answer a signal: its main thread is blocked, or all of it is stopped. */
  readonly cannotReact: (process: ManagedProcess) => boolean;
  /** Whether anything may be done to that service now. */
  readonly mayAct: (service: SupervisedService) => boolean;
  /** After each applied action, and after each hold: operations look whether they are done. */
  readonly onStep: (service: SupervisedService) => void;
  /** What is kept of a service changed. */
  readonly onChange: () => void;
}

/** After an action failed: long enough not to spin, short enough not to matter. Doubles while starts are refused. */
const FAILED_ACTION_PAUSE_MS = 1_000;
const LONGEST_START_PAUSE_MS = 15_000;
/** From SIGINT to SIGKILL for one that cannot react: it would only hold its place for the whole kill time-out. */
const KILL_AFTER_MS = 100;
/** More steps than any plan needs; a guard against two rules that undo each other. */
const MAX_STEPS = 200;

interface Pump {
  busy: boolean;
  again: boolean;
  cancelWake: () => void;
}

export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #pumps = new Map<string, Pump>();
  #closed = false;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /** Goes on with what the service needs. Never rejects; calls while it is at work are coalesced. */
  async pump(service: SupervisedService): Promise<void> {
    const pump = this.#pumpOf(service.name);
    if (pump.busy) {
      pump.again = true;
      return;
    }
    pump.busy = true;
    pump.cancelWake();
    try {
      do {
        pump.again = false;
        await this.#run(service, pump);
      } while (pump.again && !this.#closed);
    } finally {
      pump.busy = false;
    }
  }

  /** No gateway has anything under way at this port any more: what drains there need not wait longer. */
  drained(services: Iterable<SupervisedService>, port: number): void {
    for (const service of services) if (service.isDrainingAt(port)) void this.pump(service);
  }

  /** Whether nothing is being done to that service right now. */
  isIdle(service: SupervisedService): boolean {
    return !this.#pumpOf(service.name).busy;
  }

  close(): void {
    this.#closed = true;
    for (const { cancelWake } of this.#pumps.values()) cancelWake();
  }

  #pumpOf(name: string): Pump {
    let pump = this.#pumps.get(name);
    if (pump === undefined) {
      pump = { busy: false, again: false, cancelWake: () => undefined };
      this.#pumps.set(name, pump);
    }
    return pump;
  }

  async #run(service: SupervisedService, pump: Pump): Promise<void> {
    const { clock, mayAct, onStep } = this.#options;
    for (let step = 0; step < MAX_STEPS && !this.#closed; step++) {
      if (!mayAct(service)) return onStep(service);
      const action = this.#next(service);
      service.lastAction = action;
      if (action.kind === 'hold') {
        if (action.untilMs !== null) this.#wake(service, pump, action.untilMs - clock.nowMs());
        return onStep(service);
      }
      if (!(await this.#apply(service, action))) {
        this.#wake(service, pump, FAILED_ACTION_PAUSE_MS);
        return onStep(service);
      }
      onStep(service);
    }
  }

  #wake(service: SupervisedService, pump: Pump, delayMs: number): void {
    pump.cancelWake();
    pump.cancelWake = this.#options.clock.after(Math.max(1, delayMs), () => void this.pump(service));
  }

  #next(service: SupervisedService): Action {
    const { failover, clock } = this.#options;
    const isStartInDoubt = isInDoubt(service);
    const due = isStartInDoubt ? null : failover.dueTrial(service.name);
    const trialTarget = due?.pmId == null ? null : (service.find(due.pmId) ?? null);
    return reconcile({
      service: service.name,
      desired: service.desired,
      slots: service.slots(),
      rollout: service.rollout,
      shrinking: service.operation?.kind === 'scale-down',
      isJob: service.isJob(),
      holes: emptyPlacesOf(service, failover),
      trial: due === null ? null : { target: trialTarget },
      isStartInDoubt,
      startNotBeforeMs: failover.startNotBeforeMs(service.name),
      drainGraceMs: service.policy.lifecycle.drainGraceMs,
      drainTimeoutMs: service.policy.lifecycle.killTimeoutMs,
      nowMs: clock.nowMs(),
    });
  }

  /** False when it failed. */
  async #apply(service: SupervisedService, action: Exclude<Action, { kind: 'hold' }>): Promise<boolean> {
    const { events, failover, onChange } = this.#options;
    service.underWay = action.kind;
    const begun = begunBy(action, service.numbers());
    if (begun !== null) {
      service.begun = begun;
      onChange();
    }
    try {
      await this.#carryOut(service, action);
      if (begun !== null) service.begun = null;
      return true;
    } catch (thrown) {
      service.underWay = null;
      if (begun !== null && !isUnanswered(thrown)) service.begun = null;
      // Until PM2 lists it, which it may have done already.
      else if (begun !== null) findStarted(service, failover);
      if (action.kind === 'trial' && service.begun === null) {
        failover.trialNotStarted(service.name);
        onChange();
      }
      if (action.kind === 'start') this.#noteRefusal(service, thrown);
      const doublings = Math.max(0, (service.refusedStarts?.count ?? 0) - 1);
      const pauseMs = Math.min(LONGEST_START_PAUSE_MS, FAILED_ACTION_PAUSE_MS * 2 ** doublings);
      failover.delayStart(service.name, pauseMs);
      service.lastAction = {
        kind: 'hold',
        untilMs: null,
        reason: `${action.kind} failed: ${messageOf(thrown)}`,
      };
      events.emit('action.failed', {
        service: service.name,
        action: action.kind,
        problem: messageOf(thrown),
      });
      return false;
    } finally {
      service.underWay = null;
    }
  }

  /** A daemon that is away has refused nothing; whatever else it was will be so the next time, too. */
  #noteRefusal(service: SupervisedService, thrown: unknown): void {
    if (isUnanswered(thrown)) return;
    const count = (service.refusedStarts?.count ?? 0) + 1;
    service.refusedStarts = { count, problem: messageOf(thrown) };
  }

  async #carryOut(service: SupervisedService, action: Exclude<Action, { kind: 'hold' }>): Promise<void> {
    switch (action.kind) {
      case 'start':
        return this.#start(service, action.replaces, action.reason);
      case 'trial':
        return this.#startTrial(service, action.target);
      case 'withdraw':
        return this.#withdraw(service, action.target, action.reason);
      case 'restore':
        return this.#restore(service, action.target, action.reason);
      case 'stop':
      case 'discard':
        return this.#remove(service, action);
      case 'halt':
        return this.#halt(service, action.target);
    }
  }

  async #start(service: SupervisedService, replaces: InstanceId | null, why: string): Promise<void> {
    const { manager, events, failover, health, onChange, isConfigured } = this.#options;
    if (service.processes.length === 0 && !(await isConfigured(service.name))) {
      // Deleted in PM2 and defined nowhere: what is remembered of it is no reason to bring it back.
      service.letGo = 'unconfigured';
      events.emit('service.unconfigured', { service: service.name });
      return onChange();
    }
    const started = await manager.startInstance(service.name, replaces, this.#avoided(service));
    service.begun = null;
    service.refusedStarts = null;
    service.add(started);
    service.provenance.started(started);
    health.track(started, service.policy.health, 'started');
    const fillsGap = replaces === null && failover.fillGap(service.name, started.pmId, service.numbers());
    if (replaces !== null) failover.succeed(service.name, replaces.pmId, started.pmId);
    const instance = refOf(started);
    noteStart(service, instance, { isNew: replaces === null && !fillsGap });
    const inPlaceOf = replaces === null ? {} : { replaces: replaces.pmId };
    events.emit('instance.started', { service: service.name, instance, why, ...inPlaceOf });
    onChange();
  }

  #avoided({ doubles }: SupervisedService): ReadonlySet<number> {
    return doubles.avoided(this.#options.clock.nowMs());
  }

  async #startTrial(service: SupervisedService, target: InstanceId | null): Promise<void> {
    const { manager, events, failover, health, onChange } = this.#options;
    const halted = target === null ? undefined : service.find(target.pmId);
    const resumable = halted !== undefined && !isAlive(halted);
    const started = resumable
      ? await this.#resume(service, halted)
      : await manager.startInstance(service.name, null, this.#avoided(service));
    service.begun = null;
    service.add(started);
    service.provenance.started(started);
    health.track(started, service.policy.health, 'started');
    const { name } = service;
    const outcome = failover.trialStarted(name, started.pmId, service.runningNumbers());
    events.emit('service.trialStarted', { service: name, instance: refOf(started) });
    if (outcome?.kind === 'trial-failed') {
      const detail = failover.lastFailure(name)?.detail ?? 'it failed while it was started';
      const nextTrialMs = Math.round(outcome.nextTrialMs);
      events.emit('service.trialFailed', { service: name, detail, nextTrialMs });
    }
    onChange();
  }

  /** What has its port by now may keep it for good: then another instance is started in its place, on a free port. */
  async #resume(service: SupervisedService, halted: ManagedProcess): Promise<ManagedProcess> {
    const { manager } = this.#options;
    try {
      return await manager.resumeInstance(halted);
    } catch (thrown) {
      if (!(thrown instanceof HoldfastError) || thrown.code !== 'port.occupied') throw thrown;
      await service.whileRemoving(halted.pmId, () => manager.removeInstance(halted));
      const started = await manager.startInstance(service.name, null, this.#avoided(service));
      service.drop(halted);
      return started;
    }
  }

  #withdraw(service: SupervisedService, target: InstanceId, why: string): Promise<void> {
    const { clock, onChange } = this.#options;
    const process = service.find(target.pmId);
    // Of what is not announced no gateway has to be told: it stops without the grace.
    const announced = process !== undefined && service.isAnnounced(process);
    service.leaving.drain(target, { sinceMs: announced ? clock.nowMs() : Number.NEGATIVE_INFINITY, why });
    this.#announce(service, why);
    onChange();
    return Promise.resolve();
  }

  #restore(service: SupervisedService, target: InstanceId, why: string): Promise<void> {
    const { events, onChange } = this.#options;
    service.leaving.stopDraining(target);
    const process = service.find(target.pmId);
    if (process !== undefined)
      events.emit('instance.restored', { service: service.name, instance: refOf(process), why });
    this.#announce(service, why);
    onChange();
    return Promise.resolve();
  }

  async #remove(
    service: SupervisedService,
    { kind, target, reason: why }: Extract<Action, { kind: 'stop' | 'discard' }>,
  ): Promise<void> {
    const { manager, clock, events, failover, onChange } = this.#options;
    const process = service.find(target.pmId);
    const isReplaced = failover.isReplaced(service.name, target.pmId);
    const beganMs = clock.nowMs();
    try {
      await service.whileRemoving(target.pmId, () => manager.removeInstance(target, this.#patience(process)));
    } catch (thrown) {
      // PM2 restarted it meanwhile: it is another instance now, to be judged anew.
      if (thrown instanceof HoldfastError && thrown.code === 'pm2.instance-changed')
        service.leaving.forget(target);
      throw thrown;
    }
    service.drop(target);
    service.doubles.gaveUp(process?.port ?? null, clock.nowMs());
    // The place of what was discarded is filled again: what comes next inherits its charges.
    if (kind === 'stop') failover.forgetSlot(service.name, target.pmId);
    const instance = process === undefined ? { pmId: target.pmId, pid: null, port: null } : refOf(process);
    noteStop(service, instance, { isSurplus: kind === 'stop' && !isReplaced });
    const tookMs = Math.round(clock.nowMs() - beganMs);
    events.emit('instance.stopped', { service: service.name, instance, why, tookMs });
    onChange();
  }

  async #halt(service: SupervisedService, target: InstanceId): Promise<void> {
    const { manager, onChange } = this.#options;
    const process = service.find(target.pmId);
    await service.whileRemoving(target.pmId, () => manager.haltInstance(target, this.#patience(process)));
    if (process !== undefined) {
      service.add({ ...process, pid: null, status: 'stopped' });
      // Its exit was asked for, but by us.
      service.ends.note(process, 'failure');
    }
    this.#announce(service, 'quarantined');
    onChange();
  }

  #patience(process: ManagedProcess | undefined): EndOptions {
    const cannotReact = process !== undefined && this.#options.cannotReact(process);
    return cannotReact ? { killAfterMs: KILL_AFTER_MS } : {};
  }

  #announce(service: SupervisedService, why: string): void {
    announce(service, this.#options.events, this.#options.clock, why);
  }
}
