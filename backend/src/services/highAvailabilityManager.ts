/**
 * The control plane's face: what the API, and only the API, calls. Checks what is asked against the rules of SPEC 3,
 * hands it to the loop, and shows its state. See domain/views/controlPlane.ts for the contract.
 */
import type { BlackBoxEntry, BlackBoxFile } from '../domain/blackBox/blackBox.js';
import { diagnosisText } from '../domain/diagnosis/facts.js';
import { HoldfastError } from '../domain/errors.js';
import type { EventRecord } from '../domain/events.js';
import type { OperationReport } from '../domain/model.js';
import type { ServiceState } from '../domain/views/serviceView.js';
import type { TrafficReport } from '../domain/statistics/traffic.js';
import type {
  BlackBoxView,
  ControlPlane,
  CustodyView,
  FailoverView,
  HealthCheckView,
  HealthView,
  LoadBalancerView,
  MetricsView,
  StatusView,
} from '../domain/views/controlPlane.js';
import type { HostMeter } from '../ports.js';
import type { ControlLoop } from './loop/controlLoop.js';
import type { EventLog } from './events/eventLog.js';
import { failoverView } from './views/failoverView.js';
import { insideView, metricsView } from './views/metricsView.js';
import { assertNoJob, assertNotQuarantined, assertReady, assertVerifiable, refuse } from './act/refusals.js';
import type { SupervisedService } from './service/supervisedService.js';

export interface HighAvailabilityManagerOptions {
  readonly loop: ControlLoop;
  readonly events: EventLog;
  readonly hostMeter: HostMeter;
  readonly version: string;
  readonly node: { readonly hostname: string; readonly pid: number };
  /** Which service a scale call without a name means, now; null: the first. */
  /**
   * Reads anew what a service is started as, before a deploy. Rejects with what keeps it from being started so: a deploy
   * would otherwise run what was known before.
   */
  readonly renewDefinition: (service: string) => Promise<void>;
  readonly defaultService: () => string | null;
  /** CPU and memory of the supervisor itself. */
  readonly self: () => { readonly cpuPercent: number | null; readonly memoryBytes: number };
  readonly dropped: () => { readonly events: number; readonly notifications: number };
}

const LAST_EVENTS = 20;
/** What an operator stopped, and what ended as intended, is down because it should be; what was let go is left alone. */
const NEED_NOT_SERVE: ReadonlySet<ServiceState> = new Set(['stopped', 'finished', 'released']);

export class HighAvailabilityManager implements ControlPlane {
  readonly #options: HighAvailabilityManagerOptions;
  readonly #startedWallMs: number;

  constructor(options: HighAvailabilityManagerOptions) {
    this.#options = options;
    this.#startedWallMs = options.loop.moment().wallMs;
  }

  async start(by: string): Promise<{ readonly running: true; readonly changed: boolean }> {
    const changed = await this.#options.loop.setRunning(true);
    if (changed) this.#options.events.emit('management.started', { by });
    return { running: true, changed };
  }

  async stop(by: string): Promise<{ readonly running: false; readonly changed: boolean }> {
    const changed = await this.#options.loop.setRunning(false);
    if (changed) this.#options.events.emit('management.stopped', { by });
    return { running: false, changed };
  }

  status(): StatusView {
    const { loop, events, version, node, hostMeter } = this.#options;
    const { cores, memoryTotalBytes } = hostMeter.figures();
    return {
      running: loop.running,
      version,
      startedAt: new Date(this.#startedWallMs).toISOString(),
      node: { ...node, cores, memoryTotalBytes },
      daemon: loop.observer.daemon(),
      services: [...loop.services.values()].map((service) => service.view()),
      gateways: loop.traffic.views(),
      lastEvents: events.query({ limit: LAST_EVENTS }),
    };
  }

  async health(): Promise<HealthView> {
    const { loop } = this.#options;
    const began = loop.moment().nowMs;
    await loop.observer.look();
    const daemon = loop.observer.daemon();
    const pm2: HealthCheckView = {
      name: 'pm2',
      ok: daemon.state === 'connected',
      latencyMs: Math.round(loop.moment().nowMs - began),
      detail:
        daemon.state === 'connected'
          ? `daemon ${daemon.version ?? ''} answers`
          : `${daemon.state}: ${daemon.problem ?? ''}`,
    };
    const probes = await loop.health.probeAll();
    const instances = probes.map(({ instance, result }) => {
      const outside = result.ok ? `port ${instance.port ?? 'none'} answers` : result.detail;
      return {
        name: `${instance.service}#${instance.pmId}`,
        ok: result.ok,
        latencyMs: Math.round(result.latencyMs * 10) / 10,
        detail: `${outside}${insideView(loop, instance)}`,
      };
    });
    const services = [...loop.services.values()].map(serviceCheck);
    const checks = [pm2, ...services, ...instances];
    const isDown = [...loop.services.values()].some(
      (service) => service.serving().length === 0 && !NEED_NOT_SERVE.has(service.state()),
    );
    const status = isDown ? 'unhealthy' : checks.every(({ ok }) => ok) ? 'healthy' : 'degraded';
    return { status, checks };
  }

  metrics(): Promise<MetricsView> {
    const { loop, hostMeter, self, dropped } = this.#options;
    const uptimeSeconds = Math.round((loop.moment().wallMs - this.#startedWallMs) / 1000);
    const supervisor = { ...self(), uptimeSeconds };
    const lost = { ...dropped(), blackBoxes: loop.blackBox.dropped() };
    return Promise.resolve(metricsView(loop, hostMeter.figures(), supervisor, lost));
  }

  async scale(request: {
    direction: 'up' | 'down';
    serviceName?: string;
    targetInstances?: number;
    timeoutMs: number;
  }): Promise<OperationReport> {
    const { loop } = this.#options;
    const service = this.#service(request.serviceName);
    const { desired, policy } = service;
    const step = request.direction === 'up' ? 1 : -1;
    const to = request.targetInstances ?? desired + step;
    const { minInstances, maxInstances } = policy.scaling;
    if (to > maxInstances)
      throw refuse(
        'scale.above-max',
        422,
        `${service.name} may have at most ${maxInstances} instances, ${to} were asked for.`,
      );
    if (to < minInstances)
      throw refuse(
        'scale.below-min',
        422,
        `${service.name} must have at least ${minInstances} instances, ${to} were asked for.`,
      );
    if (request.direction === 'up' && to < desired) {
      throw refuse(
        'scale.not-above-current',
        409,
        `${service.name} has ${desired} instances, and ${to} would be fewer. Use scale-down to shrink.`,
      );
    }
    if (request.direction === 'down' && to > desired) {
      throw refuse(
        'scale.not-below-current',
        409,
        `${service.name} has ${desired} instances, and ${to} would be more. Use scale-up to grow.`,
      );
    }
    loop.operations.assertNone(service);
    assertReady(loop, service);
    assertNoJob(service);
    const kind = request.direction === 'up' ? 'scale-up' : 'scale-down';
    if (to === desired) return loop.operations.nothingToDo(service, kind);
    if (request.direction === 'up') {
      assertNotQuarantined(loop, service);
      assertVerifiable(service);
    }
    const reason = `asked for ${to} instances`;
    return loop.operations.run(service, { kind, to, reason, timeoutMs: request.timeoutMs });
  }

  async failover(request: {
    serviceName: string;
    reason?: string;
    timeoutMs: number;
  }): Promise<OperationReport> {
    const { loop } = this.#options;
    const service = this.#service(request.serviceName);
    loop.operations.assertNone(service);
    assertReady(loop, service);
    if (service.isJob()) return loop.operations.leftToItsRuns(service, 'failover');
    assertNotQuarantined(loop, service);
    assertVerifiable(service);
    const reason = request.reason ?? 'asked for by an operator';
    return loop.operations.run(service, {
      kind: 'failover',
      to: service.desired,
      reason,
      timeoutMs: request.timeoutMs,
    });
  }

  async deploy(request: {
    serviceName: string;
    putBack?: boolean;
    timeoutMs: number;
  }): Promise<OperationReport> {
    const { loop } = this.#options;
    const service = this.#service(request.serviceName);
    loop.operations.assertNone(service, 'deploy');
    assertReady(loop, service);
    const reason = request.putBack === true ? await loop.builds.putBack(service) : 'a new build';
    await this.#options.renewDefinition(service.name);
    if (service.isJob()) return loop.operations.leftToItsRuns(service, 'deploy');
    // A new build is how most quarantines end: its canary is the trial.
    loop.failover.reset(service.name);
    return loop.operations.run(service, {
      kind: 'deploy',
      to: service.desired,
      reason,
      timeoutMs: request.timeoutMs,
    });
  }

  async resetFailure(
    serviceName: string,
    by: string,
  ): Promise<{ readonly serviceName: string; readonly cleared: { attempts: number; quarantined: boolean } }> {
    const { loop, events } = this.#options;
    const service = this.#service(serviceName);
    const cleared = loop.failover.reset(service.name);
    events.emit('service.reset', { service: service.name, by });
    await loop.touch(service);
    return { serviceName: service.name, cleared: { ...cleared } };
  }

  async release(serviceName: string, by: string): Promise<CustodyView> {
    const service = this.#service(serviceName);
    this.#options.loop.operations.assertNone(service);
    const changed = await this.#options.loop.setReleased(service, true);
    if (changed) this.#options.events.emit('service.released', { service: service.name, by });
    const message =
      `${service.name} is released: Holdfast shows it, and neither restarts, stops, replaces nor scales it, ` +
      `until it is adopted again (POST /api/ha/adopt/${encodeURIComponent(service.name)}).`;
    return { serviceName: service.name, released: true, changed, message };
  }

  async adopt(serviceName: string, by: string): Promise<CustodyView> {
    const { loop, events } = this.#options;
    const service = this.#service(serviceName);
    if (service.letGo === 'unconfigured' && !(await loop.isConfigured(service))) {
      throw refuse(
        'service.not-configured',
        409,
        `${service.name} is neither in the ecosystem file nor in the configuration any more; name it there first.`,
      );
    }
    const changed = await loop.setReleased(service, false);
    const { name, desired } = service;
    if (changed) events.emit('service.adopted', { service: name, by, desired });
    const message = `Holdfast takes care of ${name}; ${desired} ${desired === 1 ? 'instance is' : 'instances are'} wanted.`;
    return { serviceName: name, released: false, changed, message };
  }

  loadBalancer(): LoadBalancerView {
    const { loop } = this.#options;
    const services = [...loop.services.values()];
    const policy = this.#service(undefined).policy.scaling;
    const { cpuHighPercent, cpuLowPercent, memoryHighPercent, memoryLowPercent } = policy;
    return {
      thresholds: { cpuHighPercent, cpuLowPercent, memoryHighPercent, memoryLowPercent },
      scaleCooldownMs: policy.cooldownMs,
      services: services.map((service) =>
        loop.loadBalancer.view(
          service.policy,
          { current: service.serving().length, desired: service.desired },
          loop.moment().nowMs,
        ),
      ),
    };
  }

  failoverManager(): FailoverView {
    return failoverView(this.#options.loop, this.#service(undefined).policy);
  }

  events(filter: { sinceMs?: number; service?: string; limit: number }): readonly EventRecord[] {
    return this.#options.events.query(filter);
  }

  blackBoxes(): Promise<readonly BlackBoxEntry[]> {
    return this.#options.loop.blackBox.list();
  }

  blackBox(id: string): Promise<BlackBoxView> {
    return this.#options.loop.blackBox.view(id);
  }

  blackBoxFile(id: string, file: BlackBoxFile): Promise<string> {
    return this.#options.loop.blackBox.file(id, file);
  }

  reportTraffic(report: TrafficReport, isKnown: boolean): void {
    if (this.#options.loop.traffic.accept(report, isKnown)) return;
    throw refuse(
      'gateway.too-many',
      429,
      'More gateways report than are listened to, or another one has this name. Stop some of them.',
    );
  }

  subscribe(listener: (event: EventRecord) => void): () => void {
    return this.#options.events.subscribe(listener);
  }

  #service(name: string | undefined): SupervisedService {
    const { loop, defaultService } = this.#options;
    const wanted = name ?? defaultService() ?? loop.services.keys().next().value;
    const service = wanted === undefined ? undefined : loop.services.get(wanted);
    if (service !== undefined) return service;
    const known = [...loop.services.keys()].join(', ') || 'none';
    throw new HoldfastError('service.unknown', `There is no service ${wanted ?? ''}. Supervised: ${known}.`, {
      status: 404,
    });
  }
}

function serviceCheck(service: SupervisedService): HealthCheckView {
  const { name, state, serving, desired, reason, diagnosis } = service.view();
  const why = diagnosis === null ? '' : `; ${diagnosisText(diagnosis)}`;
  return {
    name,
    ok: state === 'healthy' || state === 'finished' || state === 'released',
    latencyMs: null,
    detail: `${state}: ${serving} of ${desired} serving; ${reason}${why}`,
  };
}
