/**
 * observe → decide → reconcile → verify, once per look at PM2 and whenever something happens in between. Wires the
 * owners of state together; decides nothing itself.
 */
import { instanceKey, isAlive, type InstanceId, type ManagedProcess } from '../../domain/model.js';
import type { ServicePolicy } from '../../domain/policy.js';
import type { ControlLoopOptions } from './controlLoopOptions.js';
import { AgentWatch } from '../observe/agentWatch.js';
import { announce } from '../service/announcements.js';
import { Autoscaler } from '../decide/autoscaler.js';
import { Adoption, countOperation, leaveAlone, letGo, takeBack, takeCount } from '../decide/adoption.js';
import { AvailabilityKeeper } from '../observe/availabilityKeeper.js';
import { BlackBox } from '../blackBox/blackBox.js';
import { Diagnostician } from '../diagnosis/diagnostician.js';
import { BuildWatch } from '../decide/buildWatch.js';
import { DesiredState, loadState } from './desiredState.js';
import type { PersistedState } from './desiredState.js';
import { FailoverManager } from '../failoverManager.js';
import { FailureWatch } from '../decide/failureWatch.js';
import { HandOver } from '../act/handOver.js';
import { HealthMonitor } from '../observe/healthMonitor.js';
import { LoadBalancer } from '../loadBalancer.js';
import { LoadMeter } from '../observe/loadMeter.js';
import { followManager } from './managerEvents.js';
import { MemoryWatch } from '../decide/memoryWatch.js';
import type { Moment } from '../loadBalancer.js';
import { captureLoop, restoreLoop } from './loopState.js';
import { Observer } from '../observe/observer.js';
import { Operations } from '../act/operations.js';
import { isOverloaded } from '../decide/overload.js';
import { Reconciler } from '../act/reconciler.js';
import { findDoubles } from '../service/sharedPorts.js';
import { StrayWatch } from '../decide/strayWatch.js';
import { SupervisedService } from '../service/supervisedService.js';
import { TrafficFeed } from '../observe/trafficFeed.js';

/** The state is written at least this often, for what changes all the time (availability). */
const SAVE_INTERVAL_MS = 30_000;

export class ControlLoop {
  readonly services = new Map<string, SupervisedService>();
  readonly failover: FailoverManager;
  readonly health: HealthMonitor;
  readonly agents: AgentWatch;
  readonly traffic: TrafficFeed;
  readonly loadBalancer = new LoadBalancer();
  readonly operations: Operations;
  readonly availability: AvailabilityKeeper;
  readonly blackBox: BlackBox;
  readonly diagnostician: Diagnostician;
  readonly builds: BuildWatch;
  readonly memory: MemoryWatch;
  readonly observer: Observer;
  readonly desiredState: DesiredState;
  running = true;

  readonly #options: ControlLoopOptions;
  readonly #reconciler: Reconciler;
  readonly #autoscaler: Autoscaler;
  readonly #watch: FailureWatch;
  readonly #strays: StrayWatch;
  readonly #unsubscribes: (() => void)[] = [];
  readonly #adoption: Adoption;
  readonly #handOver: HandOver;
  #savedMs = 0;
  #closed = false;

  private constructor(options: ControlLoopOptions, restored: PersistedState | null) {
    this.#options = options;
    const { clock, random, events } = options;
    this.#handOver = new HandOver(options);
    this.failover = new FailoverManager({ clock, random });
    this.#adoption = new Adoption({ ...options, failover: this.failover });
    this.availability = new AvailabilityKeeper(clock);
    this.health = this.#createHealthMonitor();
    this.agents = this.#createAgentWatch();
    this.blackBox = this.#createBlackBox();
    this.builds = new BuildWatch(options);
    this.diagnostician = new Diagnostician({ ...options, health: this.health, agents: this.agents });
    const onDrained = (port: number): void => this.#reconciler.drained(this.services.values(), port);
    this.traffic = new TrafficFeed({ clock, events, onDrained });
    this.#autoscaler = this.#createAutoscaler();
    this.desiredState = new DesiredState({
      ...options,
      capture: () => captureLoop(this, this.observer, this.#adoption),
    });
    this.operations = this.#createOperations();
    this.#reconciler = this.#createReconciler();
    this.#watch = this.#createFailureWatch();
    this.memory = new MemoryWatch({
      clock,
      figures: (process) => this.agents.figures(process),
      recycle: (service, process, why) => this.#watch.recycle(service, process, why),
    });
    this.#strays = new StrayWatch({ ...options, find: (service) => this.services.get(service) });
    this.observer = new Observer(
      {
        ...options,
        intervalMs: options.observeIntervalMs,
        onList: (processes, newDaemon, askedAtMs) => this.#onList(processes, newDaemon, askedAtMs),
      },
      restored?.daemonPid ?? null,
    );
  }

  #createHealthMonitor(): HealthMonitor {
    return new HealthMonitor({
      ...this.#options,
      locate: (instance) => this.#options.facts.addressOf(instance),
      owners: this.#options.facts,
      daemonAnswers: () => this.observer.answersNow(),
      isOverloaded: (instance) => isOverloaded(instance, this, this.#options.clock.nowMs()),
      onChange: (instance, before, after) => {
        const service = this.services.get(instance.service);
        if (service !== undefined) this.#watch.healthChanged(service, instance, after, before);
      },
    });
  }

  #createAgentWatch(): AgentWatch {
    return new AgentWatch({
      ...this.#options,
      health: this.health,
      find: (service) => this.services.get(service),
      onStopping: () => this.observer.poke(),
    });
  }

  #createBlackBox(): BlackBox {
    const { failover, health } = this;
    const recordOf = (id: InstanceId) => this.agents.record(id);
    return new BlackBox({ ...this.#options, failover, health, store: this.#options.blackBoxes, recordOf });
  }

  #createAutoscaler(): Autoscaler {
    const { failover, availability, loadBalancer, agents } = this;
    return new Autoscaler({
      ...this.#options,
      loadMeter: new LoadMeter({ ...this.#options, agents }),
      failover,
      availability,
      loadBalancer,
      onMove: () => void this.desiredState.save(),
    });
  }

  #createOperations(): Operations {
    const { failover, health, diagnostician } = this;
    return new Operations({
      ...this.#options,
      failover,
      health,
      diagnostician,
      setDesired: (service, to, reason) => this.#autoscaler.setDesired(service, to, 'operator', reason),
      // Beside the write, not after it: a sync takes as long as an instance takes to listen. Whoever asked is answered
      // after both, and a supervisor that dies before the write is done finds the old count and takes back the surplus.
      onChange: (service) => {
        void this.#reconciler.pump(service);
        return this.desiredState.save();
      },
    });
  }

  #createReconciler(): Reconciler {
    const { failover, health } = this;
    return new Reconciler({
      ...this.#options,
      failover,
      health,
      cannotReact: (process) => this.agents.cannotReact(process),
      mayAct: (service) => this.#mayAct(service),
      onStep: (service) => this.#afterStep(service),
      onChange: () => void this.desiredState.save(),
    });
  }

  #createFailureWatch(): FailureWatch {
    const { failover, health, operations, availability, blackBox, diagnostician } = this;
    const owners = { failover, health, operations, availability, blackBox, diagnostician };
    return new FailureWatch({
      ...this.#options,
      ...owners,
      onFailure: (service) => {
        void this.desiredState.save();
        void this.#reconciler.pump(service);
        this.observer.poke();
      },
    });
  }

  /** Loads what was remembered; nothing runs until `start`. */
  static async create(options: ControlLoopOptions): Promise<ControlLoop> {
    const { state, damaged } = await loadState(options.store);
    if (damaged !== null) options.events.emit('state.damaged', damaged);
    const loop = new ControlLoop(options, state);
    for (const policy of options.policies) loop.#supervise(policy);
    if (state !== null) restoreLoop(loop, state, loop.#adoption);
    return loop;
  }

  /** Begins to look and act. Resolves after the first look, also when PM2 did not answer. */
  async start(): Promise<void> {
    const listeners = { watch: this.#watch, observer: this.observer };
    this.#unsubscribes.push(...followManager(this.#options.manager, this.services, listeners));
    await this.observer.look();
  }

  /** Ends all loops; what runs under PM2 is left alone. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const unsubscribe of this.#unsubscribes) unsubscribe();
    this.observer.close();
    this.#reconciler.close();
    this.agents.close();
    this.health.close();
    this.traffic.close();
    await Promise.all([this.desiredState.close(), this.blackBox.close()]);
  }

  /** New policies for services that are supervised; others are added or forgotten at the next start only. */
  reconfigure(policies: readonly ServicePolicy[]): void {
    for (const policy of policies) this.#supervise(policy);
    this.#options.agents.refresh();
  }

  /** Switches automatic management. */
  async setRunning(running: boolean): Promise<boolean> {
    const changed = this.running !== running;
    this.running = running;
    for (const service of changed ? this.services.values() : []) {
      if (running) takeCount(service, { ...this.#options, failover: this.failover });
      else leaveAlone(service, this.#options);
    }
    await this.desiredState.save();
    this.observer.poke();
    return changed;
  }

  /** Leaves that service alone, or takes care of it again. False when it was so already. */
  async setReleased(service: SupervisedService, released: boolean): Promise<boolean> {
    const changed = released
      ? letGo(service, this.failover, this.#options)
      : takeBack(service, this.#options);
    await this.touch(service);
    return changed;
  }

  /** Whether the ecosystem file or config.yml names it now. */
  isConfigured({ name }: SupervisedService): Promise<boolean> {
    return this.#options.isConfigured(name);
  }

  /** Something about that service changed: look what it needs now. */
  async touch(service: SupervisedService): Promise<void> {
    await this.desiredState.save();
    void this.#reconciler.pump(service);
  }

  moment(): Moment {
    return { nowMs: this.#options.clock.nowMs(), wallMs: this.#options.clock.wallMs() };
  }

  #supervise(policy: ServicePolicy): void {
    this.failover.supervise(policy.name, policy.failure);
    const known = this.services.get(policy.name);
    if (known !== undefined) return void (known.policy = policy);
    const { failover, health, traffic, agents, diagnostician } = this;
    const collaborators = { ...this.#options, failover, health, traffic, agents, diagnostician };
    this.services.set(policy.name, new SupervisedService(policy, collaborators));
  }

  #mayAct(service: SupervisedService): boolean {
    if (this.#closed || !service.adopted || !this.observer.isConnected()) return false;
    if (service.letGo !== null) return false;
    if (service.isStoppedByOperator() && service.operation === null) return false;
    return this.running || service.operation !== null;
  }

  #afterStep(service: SupervisedService): void {
    countOperation(service);
    this.operations.check(service);
    this.#autoscaler.noteReached(service);
  }

  async #onList(listed: readonly ManagedProcess[], newDaemon: boolean, askedAtMs: number): Promise<void> {
    const processes = this.agents.withLeaving(listed);
    this.#adoption.look(listed, this.services);
    findDoubles(processes, this.services, this.#options.events);
    if (newDaemon) {
      this.#adoption.daemonReplaced();
      this.#handOver.daemonReplaced();
      this.#watch.daemonReplaced();
      this.#strays.suspect();
    }
    for (const service of this.services.values()) {
      // The list was asked for before something was started or removed: it may not know of that yet.
      if (askedAtMs <= service.changedAtMs && !newDaemon) {
        this.observer.poke();
        continue;
      }
      const own = processes.filter((process) => process.service === service.name);
      this.#see(service, own, newDaemon);
    }
    const services = [...this.services.values()];
    const all = services.flatMap((service) => service.processes);
    this.agents.see(all);
    // One that is stopping closes its port: that is no failure.
    const judged = services.flatMap(({ doubles, processes: own }) =>
      own.filter((one) => isAlive(one) && one.status !== 'stopping' && !doubles.has(one)),
    );
    this.health.retain(new Set(judged.map(instanceKey)));
    await this.#autoscaler.measure(services);
    this.blackBox.look(services);
    this.diagnostician.review(services, processes);
    this.builds.review(services);
    this.memory.review(services, this.running);
    this.#adoption.reviewUnconfigured(services);
    for (const service of services) {
      this.#watch.review(service);
      if (service.adopted) this.#autoscaler.apply(service, this.running);
      this.#afterStep(service);
      void this.#reconciler.pump(service);
    }
    void this.#strays.review(this.running);
    if (this.#options.clock.nowMs() - this.#savedMs >= SAVE_INTERVAL_MS) {
      this.#savedMs = this.#options.clock.nowMs();
      void this.desiredState.save();
    }
    await this.#handOver.review(processes);
  }

  #see(service: SupervisedService, processes: readonly ManagedProcess[], newDaemon: boolean): void {
    const { clock, events } = this.#options;
    const before = service.processes;
    service.see(processes, newDaemon);
    if (!newDaemon) this.#watch.compare(service, before, processes);
    this.#adoption.review(service);
    service.trackOnline();
    announce(service, events, clock, newDaemon ? "PM2's daemon died" : 'it is gone');
  }
}
