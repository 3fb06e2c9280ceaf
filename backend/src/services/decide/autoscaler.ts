/**
 * Feeds the LoadBalancer with figures, and makes its answers the desired counts. The one place where a desired count
 * changes, whoever asked for it: the move is remembered (cooldown), told, and timed until it is reached.
 */
import { clampInstances, whyBounded } from '../../domain/policy.js';
import type { Clock, HostMeter } from '../../ports.js';
import type { AvailabilityKeeper } from '../observe/availabilityKeeper.js';
import type { EventLog } from '../events/eventLog.js';
import type { FailoverManager } from '../failoverManager.js';
import type { LoadBalancer, ScalingFacts } from '../loadBalancer.js';
import type { LoadMeter } from '../observe/loadMeter.js';
import type { SupervisedService } from '../service/supervisedService.js';

export interface AutoscalerOptions {
  readonly clock: Clock;
  readonly events: EventLog;
  readonly loadMeter: LoadMeter;
  readonly hostMeter: HostMeter;
  readonly loadBalancer: LoadBalancer;
  readonly failover: FailoverManager;
  readonly availability: AvailabilityKeeper;
  /** A desired count changed by load: keep it. */
  readonly onMove: () => void;
}

/** Figures closer together than this are noise. */
const MIN_SAMPLE_GAP_MS = 900;

export class Autoscaler {
  readonly #options: AutoscalerOptions;
  /** Services that have served at least once in this life. */
  readonly #served = new Set<string>();
  #sampledMs = Number.NEGATIVE_INFINITY;

  constructor(options: AutoscalerOptions) {
    this.#options = options;
  }

  /** One sample of all services' processes, unless the last one was only just taken. */
  async measure(services: readonly SupervisedService[]): Promise<void> {
    const { clock, loadMeter, loadBalancer } = this.#options;
    const now = clock.nowMs();
    if (now - this.#sampledMs < MIN_SAMPLE_GAP_MS) return;
    this.#sampledMs = now;
    const figures = await loadMeter.sample(services.flatMap(({ processes }) => processes));
    for (const service of services) {
      service.measure(figures);
      loadBalancer.observe(service.policy, service.loads(), now);
      this.#countAvailability(service);
    }
  }

  /** Before the first probes have answered nobody knows, so it counts neither as up nor as down. */
  #countAvailability(service: SupervisedService): void {
    const isServing = service.serving().length > 0;
    // What ended as intended is no outage.
    if (service.state() === 'finished') return;
    if (!isServing && !this.#hasServed(service)) return;
    if (isServing) this.#served.add(service.name);
    this.#options.availability.observe(service.name, isServing);
  }

  /** From then on availability is counted. A restart of the supervisor takes nothing from an outage. */
  #hasServed(service: SupervisedService): boolean {
    const { name } = service;
    return this.#served.has(name) || (this.#options.availability.hasServed(name) && !service.isUndecided());
  }

  /** Decides, and applies unless `running` is false: then the decision is only shown. */
  apply(service: SupervisedService, running: boolean): void {
    const { clock, hostMeter, loadBalancer, onMove } = this.#options;
    const { memoryTotalBytes, memoryAvailableBytes } = hostMeter.figures();
    const { policy } = service;
    const blocked = this.#blocked(service);
    // Also while a slot is quarantined, or autoscaling is off: only an operation has bounds of its own.
    const isSettled = blocked === null || blocked.by === 'quarantine' || blocked.by === 'unverified';
    if (running && isSettled) this.#keepBounds(service);
    const decision = loadBalancer.decide(
      running ? policy : { ...policy, scaling: { ...policy.scaling, autoscale: false } },
      {
        desired: service.desired,
        host: { memoryTotalBytes, memoryAvailableBytes },
        blocked,
      },
      { nowMs: clock.nowMs(), wallMs: clock.wallMs() },
    );
    if (decision.action === 'hold') return;
    this.setDesired(service, decision.to, 'autoscaler', decision.reason);
    onMove();
  }

  /** A new configuration may have moved them past the desired count. */
  #keepBounds(service: SupervisedService): void {
    const { desired, policy } = service;
    const to = clampInstances(desired, policy);
    if (to === desired) return;
    this.setDesired(service, to, 'autoscaler', whyBounded(desired, to));
    this.#options.onMove();
  }

  #blocked(service: SupervisedService): ScalingFacts['blocked'] {
    const { operation } = service;
    if (service.letGo !== null) return { by: 'released', reason: 'Holdfast leaves the service alone' };
    if (operation !== null) return { by: 'operation', reason: `${operation.kind} is under way` };
    if (service.isStoppedByOperator()) return { by: 'stopped', reason: 'stopped through PM2' };
    if (service.isJob()) return { by: 'job', reason: 'it runs to its end, once a start' };
    if (this.#options.failover.quarantine(service.name).kind !== 'none') {
      return { by: 'quarantine', reason: 'the service is quarantined' };
    }
    if (service.isUnverified()) return { by: 'unverified', reason: 'no instance has ever passed the probe' };
    return null;
  }

  /** The desired count changes: remembers, tells, starts the stop-watch. */
  setDesired(service: SupervisedService, to: number, by: 'autoscaler' | 'operator', reason: string): void {
    const { clock, events, loadBalancer } = this.#options;
    const from = service.desired;
    if (from === to) return;
    service.desired = to;
    // Holes are inside the desired count: the places that go are the empty ones.
    if (to < from) {
      this.#options.failover.dropHoles(service.name, from - to, service.runningNumbers());
    }
    service.scaleSinceMs = clock.nowMs();
    loadBalancer.noteMove(service.name, from, to, clock.nowMs(), by);
    events.emit('service.scaled', { service: service.name, from, to, by, reason });
  }

  /** Stops the stop-watch when as many serve as are wanted. */
  noteReached(service: SupervisedService): void {
    if (service.scaleSinceMs === null || service.settledServing().length !== service.wantedServing()) return;
    const { availability, clock } = this.#options;
    availability.scaled(service.name, clock.nowMs() - service.scaleSinceMs);
    service.scaleSinceMs = null;
  }
}
