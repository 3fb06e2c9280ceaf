/**
 * The ProcessManager of ports.ts on a PM2 daemon.
 *
 * Every mutation goes through the same four steps, one mutation at a time per service (PM2 loses processes when a
 * restart and a delete of the same instance overlap):
 *   look (a fresh list: is the target what the caller thinks?) → act (one call to the daemon) →
 *   look again → make it true (end by pid what PM2 did not end) or say what is wrong.
 * Reading (`list`, `findStrays`) never queues.
 *
 * PM2 may still carry out a mutation whose call timed out, once a stopped daemon continues. The caller's next list
 * tells; only the port of a start is kept reserved meanwhile.
 */
import { join, resolve } from 'node:path';
import { HoldfastError, messageOf } from '../../domain/errors.js';
import { sameInstance, type InstanceId, type ManagedProcess, type StrayProcess } from '../../domain/model.js';
import { Emitter } from '../../lib/emitter.js';
import type { Clock, EndOptions, Logger, ProcessManager, ProcessManagerEvents } from '../../ports.js';
import { describePortHolder } from '../net/portHolder.js';
import type { AppDefinition, DefinedApp } from './appDefinition.js';
import { BusClient, tellRestarting } from './busClient.js';
import { ensureDaemon, readDaemonPid } from './daemon.js';
import { endListed, endProcess } from './endProcess.js';
import { ServiceIdentity, type IdentityOptions } from './identity.js';
import { changed, gone, nameOf, startFailed, stillThere } from './instanceErrors.js';
import { launchRecord, startTimeout } from './launch.js';
import { LogPaths, logFilesOf } from './logFiles.js';
import { isFreeOnHost, PortAllocator, type PortLease, type PortRange } from './portAllocator.js';
import { instanceNumberFor, parseList, pidsOf, portsOf, type ProcessRow } from './processRow.js';
import { RpcClient } from './rpcClient.js';
import { SerialQueue } from './serialQueue.js';
import { prepareFiles } from './startFiles.js';
import { StrayFinder } from './strays.js';
import { TemplateStore } from './templates.js';

export interface Pm2Options {
  readonly pm2Home: string;
  /** Names of the supervised services: strays and log files are looked for among these. */
  readonly services: () => readonly string[];
  /** What services are started as; evaluated at every start. See `loadEcosystem`. */
  readonly definitions: () => Promise<readonly DefinedApp[]>;
  /** What tells instances of a service from other applications of its name. Default: nothing does. */
  readonly identity?: IdentityOptions;
  /** What it said when it was read before, for when it can't be read. */
  readonly lastDefinitions?: readonly DefinedApp[];
  /** Ports of a service's instances, inclusive; null when it listens on none. */
  readonly portRange: (service: string) => PortRange | null;
  /** From SIGINT to SIGKILL. */
  readonly killTimeoutMs: (service: string) => number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Told when a port of a range is held by a process that is no listed instance, once per holder. */
  readonly onPortOccupied?: (occupied: { service: string; port: number; by: string }) => void;
  /** The pm2 command to start a daemon with. Default: the one this package depends on. */
  readonly pm2Bin?: string;
  /** Time-out of a call that does not wait for a process to end. Default 5000 ms. */
  readonly callTimeoutMs?: number;
  /** How long a child of the daemon must be unlisted to count as a ghost. Default: longer than `pm2 reload` takes. */
  readonly strayGraceMs?: number;
}

/** A ProcessManager that also gives access to PM2's log files. */
export interface Pm2ProcessManager extends ProcessManager {
  /** PM2's output files of the supervised services, as of the last list. */
  logFiles(): readonly string[];
  /** Where that instance's stderr goes, as of the last list; null when it is not listed or goes to no file. */
  errorLogOf(id: InstanceId): string | null;
  /** The same of its stdout. */
  outputLogOf(id: InstanceId): string | null;
  /** What instances of a service run, as of the last list; null when none is listed. */
  scriptOf(service: string): string | null;
  /** The process of PM2's daemon, by its own file; null: there is none. */
  daemonPid(): number | null;
  /** Of the instances of a service that have a process, as of the last list. */
  rowsOf(service: string): readonly ProcessRow[];
  /** Makes PM2 and its workers open their log files anew, after a rotation. */
  reopenLogs(): Promise<void>;
}

const CALL_TIMEOUT_MS = 5_000;
/** How long a port stays reserved when PM2 may still start something on it. */
const DOUBTFUL_START_MS = 60_000;
/** During `pm2 reload` an old worker is unlisted for its kill time-out, and before that until the new one listens. */
const RELOAD_SLACK_MS = 5_000;
/** From a start to a pid in the list; PM2 shows one at once unless the process ends at once. */
const PID_DEADLINE_MS = 3_000;

/** Connects on the first call. Constructing it does nothing. */
export function createPm2ProcessManager(options: Pm2Options): Pm2ProcessManager {
  return new Pm2(options);
}

class Pm2 implements Pm2ProcessManager {
  readonly #options: Pm2Options;
  readonly #home: string;
  readonly #rpc: RpcClient;
  readonly #bus: BusClient;
  readonly #events: Emitter<ProcessManagerEvents>;
  readonly #queue = new SerialQueue();
  readonly #ports: PortAllocator;
  readonly #strays: StrayFinder;
  readonly #templates: TemplateStore;
  readonly #identity: ServiceIdentity;
  /** The last list, for what events and log rotation need to know about a process. */
  #rows: readonly ProcessRow[] = [];
  #lists = 0;
  #newest = 0;
  readonly #logPaths = new LogPaths();
  /** Whether `connected` was emitted for this connection. */
  #announced = false;
  #starting: Promise<'running' | 'started'> | null = null;

  constructor(options: Pm2Options) {
    const { logger, callTimeoutMs = CALL_TIMEOUT_MS } = options;
    this.#options = options;
    this.#home = resolve(options.pm2Home);
    this.#rpc = new RpcClient({ socketPath: join(this.#home, 'rpc.sock'), timeoutMs: callTimeoutMs });
    this.#bus = new BusClient(join(this.#home, 'pub.sock'));
    this.#events = new Emitter((error, type) =>
      logger.error('a listener of the process manager failed', { type, problem: messageOf(error) }),
    );
    this.#ports = new PortAllocator({
      describeHolder: describePortHolder,
      onOccupied: (occupied) => options.onPortOccupied?.(occupied),
    });
    this.#templates = new TemplateStore(options.definitions, logger, options.lastDefinitions);
    this.#identity = new ServiceIdentity(options.identity);
    this.#strays = new StrayFinder({
      pm2Home: this.#home,
      owns: (service, application) => this.#identity.ownsNow(service, application),
      services: () => new Set(options.services()),
      listedPids: async () => pidsOf(await this.#list()),
      nowMs: () => options.clock.nowMs(),
      graceMs: (service) => options.strayGraceMs ?? options.killTimeoutMs(service) + RELOAD_SLACK_MS,
    });
    this.#forward();
  }

  async list(): Promise<readonly ManagedProcess[]> {
    return (await this.#list()).map((row) => row.process);
  }

  startInstance(
    service: string,
    replaces: InstanceId | null = null,
    avoid: ReadonlySet<number> = new Set(),
  ): Promise<ManagedProcess> {
    return this.#queue.run(service, async () => {
      const [rows, definition] = await Promise.all([this.#list(), this.#templates.definitionOf(service)]);
      const range = this.#options.portRange(service);
      const lease = range === null ? null : await this.#ports.allocate(service, range, portsOf(rows), avoid);
      return this.#start(definition, rows, lease, replaces);
    });
  }

  removeInstance(target: InstanceId, options: EndOptions = {}): Promise<void> {
    return this.#queue.run(target.service, async () => {
      const row = await this.#find(target);
      if (row === null) return;
      await this.#end('deleteProcessId', row, options);
      if ((await this.#rowOf(target)) !== null) throw stillThere(target, 'listed after PM2 deleted it');
    });
  }

  haltInstance(target: InstanceId, options: EndOptions = {}): Promise<void> {
    return this.#queue.run(target.service, async () => {
      const row = await this.#find(target);
      if (row === null) throw gone(target);
      await this.#end('stopProcessId', row, options);
      const after = await this.#rowOf(target);
      if (after !== null && after.process.pid !== null)
        throw stillThere(target, 'running after PM2 stopped it');
    });
  }

  resumeInstance(target: InstanceId): Promise<ManagedProcess> {
    return this.#queue.run(target.service, async () => {
      const row = await this.#find(target);
      if (row === null) throw gone(target);
      if (row.process.pid !== null) return row.process;
      const { port } = row.process;
      if (port !== null && !(await isFreeOnHost(port))) {
        const holder = (await describePortHolder(port)) ?? 'another process';
        throw new HoldfastError(
          'port.occupied',
          `Port ${port} of ${nameOf(target)} is held by ${holder} by now. Remove the instance and start another.`,
          { status: 503 },
        );
      }
      await this.#rpc.call('startProcessId', target.pmId);
      return this.#withPid(target);
    });
  }

  findStrays(): Promise<readonly StrayProcess[]> {
    return this.#strays.find();
  }

  endStray(stray: StrayProcess): Promise<boolean> {
    return endProcess(stray, this.#options.killTimeoutMs(stray.service));
  }

  ensureDaemon(): Promise<'running' | 'started'> {
    const { pm2Bin } = this.#options;
    this.#starting ??= ensureDaemon({
      pm2Home: this.#home,
      ping: () => this.#rpc.call('getVersion', {}),
      ...(pm2Bin === undefined ? {} : { pm2Bin }),
    }).finally(() => {
      this.#starting = null;
    });
    return this.#starting;
  }

  on<K extends keyof ProcessManagerEvents>(
    event: K,
    listener: (payload: ProcessManagerEvents[K]) => void,
  ): () => void {
    return this.#events.on(event, listener);
  }

  logFiles(): readonly string[] {
    return logFilesOf(this.#rows, new Set(this.#options.services()));
  }

  errorLogOf(id: InstanceId): string | null {
    return this.#logPaths.errorLogOf(id);
  }

  outputLogOf(id: InstanceId): string | null {
    return this.#logPaths.outputLogOf(id);
  }

  scriptOf(service: string): string | null {
    const script = this.#rows.find(({ process }) => process.service === service)?.record['pm_exec_path'];
    return typeof script === 'string' ? script : null;
  }

  daemonPid(): number | null {
    return readDaemonPid(this.#home);
  }

  rowsOf(service: string): readonly ProcessRow[] {
    return this.#rows.filter(({ process }) => process.service === service && process.pid !== null);
  }

  async reopenLogs(): Promise<void> {
    await this.#rpc.call('reloadLogs', {});
  }

  close(): Promise<void> {
    this.#rpc.close();
    this.#bus.close();
    return Promise.resolve();
  }

  #forward(): void {
    this.#rpc.on('open', () => {
      this.#bus.open();
      void this.#announce();
    });
    this.#rpc.on('lost', (lost) => {
      this.#announced = false;
      this.#events.emit('lost', lost);
    });
    this.#bus.on('online', (online) => this.#events.emit('online', online));
    this.#bus.on('restarting', (restart) => tellRestarting(restart, this.#rows, this.#events));
    this.#bus.on('stopped', ({ application, ...stopped }) => {
      if (this.#identity.owns(stopped.service, application)) this.#events.emit('stopped', stopped);
    });
    this.#bus.on('exit', ({ application, ...exit }) => {
      if (!this.#identity.owns(exit.service, application)) return;
      const known = this.#rows.find(({ process }) => sameInstance(process, exit));
      this.#events.emit('exit', { ...exit, pid: known?.process.pid ?? null });
    });
  }

  /** Tells, once per connection, that a daemon answers: at the connection, or when one that hung goes on. */
  async #announce(): Promise<void> {
    try {
      const version = await this.#rpc.call('getVersion', {});
      if (this.#announced) return;
      this.#announced = true;
      this.#events.emit('connected', { version: String(version), pid: readDaemonPid(this.#home) });
    } catch {
      // It accepts but does not answer. The callers' own time-outs say so, and the next good list tries again.
    }
  }

  async #list(): Promise<readonly ProcessRow[]> {
    const answer = await this.#rpc.call('getMonitorData', {});
    const number = (this.#lists += 1);
    const rows = await this.#identity.separate(parseList(answer));
    if (!this.#announced) void this.#announce();
    // One that had to wait for a disk may be older than what is known by now.
    if (number < this.#newest) return rows;
    this.#newest = number;
    this.#rows = rows;
    this.#logPaths.see(rows);
    this.#templates.remember(rows);
    return rows;
  }

  async #start(
    definition: AppDefinition,
    rows: readonly ProcessRow[],
    lease: PortLease | null,
    replaces: InstanceId | null,
  ): Promise<ManagedProcess> {
    const service = definition.name;
    const record = launchRecord(definition, {
      pm2Home: this.#home,
      port: lease?.port ?? null,
      instanceNumber: instanceNumberFor(rows, service, replaces?.pmId ?? null),
      killTimeoutMs: this.#options.killTimeoutMs(service),
    });
    try {
      await prepareFiles(definition);
      const timeoutMs = startTimeout(definition, this.#options.callTimeoutMs ?? CALL_TIMEOUT_MS);
      const [started] = parseList(await this.#rpc.call('prepare', record, timeoutMs));
      if (started === undefined) throw startFailed(service, 'PM2 answered without the new process');
      const listed = await this.#withPid(started.process);
      lease?.release();
      return listed;
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'pm2.timeout' && lease !== null) {
        this.#options.clock.after(DOUBTFUL_START_MS, () => lease.release());
      } else lease?.release();
      throw error instanceof HoldfastError ? error : startFailed(service, messageOf(error));
    }
  }

  /** Waits until PM2 lists the instance with a pid. One that ended at once and stays down is removed again. */
  async #withPid({ service, pmId }: Pick<InstanceId, 'service' | 'pmId'>): Promise<ManagedProcess> {
    const deadlineMs = this.#options.clock.nowMs() + PID_DEADLINE_MS;
    for (;;) {
      const row = await this.#rowOf({ service, pmId });
      if (row === null) throw startFailed(service, `PM2 does not list its number ${pmId}`);
      if (row.process.pid !== null) return row.process;
      const givenUp = row.process.status === 'errored' || this.#options.clock.nowMs() > deadlineMs;
      if (givenUp) {
        await this.#rpc.call('deleteProcessId', pmId);
        throw startFailed(service, `it ended at once; see ${String(row.record['pm_err_log_path'])}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  #end(method: 'deleteProcessId' | 'stopProcessId', row: ProcessRow, options: EndOptions): Promise<void> {
    const { clock, logger, callTimeoutMs = CALL_TIMEOUT_MS } = this.#options;
    return endListed(row, (timeoutMs) => this.#rpc.call(method, row.process.pmId, timeoutMs), {
      ...options,
      callTimeoutMs,
      clock,
      logger,
    });
  }

  /** The row of exactly that start, null when PM2 has no such instance. Rejects with `pm2.instance-changed`. */
  async #find(target: InstanceId): Promise<ProcessRow | null> {
    const row = await this.#rowOf(target);
    if (row !== null && row.process.startedAtMs !== target.startedAtMs) throw changed(target);
    return row;
  }

  async #rowOf({ service, pmId }: Pick<InstanceId, 'service' | 'pmId'>): Promise<ProcessRow | null> {
    const rows = await this.#list();
    // The same number under another name: PM2 counts from 0 again when its list was empty.
    return rows.find(({ process }) => process.pmId === pmId && process.service === service) ?? null;
  }
}
