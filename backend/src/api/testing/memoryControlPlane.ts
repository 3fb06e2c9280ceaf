/**
 * A control plane without PM2, for the API's tests: services are numbers in memory, but its rules (bounds,
 * conflicts, unknown names, events after the change) are those of the contract in domain/views/controlPlane.ts. It records
 * every mutating call, so a test can assert that a refused request never reached it.
 */
import type { BlackBoxEntry, BlackBoxFile } from '../../domain/blackBox/blackBox.js';
import { HoldfastError } from '../../domain/errors.js';
import type { EventMap, EventRecord, EventType } from '../../domain/events.js';
import type { InstanceRef, OperationKind, OperationReport } from '../../domain/model.js';
import type { TrafficReport } from '../../domain/statistics/traffic.js';
import type {
  BlackBoxView,
  ControlPlane,
  CustodyView,
  FailoverView,
  HealthView,
  LoadBalancerView,
  MetricsView,
  StatusView,
} from '../../domain/views/controlPlane.js';
import {
  BLACK_BOX,
  STARTED_AT,
  failoverOf,
  loadBalancerOf,
  metricsOf,
  refOf,
  viewOf,
} from './memoryViews.js';
import type { MemoryService } from './memoryViews.js';

const HISTORY_LIMIT = 1_000;

export class MemoryControlPlane implements ControlPlane {
  readonly services: MemoryService[];
  /** Names of all calls that came through, in order; at most 10 000. */
  readonly calls: string[] = [];
  running = true;
  daemon: StatusView['daemon']['state'] = 'connected';
  /** When set, operations wait for it, as they would for PM2; `timeoutMs` still applies. */
  gate: Promise<void> | null = null;
  /** What gateways reported, newest last; bounded. */
  readonly reports: TrafficReport[] = [];
  readonly #listeners = new Set<(event: EventRecord) => void>();
  readonly #history: EventRecord[] = [];
  #seq = 0;
  #nextPmId = 1;
  #nextOperation = 1;

  constructor() {
    this.services = [this.#service('words', 1, 4, 2), this.#service('web', 1, 2, 1)];
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  emit<T extends EventType>(type: T, service: string | null, data: EventMap[T]): EventRecord {
    this.#seq += 1;
    const event = { seq: this.#seq, type, at: new Date().toISOString(), service, data } as EventRecord;
    this.#history.push(event);
    if (this.#history.length > HISTORY_LIMIT) this.#history.shift();
    for (const listener of this.#listeners) listener(event);
    return event;
  }

  start(by: string): Promise<{ running: true; changed: boolean }> {
    this.#note('start');
    const changed = !this.running;
    this.running = true;
    if (changed) this.emit('management.started', null, { by });
    return Promise.resolve({ running: true, changed });
  }

  stop(by: string): Promise<{ running: false; changed: boolean }> {
    this.#note('stop');
    const changed = this.running;
    this.running = false;
    if (changed) this.emit('management.stopped', null, { by });
    return Promise.resolve({ running: false, changed });
  }

  async scale(request: Parameters<ControlPlane['scale']>[0]): Promise<OperationReport> {
    this.#note('scale');
    const service = this.#find(request.serviceName ?? 'words');
    const up = request.direction === 'up';
    const from = service.pmIds.length;
    const target = request.targetInstances ?? from + (up ? 1 : -1);
    const refuse = (code: string, status: number): never => {
      throw new HoldfastError(code, `${service.name} has ${from} instances; ${target} is refused.`, {
        status,
      });
    };
    if (target > service.max) refuse('scale.above-max', 422);
    if (target < service.min) refuse('scale.below-min', 422);
    if (up && target < from) refuse('scale.not-above-current', 409);
    if (!up && target > from) refuse('scale.not-below-current', 409);
    if (target === from) return this.#nothingToDo(service, up ? 'scale-up' : 'scale-down');
    if (up && service.quarantined) refuse('service.quarantined', 409);
    return this.#operate(service, up ? 'scale-up' : 'scale-down', request.timeoutMs, () => {
      const stopped = service.pmIds.splice(target).map(refOf);
      const started = Array.from({ length: Math.max(0, target - from) }, () => this.#launch(service));
      service.serving = service.pmIds.length;
      this.emit('service.scaled', service.name, {
        service: service.name,
        from,
        to: target,
        by: 'operator',
        reason: 'asked for',
      });
      return { started, stopped };
    });
  }

  async failover(request: Parameters<ControlPlane['failover']>[0]): Promise<OperationReport> {
    this.#note('failover');
    const service = this.#find(request.serviceName);
    if (service.quarantined) {
      throw new HoldfastError('service.quarantined', `${service.name} is quarantined.`, { status: 409 });
    }
    return this.#operate(service, 'failover', request.timeoutMs, () => this.#replaceAll(service));
  }

  async deploy(request: Parameters<ControlPlane['deploy']>[0]): Promise<OperationReport> {
    this.#note('deploy');
    const service = this.#find(request.serviceName);
    if (service.brokenBuild) {
      throw new HoldfastError('deploy.canary-failed', `The canary of ${service.name} answered 500.`, {
        status: 424,
      });
    }
    return this.#operate(service, 'deploy', request.timeoutMs, () => this.#replaceAll(service));
  }

  async release(serviceName: string, by: string): Promise<CustodyView> {
    this.#note('release');
    await Promise.resolve();
    this.#find(serviceName);
    this.emit('service.released', serviceName, { service: serviceName, by });
    return { serviceName, released: true, changed: true, message: `${serviceName} is released.` };
  }

  async adopt(serviceName: string, by: string): Promise<CustodyView> {
    this.#note('adopt');
    await Promise.resolve();
    this.#find(serviceName);
    this.emit('service.adopted', serviceName, { service: serviceName, by, desired: 2 });
    return { serviceName, released: false, changed: true, message: `Holdfast takes care of ${serviceName}.` };
  }

  async resetFailure(
    serviceName: string,
    by: string,
  ): Promise<{ serviceName: string; cleared: { attempts: number; quarantined: boolean } }> {
    this.#note('resetFailure');
    const service = this.#find(serviceName);
    const cleared = { attempts: service.attempts, quarantined: service.quarantined };
    service.attempts = 0;
    service.quarantined = false;
    this.emit('service.reset', serviceName, { service: serviceName, by });
    return { serviceName, cleared };
  }

  status(): StatusView {
    return {
      running: this.running,
      version: '1.2.3',
      startedAt: STARTED_AT,
      node: { hostname: 'box', pid: 4711, cores: 2, memoryTotalBytes: 4e9 },
      daemon: { state: this.daemon, version: '7.0.4', since: STARTED_AT, problem: null },
      services: this.services.map(viewOf),
      gateways: [],
      lastEvents: this.#history.slice(-20),
    };
  }

  health(): Promise<HealthView> {
    this.#note('health');
    const checks = this.services.map(({ name, serving }) => ({
      name,
      ok: serving > 0,
      latencyMs: serving > 0 ? 1.5 : null,
      detail: `${serving} serve`,
    }));
    const status = checks.every(({ ok }) => ok) ? 'healthy' : 'unhealthy';
    return Promise.resolve({ status, checks });
  }

  metrics(): Promise<MetricsView> {
    return Promise.resolve(metricsOf(this.services));
  }

  loadBalancer(): LoadBalancerView {
    return loadBalancerOf(this.services);
  }

  failoverManager(): FailoverView {
    return failoverOf(this.services);
  }

  events(filter: { sinceMs?: number; service?: string; limit: number }): readonly EventRecord[] {
    return this.#history
      .filter(({ at }) => filter.sinceMs === undefined || Date.parse(at) >= filter.sinceMs)
      .filter(({ service }) => filter.service === undefined || service === filter.service)
      .slice(-filter.limit);
  }

  blackBoxes(): Promise<readonly BlackBoxEntry[]> {
    this.#note('blackBoxes');
    return Promise.resolve([BLACK_BOX.entry]);
  }

  blackBox(id: string): Promise<BlackBoxView> {
    this.#note('blackBox');
    return id === BLACK_BOX.entry.id ? Promise.resolve(BLACK_BOX) : Promise.reject(noBlackBox(id));
  }

  async blackBoxFile(id: string, file: BlackBoxFile): Promise<string> {
    const { entry, summary, stack } = await this.blackBox(id);
    if (file === 'summary.json') return JSON.stringify(summary);
    if (file === 'stack.txt' && stack !== null) return stack;
    throw new HoldfastError('blackbox.no-file', `${entry.id} has no ${file}.`, { status: 404 });
  }

  reportTraffic(report: TrafficReport, isKnown: boolean): void {
    this.#note(isKnown ? 'reportTraffic, known' : 'reportTraffic');
    this.reports.push(report);
    if (this.reports.length > HISTORY_LIMIT) this.reports.shift();
  }

  subscribe(listener: (event: EventRecord) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #operate(
    service: MemoryService,
    kind: OperationKind,
    timeoutMs: number,
    apply: () => { started: InstanceRef[]; stopped: InstanceRef[] },
  ): Promise<OperationReport> {
    if (service.busy) {
      throw new HoldfastError('operation.conflict', `${service.name} is busy.`, {
        status: 409,
        retryable: true,
      });
    }
    const operationId = `op-${this.#nextOperation}`;
    this.#nextOperation += 1;
    const fromInstances = service.pmIds.length;
    service.busy = true;
    const finished = (this.gate ?? Promise.resolve()).then(() => {
      service.busy = false;
      return apply();
    });
    const outcome = await withinTime(finished, timeoutMs);
    return {
      operationId,
      kind,
      serviceName: service.name,
      changed: true,
      done: outcome !== null,
      message: outcome === null ? 'Still under way.' : 'Done.',
      fromInstances,
      toInstances: service.pmIds.length,
      started: outcome?.started ?? [],
      stopped: outcome?.stopped ?? [],
      pending: outcome === null ? ['waiting for PM2'] : [],
      durationMs: 1,
    };
  }

  #nothingToDo({ name, pmIds }: MemoryService, kind: OperationReport['kind']): OperationReport {
    return {
      operationId: null,
      kind,
      serviceName: name,
      changed: false,
      done: true,
      message: `${name} already has ${pmIds.length} instances`,
      fromInstances: pmIds.length,
      toInstances: pmIds.length,
      started: [],
      stopped: [],
      pending: [],
      durationMs: 0,
    };
  }

  #replaceAll(service: MemoryService): { started: InstanceRef[]; stopped: InstanceRef[] } {
    const old = service.pmIds.splice(0);
    return { started: old.map(() => this.#launch(service)), stopped: old.map(refOf) };
  }

  #service(name: string, min: number, max: number, instances: number): MemoryService {
    const state = { attempts: 2, quarantined: false, busy: false, brokenBuild: false };
    const service: MemoryService = { name, min, max, pmIds: [], serving: instances, ...state };
    for (let index = 0; index < instances; index += 1) this.#launch(service);
    return service;
  }

  #launch(service: MemoryService): InstanceRef {
    const pmId = this.#nextPmId;
    this.#nextPmId += 1;
    service.pmIds.push(pmId);
    return refOf(pmId);
  }

  #find(name: string): MemoryService {
    const found = this.services.find((each) => each.name === name);
    if (found !== undefined) return found;
    const known = this.services.map((each) => each.name).join(', ');
    throw new HoldfastError('service.unknown', `There is no such service; known are ${known}.`, {
      status: 404,
    });
  }

  #note(call: string): void {
    if (this.calls.length < 10_000) this.calls.push(call);
  }
}

async function withinTime<T>(work: Promise<T>, timeoutMs: number): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function noBlackBox(id: string): HoldfastError {
  return new HoldfastError('blackbox.unknown', `There is no black box ${id}.`, { status: 404 });
}
