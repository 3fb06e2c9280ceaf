/**
 * A PM2 in memory that behaves as badly as the real one: it restarts what exits for ever, loses events, stops
 * answering, dies and takes its processes along. It also watches its caller: two mutations of one service at once, a
 * port given twice or a mutation while it can't answer are recorded as violations.
 */
import { HoldfastError } from '../../backend/src/domain/errors.js';
import { Emitter } from '../../backend/src/lib/emitter.js';
import type { EndRules } from '../../backend/src/domain/model.js';
import type { InstanceId, ManagedProcess, StrayProcess } from '../../backend/src/domain/model.js';
import type { ForeignHolder } from '../../backend/src/domain/network/sharedPorts.js';
import type { RestartCause } from '../../backend/src/domain/failures/restarts.js';
import type { Prober, ProbeResult, ProcessManager, ProcessManagerEvents } from '../../backend/src/ports.js';
import type { ProbeSpec } from '../../backend/src/domain/policy.js';
import type { FakeClock } from './fakeClock.js';

/** What a start of an instance will do; decided when it starts, from its build. */
export interface Behaviour {
  readonly readyAfterMs: number;
  /** Exits with code 1 that long after its start; null: never. */
  readonly exitsAfterMs: number | null;
  /** `elsewhere`: it serves, and answers 404 where it is probed. */
  readonly answers: 'ok' | 'elsewhere' | 'error' | 'never';
  /** With which code it exits by itself. Default 1. */
  readonly exitCode?: number;
  /** PM2 gives it up at its first exit (`max_restarts`): the row stays, errored. Default false. */
  readonly staysDown?: boolean;
  /** How long PM2 waits with a restart (`restart_delay`). Default: not at all. */
  readonly restartDelayMs?: number;
  /** What PM2 does when it ends. Default: it restarts it. */
  readonly endRules?: EndRules;
  /** As PM2 finds it in the environment. Default: what the service probes; null: it listens on none. */
  readonly port?: null;
}

export interface Row {
  service: string;
  pmId: number;
  pid: number;
  port: number;
  startedAtMs: number;
  createdAtMs: number;
  readonly killTimeoutMs: number;
  status: ManagedProcess['status'];
  restarts: number;
  behaviour: Behaviour;
  cancelExit: () => void;
  /** Started by Holdfast, not by an operator or from an ecosystem file. */
  readonly isOurs: boolean;
  /** NODE_APP_INSTANCE. */
  readonly number: number;
  lastExitCode?: number;
  /** Stopped by Holdfast, not by an operator. */
  isHalted?: boolean;
  /** What runs there was started by an operator, where nothing ran. */
  isOperators?: boolean;
}

type DaemonState = 'answering' | 'stopped' | 'dead';

const CALL_TIMEOUT_MS = 5_000;
/** As in the policies of the simulation. */
const LAST_PORT = 13_099;
/** From a start to EADDRINUSE. */
const COLLIDES_AFTER_MS = 60;

export class FakePm2 implements ProcessManager, Prober {
  readonly violations: string[] = [];
  /** Asked at every start. */
  behave: (service: string) => Behaviour = () => ({ readyAfterMs: 100, exitsAfterMs: null, answers: 'ok' });
  /** Share of exit events that never arrive. */
  eventLoss = 0;
  /** Share of starts that PM2 refuses. */
  startRefusal = 0;
  /** What those that are started from now on get from the signal to SIGKILL. */
  killTimeoutMs = 10_000;
  /** How old a list may be when it arrives. */
  listLagMs = 0;
  /** How long after a start or a removal its caller hears of it; lists show it at once. */
  mutationLagMs = 0;
  /** Whether a daemon that was stopped and goes on takes its time with what it had been asked for (`carryOutUnread`). */
  keepsUnread = false;
  starts = 0;
  /** Fork mode: what is started on a port that another one listens on ends. In cluster mode both serve. */
  portsCollide = false;
  /** Programs that listen on ports of instances. */
  readonly programs = new Map<number, ForeignHolder>();
  /** Told when Holdfast asks for the end of an instance; what it returns is called when that is carried out. */
  onEnd: (row: Row) => () => void = () => () => undefined;
  /** Services whose number of processes an operator has changed. */
  readonly touched = new Set<string>();
  /** What kinds of probes were sent. */
  readonly probed: string[] = [];

  readonly #clock: FakeClock;
  readonly #random: () => number;
  readonly #rows = new Map<number, Row>();
  readonly #emitter = new Emitter<ProcessManagerEvents>();
  #mutating = new Set<string>();
  /** What a stopped daemon has in its socket. */
  readonly #unread: (() => void)[] = [];
  #daemon: DaemonState = 'answering';
  #daemonPid = 1000;
  #nextPmId = 0;
  #nextPid = 10_000;

  constructor(clock: FakeClock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  // ── the world's side ──

  seed(service: string, count: number): void {
    for (let i = 0; i < count; i++) this.#launch(service);
  }

  /** As PM2 lists what has `autostart: false`. */
  register(service: string): void {
    const row = this.#launch(service);
    row.cancelExit();
    row.status = 'stopped';
  }

  rows(service?: string): readonly Row[] {
    return [...this.#rows.values()].filter((row) => service === undefined || row.service === service);
  }

  alive(service: string): readonly Row[] {
    return this.rows(service).filter(({ status }) => status === 'online');
  }

  /** Ends a process; PM2 starts it again at once under the same number, unless its build says otherwise. */
  kill(row: Row, end: { exitCode: number | null; signal: string | null }): void {
    if (row.status !== 'online') return;
    row.cancelExit();
    const { service, pmId, pid, startedAtMs } = row;
    const { endRules, restartDelayMs } = row.behaviour;
    const rules = endRules === undefined ? {} : { endRules };
    const exit = { service, pmId, pid, startedAtMs, ...end, ...rules, asked: false };
    row.lastExitCode = end.exitCode ?? 0; // PM2 writes 0 for a signal
    if (row.behaviour.staysDown === true) row.status = 'errored';
    else if (isLeftDown(row)) row.status = 'stopped';
    if (this.#random() >= this.eventLoss) this.#emitter.emit('exit', exit);
    if (row.status !== 'online') return;
    if (restartDelayMs === undefined) return this.#restart(row);
    row.status = 'waiting restart';
    row.cancelExit = this.#clock.after(restartDelayMs, () => this.#restart(row));
  }

  #restart(row: Row): void {
    row.restarts += 1;
    this.#runAgain(row);
  }

  /** Another process for the same reason: what an operator started is the operator's still. */
  #runAgain(row: Row): void {
    const { isOperators = false } = row;
    this.#run(row);
    row.isOperators = isOperators;
  }

  /** An operator's `pm2 stop`. */
  operatorStop(service: string): void {
    this.touched.add(service);
    for (const row of this.rows(service)) {
      const wasWaiting = row.status === 'waiting restart';
      this.#stop(row);
      if (wasWaiting && this.#random() >= this.eventLoss) this.#emitter.emit('stopped', row);
    }
  }

  /** `pm2 reload` in cluster mode: another process under the same number, and no event about the old one. */
  operatorReload(service: string): void {
    for (const row of this.alive(service)) {
      row.cancelExit();
      row.createdAtMs = this.#clock.wallMs();
      this.#runAgain(row);
    }
  }

  /**
   * `pm2 reload <file>`, or a start of it: another process under each number, one after the other, also where none runs; a
   * process that is just being stopped is left alone. With PORT in the file's `env` all have that port. Where PM2 lists
   * none, as many are started as the file says.
   */
  operatorReloadFile(
    service: string,
    {
      pauseMs = 0,
      hasPort = true,
      instances = 2,
    }: { pauseMs?: number; hasPort?: boolean; instances?: number } = {},
  ): void {
    const rows = this.rows(service);
    if (rows.length === 0 || rows.some(({ status }) => status !== 'online')) this.touched.add(service);
    if (rows.length === 0) return this.seed(service, instances);
    const port = Math.min(...rows.map((row) => row.port));
    for (const [index, row] of rows.entries()) {
      const reload = (): void => {
        if (this.#rows.get(row.pmId) !== row || row.status === 'stopping') return;
        row.cancelExit();
        if (hasPort) row.port = port;
        row.createdAtMs = this.#clock.wallMs();
        row.restarts += 1;
        if (row.status === 'online') this.#runAgain(row);
        else this.#runForOperator(row);
      };
      if (pauseMs === 0) reload();
      else this.#clock.after(index * pauseMs, reload);
    }
  }

  /** `pm2 stop` of an instance that takes its time to end. */
  operatorStopSlowly(row: Row, tookMs: number): void {
    row.status = 'stopping';
    this.#clock.after(tookMs, () => {
      this.touched.add(row.service);
      this.#stop(row);
    });
  }

  /** Ends on request; PM2 tells. */
  #stop(row: Row): void {
    const hadProcess = row.status === 'online' || row.status === 'stopping';
    row.cancelExit();
    row.status = 'stopped';
    const { service, pmId, pid, startedAtMs } = row;
    const exit = { service, pmId, pid, startedAtMs, exitCode: 0, signal: null, asked: true };
    if (hadProcess) row.lastExitCode = 0;
    if (hadProcess) this.#emitter.emit('exit', exit);
  }

  operatorStart(service: string): void {
    this.touched.add(service);
    for (const row of this.rows(service)) if (row.status === 'stopped') this.#runForOperator(row);
  }

  #runForOperator(row: Row): void {
    this.#run(row);
    row.isOperators = true;
  }

  /** `pm2 start`, which takes its time from one to the next. */
  operatorStartSlowly(service: string, pauseMs: number): void {
    for (const [index, row] of this.rows(service).entries())
      this.#clock.after(index * pauseMs, () => void (this.#rows.has(row.pmId) && this.#runForOperator(row)));
  }

  /** PM2 starts it anew by `cron_restart`: an end on request, where it still runs, and another process. */
  scheduledStart(row: Row): void {
    if (row.status === 'online') this.#stop(row);
    this.#run(row);
  }

  /** PM2 restarts it by itself, and says why; the process may take its time to end. */
  restartByItself(row: Row, cause: RestartCause, tookMs = 0): void {
    this.#emitter.emit('restarting', { service: row.service, pmId: row.pmId, cause });
    this.operatorRestart(row, tookMs);
  }

  /** `pm2 restart`: it counts as created anew. */
  operatorRestart(row: Row, tookMs = 0): void {
    row.createdAtMs = this.#clock.wallMs();
    const again = (): void => {
      this.#stop(row);
      row.restarts += 1;
      this.#run(row);
    };
    if (tookMs === 0) return again();
    row.status = 'stopping';
    this.#clock.after(tookMs, again);
  }

  operatorDelete(row: Row): void {
    this.touched.add(row.service);
    row.cancelExit();
    this.#rows.delete(row.pmId);
  }

  operatorScaleUp(service: string): void {
    this.touched.add(service);
    this.#launch(service);
  }

  /** One row of a list that was saved, under a daemon that is new: stopped stays stopped, and the port is the same. */
  resurrect({ service, port, status, isHalted = false }: Row): void {
    const row = this.#launch(service);
    row.port = port;
    if (status === 'online') return;
    row.cancelExit();
    row.status = 'stopped';
    row.isHalted = isHalted;
  }

  /** Whether a request to it would be answered now, whatever a probe would say. */
  serves(row: Row): boolean {
    const { readyAfterMs, answers } = row.behaviour;
    const isUp = row.status === 'online' && this.#clock.wallMs() - row.startedAtMs >= readyAfterMs;
    return isUp && (answers === 'ok' || answers === 'elsewhere');
  }

  setAnswers(row: Row, answers: Behaviour['answers']): void {
    row.behaviour = { ...row.behaviour, answers };
  }

  /** The supervisor was killed: what it had asked for still happens, but it is nobody's second mutation. */
  callerDied(): void {
    this.#mutating = new Set();
  }

  get isAnswering(): boolean {
    return this.#daemon === 'answering';
  }

  stopDaemon(): void {
    if (this.#daemon === 'answering') this.#daemon = 'stopped';
  }

  continueDaemon(): void {
    if (this.#daemon !== 'stopped') return;
    this.#daemon = 'answering';
    if (!this.keepsUnread) this.carryOutUnread();
  }

  carryOutUnread(): void {
    for (const run of this.#unread.splice(0)) run();
  }

  killDaemon(): void {
    if (this.#daemon === 'dead') return;
    this.#daemon = 'dead';
    this.#unread.length = 0;
    for (const row of this.#rows.values()) row.cancelExit();
    this.#rows.clear();
    this.#emitter.emit('lost', { problem: 'connection refused' });
  }

  // ── ProcessManager ──

  async list(): Promise<readonly ManagedProcess[]> {
    await this.#call();
    const rows = this.rows().map(processOf);
    if (this.listLagMs > 0) await this.#clock.sleep(this.listLagMs * this.#random());
    return rows;
  }

  async startInstance(
    service: string,
    replaces: InstanceId | null = null,
    avoid: ReadonlySet<number> = new Set(),
  ): Promise<ManagedProcess> {
    return this.#mutate(service, () => {
      if (this.#random() < this.startRefusal) throw new HoldfastError('pm2.refused', 'spawn EAGAIN');
      this.starts += 1;
      return processOf(this.#launch(service, true, replaces, avoid));
    });
  }

  async removeInstance(target: InstanceId): Promise<void> {
    const ended = this.#asked(target);
    await this.#mutate(target.service, () => {
      const row = this.#identified(target);
      if (row === undefined) return;
      ended();
      this.#stop(row);
      this.#rows.delete(row.pmId);
    });
  }

  async haltInstance(target: InstanceId): Promise<void> {
    const ended = this.#asked(target);
    await this.#mutate(target.service, () => {
      const row = this.#identified(target);
      if (row === undefined) return;
      ended();
      this.#stop(row);
      row.isHalted = true;
    });
  }

  async resumeInstance(target: InstanceId): Promise<ManagedProcess> {
    return this.#mutate(target.service, () => {
      const row = this.#rows.get(target.pmId);
      if (row?.status !== 'stopped' && row?.status !== 'errored')
        throw new HoldfastError('pm2.refused', 'process already online');
      if (this.#isTaken(row.port, null)) throw new HoldfastError('port.occupied', 'it is taken');
      this.starts += 1;
      this.#run(row);
      return processOf(row);
    });
  }

  findStrays(): Promise<readonly StrayProcess[]> {
    return Promise.resolve([]);
  }

  endStray(): Promise<boolean> {
    return Promise.resolve(false);
  }

  async ensureDaemon(): Promise<'running' | 'started'> {
    await this.#clock.sleep(300);
    if (this.#daemon !== 'dead') return 'running';
    this.#daemon = 'answering';
    this.#daemonPid += 1;
    this.#nextPmId = 0;
    this.#emitter.emit('connected', { version: '7.0.4', pid: this.#daemonPid });
    return 'started';
  }

  on<K extends keyof ProcessManagerEvents>(
    event: K,
    listener: (payload: ProcessManagerEvents[K]) => void,
  ): () => void {
    if (event === 'connected') {
      (listener as (payload: ProcessManagerEvents['connected']) => void)({
        version: '7.0.4',
        pid: this.#daemonPid,
      });
    }
    return this.#emitter.on(event, listener);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  // ── Prober ──

  async probe(target: { port: number }, spec: ProbeSpec, timeoutMs: number): Promise<ProbeResult> {
    if (this.probed.push(spec.kind) > 10_000) this.probed.shift();
    const row = this.#listensAt(target.port);
    const refused: ProbeResult = { ok: false, latencyMs: 1, kind: 'refused', detail: 'connection refused' };
    if (row === undefined || this.#clock.wallMs() - row.startedAtMs < row.behaviour.readyAfterMs) {
      await this.#clock.sleep(1);
      return refused;
    }
    const daemonHoldsSockets = this.#daemon === 'stopped';
    if (row.behaviour.answers === 'never' || daemonHoldsSockets) {
      await this.#clock.sleep(timeoutMs);
      return { ok: false, latencyMs: timeoutMs, kind: 'timeout', detail: `no answer in ${timeoutMs} ms` };
    }
    await this.#clock.sleep(2);
    if (row.behaviour.answers === 'ok') return { ok: true, latencyMs: 2 };
    if (row.behaviour.answers === 'elsewhere') {
      return { ok: false, latencyMs: 2, kind: 'status', detail: 'HTTP 404, expected 200–399' };
    }
    return { ok: false, latencyMs: 2, kind: 'status', detail: 'HTTP 500, expected 200–399' };
  }

  // ── inside ──

  async #call(): Promise<void> {
    if (this.#daemon === 'stopped') await this.#timeOut();
    await this.#clock.sleep(1 + 3 * this.#random());
    if (this.#daemon === 'dead') throw new HoldfastError('pm2.unreachable', 'no daemon');
  }

  async #timeOut(): Promise<never> {
    await this.#clock.sleep(CALL_TIMEOUT_MS);
    throw new HoldfastError('pm2.timeout', 'the daemon did not answer within 5 s', { retryable: true });
  }

  /** The first that was started there. */
  #listensAt(at: number): Row | undefined {
    return [...this.#rows.values()]
      .filter(({ port, status }) => port === at && status === 'online')
      .sort((a, b) => a.startedAtMs - b.startedAtMs || a.pid - b.pid)[0];
  }

  /** Whether something else than `row` listens there, so that it can't. */
  #isTaken(port: number, row: Row | null): boolean {
    if (this.programs.has(port)) return true;
    const first = this.#listensAt(port);
    return row === null ? first !== undefined : this.portsCollide && first !== row;
  }

  async #mutate<T>(service: string, run: () => T): Promise<T> {
    const mutating = this.#mutating;
    if (mutating.has(service)) this.violations.push(`two mutations of ${service} at once`);
    mutating.add(service);
    try {
      await this.#call();
      await this.#clock.sleep(20 + 100 * this.#random());
      if (this.#daemon === 'stopped') {
        this.#unread.push(() => {
          try {
            run();
          } catch {
            // PM2 refuses it, and its caller is not there to hear of that.
          }
        });
        return await this.#timeOut();
      }
      if (this.#daemon === 'dead') throw new HoldfastError('pm2.unreachable', 'the daemon went away');
      const result = run();
      if (this.mutationLagMs > CALL_TIMEOUT_MS) return await this.#timeOut();
      if (this.mutationLagMs > 0) await this.#clock.sleep(this.mutationLagMs);
      return result;
    } finally {
      mutating.delete(service);
    }
  }

  #asked({ pmId, startedAtMs }: InstanceId): () => void {
    const row = this.#rows.get(pmId);
    return row?.startedAtMs === startedAtMs ? this.onEnd(row) : () => undefined;
  }

  #identified(target: InstanceId): Row | undefined {
    const row = this.#rows.get(target.pmId);
    if (row !== undefined && row.startedAtMs !== target.startedAtMs) {
      throw new HoldfastError('pm2.instance-changed', `pm ${target.pmId} was restarted meanwhile`);
    }
    return row;
  }

  #launch(
    service: string,
    isOurs = false,
    replaces: InstanceId | null = null,
    avoid: ReadonlySet<number> = new Set(),
  ): Row {
    const used = new Set([...this.#rows.values()].map(({ port }) => port));
    let port = 13_004;
    while (used.has(port) || this.programs.has(port) || avoid.has(port)) port += 1;
    if (port > LAST_PORT && avoid.size > 0) return this.#launch(service, isOurs, replaces);
    if (port > LAST_PORT) throw new HoldfastError('port.none-free', 'No free port; taken by others: all.');
    const row: Row = {
      service,
      pmId: this.#nextPmId++,
      pid: 0,
      port,
      startedAtMs: 0,
      createdAtMs: this.#clock.wallMs(),
      killTimeoutMs: this.killTimeoutMs,
      status: 'online',
      restarts: 0,
      behaviour: this.behave(service),
      cancelExit: () => undefined,
      isOurs,
      number: this.#numberFor(service, replaces),
    };
    this.#rows.set(row.pmId, row);
    this.#run(row);
    return row;
  }

  #numberFor(service: string, replaces: InstanceId | null): number {
    const others = this.rows(service).filter(({ pmId }) => pmId !== replaces?.pmId);
    const used = new Set(others.map(({ number }) => number));
    const inherited = replaces === null ? undefined : this.#rows.get(replaces.pmId)?.number;
    if (inherited !== undefined && !used.has(inherited)) return inherited;
    let number = 0;
    while (used.has(number)) number += 1;
    return number;
  }

  #run(row: Row): void {
    row.isHalted = false;
    row.isOperators = false;
    row.status = 'online';
    row.pid = this.#nextPid++;
    row.startedAtMs = this.#clock.wallMs();
    row.behaviour = this.behave(row.service);
    const { exitCode = 1 } = row.behaviour;
    const exitsAfterMs = this.#isTaken(row.port, row) ? COLLIDES_AFTER_MS : row.behaviour.exitsAfterMs;
    if (exitsAfterMs !== null) {
      row.cancelExit = this.#clock.after(exitsAfterMs, () => this.kill(row, { exitCode, signal: null }));
    }
    this.#emitter.emit('online', { service: row.service, pmId: row.pmId });
  }
}

/** As PM2 decides it, for which a signal is exit code 0. */
function isLeftDown({ behaviour: { endRules }, lastExitCode = 0 }: Row): boolean {
  return endRules !== undefined && (!endRules.autorestart || endRules.stopExitCodes.includes(lastExitCode));
}

function processOf(row: Row): ManagedProcess {
  const { service, pmId, port, startedAtMs, createdAtMs, killTimeoutMs, status, restarts, number } = row;
  const pid = status === 'online' || status === 'stopping' ? row.pid : null;
  return {
    service,
    pmId,
    pid,
    port: row.behaviour.port === null ? null : port,
    startedAtMs,
    createdAtMs,
    killTimeoutMs,
    status,
    restarts,
    mode: 'cluster',
    instanceNumber: number,
    ...(row.behaviour.endRules === undefined ? {} : { endRules: row.behaviour.endRules }),
    ...(row.lastExitCode === undefined ? {} : { lastExitCode: row.lastExitCode }),
  };
}
