/**
 * Everything the supervisor knows of one service, in one place with one owner: what is wanted (persisted), what was
 * last seen of it in PM2, which instances are on their way out, and which are announced as serving. The rules that
 * decide are in domain/; this turns its state into their input and into views.
 */
import { mayServe, wasThere } from '../domain/health.js';
import type { Origin } from '../domain/health.js';
import type { MemoryTrend } from '../domain/memoryTracker.js';
import { instanceKey, isAlive, pmIdOf } from '../domain/model.js';
import type {
  InstanceId,
  ManagedProcess,
  Operation,
  Rollout,
  UnprovenFiles,
  ServiceState,
  ServiceView,
} from '../domain/model.js';
import type { ServicePolicy } from '../domain/policy.js';
import type { Action, Slot, SlotState } from '../domain/reconcile.js';
import type { InstanceLoad } from '../domain/scaling/window.js';
import type { Clock } from '../ports.js';
import type { AgentWatch } from './agentWatch.js';
import type { Diagnostician } from './diagnostician.js';
import type { FailoverManager } from './failoverManager.js';
import type { HealthMonitor } from './healthMonitor.js';
import type { InstanceFigures } from './loadMeter.js';
import { Provenance } from './provenance.js';
import { loadOf, viewOf } from './serviceView.js';
import type { TrafficFeed } from './trafficFeed.js';

interface Draining {
  readonly sinceMs: number;
  readonly why: string;
}

/** How long PM2 may take to restart what exited, before its row counts as abandoned. */
const RESTART_GRACE_MS = 1_500;

export interface Collaborators {
  readonly clock: Clock;
  readonly failover: FailoverManager;
  readonly health: HealthMonitor;
  readonly traffic: TrafficFeed;
  readonly agents: Pick<AgentWatch, 'presence'>;
  readonly diagnostician: Pick<Diagnostician, 'of'>;
}

export class SupervisedService {
  readonly name: string;
  policy: ServicePolicy;
  desired: number;
  /** False until the first list was seen and a desired count is known. */
  adopted = false;
  rollout: Rollout | null = null;
  operation: Operation | null = null;
  /** Files that a deploy did not verify lie in its folder: what starts next runs them. Null when they do not. */
  unproven: UnprovenFiles | null = null;
  lastAction: Action = { kind: 'hold', untilMs: null, reason: 'not looked at yet' };
  /** Why Holdfast leaves it alone, though it is shown: an operator let it go, or it is no longer configured. */
  letGo: 'released' | 'unconfigured' | null = null;
  /** Numbers that ran when management was switched off; null while it is on, or when they mean nothing any more. */
  runningWhenOff: readonly number[] | null = null;
  /** Starts that were refused (PM2 could not, no port is free) since the last one that worked. */
  refusedStarts: { readonly count: number; readonly problem: string } | null = null;
  /** Since when (Clock.nowMs) fewer serve than a scale decision wants; null when it was reached. */
  scaleSinceMs: number | null = null;
  /** When (Clock.nowMs) something first failed that has not been recovered and verified yet. */
  incident: { readonly sinceMs: number; restoredAtMs: number | null } | null = null;

  #processes: readonly ManagedProcess[] = [];
  #changedAtMs = Number.NEGATIVE_INFINITY;
  #figures: ReadonlyMap<number, InstanceFigures> = new Map();
  #memory: ReadonlyMap<string, MemoryTrend> = new Map();
  readonly #draining = new Map<string, Draining>();
  readonly #recycle = new Map<string, string>();
  readonly #announced = new Set<string>();
  /** Since when (Clock.nowMs) a row has no process. */
  readonly #lifelessSinceMs = new Map<string, number>();
  readonly #removing = new Set<number>();
  /** Numbers whose last end was not an operator's doing. */
  readonly #endedUnasked = new Set<number>();
  readonly #collaborators: Collaborators;
  readonly provenance = new Provenance();
  /** What Holdfast is doing to it: PM2's list may show the outcome before the call has come back. null: nothing. */
  underWay: Exclude<Action, { readonly kind: 'hold' }>['kind'] | null = null;

  constructor(policy: ServicePolicy, collaborators: Collaborators) {
    this.name = policy.name;
    this.policy = policy;
    this.desired = policy.scaling.minInstances;
    this.#collaborators = collaborators;
  }

  get processes(): readonly ManagedProcess[] {
    return this.#processes;
  }

  /** Replaces what was seen; whatever is remembered of processes that are gone is forgotten. */
  see(processes: readonly ManagedProcess[], newDaemon = false): void {
    if (newDaemon) {
      this.provenance.forget();
      this.runningWhenOff = null;
    }
    this.#processes = processes;
    const keys = new Set(processes.map(instanceKey));
    const lifeless = new Set(processes.filter((process) => !isAlive(process)).map(instanceKey));
    for (const key of this.#lifelessSinceMs.keys()) if (!lifeless.has(key)) this.#lifelessSinceMs.delete(key);
    for (const key of lifeless) {
      if (!this.#lifelessSinceMs.has(key)) this.#lifelessSinceMs.set(key, this.#collaborators.clock.nowMs());
    }
    for (const key of this.#draining.keys()) if (!keys.has(key)) this.#draining.delete(key);
    for (const key of this.#recycle.keys()) if (!keys.has(key)) this.#recycle.delete(key);
    const numbers = new Set(processes.map(({ pmId }) => pmId));
    for (const pmId of this.#endedUnasked) if (!numbers.has(pmId)) this.#endedUnasked.delete(pmId);
    // Halting it is asked for, too, but by us: once its quarantine has ended it is to be replaced.
    for (const pmId of numbers) if (this.#isQuarantined(pmId)) this.#endedUnasked.add(pmId);
    this.provenance.retain(processes);
    const { failover, health } = this.#collaborators;
    // One that drains because it is unfit is as good as gone: it does not come back.
    const stays = (process: ManagedProcess): boolean =>
      isAlive(process) && (!this.isDraining(process) || health.state(instanceKey(process))?.kind === 'fit');
    failover.see(this.name, new Set(processes.filter(stays).map(({ pmId }) => pmId)), numbers);
  }

  /** When (Clock.nowMs) what runs was last changed by us. */
  get changedAtMs(): number {
    return this.#changedAtMs;
  }

  /** Adds one that was just started, before the next list shows it. */
  add(started: ManagedProcess): void {
    this.#changedAtMs = this.#collaborators.clock.nowMs();
    this.#processes = [...this.#processes.filter(({ pmId }) => pmId !== started.pmId), started];
  }

  drop(target: InstanceId): void {
    this.#changedAtMs = this.#collaborators.clock.nowMs();
    this.see(this.#processes.filter(({ pmId }) => pmId !== target.pmId));
  }

  /** What a process that is seen for the first time is taken for. */
  originOf(process: ManagedProcess): Origin {
    if (this.#isStartedByUs(process)) this.provenance.started(process);
    const ageMs = this.#collaborators.clock.wallMs() - process.startedAtMs;
    return this.provenance.originOf(process, ageMs, this.policy.health.startTimeoutMs);
  }

  find(pmId: number): ManagedProcess | undefined {
    return this.#processes.find((candidate) => candidate.pmId === pmId);
  }

  /** Seen before the call that starts it has come back, or begun by a rollout whose supervisor did not live to hear of it. */
  #isStartedByUs(process: ManagedProcess): boolean {
    if (this.underWay === 'start' || this.underWay === 'trial') return true;
    return this.rollout !== null && !this.rollout.outdated.includes(instanceKey(process));
  }

  online(): readonly ManagedProcess[] {
    return this.#processes.filter(({ pid, status }) => pid !== null && status === 'online');
  }

  /** PM2's numbers of all that it lists. */
  numbers(): ReadonlySet<number> {
    return new Set(this.#processes.map(({ pmId }) => pmId));
  }

  /** … and of those that have a process. */
  runningNumbers(): ReadonlySet<number> {
    return new Set(this.#processes.filter(isAlive).map(({ pmId }) => pmId));
  }

  measure(figures: ReadonlyMap<number, InstanceFigures>): void {
    this.#figures = figures;
  }

  figuresOf({ pid }: ManagedProcess): InstanceFigures | null {
    return pid === null ? null : (this.#figures.get(pid) ?? null);
  }

  /** What becomes of the memory of each, by key; MemoryWatch owns it. */
  noteMemory(trends: ReadonlyMap<string, MemoryTrend>): void {
    this.#memory = trends;
  }

  memoryTrendOf(id: InstanceId): MemoryTrend {
    return this.#memory.get(instanceKey(id)) ?? { kind: 'unknown' };
  }

  drain(target: InstanceId, draining: Draining): void {
    this.#draining.set(instanceKey(target), draining);
  }

  isDraining(id: InstanceId): boolean {
    return this.#draining.has(instanceKey(id));
  }

  isDrainingAt(port: number): boolean {
    return this.#processes.some((process) => process.port === port && this.isDraining(process));
  }

  stopDraining(id: InstanceId): void {
    this.#draining.delete(instanceKey(id));
  }

  /** Back into traffic with all that are not being ended already. */
  stopAllDraining(): void {
    for (const key of this.#draining.keys()) if (!this.isRemoving(pmIdOf(key))) this.#draining.delete(key);
  }

  /** Marks an instance to be replaced though it serves: its memory nears the limit. */
  recycle(id: InstanceId, why: string): void {
    this.#recycle.set(instanceKey(id), why);
  }

  stopRecycling(): void {
    this.#recycle.clear();
  }

  isRecycling(): boolean {
    return this.#recycle.size > 0;
  }

  /** While we remove an instance, its exit is no failure. */
  async whileRemoving<T>(pmId: number, run: () => Promise<T>): Promise<T> {
    this.#removing.add(pmId);
    try {
      return await run();
    } finally {
      this.#removing.delete(pmId);
    }
  }

  isRemoving(pmId: number): boolean {
    return this.#removing.has(pmId);
  }

  /** Remembers whether the last end of that number was asked for: a stopped row means something else then. */
  noteEnd(pmId: number, asked: boolean): void {
    if (asked) this.#endedUnasked.delete(pmId);
    else this.#endedUnasked.add(pmId);
  }

  hasEndedUnasked(pmId: number): boolean {
    return this.#endedUnasked.has(pmId);
  }

  /** Every row stopped, or still ending beside one that is, and none by us: an operator wants it so. */
  isStoppedByOperator(): boolean {
    return (
      this.#processes.some(({ status }) => status === 'stopped') &&
      this.#processes.every(
        (process) =>
          (process.status === 'stopped' || (process.status === 'stopping' && !this.isDraining(process))) &&
          !this.#endedUnasked.has(process.pmId) &&
          !this.#isQuarantined(process.pmId),
      )
    );
  }

  isServing(process: ManagedProcess): boolean {
    const key = instanceKey(process);
    const isWell = mayServe(this.#collaborators.health.state(key));
    return isWell && isAlive(process) && process.status !== 'stopping' && !this.#draining.has(key);
  }

  serving(): readonly ManagedProcess[] {
    return this.#processes.filter((process) => this.isServing(process));
  }

  /** Instances that are here to stay: not draining, not outdated, not quarantined. */
  settledServing(): readonly ManagedProcess[] {
    return this.serving().filter(
      (process) => !this.#isOutdated(process) && !this.#isQuarantined(process.pmId),
    );
  }

  /** What changed in who may get traffic since the last call. */
  announcements(): { readonly added: readonly ManagedProcess[]; readonly removed: readonly string[] } {
    const serving = new Map(this.serving().map((process) => [instanceKey(process), process]));
    const added = [...serving].filter(([key]) => !this.#announced.has(key)).map(([, process]) => process);
    const removed = [...this.#announced].filter((key) => !serving.has(key));
    for (const key of removed) this.#announced.delete(key);
    for (const key of serving.keys()) this.#announced.add(key);
    return { added, removed };
  }

  slots(): readonly Slot[] {
    const { failover } = this.#collaborators;
    return this.#processes.map((process) => ({
      id: { service: process.service, pmId: process.pmId, startedAtMs: process.startedAtMs },
      state: this.#slotState(process),
      outdated: this.#isOutdated(process),
      held: failover.isHeld(this.name, process.pmId),
      spare: failover.isSpare(this.name, process.pmId),
    }));
  }

  /** Those that run without ever having passed the probe, and what came instead. */
  unverified(): readonly { readonly process: ManagedProcess; readonly detail: string }[] {
    return this.#processes.filter(isAlive).flatMap((process) => {
      const state = this.#collaborators.health.state(instanceKey(process));
      return state?.kind === 'unverified' ? [{ process, detail: state.detail }] : [];
    });
  }

  /** Whether all that runs is unverified: then nothing that is started could be verified either. */
  isUnverified(): boolean {
    return (
      this.unverified().length > 0 &&
      !this.#processes.some(
        (process) => this.#collaborators.health.state(instanceKey(process))?.kind === 'fit',
      )
    );
  }

  #slotState(process: ManagedProcess): SlotState {
    const key = instanceKey(process);
    const draining = this.#draining.get(key);
    if (draining !== undefined) {
      const { traffic } = this.#collaborators;
      const drained = process.port === null ? null : traffic.drained(process.port, draining.sinceMs);
      return { kind: 'draining', ...draining, drained };
    }
    const health = this.#collaborators.health.state(key);
    const quarantined = this.#collaborators.failover.quarantinedSlot(this.name, process.pmId);
    if (quarantined !== null) {
      const running = isAlive(process) && health?.kind !== 'fit';
      return { kind: 'quarantined', running, failOpen: quarantined.failOpen };
    }
    if (!isAlive(process)) {
      // PM2 shows what it is about to restart as stopped for a moment.
      const sinceMs = this.#lifelessSinceMs.get(key) ?? this.#collaborators.clock.nowMs();
      const settled = this.#collaborators.clock.nowMs() - sinceMs >= RESTART_GRACE_MS;
      return settled ? { kind: 'debris', detail: `PM2 says ${process.status}` } : { kind: 'starting' };
    }
    // Being restarted or stopped by an operator: the next look tells which.
    if (process.status === 'stopping') return { kind: 'starting' };
    switch (health?.kind) {
      case 'fit':
      case 'unverified':
        return { kind: health.kind };
      case 'unfit': {
        const { cause, detail, wasReady } = health;
        return { kind: 'unfit', cause, detail, wasReady };
      }
      case 'starting':
        return { kind: wasThere(health) ? 'unknown' : 'starting' };
      case undefined:
        return { kind: 'starting' };
    }
  }

  #isOutdated(id: InstanceId): boolean {
    const key = instanceKey(id);
    return this.#recycle.has(key) || (this.rollout?.outdated.includes(key) ?? false);
  }

  isQuarantined(): boolean {
    return this.#collaborators.failover.quarantine(this.name).kind !== 'none';
  }

  #isQuarantined(pmId: number): boolean {
    return this.#collaborators.failover.quarantinedSlot(this.name, pmId) !== null;
  }

  state(): ServiceState {
    if (this.letGo !== null) return 'released';
    if (this.isStoppedByOperator()) return 'stopped';
    if (this.#collaborators.failover.quarantine(this.name).kind !== 'none') return 'quarantined';
    const serving = this.serving().length;
    if (serving === 0) return 'unhealthy';
    if (this.unverified().length > 0) return 'unverified';
    return serving < this.desired ? 'degraded' : 'healthy';
  }

  view(): ServiceView {
    return viewOf(this, this.#collaborators);
  }

  /** What deciding how many there should be looks at, of each instance. */
  loads(): readonly InstanceLoad[] {
    return this.#processes.map((process) => loadOf(this, process, this.#collaborators));
  }
}
