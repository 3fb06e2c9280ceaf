/**
 * The life of a service process, the same for every service here:
 *
 *   settings ▶ listen ▶ serving ──SIGINT, SIGTERM or message 'shutdown'──▶ draining ▶ stores closed ▶ exit 0
 *
 * SHUTDOWN_TIMEOUT_MS after the signal it exits with 1 whatever is still under way, and so it does on a second
 * signal. It listens before it connects to anything: a database that is down delays answers, never a start.
 */
import type { Express } from 'express';
import fs from 'node:fs';
import type { AddressInfo } from 'node:net';
import { faultRoutes } from '../faults/routes.js';
import { readFaultSettings, type FaultSettings } from '../faults/settings.js';
import type { HealthSwitch } from '../faults/healthSwitch.js';
import { createApp, finishApp } from './app.js';
import { EnvReader, SettingsError, type Env } from './env.js';
import { codeOf, messageOf } from './errors.js';
import { GracefulServer, type UpgradeListener } from './gracefulServer.js';
import { createLog, exitWith, type Log } from './log.js';
import { withSecrets } from './secretFiles.js';
import { statusRoutes, type DependencyCheck } from './statusRoutes.js';

/** What a service adds to the shell. */
export interface ServiceParts {
  /** For /api/health. */
  readonly checks: readonly DependencyCheck[];
  /** As in StatusRoutesOptions. */
  readonly statusPaths?: readonly string[];
  /** @param instance its number; null: it has none. */
  addRoutes(app: Express, instance: number | null): void;
  readonly upgrade?: UpgradeListener;
  /** It listens: connect to what it needs. Never rejects; is not waited for. */
  start?(): Promise<void>;
  /** The instance was told to leave: end what would not end by itself, e.g. WebSockets. */
  beginDrain?(): Promise<void>;
  /** The last request is answered: close stores and connections. */
  close(): Promise<void>;
}

export interface ServiceDefinition {
  readonly name: string;
  /** Used when PORT is not set. */
  readonly defaultPort: number;
  /**
   * Reads its settings and puts what is wrong with them into the reader's problems; then the parts are thrown
   * away, so nothing may be opened or connected here yet.
   */
  create(settings: EnvReader, log: Log): ServiceParts;
}

export interface RunningService {
  readonly address: AddressInfo;
  /** Drains and closes; does not exit. Idempotent. */
  stop(): Promise<void>;
}

interface ServerSettings {
  readonly port: number;
  readonly host: string;
  readonly shutdownTimeoutMs: number;
  readonly instance: number | null;
}

/** A second signal within this time is the same one twice: npm passes on a Ctrl-C that the terminal sent too. */
const SAME_SIGNAL_MS = 500;

interface Prepared {
  readonly name: string;
  readonly settings: ServerSettings;
  readonly faults: FaultSettings;
  readonly parts: ServiceParts;
}

/** Runs `definition` as this process, to its end. */
export async function runService(definition: ServiceDefinition, env: Env = process.env): Promise<void> {
  const { name } = definition;
  const log = createLog(name);
  try {
    const prepared = prepare(definition, env, log);
    const { faults, settings } = prepared;
    if (faults.start === 'crash')
      throw new Error('FAULT_START=crash: ends before it listens, as a bad build would');
    scheduleExitFault(faults, name);
    if (faults.start === 'never-listen') return void setInterval(() => undefined, 60_000);
    const running = await start(prepared, log);
    stopOnSignals(name, running, settings.shutdownTimeoutMs, log);
    process.send?.('ready'); // for PM2's wait_ready
  } catch (error) {
    exitWith(`${name} cannot start: ${explainStartFailure(error)}`, 1);
  }
}

/** Starts `definition` inside this process, without touching signals. Rejects with SettingsError or the system's. */
export function startService(definition: ServiceDefinition, env: Env, log: Log): Promise<RunningService> {
  return start(prepare(definition, env, log), log);
}

/** @throws SettingsError naming every setting that is wrong. */
function prepare(definition: ServiceDefinition, env: Env, log: Log): Prepared {
  const { name, defaultPort } = definition;
  const problems: string[] = [];
  const reader = new EnvReader(withSecrets(env, problems), problems);
  const settings = readServerSettings(reader, defaultPort);
  const faults = readFaultSettings(reader, name);
  const parts = definition.create(reader, log);
  reader.finish();
  return { name, settings, faults, parts };
}

async function start({ name, settings, faults, parts }: Prepared, log: Log): Promise<RunningService> {
  const health: HealthSwitch = { mode: 'truth' };
  const app = createApp();
  const server = new GracefulServer(app);
  const exit = (exitCode: number): void => exitWith(`${name} was told to exit by /debug/exit`, exitCode);

  if (faults.start === 'status-500')
    app.use((_request, response) => void response.status(500).send('FAULT_START'));
  app.use(
    statusRoutes({
      service: name,
      version: readVersion(),
      instance: settings.instance,
      checks: parts.checks,
      statusPaths: parts.statusPaths,
      health,
      server,
    }),
  );
  if (faults.enabled) app.use('/debug', faultRoutes({ health, exit }));
  parts.addRoutes(app, settings.instance);
  finishApp(app, log);
  if (parts.upgrade !== undefined) server.onUpgrade(parts.upgrade);

  let address: AddressInfo;
  try {
    address = await server.listen(settings.port, settings.host);
  } catch (error) {
    await parts.close();
    throw error;
  }
  const { port } = address;
  log.info('listening', { host: settings.host, port, pid: process.pid, faults: faults.enabled });
  void parts.start?.();

  let stopped: Promise<void> | null = null;
  const stop = async (): Promise<void> => {
    await Promise.all([server.drain(), parts.beginDrain?.()]);
    await parts.close();
  };
  return { address, stop: () => (stopped ??= stop()) };
}

function stopOnSignals(name: string, running: RunningService, timeoutMs: number, log: Log): void {
  let firstAtMs: number | null = null;
  const onSignal = (signal: string): void => {
    if (firstAtMs !== null) {
      if (performance.now() - firstAtMs < SAME_SIGNAL_MS) return;
      return exitWith(`${name}: second signal (${signal}), leaving at once`, 1);
    }
    firstAtMs = performance.now();
    const startMs = firstAtMs;
    log.info('stopping: finishing what is in flight', { signal });
    setTimeout(() => {
      exitWith(
        `${name}: still busy ${timeoutMs} ms (SHUTDOWN_TIMEOUT_MS) after ${signal}, leaving anyway`,
        1,
      );
    }, timeoutMs).unref();
    running.stop().then(
      () => {
        log.info('stopped', { tookMs: Math.round(performance.now() - startMs) });
        process.exit(0);
      },
      (error: unknown) => exitWith(`${name}: stopping failed: ${messageOf(error)}`, 1),
    );
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  process.on('message', (message) => {
    if (message === 'shutdown') onSignal('shutdown message');
  });
}

function readServerSettings(reader: EnvReader, defaultPort: number): ServerSettings {
  return {
    port: reader.integer('PORT', defaultPort, 0, 65_535),
    host: reader.text('HOST') ?? '127.0.0.1',
    shutdownTimeoutMs: reader.integer('SHUTDOWN_TIMEOUT_MS', 8000, 0, 600_000),
    instance:
      reader.optionalInteger('HOLDFAST_INSTANCE', 0, 1_000_000) ??
      reader.optionalInteger('NODE_APP_INSTANCE', 0, 1_000_000),
  };
}

function readVersion(): string {
  const file = new URL('../../package.json', import.meta.url);
  const { version } = JSON.parse(fs.readFileSync(file, 'utf8')) as { version: string };
  return version;
}

function scheduleExitFault({ exitAfterMs }: FaultSettings, name: string): void {
  if (exitAfterMs === null) return;
  setTimeout(() => exitWith(`${name} exits: FAULT_EXIT_AFTER_MS=${exitAfterMs}`, 1), exitAfterMs);
}

function explainStartFailure(error: unknown): string {
  if (error instanceof SettingsError) return `${error.problems.join('\n  ')}`;
  if (codeOf(error) === 'EADDRINUSE' || codeOf(error) === 'EACCES' || codeOf(error) === 'EADDRNOTAVAIL') {
    const { address, port } = error as { address?: string; port?: number };
    const what = `${address ?? ''}:${port ?? ''}`;
    if (codeOf(error) === 'EADDRINUSE')
      return `${what} is already in use: stop what listens there or set PORT`;
    if (codeOf(error) === 'EACCES') return `not allowed to listen on ${what}: set PORT to 1024 or above`;
    return `${what} is not an address of this machine: set HOST`;
  }
  return messageOf(error);
}
