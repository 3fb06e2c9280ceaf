/**
 * Everything the supervisor knows of one service, in one place with one owner: what is wanted (persisted), what was
 * last seen of it in PM2, which instances are on their way out, and which are announced as serving. The rules that
 * decide are in domain/; this turns its state into their input and into views.
 */
import type { Diagnosis } from '../../domain/diagnosis/facts.js';
import { RESTARTED } from '../../domain/failures/endRules.js';
import { isUnknown, mayServe } from '../../domain/health/health.js';
import type { HealthState, Origin } from '../../domain/health/health.js';
import type { MemoryTrend } from '../../domain/memory/memoryTracker.js';
import { instanceKey, isAlive } from '../../domain/model.js';
import type { InstanceId, ManagedProcess, Operation, Rollout, UnprovenFiles } from '../../domain/model.js';
import type { ServiceState, ServiceView } from '../../domain/views/serviceView.js';
import { withRoomFor } from '../../domain/policy.js';
import type { ServicePolicy } from '../../domain/policy.js';
import type { Action } from '../../domain/reconcile/action.js';
import type { Slot } from '../../domain/reconcile/slot.js';
import type { InstanceLoad } from '../../domain/scaling/window.js';
import type { Clock } from '../../ports.js';
import { Announcements } from './announcements.js';
import type { AgentWatch } from '../observe/agentWatch.js';
import { isStartedByUs, takeOverStart } from './begunStart.js';
import type { BegunStart } from './begunStart.js';
import type { FailoverManager } from '../failoverManager.js';
import type { HealthMonitor } from '../observe/healthMonitor.js';
import type { InstanceFigures } from '../observe/loadMeter.js';
import type { Incident } from './incident.js';
import { Leaving } from './leaving.js';
import { Pm2Restarts } from './pm2Restarts.js';
import { ProcessEnds } from './processEnds.js';
import { Provenance } from './provenance.js';
import { stateOf, wasStoppedByOperator } from './serviceState.js';
import { loadOf, viewOf } from './serviceView.js';
import { Doubles } from './sharedPorts.js';
import { slotStateOf } from './slotState.js';
import type { TrafficFeed } from '../observe/trafficFeed.js';

export interface Collaborators {
  readonly clock: Clock;
  readonly failover: FailoverManager;
  readonly health: HealthMonitor;
  readonly traffic: TrafficFeed;
  readonly agents: Pick<AgentWatch, 'presence'>;
  /** What is known of why it does not serve as it should; null: it does, or that is not known (yet). */
  readonly diagnostician: { of(service: string): Diagnosis | null };
  readonly startWarnings: (service: string) => readonly string[];
}

export class SupervisedService {
  readonly name: string;
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
  /** Something failed that has not been recovered and verified yet. */
  incident: Incident | null = null;

  #configured: ServicePolicy;
  #found = 0;
  #processes: readonly ManagedProcess[] = [];
  #changedAtMs = Number.NEGATIVE_INFINITY;
  #figures: ReadonlyMap<number, InstanceFigures> = new Map();
  #memory: ReadonlyMap<string, MemoryTrend> = new Map();
  readonly leaving = new Leaving();
  /** Those that PM2 made by itself, or for an operator. */
  readonly restarts: Pm2Restarts;
  readonly doubles = new Doubles();
  /** Restored from what a former supervisor wrote, and not seen since. */
  isRestored = false;
  /** Keys of those that ran when this supervisor first looked; null: it has not looked yet. */
  #adoptedKeys: ReadonlySet<string> | null = null;
  readonly #announcements = new Announcements();
  readonly #removing = new Set<number>();
  readonly #collaborators: Collaborators;
  readonly provenance = new Provenance();
  /** How its processes ended. */
  readonly ends: ProcessEnds;
  /** What Holdfast is doing to it: PM2's list may show the outcome before the call has come back. null: nothing. */
  underWay: Exclude<Action, { readonly kind: 'hold' }>['kind'] | null = null;
  /** The start that is under way, or in doubt (begunStart.ts): also that of a former supervisor. null: none is. */
  begun: BegunStart | null = null;
  /** Since which list (Clock.nowMs) what it started is looked for; null: it is not in doubt, or no list has come since. */
  doubtedSinceMs: number | null = null;

  constructor(policy: ServicePolicy, collaborators: Collaborators) {
    this.name = policy.name;
    this.#configured = policy;
    this.desired = policy.scaling.minInstances;
    this.#collaborators = collaborators;
    this.restarts = new Pm2Restarts(collaborators.clock);
    this.ends = new ProcessEnds({
      clock: collaborators.clock,
      isQuarantined: (pmId) => this.#isQuarantined(pmId),
    });
  }

  /** What it is held to. */
  get policy(): ServicePolicy {
    return withRoomFor(this.#configured, this.#found);
  }

  set policy(configured: ServicePolicy) {
    this.#configured = configured;
  }

  /** How many ran when Holdfast first took care of it, or took it back: the default maximum makes room for them (decision 32). */
  get found(): number {
    return this.#found;
  }

  set found(count: number) {
    this.#found = count;
  }

  get processes(): readonly ManagedProcess[] {
    return this.#processes;
  }

  /** Replaces what was seen; whatever is remembered of processes that are gone is forgotten. */
  see(processes: readonly ManagedProcess[], newDaemon = false): void {
    if (newDaemon) {
      this.provenance.forget();
      this.ends.daemonReplaced();
      this.leaving.daemonReplaced();
      this.runningWhenOff = null;
    }
    this.#processes = processes;
    this.restarts.see(processes, newDaemon);
    this.leaving.retain(processes);
    takeOverStart(this, newDaemon, this.#collaborators.failover, this.#collaborators.clock.nowMs());
    this.#adopt(processes, newDaemon);
    const numbers = new Set(processes.map(({ pmId }) => pmId));
    const isOurs = (one: ManagedProcess): boolean =>
      this.provenance.isProven(one) || isStartedByUs(this, one);
    for (const { pmId } of this.ends.see(processes, isOurs)) {
      this.#collaborators.failover.fillHole(this.name, pmId);
    }
    this.provenance.retain(processes);
    const { failover, health } = this.#collaborators;
    // One that drains because it is unfit is as good as gone: it does not come back.
    const stays = (process: ManagedProcess): boolean =>
      isAlive(process) && (!this.isDraining(process) || health.state(instanceKey(process))?.kind === 'fit');
    failover.see(this.name, new Set(processes.filter(stays).map(({ pmId }) => pmId)), numbers);
  }

  /** Of a service that a former supervisor took care of, gateways may have been told of everything that runs. */
  #adopt(processes: readonly ManagedProcess[], newDaemon: boolean): void {
    if (this.#adoptedKeys !== null) return;
    const keys = processes.filter(isAlive).map(instanceKey);
    this.#adoptedKeys = new Set(keys);
    if (this.isRestored && !newDaemon) for (const key of keys) this.#announcements.inherit(key);
  }

  /** Whether it ran when this supervisor first looked. */
  isAdopted(id: InstanceId): boolean {
    return this.#adoptedKeys?.has(instanceKey(id)) ?? false;
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
    // One that had the port of another one was not probed meanwhile: its age says nothing.
    if (isStartedByUs(this, process) || this.doubles.wasOne(process)) this.provenance.started(process);
    const ageMs = this.#collaborators.clock.wallMs() - process.startedAtMs;
    return this.provenance.originOf(process, ageMs, this.policy.health.startTimeoutMs);
  }

  find(pmId: number): ManagedProcess | undefined {
    return this.#processes.find((candidate) => candidate.pmId === pmId);
  }

  online(): readonly ManagedProcess[] {
    return this.#processes.filter(({ pid, status }) => pid !== null && status === 'online');
  }

  /** Has all that run probed from now on. Idempotent. */
  trackOnline(): void {
    const { health } = this.#collaborators;
    for (const process of this.online()) {
      if (this.ends.hasEnded(process) || this.doubles.has(process)) continue;
      health.track(process, this.policy.health, this.originOf(process), this.isAdopted(process));
    }
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

  isDraining(id: InstanceId): boolean {
    return this.leaving.draining(id) !== null;
  }

  isDrainingAt(port: number): boolean {
    return this.#processes.some((process) => process.port === port && this.isDraining(process));
  }

  /** Back into traffic with all that are not being ended already. */
  stopAllDraining(): void {
    this.leaving.stopAllDraining((pmId) => this.isRemoving(pmId));
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

  /**
   * Every row stopped, or still ending beside one that is, and not all of them by us or as they were told: an operator
   * wants it so. What PM2 restarts (on a schedule, for its memory, because a file changed) is stopped for a moment as well.
   */
  isStoppedByOperator(): boolean {
    return wasStoppedByOperator(this, (pmId) => this.#isQuarantined(pmId));
  }

  /** Whether each start of it is one run, which nothing of Holdfast starts, repeats or replaces. */
  isJob(): boolean {
    const told = this.#processes.map(({ endRules = RESTARTED }) => !endRules.autorestart);
    return told.length === 0 ? this.policy.lifecycle.isJob === true : told.every(Boolean);
  }

  /** How many there should be. Of a job: as many as PM2 lists. */
  wanted(): number {
    return this.isJob() ? this.#processes.length : this.desired;
  }

  /** What PM2 restarts over and over, and what to do; null: nothing, or each restart is one run. */
  restartLoop(): string | null {
    return this.isJob() ? null : this.restarts.loop(this.#processes);
  }

  /** How many of them should serve: those that ended as PM2 was told need not. */
  wantedServing(): number {
    const ended = this.#processes.filter((process) => this.ends.runEndOf(process) !== null).length;
    return Math.max(0, this.wanted() - ended);
  }

  isServing(process: ManagedProcess): boolean {
    if (!mayServe(this.#healthOf(process)) || this.doubles.has(process)) return false;
    return isAlive(process) && process.status !== 'stopping' && !this.isDraining(process);
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

  /** What changed, since the last call, in which instances may get traffic. */
  announcements(): { readonly added: readonly ManagedProcess[]; readonly removed: readonly string[] } {
    const serving = new Map(this.serving().map((process) => [instanceKey(process), process]));
    const undecided = new Set(this.#processes.filter((one) => this.#isUndecided(one)).map(instanceKey));
    const { added, removed } = this.#announcements.update(new Set(serving.keys()), (key) =>
      undecided.has(key),
    );
    return { added: added.flatMap((key) => serving.get(key) ?? []), removed };
  }

  /** Whether gateways may send traffic there, as far as they were told. */
  isAnnounced(process: ManagedProcess): boolean {
    return this.#announcements.has(instanceKey(process));
  }

  /** Whether anything of it may be serving for all that is known. */
  isUndecided(): boolean {
    return this.#processes.some((process) => this.#isUndecided(process));
  }

  /** It ran when this supervisor first looked, and its first probe is outstanding. */
  #isUndecided(process: ManagedProcess): boolean {
    if (!isAlive(process) || process.status === 'stopping' || this.isDraining(process)) return false;
    const state = this.#collaborators.health.state(instanceKey(process));
    return state === null ? this.isAdopted(process) : isUnknown(state);
  }

  slots(): readonly Slot[] {
    const { failover } = this.#collaborators;
    return this.#processes.map((process) => ({
      id: { service: process.service, pmId: process.pmId, startedAtMs: process.startedAtMs },
      state: slotStateOf(this, process, this.#collaborators),
      outdated: this.#isOutdated(process),
      held: failover.isHeld(this.name, process.pmId),
      spare: failover.isSpare(this.name, process.pmId),
      number: process.instanceNumber ?? null,
      replaces: failover.predecessorOf(this.name, process.pmId),
      why: this.doubles.reasonOf(process),
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
    const isFit = (process: ManagedProcess): boolean => this.#healthOf(process)?.kind === 'fit';
    return this.unverified().length > 0 && !this.#processes.some(isFit);
  }

  #healthOf(process: ManagedProcess): HealthState | null {
    return this.#collaborators.health.state(instanceKey(process));
  }

  #isOutdated(id: InstanceId): boolean {
    const key = instanceKey(id);
    if (this.leaving.isToBeRecycled(id) || this.doubles.has(id)) return true;
    return this.rollout?.outdated.includes(key) ?? false;
  }

  isQuarantined(): boolean {
    return this.#collaborators.failover.quarantine(this.name).kind !== 'none';
  }

  #isQuarantined(pmId: number): boolean {
    return this.#collaborators.failover.quarantinedSlot(this.name, pmId) !== null;
  }

  state(): ServiceState {
    return stateOf(this, this.#collaborators);
  }

  view(): ServiceView {
    return viewOf(this, this.#collaborators);
  }

  /** What deciding how many there should be looks at, of each instance. */
  loads(): readonly InstanceLoad[] {
    const rows = this.#processes.filter((process) => this.ends.runEndOf(process) === null);
    return rows.map((process) => loadOf(this, process, this.#collaborators));
  }
}
