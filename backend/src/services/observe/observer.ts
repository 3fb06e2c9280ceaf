/**
 * Looks at PM2: lists at an interval and whenever something suggests that the picture changed. Never two lists at
 * once: a call while one is under way is answered by the next. Knows in what state the daemon is, and brings a dead
 * one back; one that lives but does not answer is left alone, because killing it would kill what it supervises.
 */
import { HoldfastError, messageOf } from '../../domain/errors.js';
import type { ManagedProcess } from '../../domain/model.js';
import type { DaemonView } from '../../domain/views/controlPlane.js';
import type { Clock, ProcessManager } from '../../ports.js';
import type { EventLog } from '../events/eventLog.js';

export interface ObserverOptions {
  readonly manager: ProcessManager;
  readonly clock: Clock;
  readonly events: EventLog;
  readonly intervalMs: number;
  /** Awaited before the next look. `newDaemon`: PM2's numbers mean other processes than before. */
  readonly onList: (
    processes: readonly ManagedProcess[],
    newDaemon: boolean,
    /** When it was asked for (Clock.nowMs). */
    askedAtMs: number,
  ) => Promise<void>;
}

/** Between two attempts to bring a dead daemon back. */
const REVIVE_PAUSE_MS = 2_000;
const ANSWER_SLACK_MS = 500;

export class Observer {
  readonly #options: ObserverOptions;
  #daemon: { state: DaemonView['state']; version: string | null; sinceMs: number; problem: string | null };
  #daemonPid: number | null = null;
  #newDaemon = false;
  #looking: Promise<void> | null = null;
  #next: Promise<void> | null = null;
  #cancelTimer: () => void = () => undefined;
  #reviveNotBeforeMs = 0;
  #reviveProblem: string | null = null;
  #answeredAtMs = Number.NEGATIVE_INFINITY;
  readonly #begunAtMs: number;
  /** Whether the daemon that answers now was announced as connected. */
  #announced = false;
  #closed = false;
  readonly #unsubscribe: () => void;

  constructor(options: ObserverOptions, knownDaemonPid: number | null) {
    this.#options = options;
    this.#daemonPid = knownDaemonPid;
    this.#begunAtMs = options.clock.nowMs();
    this.#daemon = {
      state: 'lost',
      version: null,
      sinceMs: options.clock.wallMs(),
      problem: 'not connected yet',
    };
    this.#unsubscribe = options.manager.on('connected', (daemon) => this.#onConnected(daemon));
  }

  get daemonPid(): number | null {
    return this.#daemonPid;
  }

  daemon(): DaemonView {
    const { state, version, sinceMs, problem } = this.#daemon;
    return { state, version, since: new Date(sinceMs).toISOString(), problem };
  }

  isConnected(): boolean {
    return this.#daemon.state === 'connected';
  }

  /** Whether that daemon is another one than the one whose numbers are known. */
  meansOtherNumbers(daemonPid: number | null): boolean {
    return this.#newDaemon || daemonPid !== this.#daemonPid;
  }

  /** Whether the daemon answered recently enough to believe that it works right now. */
  answersNow(): boolean {
    const { clock, intervalMs } = this.#options;
    return clock.nowMs() - this.#answeredAtMs <= intervalMs + ANSWER_SLACK_MS;
  }

  /** Looks soon; many calls make one look. */
  poke(): void {
    if (!this.#closed) void this.look();
  }

  /** Resolves after a look that began after this call. */
  async look(): Promise<void> {
    if (this.#closed) return;
    // The next one is asked for first: between the end of a look and the begin of the next, both are there.
    if (this.#next !== null) return this.#next;
    if (this.#looking === null) return this.#begin();
    this.#next = this.#looking.then(() => {
      this.#next = null;
      return this.#closed ? undefined : this.#begin();
    });
    return this.#next;
  }

  close(): void {
    this.#closed = true;
    this.#cancelTimer();
    this.#unsubscribe();
  }

  async #begin(): Promise<void> {
    this.#cancelTimer();
    this.#looking = this.#lookOnce().finally(() => {
      this.#looking = null;
      if (this.#closed) return;
      this.#cancelTimer();
      this.#cancelTimer = this.#options.clock.after(this.#options.intervalMs, () => this.poke());
    });
    return this.#looking;
  }

  async #lookOnce(): Promise<void> {
    const { manager, onList, clock } = this.#options;
    const askedAtMs = clock.nowMs();
    let processes: readonly ManagedProcess[];
    try {
      processes = await manager.list();
    } catch (thrown) {
      await this.#onFailure(thrown);
      return;
    }
    this.#answeredAtMs = clock.nowMs();
    this.#noteAnswer();
    const newDaemon = this.#newDaemon;
    this.#newDaemon = false;
    // Outside the try: what goes wrong in there is not the daemon's fault.
    if (!this.#closed) await onList(processes, newDaemon, askedAtMs);
  }

  /** A daemon that hung and goes on keeps its connection, so nobody else tells of it. */
  #noteAnswer(): void {
    const { state, version } = this.#daemon;
    if (state === 'connected') return;
    this.#setDaemon('connected', null);
    if (state !== 'unresponsive' || this.#announced) return;
    this.#announced = true;
    this.#options.events.emit('daemon.connected', { version: version ?? 'unknown', pid: this.#daemonPid });
  }

  async #onFailure(thrown: unknown): Promise<void> {
    // What is under way when we leave fails because we leave.
    if (this.#closed) return;
    const { events, clock } = this.#options;
    const problem = messageOf(thrown);
    const unreachable = thrown instanceof HoldfastError && thrown.code === 'pm2.unreachable';
    if (unreachable) {
      if (this.#daemon.state !== 'lost') events.emit('daemon.lost', { problem });
      // Why it can't be brought back says more than that it is not there.
      this.#setDaemon('lost', this.#reviveProblem ?? problem);
      await this.#revive();
      return;
    }
    if (this.#daemon.state !== 'unresponsive') {
      const lastAnswerMs = Math.max(this.#answeredAtMs, this.#begunAtMs);
      this.#announced = false;
      events.emit('daemon.unresponsive', { forMs: Math.round(clock.nowMs() - lastAnswerMs) });
    }
    this.#setDaemon('unresponsive', problem);
  }

  async #revive(): Promise<void> {
    const { manager, clock, events } = this.#options;
    if (this.#closed || clock.nowMs() < this.#reviveNotBeforeMs) return;
    this.#reviveNotBeforeMs = clock.nowMs() + REVIVE_PAUSE_MS;
    try {
      const outcome = await manager.ensureDaemon();
      this.#reviveProblem = null;
      if (outcome === 'started') events.emit('daemon.started', { by: 'supervisor' });
    } catch (thrown) {
      this.#reviveProblem = messageOf(thrown);
      this.#setDaemon('lost', this.#reviveProblem);
    }
  }

  #onConnected({ version, pid }: { version: string; pid: number | null }): void {
    if (pid !== null && this.#daemonPid !== null && pid !== this.#daemonPid) this.#newDaemon = true;
    if (pid !== null) this.#daemonPid = pid;
    this.#daemon = { ...this.#daemon, version };
    this.#announced = true;
    this.#options.events.emit('daemon.connected', { version, pid });
    this.poke();
  }

  #setDaemon(state: DaemonView['state'], problem: string | null): void {
    const sinceMs = this.#daemon.state === state ? this.#daemon.sinceMs : this.#options.clock.wallMs();
    this.#daemon = { ...this.#daemon, state, problem, sinceMs };
  }
}
