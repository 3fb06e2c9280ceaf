/**
 * The control plane's process: reads the configuration, builds every part, wires them, runs until told to stop.
 * Exactly one per data directory: a second one waits for the first to end (a handover takes seconds), then leaves for
 * PM2 to start it again: it stands by.
 *
 * It writes nothing to stdout (a process that does so dies with PM2's daemon); what people must see before there is a
 * log goes to stderr. It exits with 78 for what only a person can mend (configuration, port taken): PM2 is told not to
 * restart it then.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { FileBlackBoxStore } from './adapters/blackBox/fileBlackBoxStore.js';
import { AgentServer } from './adapters/agents/agentServer.js';
import { systemClock } from './adapters/clock.js';
import { FileHistory } from './adapters/history/fileHistory.js';
import { requireWritable } from './adapters/files/writable.js';
import type { ClosableLogger } from './adapters/logging/logger.js';
import { SystemHostMeter } from './adapters/meters/hostMeter.js';
import { createConnectionMeter } from './adapters/meters/connectionMeter.js';
import { SystemProcessMeter } from './adapters/meters/processMeter.js';
import { processStates } from './adapters/meters/processStates.js';
import { selfMeter } from './adapters/meters/selfMeter.js';
import { FileBuildStore } from './adapters/builds/fileBuildStore.js';
import { createFactFinder } from './adapters/diagnosis/factFinder.js';
import { describePortHolder } from './adapters/net/portHolder.js';
import { WebhookNotifier } from './adapters/notify/webhook.js';
import { instancesStarted } from './adapters/pm2/appDefinition.js';
import { startLogRotation } from './adapters/pm2/logRotation.js';
import { packageVersion } from './adapters/packageVersion.js';
import { createPm2ProcessManager } from './adapters/pm2/processManager.js';
import type { Pm2ProcessManager } from './adapters/pm2/processManager.js';
import { stderrLog } from './adapters/pm2/stderrLog.js';
import { prober } from './adapters/probes/index.js';
import { createApi } from './api/api.js';
import type { Api } from './api/api.js';
import type { Config } from './config/load.js';
import { formatProblems } from './config/problems.js';
import { unusedSettings } from './config/unused.js';
import { ConfigWatcher } from './config/watch.js';
import { HoldfastError, messageOf } from './domain/errors.js';
import type { ManagedProcess } from './domain/model.js';
import { apiConfiguration } from './apiConfiguration.js';
import { packageFolder, projectFolder } from './installation.js';
import { acquirePidLock } from './lib/pidLock.js';
import { identityBy } from './instanceIdentity.js';
import { Policies } from './policies.js';
import type { AgentSettings } from './ports.js';
import { ControlLoop } from './services/loop/controlLoop.js';
import { EventLog } from './services/events/eventLog.js';
import { takeGatewayAlong } from './services/act/gatewayHandover.js';
import { HighAvailabilityManager } from './services/highAvailabilityManager.js';
import { StartCheck } from './startCheck.js';
import { guardSecrets } from './pm2Secrets.js';
import { LONGEST_END_MS, startProcess } from './startProcess.js';
import { supervisorState } from './stateFile.js';

/** How long a successor waits for its predecessor to let go. */
/** A supervisor before us, or a connection, may just be giving it back. */
const PORT_PATIENCE_MS = 3_000;
const LOCK_WAIT_MS = 15_000;
/** From the stop signal to leaving: requests in flight get this long. */
const SHUTDOWN_GRACE_MS = 5_000;
/** In the data directory; held by the gateway that serves (gateway.ts). */
const GATEWAY_LOCK = 'gateway.lock';
const DAY_MS = 86_400_000;
const ROTATED_LOGS_KEPT = 5;
/** How often an agent tells how its instance is. */
const AGENT_INTERVAL_MS = 250;

class Supervisor {
  readonly #config: Config;
  readonly #logger: ClosableLogger;
  readonly #hostMeter: SystemHostMeter;
  readonly #closers: (() => Promise<void> | void)[] = [];
  #policies!: Policies;
  #manager!: Pm2ProcessManager;
  #startCheck!: StartCheck;
  #loop: ControlLoop | null = null;
  #api!: Api;
  #ending = false;

  constructor(config: Config, logger: ClosableLogger) {
    this.#config = config;
    this.#logger = logger;
    this.#hostMeter = new SystemHostMeter({ diskPath: config.dataDir });
  }

  async run(): Promise<void> {
    const config = this.#config;
    const logger = this.#logger;
    await this.#acquireLock();
    const { cores, memoryTotalBytes } = this.#hostMeter.figures();
    this.#policies = await Policies.read(config, { cores, memoryBytes: memoryTotalBytes });
    const history = await FileHistory.open({ file: join(config.dataDir, 'events.jsonl'), logger });
    const { notifyWebhookUrl } = config;
    const notifiers =
      notifyWebhookUrl === null
        ? []
        : [new WebhookNotifier({ url: notifyWebhookUrl, logger, clock: systemClock })];
    const events = new EventLog({ clock: systemClock, history, notifiers, logger });
    this.#manager = this.#createManager(events);
    this.#startCheck = this.#createStartCheck();
    const agents = this.#createAgentServer();
    const version = packageVersion(packageFolder);
    const loop = await this.#createLoop(events, agents, version);
    this.#loop = loop;
    this.#policies.onChange = () => loop.reconfigure(this.#policies.current);
    const plane = new HighAvailabilityManager({
      loop,
      events,
      hostMeter: this.#hostMeter,
      version,
      node: { hostname: hostname(), pid: process.pid },
      defaultService: () => this.#policies.defaultService,
      renewDefinition: (service) => this.#policies.renewDefinition(service),
      self: selfMeter(),
      dropped: () => ({
        events: history.dropped() + logger.dropped(),
        notifications: notifiers.reduce((total, notifier) => total + notifier.dropped(), 0),
      }),
    });
    this.#api = this.#createApi(plane, loop, version);
    const { url } = await this.#api.listen();
    await loop.start();
    // After the first list: whose agents these are is known then.
    await agents.start();
    const adopted = [...loop.services.values()].reduce((total, { processes }) => total + processes.length, 0);
    events.emit('supervisor.started', { version, adopted });
    logger.info('the control API listens', { url });
    for (const unused of unusedSettings(config, 'supervisor', process.env['pm_id'] !== undefined))
      logger.warn(unused);
    await this.#startCheck.start();
    this.#closers.push(() => this.#startCheck.stop(), guardSecrets(config, events, logger));
    this.#rotateLogs();
    this.#watchConfig(events);
    this.#endOnSignal(events);
    // Last in, first out: the API first, so that nobody asks for what is being taken down.
    this.#closers.push(
      () => history.close(),
      ...notifiers.map((notifier) => () => notifier.close()),
      () => this.#manager.close(),
      () => loop.close(),
      () => agents.close(),
    );
  }

  async #acquireLock(): Promise<void> {
    const { dataDir } = this.#config;
    requireWritable([{ what: 'data folder', path: dataDir, setting: 'HA_DATA_DIR' }]);
    const release = await acquirePidLock(join(dataDir, 'supervisor.lock'), { waitMs: LOCK_WAIT_MS });
    if (release === null) {
      // Not for a person: PM2 starts us again, and we are there when the other one, which may hang, ends.
      throw new HoldfastError(
        'supervisor.locked',
        `Another supervisor already uses ${dataDir}. Stop it first (npm stop), or give this one its own HA_DATA_DIR.`,
        { retryable: true },
      );
    }
    this.#closers.push(release);
  }

  #createManager(events: EventLog): Pm2ProcessManager {
    const { pm2Home, pm2Bin } = this.#config;
    const policies = this.#policies;
    return createPm2ProcessManager({
      pm2Home,
      services: () => policies.current.map(({ name }) => name),
      definitions: () => policies.readDefinitions(),
      lastDefinitions: policies.definitions,
      identity: identityBy(policies, pm2Home, () => this.#loop),
      portRange: (service) => policies.of(service)?.ports ?? null,
      killTimeoutMs: (service) => policies.of(service)?.lifecycle.killTimeoutMs ?? SHUTDOWN_GRACE_MS,
      clock: systemClock,
      logger: this.#logger,
      onPortOccupied: (occupied) => events.emit('port.occupied', occupied),
      ...(pm2Bin === null ? {} : { pm2Bin }),
    });
  }

  #createStartCheck(): StartCheck {
    return new StartCheck({
      policies: this.#policies,
      rowsOf: (service) => this.#manager.rowsOf(service),
      clock: systemClock,
      logger: this.#logger,
    });
  }

  #createAgentServer(): AgentServer {
    const { agentSocket: path, serviceDefaults } = this.#config;
    const settings = (pid: number): AgentSettings => {
      const policy = this.#policies.of(this.#loop?.agents.serviceOf(pid) ?? null);
      return {
        hangTimeoutMs: policy?.hangTimeoutMs ?? serviceDefaults.hangTimeout,
        intervalMs: AGENT_INTERVAL_MS,
        killTimeoutMs: policy?.lifecycle.killTimeoutMs ?? serviceDefaults.killTimeout,
      };
    };
    return new AgentServer({ path, clock: systemClock, logger: this.#logger, settings });
  }

  async #createLoop(events: EventLog, agents: AgentServer, version: string): Promise<ControlLoop> {
    const { dataDir, observeIntervalMs } = this.#config;
    return ControlLoop.create({
      clock: systemClock,
      random: Math.random,
      newId: () => randomUUID().slice(0, 8),
      manager: this.#manager,
      prober,
      processMeter: new SystemProcessMeter(),
      connectionMeter: createConnectionMeter(systemClock),
      hostMeter: this.#hostMeter,
      agents,
      processStates,
      store: supervisorState(dataDir, this.#logger, events),
      blackBoxes: await this.#openBlackBoxes(),
      stderr: stderrLog((id) => this.#manager.errorLogOf(id)),
      facts: createFactFinder(this.#manager),
      builds: new FileBuildStore(join(dataDir, 'builds')),
      scriptOf: (service) => this.#manager.scriptOf(service),
      version,
      events,
      logger: this.#logger,
      policies: this.#policies.current,
      initialInstances: (service) => this.#initialInstances(service),
      isConfigured: (service) => this.#policies.isConfigured(service),
      startWarnings: (service) => this.#startCheck.warningsOf(service),
      observeIntervalMs,
      onDaemonReplaced: (processes) => this.#handOver(processes, events),
    });
  }

  #openBlackBoxes(): Promise<FileBlackBoxStore> {
    const { logDir, blackBoxMaxEntries: mostEntries, blackBoxMaxBytes: mostBytes } = this.#config;
    const directory = join(logDir, 'blackbox');
    return FileBlackBoxStore.open({ directory, mostEntries, mostBytes, logger: this.#logger });
  }

  #initialInstances(service: string): number {
    const defined = this.#policies.definitions.find(({ name }) => name === service);
    return defined === undefined ? 1 : instancesStarted(defined);
  }

  #createApi(plane: HighAvailabilityManager, loop: ControlLoop, version: string): Api {
    return createApi({
      ...apiConfiguration(this.#config, version, this.#logger),
      controlPlane: plane,
      logger: this.#logger,
      describePortHolder,
      portPatienceMs: PORT_PATIENCE_MS,
      readiness: () =>
        loop.observer.isConnected()
          ? { ready: true, reason: "PM2's daemon answers" }
          : { ready: false, reason: `PM2's daemon: ${loop.observer.daemon().problem ?? 'not connected'}` },
    });
  }

  #rotateLogs(): void {
    const { logMaxBytes, logMaxAgeDays } = this.#config;
    const stop = startLogRotation({
      files: () => this.#manager.logFiles(),
      reopen: () => this.#manager.reopenLogs(),
      limits: { maxBytes: logMaxBytes, maxAgeMs: logMaxAgeDays * DAY_MS, keep: ROTATED_LOGS_KEPT },
      clock: systemClock,
      logger: this.#logger,
    });
    this.#closers.push(stop);
  }

  #watchConfig(events: EventLog): void {
    const watcher = new ConfigWatcher({
      root: projectFolder,
      env: process.env,
      current: this.#config,
      onListenerError: (error) =>
        this.#logger.error('a new configuration was not applied', { problem: messageOf(error) }),
    });
    watcher.on('changed', ({ config, keys, needRestart, warnings }) => {
      this.#policies.configure(config);
      for (const warning of warnings) this.#logger.warn(warning);
      if (needRestart.length > 0)
        this.#logger.warn('some settings apply at the next start', { keys: needRestart });
      events.emit('config.reloaded', { changed: [...keys] });
    });
    watcher.on('rejected', ({ problems }) => {
      events.emit('config.rejected', { problems: formatProblems(problems).split('\n').slice(1) });
    });
    this.#closers.push(() => watcher.close());
  }

  /**
   * PM2's daemon died and we, a fork-mode process, survived it: the new daemon does not know us. It gets a supervisor
   * of its own, which waits for our lock, and we leave.
   */
  async #handOver(processes: readonly ManagedProcess[], events: EventLog): Promise<void> {
    const ownName = process.env['name'];
    const isUnderPm2 = process.env['pm_id'] !== undefined && ownName !== undefined;
    if (this.#ending || !isUnderPm2) return;
    const lock = join(this.#config.dataDir, GATEWAY_LOCK);
    await takeGatewayAlong({ manager: this.#manager, lock, logger: this.#logger }, processes);
    if (processes.some(({ pid }) => pid === process.pid)) return;
    const listed = processes.find(({ service, pid }) => service === ownName && pid !== null);
    const successor = listed ?? (await this.#manager.startInstance(ownName));
    events.emit('supervisor.handedOver', { successorPid: successor.pid });
    await this.end(0);
  }

  #endOnSignal(events: EventLog): void {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        if (this.#ending) process.exit(1);
        events.emit('supervisor.stopping', { signal });
        void this.end(0);
      });
    }
  }

  /** Answers what is in flight, writes what is remembered, leaves. Services are left running. */
  async end(code: number): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    setTimeout(() => process.exit(code), LONGEST_END_MS);
    await this.#api.close({ graceMs: SHUTDOWN_GRACE_MS }).catch(() => undefined);
    for (const close of this.#closers.reverse()) {
      await Promise.resolve(close()).catch((thrown: unknown) =>
        this.#logger.error('not everything could be closed well', { problem: messageOf(thrown) }),
      );
    }
    await this.#logger.close();
    process.exit(code);
  }
}

void startProcess({
  name: 'supervisor',
  root: projectFolder,
  run: (config, logger) => new Supervisor(config, logger).run(),
});
