/** The real control plane on a fake clock and a fake PM2: everything between the ports is what production runs. */
import type { EventRecord } from '../../backend/src/domain/events.js';
import type { ServicePolicy } from '../../backend/src/domain/policy.js';
import type {
  BuildStore,
  FactFinder,
  History,
  HostMeter,
  Logger,
  ProcessMeter,
  StateStore,
} from '../../backend/src/ports.js';
import { ControlLoop } from '../../backend/src/services/loop/controlLoop.js';
import { EventLog } from '../../backend/src/services/events/eventLog.js';
import { HighAvailabilityManager } from '../../backend/src/services/highAvailabilityManager.js';
import { MemoryBlackBoxes, noStderr } from '../support/memoryBlackBoxes.js';
import { noBuilds, noFacts } from '../support/noFacts.js';
import { FakeAgents } from './fakeAgents.js';
import { FakeClock } from './fakeClock.js';
import { FakePm2 } from './fakePm2.js';
import { RuleBook } from './rules.js';

export function policyOf(name: string, changes: Partial<ServicePolicy> = {}): ServicePolicy {
  return {
    name,
    ports: { first: 13_004, last: 13_099 },
    memoryLimitBytes: 512 * 1024 * 1024,
    hangTimeoutMs: 1_000,
    scaling: {
      minInstances: 1,
      maxInstances: 4,
      cpuHighPercent: 80,
      cpuLowPercent: 30,
      memoryHighPercent: 80,
      memoryLowPercent: 30,
      cooldownMs: 60_000,
      upWindowMs: 10_000,
      downWindowMs: 120_000,
      autoscale: true,
      isMaximumSet: true,
    },
    health: {
      probe: { kind: 'http', path: '/health', statusMin: 200, statusMax: 399, bodyIncludes: null },
      intervalMs: 30_000,
      timeoutMs: 5_000,
      fastIntervalMs: 1_000,
      fall: 3,
      rise: 2,
      startTimeoutMs: 30_000,
    },
    failure: {
      maxRestartAttempts: 3,
      windowMs: 600_000,
      restartCooldownMs: 60_000,
      backoffBaseMs: 1_000,
      stableMs: 10_000,
    },
    lifecycle: { drainGraceMs: 1_000, killTimeoutMs: 10_000, canaryMs: 5_000 },
    ...changes,
  };
}

/** How long a store waits for its disk (fileStateStore.ts). */
const DISK_PATIENCE_MS = 10_000;

class MemoryStore implements StateStore {
  readonly #clock: FakeClock;
  /** As on a disk: what can't be written as JSON can't be kept. */
  #text = 'null';
  refuses = false;
  /** A disk that hangs: each save is refused in time. */
  isStuck = false;
  /** Whether the last state that was to be saved is the one on the disk. */
  isCurrent = true;
  /** Told of each state that is written. */
  onSaved: (state: unknown) => void = () => undefined;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  get state(): unknown {
    return JSON.parse(this.#text);
  }

  set state(state: unknown) {
    this.#text = JSON.stringify(state);
  }

  load(): Promise<{ state: unknown }> {
    return Promise.resolve({ state: this.state });
  }

  keepCopy(): Promise<string> {
    return Promise.resolve('memory');
  }

  setAside(): Promise<string> {
    this.state = null;
    return Promise.resolve('memory');
  }

  save(state: unknown): Promise<void> {
    this.isCurrent = !this.refuses && !this.isStuck;
    if (this.refuses) return Promise.reject(new Error('ENOSPC: no space left on device'));
    if (this.isStuck) {
      return this.#clock.sleep(DISK_PATIENCE_MS).then(() => {
        throw new Error('the disk has not answered for 10 s');
      });
    }
    this.#text = JSON.stringify(state);
    this.onSaved(state);
    return Promise.resolve();
  }
}

class MemoryHistory implements History {
  readonly events: EventRecord[] = [];

  append(event: EventRecord): void {
    this.events.push(event);
    if (this.events.length > 5_000) this.events.splice(0, 1_000);
  }

  query(filter: { sinceMs?: number; service?: string; limit: number }): readonly EventRecord[] {
    return this.events.slice(-filter.limit);
  }

  dropped(): number {
    return 0;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

const silent: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

const hostMeter: HostMeter = {
  figures: () => ({
    cores: 4,
    cpuPercent: null,
    memoryTotalBytes: 16e9,
    memoryAvailableBytes: 12e9,
    diskUsedPercent: null,
    connections: null,
    loadAverage1m: 0,
    uptimeSeconds: 1,
  }),
  oomKills: () => 0,
};

/** A small seeded generator (mulberry32): a failing run can be repeated from its printed seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export class World {
  readonly clock = new FakeClock();
  readonly pm2: FakePm2;
  readonly agents = new FakeAgents(this.clock);
  readonly store = new MemoryStore(this.clock);
  /** What no moment may break. */
  readonly rules: RuleBook;
  readonly history = new MemoryHistory();
  readonly blackBoxes = new MemoryBlackBoxes();
  readonly random: () => number;
  readonly policies: readonly ServicePolicy[];
  /** CPU percent of each instance of a service; null: not measured. */
  readonly cpu = new Map<string, number | null>();
  /** Resident bytes by pid, where it is not the usual. */
  readonly memory = new Map<number, number>();
  /** What is found out about instances that do not serve. */
  facts: FactFinder = {
    ...noFacts,
    isListening: (port) => this.pm2.programs.has(port),
    foreignHolder: ({ port }) => Promise.resolve(this.pm2.programs.get(port ?? 0) ?? null),
  };
  /** Services that neither the ecosystem file nor config.yml names any more. */
  readonly unconfigured = new Set<string>();
  builds: BuildStore = noBuilds;
  /** What the process does when PM2's daemon is a new one. */
  handOver: () => Promise<void> = () => Promise.resolve();
  loop!: ControlLoop;
  ha!: HighAvailabilityManager;
  #ids = 0;

  constructor(seed: number, policies: readonly ServicePolicy[]) {
    this.random = seeded(seed);
    this.policies = policies;
    this.pm2 = new FakePm2(this.clock, this.random);
    this.rules = new RuleBook(this);
    this.clock.onAdvanced = () => this.rules.look();
  }

  /** A supervisor starts, with whatever its predecessor left behind. */
  async startSupervisor(): Promise<void> {
    const events = new EventLog({ clock: this.clock, history: this.history, notifiers: [], logger: silent });
    this.loop = await ControlLoop.create({
      clock: this.clock,
      random: this.random,
      newId: () => `op-${++this.#ids}`,
      manager: this.pm2,
      prober: this.pm2,
      processMeter: this.#meter(),
      connectionMeter: { unread: () => Promise.resolve(null) },
      hostMeter,
      agents: this.agents,
      processStates: this.agents,
      store: this.store,
      blackBoxes: this.blackBoxes,
      stderr: noStderr,
      facts: this.facts,
      builds: this.builds,
      scriptOf: () => '/srv/app.js',
      version: '0.0.0',
      events,
      logger: silent,
      policies: this.policies,
      initialInstances: () => 2,
      isConfigured: (service) => Promise.resolve(!this.unconfigured.has(service)),
      startWarnings: () => [],
      observeIntervalMs: 1_000,
      onDaemonReplaced: () => this.handOver(),
    });
    this.ha = new HighAvailabilityManager({
      loop: this.loop,
      events,
      hostMeter,
      version: '0.0.0',
      node: { hostname: 'sim', pid: 1 },
      defaultService: () => null,
      renewDefinition: () => Promise.resolve(),
      self: () => ({ cpuPercent: null, memoryBytes: 0 }),
      dropped: () => ({ events: 0, notifications: 0 }),
    });
    this.rules.supervisorStarted();
    void this.loop.start();
    await this.clock.advance(10);
  }

  /** kill -9: nothing is written, no loop ends well; what it had asked PM2 for still happens. */
  async killSupervisor(): Promise<void> {
    this.rules.supervisorKilled();
    const { state } = this.store;
    void this.loop.close();
    this.pm2.callerDied();
    await this.clock.advance(0);
    this.store.state = state;
  }

  eventsOf(type: EventRecord['type']): readonly EventRecord[] {
    return this.history.events.filter((event) => event.type === type);
  }

  #meter(): ProcessMeter {
    return {
      sample: (processes) => {
        const byPid = new Map(this.pm2.rows().map((row) => [row.pid, row]));
        return Promise.resolve(
          new Map(
            processes.flatMap(({ pid }) => {
              const row = byPid.get(pid);
              if (row === undefined) return [];
              const cpuPercent = this.cpu.get(row.service) ?? null;
              return [[pid, { cpuPercent, memoryBytes: this.memory.get(pid) ?? 60e6 }] as const];
            }),
          ),
        );
      },
    };
  }
}
