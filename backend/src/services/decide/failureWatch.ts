/**
 * Turns what happens to instances into judgements: an exit, a health state that turned unfit, memory that leads to its
 * limit.
 * It charges the budget, says what follows, and keeps the incident open until the service is whole again and has
 * stayed so for the stable period.
 *
 * An exit reaches us twice at most: as an event of PM2's bus (with its signal) and as a difference between two lists
 * (when the bus was away). Each start of each process is judged once.
 */
import { isOwnFault, judgeExit } from '../../domain/failures/failover.js';
import type { ExitVerdict } from '../../domain/failures/failover.js';
import type { HealthState } from '../../domain/health/health.js';
import { instanceKey, refOf, sameInstance } from '../../domain/model.js';
import type { FailureCause, InstanceId, ManagedProcess } from '../../domain/model.js';
import { describeRestart } from '../../domain/failures/restarts.js';
import { explainUnverified } from '../../domain/health/unverified.js';
import { RingBuffer } from '../../lib/ringBuffer.js';
import type { Clock, FactFinder, HostMeter, ProcessExit, ProcessManager } from '../../ports.js';
import { announce } from '../service/announcements.js';
import type { AvailabilityKeeper } from '../observe/availabilityKeeper.js';
import { startOf } from '../service/begunStart.js';
import type { BlackBox } from '../blackBox/blackBox.js';
import type { Diagnostician } from '../diagnosis/diagnostician.js';
import type { EventLog } from '../events/eventLog.js';
import { describeEnd, describeExit } from './exitText.js';
import type { FailoverManager } from '../failoverManager.js';
import type { HealthMonitor } from '../observe/healthMonitor.js';
import { loseIncident, openIncident, reviewIncident } from '../service/incident.js';
import { PortWatch } from './portWatch.js';
import type { SupervisedService } from '../service/supervisedService.js';

export interface FailureWatchOptions {
  readonly clock: Clock;
  readonly events: EventLog;
  readonly failover: FailoverManager;
  readonly health: HealthMonitor;
  readonly hostMeter: HostMeter;
  /** Told of every charge: a deploy fails when its canary does. */
  readonly operations: { canaryFailed(service: SupervisedService, pmId: number, detail: string): void };
  readonly availability: AvailabilityKeeper;
  readonly blackBox: BlackBox;
  readonly diagnostician: Diagnostician;
  readonly manager: Pick<ProcessManager, 'list'>;
  readonly facts: Pick<FactFinder, 'isListening' | 'foreignHolder'>;
  /** Something is to be done about that service, and its state is to be kept. */
  readonly onFailure: (service: SupervisedService) => void;
}

const JUDGED_KEPT = 1000;

interface JudgedExit {
  readonly exit: ProcessExit;
  readonly id: InstanceId;
  /** What ended, if it was listed. */
  readonly ended: ManagedProcess | undefined;
  readonly asked: boolean;
  readonly verdict: ExitVerdict;
  /** It is known that another process has its port. */
  readonly isDouble: boolean;
  /** It was found out just now that another process has its port, for people; null: it was not. */
  readonly lost: string | null;
}

export class FailureWatch {
  readonly #options: FailureWatchOptions;
  readonly #ports: PortWatch;
  readonly #judged = new RingBuffer<string>(JUDGED_KEPT);
  /** Processes that vanished between two lists without an event so far; judged if still so at the next look. */
  readonly #vanished = new Map<string, { service: SupervisedService; exit: ProcessExit }>();
  #oomKills: number | null;
  /** Services that an operator is known to have stopped. */
  readonly #stopped = new Set<string>();

  constructor(options: FailureWatchOptions) {
    this.#options = options;
    this.#ports = new PortWatch(options);
    this.#oomKills = options.hostMeter.oomKills();
  }

  /** A process of the service ended. */
  exited(service: SupervisedService, exit: ProcessExit): void {
    const id: InstanceId = { service: service.name, pmId: exit.pmId, startedAtMs: exit.startedAtMs };
    const key = instanceKey(id);
    if (this.#judged.includes(key)) return;
    this.#judged.push(key);
    this.#vanished.delete(key);
    const known = service.find(exit.pmId);
    const ended = known !== undefined && sameInstance(known, id) ? known : undefined;
    const asked = exit.asked || service.isRemoving(exit.pmId) || ended?.status === 'stopping';
    const heap = this.#options.blackBox.heapOf(id);
    const endRules = exit.endRules ?? known?.endRules;
    const verdict = judgeExit({ ...exit, asked, oomKilled: this.#wasOomKill(), heap, endRules });
    const isDouble = service.doubles.has(id);
    const judged: JudgedExit = { exit, id, ended, asked, verdict, isDouble, lost: null };
    if (!verdict.charged || isDouble || !this.#ports.isSuspect(service, known))
      return this.#conclude(service, judged);
    const wasGivenIt = ended?.restarts === 0 && service.provenance.isProven(id);
    void this.#ports
      .explain(service, id, wasGivenIt)
      .then((lost) => this.#conclude(service, { ...judged, lost }));
  }

  #conclude(service: SupervisedService, judged: JudgedExit): void {
    const { exit, id, ended, asked, verdict, lost } = judged;
    const { clock, events, health, blackBox } = this.#options;
    const key = instanceKey(id);
    const run = verdict.charged || verdict.why !== 'run-ended' ? null : verdict.run;
    const isOurs = service.letGo === null;
    const restart = asked && !service.isRemoving(exit.pmId) ? service.restarts.causeOf(id) : null;
    service.ends.note(id, asked ? 'asked' : (run ?? 'failure'));
    const why = restart === null ? lost : describeRestart(restart);
    const ranMs = Math.max(0, clock.wallMs() - id.startedAtMs);
    const hasNoPort = lost !== null || judged.isDouble;
    // Found unfit before, it has been charged for what it now died of.
    const isKnown = service.provenance.isCharged(id) || hasNoPort;
    const charged = isOurs && verdict.charged && !isKnown && !this.#isSpent(id);
    const fault = verdict.charged
      ? { cause: verdict.cause, detail: describeEnd(exit, verdict, ranMs) }
      : null;
    const kept =
      fault === null || !isOurs || hasNoPort
        ? undefined
        : blackBox.ended(service, exit, fault.cause, fault.detail);
    events.emit('instance.exited', {
      service: service.name,
      instance: { pmId: exit.pmId, pid: exit.pid, port: this.#portLeft(service, id) },
      exitCode: exit.exitCode,
      signal: exit.signal,
      charged,
      ranMs,
      ...(fault === null ? {} : { cause: fault.cause }),
      ...(run === null ? {} : { run }),
      ...(why === null ? {} : { why }),
      ...(kept === undefined ? {} : { blackBox: kept }),
    });
    const hadServed = hasServed(health.state(key));
    const how = restart === null ? describeExit(exit, run) : describeRestart(restart);
    if (ended !== undefined) {
      health.untrack(instanceKey(ended));
      announce(service, events, clock, how);
    }
    if (asked || !isOurs) return this.#options.onFailure(service);
    if (run === 'failed') this.#options.diagnostician.ended(service, exit, ranMs, hadServed);
    if (run !== null) return this.#options.onFailure(service);
    if (fault !== null && !hasNoPort) this.#options.diagnostician.ended(service, exit, ranMs, hadServed);
    openIncident(service, this.#options);
    if (charged && fault !== null) this.#charge(service, id, fault.cause, fault.detail);
    this.#options.onFailure(service);
  }

  /**
   * The port that nobody answers at any more. null when a successor does: a gateway would give up what it has under way
   * with that one, and after `pm2 reload` with the process before, too, which finishes its requests unlisted.
   */
  #portLeft(service: SupervisedService, id: InstanceId): number | null {
    const known = service.find(id.pmId);
    if (known === undefined) return null;
    const isReplaced =
      !sameInstance(known, id) && (service.isServing(known) || known.createdAtMs > id.startedAtMs);
    return isReplaced || service.doubles.isShared(known) ? null : known.port;
  }

  /** Compares two lists: a process that is gone and was not announced by the bus is judged at the second look. */
  compare(
    service: SupervisedService,
    before: readonly ManagedProcess[],
    now: readonly ManagedProcess[],
  ): void {
    for (const [key, vanished] of this.#vanished) {
      if (vanished.service !== service) continue;
      this.#vanished.delete(key);
      this.exited(service, vanished.exit);
    }
    for (const old of before) {
      const row = now.find(({ pmId }) => pmId === old.pmId);
      if (wasStopped(old, row)) service.ends.note(old, 'asked');
      if (old.pid === null) continue;
      if (row?.pid === old.pid && row.startedAtMs === old.startedAtMs) continue;
      const key = instanceKey(old);
      if (this.#judged.includes(key)) continue;
      // Gone from the list, or stopped: somebody asked PM2 for it. Restarted: nobody knows, so it is charged, unless
      // it counts as created anew: that is what `pm2 reload` and `pm2 restart` do, and PM2 by itself does not.
      const isNew = row !== undefined && row.pid !== null && row.createdAtMs !== old.createdAtMs;
      const isAsked = row === undefined || isNew || [old.status, row.status].includes('stopping');
      // A run that ends leaves a stopped row, too.
      const run = isAsked ? null : service.ends.runEndOf(row);
      const asked = isAsked || (row.status === 'stopped' && run === null);
      const exitCode = run === null ? null : (row?.lastExitCode ?? null);
      const { pmId, pid, startedAtMs } = old;
      const exit = { service: service.name, pmId, startedAtMs, pid, exitCode, signal: null, asked };
      this.#vanished.set(key, { service, exit });
    }
  }

  /** An operator stopped what had ended and was to be started again: what it ended of has been judged already. */
  stopped(service: SupervisedService, id: InstanceId): void {
    service.ends.note(id, 'asked');
    this.#options.onFailure(service);
  }

  /** PM2's daemon died and took its processes along: nobody's fault, and nothing to be compared. */
  daemonReplaced(): void {
    this.#vanished.clear();
    this.#options.failover.forgetNumbers();
  }

  /** A probe or an agent changed what is thought of an instance. */
  healthChanged(
    service: SupervisedService,
    instance: ManagedProcess,
    after: HealthState,
    before: HealthState,
  ): void {
    const { events, clock } = this.#options;
    const why = after.kind === 'unfit' ? `${after.cause}: ${after.detail}` : after.kind;
    if (after.kind === 'fit') service.provenance.passed(instance);
    if (after.kind === 'unverified') {
      service.provenance.neverPassed(instance);
      if (before.kind === 'starting') this.#tellUnverified(service, instance, after.detail);
    }
    announce(service, events, clock, why);
    if (after.kind === 'unfit' && !service.isDraining(instance) && service.letGo === null) {
      const { cause, detail } = after;
      this.#emitUnfit(service, instance, cause, detail);
      openIncident(service, this.#options);
      if (isOwnFault(cause) && !service.isJob() && !service.provenance.isCharged(instance)) {
        service.provenance.charged(instance);
        this.#charge(service, instance, cause, detail);
      }
    }
    this.#options.onFailure(service);
  }

  /** Its memory leads to a limit: it is replaced while it serves, new first, and nothing is charged for that. */
  recycle(service: SupervisedService, process: ManagedProcess, detail: string): void {
    // A run that is replaced would be made twice.
    if (service.isJob()) return;
    service.leaving.recycle(process, detail);
    this.#emitUnfit(service, process, 'memory', detail);
    this.#options.onFailure(service);
  }

  /** Called every look: time-driven judgements. */
  review(service: SupervisedService): void {
    this.#ports.review(service);
    this.#reviewOperatorStop(service);
    this.#reviewRestarts(service);
    this.#reviewQuarantine(service);
    reviewIncident(service, this.#options);
  }

  #tellUnverified(service: SupervisedService, process: ManagedProcess, came: string): void {
    const detail = explainUnverified(process, service.policy, came);
    this.#options.events.emit('instance.unverified', {
      service: service.name,
      instance: refOf(process),
      detail,
    });
  }

  #emitUnfit(service: SupervisedService, process: ManagedProcess, cause: FailureCause, detail: string): void {
    const { events, blackBox } = this.#options;
    const id = blackBox.condemned(service, process, cause, detail);
    const kept = id === undefined ? {} : { blackBox: id };
    events.emit('instance.unfit', {
      service: service.name,
      instance: refOf(process),
      cause,
      detail,
      ...kept,
    });
  }

  /** A slot that is quarantined already has nothing left to be charged to. */
  #isSpent({ service, pmId }: InstanceId): boolean {
    return this.#options.failover.quarantinedSlot(service, pmId) !== null;
  }

  #charge(service: SupervisedService, id: InstanceId, cause: FailureCause, detail: string): void {
    const { failover, events, operations } = this.#options;
    const { name } = service;
    if (this.#isSpent(id)) return;
    const process = service.find(id.pmId);
    const instance = process === undefined ? { pmId: id.pmId, pid: null, port: null } : refOf(process);
    if (process === undefined && service.adopted) this.#findPlace(service, id.pmId);
    const outcome = failover.recordFailure(id, cause, detail);
    operations.canaryFailed(service, id.pmId, `${cause}, ${detail}`);
    if (outcome.kind === 'retry') return;
    const nextTrialMs = Math.round(outcome.nextTrialMs);
    if (outcome.kind === 'trial-failed') {
      events.emit('service.trialFailed', { service: name, detail, nextTrialMs });
      return;
    }
    const { attempts } = outcome;
    loseIncident(service, this.#options);
    events.emit('instance.quarantined', { service: name, instance, attempts, detail });
    events.emit('service.quarantined', { service: name, reason: `${cause}: ${detail}`, nextTrialMs });
  }

  /** It failed before it was listed. Its place is that of the one that it replaces, or that of one that is gone. */
  #findPlace(service: SupervisedService, pmId: number): void {
    const { failover } = this.#options;
    const begun = startOf(service, pmId);
    // That of a trial is the quarantined one, which is known when the trial has begun.
    if (begun?.kind === 'trial') return;
    if (begun?.replaces != null) failover.succeed(service.name, begun.replaces, pmId);
    else failover.fillGap(service.name, pmId, service.numbers());
  }

  #reviewOperatorStop(service: SupervisedService): void {
    const { name } = service;
    if (!service.isStoppedByOperator()) this.#stopped.delete(name);
    else if (!this.#stopped.has(name)) {
      this.#stopped.add(name);
      this.#options.events.emit('service.stoppedByOperator', { service: name });
    }
  }

  #reviewRestarts(service: SupervisedService): void {
    const detail = service.isJob() ? null : service.restarts.news(service.processes);
    if (detail !== null)
      this.#options.events.emit('service.restartedOverAndOver', { service: service.name, detail });
  }

  #reviewQuarantine(service: SupervisedService): void {
    const { failover, health, clock, events } = this.#options;
    if (service.letGo !== null) return;
    const quarantine = failover.quarantine(service.name);
    if (quarantine.kind === 'none') return;
    // Somebody deleted the one on trial: its slot is gone with it.
    if (quarantine.kind === 'trial' && service.find(quarantine.pmId) === undefined) {
      failover.forgetSlot(service.name, quarantine.pmId);
    }
    for (const process of service.serving()) {
      const state = health.state(instanceKey(process));
      if (state?.kind !== 'fit') continue;
      const fitForMs = clock.nowMs() - state.sinceMs;
      if (!failover.endedByFitness(service.name, process.pmId, fitForMs)) continue;
      events.emit('service.reset', { service: service.name, by: `pm ${process.pmId} stayed fit` });
      this.#options.onFailure(service);
      return;
    }
  }

  #wasOomKill(): boolean {
    const before = this.#oomKills;
    this.#oomKills = this.#options.hostMeter.oomKills();
    return before !== null && this.#oomKills !== null && this.#oomKills > before;
  }
}

function hasServed(state: HealthState | null): boolean {
  return state?.kind === 'fit' || (state?.kind === 'unfit' && state.cause !== 'not-ready');
}

/** Without a process before and now: PM2 says stopped of what it had given up, or was to start again, only by request. */
function wasStopped(old: ManagedProcess, now: ManagedProcess | undefined): boolean {
  const wasDown = old.status === 'waiting restart' || old.status === 'errored';
  return wasDown && now?.status === 'stopped' && sameInstance(old, now);
}
