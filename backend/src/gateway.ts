/**
 * The gateway's process, its primary: reads the configuration, builds every part, wires them, runs until told to stop.
 * What carries the traffic are the workers that it forks (gatewayWorker.ts).
 *
 * One gateway per data directory, told by a lock. A second one that PM2 starts while the first still serves is its
 * successor (the daemon died and a new one took over, or an operator renews the process): it builds everything, has its
 * workers try for the port, asks the predecessor by SIGUSR2 to let go, and listens within milliseconds of that; the
 * predecessor finishes what it has under way. A second one started by hand is a mistake, and is told so.
 *
 * When the primary dies without a word its workers stop accepting at once and finish what is under way; PM2 starts a
 * new primary meanwhile. Under PM2 nothing is written to stdout (a process that does so dies with PM2's daemon). Exit
 * codes: 77 handed over, 78 what only a person can mend; PM2 restarts neither.
 */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { CertificateFiles } from './adapters/certificates/certificateFiles.js';
import { accessLogFile } from './accessLogFile.js';
import { systemClock } from './adapters/clock.js';
import { requireWritable } from './adapters/files/writable.js';
import type { ClosableLogger } from './adapters/logging/logger.js';
import { Cgroup } from './adapters/meters/cgroup.js';
import { whyNotFree } from './adapters/net/exclusivePort.js';
import { isOwnAddress } from './adapters/net/ownAddress.js';
import { describePortHolder } from './adapters/net/portHolder.js';
import { packageVersion } from './adapters/packageVersion.js';
import { killTimeoutOf } from './adapters/pm2/processRow.js';
import { prober } from './adapters/probes/index.js';
import { createReportClient } from './adapters/supervisor/reportClient.js';
import { appliedLive } from './config/gateway.js';
import { standingProblems, stopTimes, workerSettings } from './config/gatewayWorker.js';
import type { Config } from './config/load.js';
import { reachableUrl } from './config/reachable.js';
import { formatProblems } from './config/problems.js';
import { ConfigWatcher } from './config/watch.js';
import { messageOf } from './domain/errors.js';
import { watchForFile, withFile, withFoundFile } from './foundFile.js';
import { packageFolder, projectFolder } from './installation.js';
import { canReusePort, createSpawner } from './gateway/primary/clusterWorkers.js';
import { GatewayLock, HANDOVER_SIGNAL } from './gateway/primary/gatewayLock.js';
import { explainListenProblem, mayPass, type StartOutcome } from './gateway/primary/listenProblem.js';
import type { StopTimes } from './gateway/primary/messages.js';
import { Primary } from './gateway/primary/primary.js';
import { STAND_IN_SOURCE } from './gateway/primary/standIn.js';
import { areChecked, welcomeLines } from './gateway/primary/welcome.js';
import { shownText } from './lib/secrets/ofProcess.js';
import { GatewayPools } from './gatewayPools.js';
import type { WorkerSettings } from './gateway/worker/workerProcess.js';
import { answerArguments, StartProblem, startProcess } from './startProcess.js';
import { stateFile } from './stateFile.js';
import { supervisorAddress } from './supervisorAddress.js';

const EXIT_HANDED_OVER = 77;
/** A predecessor that was killed: its workers let go of the port at once, but not in no time. */
const PORT_PATIENCE_MS = 3_000;
/** A predecessor that lives: it is asked as soon as our workers find the port taken. */
const TAKEOVER_PATIENCE_MS = 15_000;
const KEEP_ALIVE_MS = 60_000;
const PORT_RETRY_MS = 20;
const WELCOME_PATIENCE_MS = 1_000;
const WELCOME_STEP_MS = 50;

/** From the signal to SIGKILL: PM2 puts what it was started with into its environment. */
const KILL_MS = process.env['pm_id'] === undefined ? Infinity : killTimeoutOf(process.env);
const REUSES_PORT = canReusePort(process.versions.node, process.platform);

const pause = (ms: number): Promise<void> => new Promise((resolve) => systemClock.after(ms, resolve));

/** To people. Not under PM2. */
function say(...lines: readonly string[]): void {
  process.stdout.write(`${shownText(lines.join('\n'))}\n`);
}

class Gateway {
  readonly #logger: ClosableLogger;
  readonly #lock: GatewayLock;
  readonly #isUnderPm2 = process.env['pm_id'] !== undefined;
  readonly #isOnTerminal = process.stdin.isTTY && process.stdout.isTTY;
  #config: Config;
  #primary: Primary<WorkerSettings> | null = null;
  #watcher: ConfigWatcher | null = null;
  #pools: GatewayPools | null = null;
  /** What stands against a load-balancer-config.json that came while we run. */
  #fileProblem: string | null = null;
  #stopWatchingForFile: () => void = () => undefined;
  #ending = false;

  constructor(config: Config, logger: ClosableLogger) {
    this.#config = withFoundFile(config);
    this.#logger = logger;
    this.#lock = new GatewayLock(join(config.dataDir, 'gateway.lock'));
  }

  async run(): Promise<void> {
    this.#obeySignals();
    // A reader that went away (`… | head`) is no reason to end.
    process.stdout.on('error', () => undefined);
    // Between the death of the last worker and its replacement nothing else would keep this process alive.
    setInterval(() => undefined, KEEP_ALIVE_MS);
    requireWritable([{ what: 'data folder', path: this.#config.dataDir, setting: 'HA_DATA_DIR' }]);
    if (!(await this.#lock.acquire(0)) && !this.#isUnderPm2) throw new StartProblem(this.#alreadyRuns());
    this.#pools = await GatewayPools.create({
      config: () => this.#config,
      isUnderPm2: this.#isUnderPm2,
      onChange: () => void this.#apply(null),
      onProblem: () => this.#report(),
    });
    this.#primary = await this.#createPrimary(this.#pools);
    const outcome = (await this.#portTaken()) ?? (await this.#primary.start());
    if (!outcome.ok) {
      const holder = await describePortHolder(outcome.port ?? this.#config.gateway.port);
      const text = explainListenProblem(outcome, this.#config.gateway, holder);
      throw new StartProblem(text, mayPass(outcome));
    }
    await this.#takeOver();
    this.#watchConfig();
    this.#watchForFile(this.#primary);
    this.#report();
    const { host, port } = this.#config.gateway;
    this.#logger.info('the gateway listens', { host, port, workers: this.#primary.workersServing });
    if (!this.#isUnderPm2) void this.#welcome(this.#primary);
  }

  /**
   * Workers that share ports by SO_REUSEPORT would share them with a stranger's, too. A successor is meant to listen beside
   * its predecessor; whoever is the first of its data directory makes sure that the ports are nobody's. null: they are.
   */
  async #portTaken(): Promise<StartOutcome | null> {
    const { host, port, tls } = this.#config.gateway;
    if (!this.#lock.isHeld || !REUSES_PORT) return null;
    const patience = systemClock.nowMs() + PORT_PATIENCE_MS;
    for (const wanted of tls === null ? [port] : [port, tls.port]) {
      let problem = await whyNotFree(host, wanted);
      while (problem?.code === 'EADDRINUSE' && systemClock.nowMs() < patience) {
        await pause(PORT_RETRY_MS);
        problem = await whyNotFree(host, wanted);
      }
      if (problem !== null)
        return { ok: false, code: problem.code ?? '', message: problem.message, port: wanted };
    }
    return null;
  }

  /** Tells whoever started us by hand; waits a moment for the first checks, to say who is well. */
  async #welcome(primary: Primary<WorkerSettings>): Promise<void> {
    const { gateway, logDir } = this.#config;
    const patience = systemClock.nowMs() + WELCOME_PATIENCE_MS;
    while (!areChecked(primary.facts()) && systemClock.nowMs() < patience) await pause(WELCOME_STEP_MS);
    // On a terminal the log shows these, too.
    const problems = process.stdout.isTTY ? [] : primary.facts().problems;
    say(
      ...problems,
      ...welcomeLines(primary.facts(), {
        url: reachableUrl(gateway.host, gateway.port),
        host: gateway.host,
        tlsPort: gateway.tls?.port ?? null,
        logFile: join(logDir, 'ha-gateway.log'),
      }),
    );
  }

  #alreadyRuns(): string {
    return `Another gateway (${this.#lock.holders()}) already uses ${this.#config.dataDir}. Stop it first, or give this one its own HA_DATA_DIR and BALANCER_PORT.`;
  }

  async #createPrimary(pools: GatewayPools): Promise<Primary<WorkerSettings>> {
    const { gateway, dataDir } = this.#config;
    const supervised = gateway.source.kind === 'pm2';
    const keptIn = (name: string) => stateFile(join(dataDir, name), this.#logger);
    return Primary.create<WorkerSettings>({
      clock: systemClock,
      random: Math.random,
      logger: this.#logger,
      prober,
      store: keptIn('gateway-pool.json'),
      editStore: keptIn('gateway-upstreams.json'),
      isSelf: (host, port) => (port === gateway.port || port === gateway.tls?.port) && isOwnAddress(host),
      dayStore: keptIn('gateway-day.json'),
      accessLog: accessLogFile(this.#config),
      link: supervised ? createReportClient({ supervisor: supervisorAddress(this.#config) }) : null,
      name: `${hostname()}:${process.pid}`,
      version: packageVersion(packageFolder),
      routing: pools.routing(),
      sourceOf: (pool) => pools.sourceOf(pool),
      checkOf: (pool) => pools.checkOf(pool),
      workers: {
        count: gateway.workers === 'auto' ? new Cgroup().availableCores() : gateway.workers,
        listen: {
          host: gateway.host,
          port: gateway.port,
          tlsPort: gateway.tls?.port ?? null,
          reusePort: REUSES_PORT,
          patienceMs: this.#lock.isHeld ? PORT_PATIENCE_MS : TAKEOVER_PATIENCE_MS,
        },
        settings: this.#workerSettings(),
        stop: () => stopTimes(this.#config),
        spawn: createSpawner(fileURLToPath(new URL('./gatewayWorker.js', import.meta.url))),
      },
      tls:
        gateway.tls === null
          ? null
          : { source: new CertificateFiles(gateway.tls), minVersion: gateway.tls.minVersion },
      onPortTaken: () => this.#lock.askHolder(),
    });
  }

  #workerSettings(): WorkerSettings {
    return workerSettings(this.#config, hostname());
  }

  /** Our workers listen; the predecessor, if there is one, leaves. */
  async #takeOver(): Promise<void> {
    if (this.#lock.isHeld) return;
    this.#lock.askHolder();
    if (!(await this.#lock.acquire(TAKEOVER_PATIENCE_MS))) throw new StartProblem(this.#alreadyRuns(), true);
    this.#logger.info('took over from the gateway before');
  }

  #watchConfig(): void {
    this.#watcher = new ConfigWatcher({
      root: projectFolder,
      env: process.env,
      current: this.#config,
      onListenerError: (error) =>
        this.#logger.error('a new configuration was not applied', { problem: messageOf(error) }),
    });
    this.#watcher.on('changed', ({ config, keys, needRestart, warnings }) => {
      for (const warning of warnings) this.#logger.warn(warning);
      if (keys.length === 0) this.#logger.info('the configuration is valid again, and says what runs');
      else this.#logger.info('the configuration changed', { keys, needRestart });
      void this.#reconfigure(config);
      this.#report();
    });
    this.#watcher.on('rejected', ({ problems }) => {
      const lines = formatProblems(problems).split('\n').slice(1);
      this.#logger.warn('the configuration was rejected; the running one stays', { problems: lines });
      this.#report(`The configuration was rejected; the running one stays. ${lines.join(' ')}`);
    });
  }

  #watchForFile(primary: Primary<WorkerSettings>): void {
    this.#stopWatchingForFile = watchForFile({
      config: () => this.#config,
      isAlone: () => primary.facts().sources.every(({ name }) => name === STAND_IN_SOURCE),
      onTaken: (file) => {
        this.#config = withFile(this.#config, file);
        void this.#findDefaultPool();
      },
      onProblem: (problem) => {
        this.#fileProblem = problem;
        this.#report();
      },
    });
  }

  /** Shows what stays wrong until a person acts. */
  #report(...problems: readonly string[]): void {
    const others = [...(this.#pools?.problems ?? []), this.#fileProblem ?? []].flat();
    const standing = [...standingProblems(this.#config, KILL_MS), ...others];
    for (const problem of standing) this.#logger.warn(problem);
    this.#primary?.report([...problems, ...standing]);
  }

  /** Takes over what applies at once; the rest is for the next start. */
  async #reconfigure({
    defaultService,
    services,
    serviceDefaults,
    gateway,
    mentions,
    values,
  }: Config): Promise<void> {
    const before = this.#workerSettings();
    const isOtherDefault = defaultService !== this.#config.defaultService;
    const live = { defaultService, services, serviceDefaults, mentions, values };
    this.#config = { ...this.#config, ...live, gateway: appliedLive(this.#config.gateway, gateway) };
    const after = this.#workerSettings();
    if (isOtherDefault) void this.#findDefaultPool();
    await this.#apply(isDeepStrictEqual(before, after) ? null : after);
  }

  async #findDefaultPool(): Promise<void> {
    try {
      await this.#pools?.findDefault();
    } catch (error) {
      this.#logger.warn('the default service stays as it was', { problem: messageOf(error) });
    }
  }

  async #apply(settings: WorkerSettings | null): Promise<void> {
    if (this.#pools === null || this.#primary === null) return;
    await this.#primary.reconfigure({ routing: this.#pools.routing(), workerSettings: settings });
  }

  #obeySignals(): void {
    const stop = (signal: NodeJS.Signals): void => {
      this.#logger.info('the gateway stops', { signal });
      const times = stopTimes(this.#config, KILL_MS);
      const seconds = times.graceMs / 1_000;
      if (!this.#isUnderPm2)
        say(`Stopping: requests under way may take up to ${seconds} s. Ctrl-C again ends it at once.`);
      void this.end(0, times);
    };
    // Told a second time, nothing is waited for, and no worker is left behind.
    const endAtOnce = (): unknown => Promise.resolve(this.#primary?.stop(null)).then(() => process.exit(1));
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => void (this.#ending ? endAtOnce() : stop(signal)));
    }
    process.on('SIGHUP', (signal) => {
      // The terminal was closed, perhaps told several times: whoever is there no more can't stop us later.
      if (this.#isOnTerminal) {
        if (!this.#ending) stop(signal);
        return;
      }
      this.#logger.info('every worker is replaced, one at a time');
      void this.#apply(this.#workerSettings());
    });
    process.on(HANDOVER_SIGNAL, () => {
      if (this.#ending) return;
      if (!this.#isUnderPm2) {
        this.#logger.warn(
          'another gateway wants this port; it is not given away, because PM2 did not start us',
        );
        return;
      }
      this.#logger.info('a successor takes over');
      // Nobody counts: PM2 told the successor to start, not us to stop.
      void this.end(EXIT_HANDED_OVER, stopTimes(this.#config));
    });
  }

  /** Requests under way finish; the lock is free at once, for whoever comes next. */
  async end(code: number, times: StopTimes): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    this.#lock.release();
    this.#watcher?.close();
    this.#stopWatchingForFile();
    await this.#primary?.stop(times);
    await this.#logger.close();
    process.exit(code);
  }
}

answerArguments('balancer');
void startProcess({
  name: 'gateway',
  root: projectFolder,
  run: (config, logger) => new Gateway(config, logger).run(),
});
