/**
 * A PM2 in memory that behaves as badly as the real one: it restarts what exits for ever, loses events, stops
 * answering, dies and takes its processes along. It also watches its caller: two mutations of one service at once, a
 * port given twice or a mutation while it can't answer are recorded as violations.
 */
import { HoldfastError } from '../../backend/src/domain/errors.js';
import { Emitter } from '../../backend/src/lib/emitter.js';
import type { InstanceId, ManagedProcess, StrayProcess } from '../../backend/src/domain/model.js';
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
  /** `autorestart: false`, or an exit code that PM2 is told to stop at: the row stays, stopped. Default false. */
  readonly staysDown?: boolean;
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
}

type DaemonState = 'answering' | 'stopped' | 'dead';

const CALL_TIMEOUT_MS = 5_000;

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
  starts = 0;
  /** Told whenever an instance is about to be ended on Holdfast's demand. */
  onEnd: (row: Row) => void = () => undefined;
  /** What kinds of probes were sent. */
  readonly probed: string[] = [];

  readonly #clock: FakeClock;
  readonly #random: () => number;
  readonly #rows = new Map<number, Row>();
  readonly #emitter = new Emitter<ProcessManagerEvents>();
  #mutating = new Set<string>();
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
    const exit = { service, pmId, pid, startedAtMs, ...end, asked: false };
    if (row.behaviour.staysDown === true) row.status = 'stopped';
    if (this.#random() >= this.eventLoss) this.#emitter.emit('exit', exit);
    if (row.behaviour.staysDown === true) return;
    row.restarts += 1;
    this.#run(row);
  }

  /** An operator's `pm2 stop`. */
  operatorStop(service: string): void {
    for (const row of this.alive(service)) this.#stop(row);
  }

  /** `pm2 reload` in cluster mode: another process under the same number, and no event about the old one. */
  operatorReload(service: string): void {
    for (const row of this.alive(service)) {
      row.cancelExit();
      row.createdAtMs = this.#clock.wallMs();
      this.#run(row);
    }
  }

  /** `pm2 stop` of an instance that takes its time to end. */
  operatorStopSlowly(row: Row, tookMs: number): void {
    row.status = 'stopping';
    this.#clock.after(tookMs, () => this.#stop(row));
  }

  /** Ends on request; PM2 tells. */
  #stop(row: Row): void {
    const hadProcess = row.status === 'online' || row.status === 'stopping';
    row.cancelExit();
    row.status = 'stopped';
    const { service, pmId, pid, startedAtMs } = row;
    const exit = { service, pmId, pid, startedAtMs, exitCode: 0, signal: null, asked: true };
    if (hadProcess) this.#emitter.emit('exit', exit);
  }

  operatorStart(service: string): void {
    for (const row of this.rows(service)) if (row.status === 'stopped') this.#run(row);
  }

  operatorDelete(row: Row): void {
    row.cancelExit();
    this.#rows.delete(row.pmId);
  }

  operatorScaleUp(service: string): void {
    this.#launch(service);
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

  stopDaemon(): void {
    if (this.#daemon === 'answering') this.#daemon = 'stopped';
  }

  continueDaemon(): void {
    if (this.#daemon === 'stopped') this.#daemon = 'answering';
  }

  killDaemon(): void {
    if (this.#daemon === 'dead') return;
    this.#daemon = 'dead';
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

  async startInstance(service: string): Promise<ManagedProcess> {
    return this.#mutate(service, () => {
      if (this.#random() < this.startRefusal) throw new HoldfastError('pm2.refused', 'spawn EAGAIN');
      this.starts += 1;
      return processOf(this.#launch(service, true));
    });
  }

  async removeInstance(target: InstanceId): Promise<void> {
    await this.#mutate(target.service, () => {
      const row = this.#identified(target);
      if (row === undefined) return;
      this.onEnd(row);
      this.#stop(row);
      this.#rows.delete(row.pmId);
    });
  }

  async haltInstance(target: InstanceId): Promise<void> {
    await this.#mutate(target.service, () => {
      const row = this.#identified(target);
      if (row === undefined) return;
      this.onEnd(row);
      this.#stop(row);
    });
  }

  async resumeInstance(target: InstanceId): Promise<ManagedProcess> {
    return this.#mutate(target.service, () => {
      const row = this.#rows.get(target.pmId);
      if (row?.status !== 'stopped') throw new HoldfastError('pm2.refused', 'process already online');
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
    const row = [...this.#rows.values()].find(
      ({ port, status }) => port === target.port && status === 'online',
    );
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
    if (this.#daemon === 'stopped') {
      await this.#clock.sleep(CALL_TIMEOUT_MS);
      throw new HoldfastError('pm2.timeout', 'the daemon did not answer within 5 s', { retryable: true });
    }
    await this.#clock.sleep(1 + 3 * this.#random());
    if (this.#daemon === 'dead') throw new HoldfastError('pm2.unreachable', 'no daemon');
  }

  async #mutate<T>(service: string, run: () => T): Promise<T> {
    const mutating = this.#mutating;
    if (mutating.has(service)) this.violations.push(`two mutations of ${service} at once`);
    mutating.add(service);
    try {
      await this.#call();
      await this.#clock.sleep(20 + 100 * this.#random());
      if (this.#daemon !== 'answering') throw new HoldfastError('pm2.unreachable', 'the daemon went away');
      const result = run();
      if (this.mutationLagMs > 0) await this.#clock.sleep(this.mutationLagMs);
      return result;
    } finally {
      mutating.delete(service);
    }
  }

  #identified(target: InstanceId): Row | undefined {
    const row = this.#rows.get(target.pmId);
    if (row !== undefined && row.startedAtMs !== target.startedAtMs) {
      throw new HoldfastError('pm2.instance-changed', `pm ${target.pmId} was restarted meanwhile`);
    }
    return row;
  }

  #launch(service: string, isOurs = false): Row {
    const used = new Set([...this.#rows.values()].map(({ port }) => port));
    let port = 13_004;
    while (used.has(port)) port += 1;
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
    };
    this.#rows.set(row.pmId, row);
    this.#run(row);
    return row;
  }

  #run(row: Row): void {
    row.status = 'online';
    row.pid = this.#nextPid++;
    row.startedAtMs = this.#clock.wallMs();
    row.behaviour = this.behave(row.service);
    const { exitsAfterMs } = row.behaviour;
    if (exitsAfterMs !== null) {
      row.cancelExit = this.#clock.after(exitsAfterMs, () => this.kill(row, { exitCode: 1, signal: null }));
    }
    this.#emitter.emit('online', { service: row.service, pmId: row.pmId });
  }
}

function processOf(row: Row): ManagedProcess {
  const { service, pmId, port, startedAtMs, createdAtMs, killTimeoutMs, status, restarts } = row;
  const pid = status === 'online' || status === 'stopping' ? row.pid : null;
  return {
    service,
    pmId,
    pid,
    port,
    startedAtMs,
    createdAtMs,
    killTimeoutMs,
    status,
    restarts,
    mode: 'cluster',
  };
}
