/**
 * Finds out why a service does not serve as it should, and says so while that lasts (domain/diagnosis has the rules).
 *
 *   an instance runs, does not serve, and has had time to ─▶ looked at, again every few seconds ─┐
 *   an instance ended by its own fault ────────────────────▶ its last words are read ────────────┼─▶ diagnosis of the service
 *   PM2 refuses to start one ────────────────────────────────────────────────────────────────────┘
 *   all that are wanted serve ─▶ no diagnosis
 *
 * No step waits for it, and nothing is decided by it. One look a service at a time.
 */
import { diagnose } from '../../domain/diagnosis/diagnose.js';
import { diagnoseExit, diagnoseRefusedStart } from '../../domain/diagnosis/diagnoseExit.js';
import { tellingLines } from '../../domain/diagnosis/fatalError.js';
import { diagnosisText, type Diagnosis } from '../../domain/diagnosis/facts.js';
import { instanceKey, refOf } from '../../domain/model.js';
import type { InstanceId, ManagedProcess } from '../../domain/model.js';
import type { Clock, FactFinder, Logger, ProcessExit } from '../../ports.js';
import { messageOf } from '../../domain/errors.js';
import type { AgentWatch } from '../observe/agentWatch.js';
import type { EventLog } from '../events/eventLog.js';
import type { HealthMonitor } from '../observe/healthMonitor.js';
import type { SupervisedService } from '../service/supervisedService.js';

export interface DiagnosticianOptions {
  readonly clock: Clock;
  readonly events: EventLog;
  readonly health: HealthMonitor;
  readonly facts: FactFinder;
  readonly agents: Pick<AgentWatch, 'listening' | 'record'>;
  readonly logger: Logger;
}

/** A start that takes longer is worth a look. */
const FIRST_LOOK_MS = 2_500;
const LOOK_AGAIN_MS = 2_000;
/** Once there is a diagnosis that waiting does not change. */
const SETTLED_AGAIN_MS = 10_000;
/** Of a request that a look sends. */
const MOST_TIMEOUT_MS = 3_000;
/** Of its log, in a diagnosis. */
const LINES_SHOWN = 10;

interface Case {
  diagnosis: Diagnosis | null;
  /** Of the diagnosis: how old an instance must be to give a newer one. After a crash, older than the one that crashed. */
  supersededAtAgeMs: number;
  isLooking: boolean;
  lookedAtMs: number;
  /** Ends in a row without having served. */
  ends: number;
  told: string | null;
  /** The log of one that ended is being read. */
  reading: Promise<void> | null;
}

export class Diagnostician {
  readonly #options: DiagnosticianOptions;
  readonly #cases = new Map<string, Case>();

  constructor(options: DiagnosticianOptions) {
    this.#options = options;
  }

  /** Why that service does not serve as it should; null when it does, or when that is not known. */
  of(service: string): Diagnosis | null {
    return this.#cases.get(service)?.diagnosis ?? null;
  }

  /** What was found out of one of these instances, when what it left has been read; null when that is nothing. */
  async about(service: string, pmIds: readonly number[]): Promise<Diagnosis | null> {
    const found = this.#cases.get(service);
    await found?.reading;
    const pmId = found?.diagnosis?.instance?.pmId;
    return pmId !== undefined && pmIds.includes(pmId) ? (found?.diagnosis ?? null) : null;
  }

  /** Called every look at PM2. `listed`: the processes of all its applications. */
  review(services: readonly SupervisedService[], listed: readonly ManagedProcess[]): void {
    for (const service of services) {
      if (isWhole(service)) {
        this.#cases.delete(service.name);
        continue;
      }
      const { refusedStarts } = service;
      if (refusedStarts !== null) {
        const diagnosis = diagnoseRefusedStart(service.name, refusedStarts.problem);
        this.#conclude(this.#caseOf(service.name), diagnosis, 0);
        continue;
      }
      const suspect = this.#suspect(service);
      if (suspect !== null) void this.#look(service, suspect, listed);
    }
  }

  /** An instance ended by its own fault. */
  ended(service: SupervisedService, exit: ProcessExit, ranMs: number, hadServed: boolean): void {
    const found = this.#caseOf(service.name);
    found.ends = hadServed ? 1 : found.ends + 1;
    found.reading = this.#examine(service, exit, ranMs, found).catch((thrown: unknown) =>
      this.#options.logger.warn('a diagnosis failed', { service: service.name, problem: messageOf(thrown) }),
    );
  }

  async #examine(service: SupervisedService, exit: ProcessExit, ranMs: number, found: Case): Promise<void> {
    const { facts, agents } = this.#options;
    const { pmId, pid, startedAtMs } = exit;
    const id: InstanceId = { service: service.name, pmId, startedAtMs };
    const process = service.find(pmId);
    const hasAgent = agents.record(id) !== null;
    const learnt = await facts.ofExit(id);
    const { exitCode, signal } = exit;
    const instance = { pmId, pid, port: process?.port ?? null };
    const diagnosis = diagnoseExit({
      service: service.name,
      instance,
      mode: process?.mode ?? 'fork',
      ageMs: ranMs,
      exitCode,
      signal,
      hasAgent,
      times: found.ends,
      ...learnt,
    });
    this.#conclude(found, diagnosis, ranMs + LOOK_AGAIN_MS);
  }

  /** The oldest instance that runs, does not serve, and has had time to. */
  #suspect(service: SupervisedService): ManagedProcess | null {
    const { clock, health } = this.#options;
    const found = this.#caseOf(service.name);
    const pauseMs = found.diagnosis?.settled === true ? SETTLED_AGAIN_MS : LOOK_AGAIN_MS;
    if (found.isLooking || clock.nowMs() - found.lookedAtMs < pauseMs) return null;
    const candidates = service.processes.filter((process) => {
      if (process.pid === null || process.status !== 'online') return false;
      if (service.isDraining(process) || service.isRemoving(process.pmId)) return false;
      const state = health.state(instanceKey(process));
      if (state === null || state.kind === 'fit') return false;
      return clock.wallMs() - process.startedAtMs >= Math.max(FIRST_LOOK_MS, found.supersededAtAgeMs);
    });
    return candidates.sort((a, b) => a.startedAtMs - b.startedAtMs)[0] ?? null;
  }

  async #look(
    service: SupervisedService,
    process: ManagedProcess,
    listed: readonly ManagedProcess[],
  ): Promise<void> {
    const { clock, facts, health, agents, logger } = this.#options;
    const found = this.#caseOf(service.name);
    const { probe, timeoutMs, startTimeoutMs } = service.policy.health;
    const host = health.hostOf(instanceKey(process));
    found.isLooking = true;
    try {
      const learnt = await facts.ofRunning(process, {
        probe,
        timeoutMs: Math.min(timeoutMs, MOST_TIMEOUT_MS),
        host,
        knownPorts: new Set(listed.flatMap(({ port }) => port ?? [])),
        listening: agents.listening(process),
      });
      if (this.#cases.get(service.name) !== found || isWhole(service)) return;
      const ageMs = Math.max(0, clock.wallMs() - process.startedAtMs);
      const { mode } = process;
      const subject = { service: service.name, instance: refOf(process), mode, ageMs };
      const siblings = service.processes.filter(({ pmId }) => pmId !== process.pmId);
      const siblingPorts = siblings.flatMap(({ port }) => port ?? []);
      const diagnosis = diagnose({ ...subject, host, probe, startTimeoutMs, siblingPorts, ...learnt });
      // Without a finding the one before stands: it may be about to serve, or to fail again.
      if (diagnosis !== null) this.#conclude(found, diagnosis, 0);
    } catch (thrown) {
      logger.warn('a diagnosis failed', { service: service.name, problem: messageOf(thrown) });
    } finally {
      found.isLooking = false;
      found.lookedAtMs = clock.nowMs();
    }
  }

  #conclude(found: Case, diagnosis: Diagnosis, supersededAtAgeMs: number): void {
    const { service, log } = diagnosis;
    const shown = log === null ? null : { ...log, lines: tellingLines(log.lines, LINES_SHOWN) };
    found.diagnosis = { ...diagnosis, log: shown };
    found.supersededAtAgeMs = supersededAtAgeMs;
    // The same finding a few seconds later, or of the next instance, is no news.
    const news = `${diagnosis.code} ${String(diagnosis.settled)}`;
    if (found.told === news || this.#cases.get(service) !== found) return;
    found.told = news;
    const { code, instance, settled } = diagnosis;
    this.#options.events.emit('service.diagnosed', {
      service,
      code,
      settled,
      detail: diagnosisText(diagnosis),
      ...(instance === null ? {} : { instance }),
    });
  }

  #caseOf(service: string): Case {
    const known = this.#cases.get(service);
    if (known !== undefined) return known;
    const fresh: Case = {
      diagnosis: null,
      supersededAtAgeMs: 0,
      isLooking: false,
      lookedAtMs: Number.NEGATIVE_INFINITY,
      ends: 0,
      told: null,
      reading: null,
    };
    this.#cases.set(service, fresh);
    return fresh;
  }
}

/** Nothing is missing, and nothing is on its way either. */
function isWhole(service: SupervisedService): boolean {
  const state = service.state();
  if (state === 'healthy') return service.operation === null;
  return state === 'stopped' || state === 'finished' || state === 'released';
}
