/**
 * The workers: as many as asked for, replaced when they end, given every snapshot.
 *
 *   starting ──listening──▶ serving ──told to stop──▶ stopping ──exit──▶ gone
 *      └────────┴─── exit, or silence ──▶ gone, replaced at once; after a pause that doubles when it died young
 *
 * A worker that hangs is as bad as one that died, only later: its share of connections goes nowhere. So one that
 * reports nothing for `SILENCE_MS` is killed, and replaced like any other. The others never notice either.
 *
 * Snapshots: at most one per worker is without its answer; while it is, only the latest is kept for it. So a slow
 * worker has a bounded backlog, and "every worker has it" is known, not assumed. That is what `isDrained` stands on.
 */
import type { WorkerStats } from '../../domain/gatewayStats.js';
import type { GatewaySnapshot } from '../../domain/pool.js';
import { fullJitterMs } from '../../lib/backoff.js';
import type { Clock, Logger } from '../../ports.js';
import type { OwnAnswer, Problem } from '../answer.js';
import type { WorkerFact } from '../pages/facts.js';
import type { CallPath, PrimaryPath } from '../pages/ownPaths.js';
import type { TlsMaterial } from '../tls/contexts.js';
import type { StartOutcome } from './listenProblem.js';
import { readWorkerMessage } from './messages.js';
import type { FromWorker, ListenAddress, StopTimes, ToWorker } from './messages.js';

/** One forked process. */
export interface WorkerProcess {
  readonly pid: number;
  send(message: unknown): void;
  kill(signal: NodeJS.Signals): void;
}

export interface WorkerListeners {
  readonly onMessage: (raw: unknown) => void;
  readonly onExit: (how: { readonly code: number | null; readonly signal: string | null }) => void;
}

export interface FleetOptions<Settings> {
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  readonly size: number;
  readonly listen: ListenAddress;
  readonly settings: Settings;
  /** Of workers that are replaced. */
  readonly stop: () => StopTimes;
  readonly snapshot: GatewaySnapshot;
  /** What new workers serve TLS with; null: no TLS. */
  readonly tls: () => TlsMaterial | null;
  readonly spawn: (listeners: WorkerListeners) => WorkerProcess;
  readonly onStats: (workerId: number, stats: WorkerStats) => void;
  readonly onGone: (workerId: number) => void;
  /** Takes lines for the access log; never waits. */
  readonly onLog: (lines: readonly string[]) => void;
  /** Renders a page for a worker. Never rejects. */
  readonly onAsk: (path: PrimaryPath) => Promise<OwnAnswer | Problem>;
  /** Carries a call out for a worker. Never rejects. @param body null: it only reads. */
  readonly onCall: (path: CallPath, body: string | null) => Promise<OwnAnswer | Problem>;
  /** Somebody else has the port; workers go on trying. */
  readonly onWaiting: () => void;
  /** Which upstreams are drained may have changed. */
  readonly onProgress: () => void;
}

interface Worker {
  readonly id: number;
  readonly process: WorkerProcess;
  readonly startedAtMs: number;
  readonly startedWallMs: number;
  state: WorkerFact['state'];
  heardAtMs: number;
  /** Version that it confirmed. */
  version: number | null;
  busy: ReadonlySet<string>;
  /** A snapshot is on its way to it. */
  awaiting: boolean;
  /** Called when it listens, failed or ended. */
  settled: (() => void)[];
}

/** Twenty missed reports. */
export const SILENCE_MS = 10_000;
const WATCH_INTERVAL_MS = 1_000;
/** Who lives shorter than this died young. */
const YOUNG_MS = 5_000;
const BACKOFF = { baseMs: 100, capMs: 10_000 };
/** On top of the grace, before a worker that was told to stop is killed. */
const STOP_SLACK_MS = 1_000;

export class Fleet<Settings> {
  readonly #options: FleetOptions<Settings>;
  readonly #workers = new Map<number, Worker>();
  #settings: Settings;
  #snapshot: GatewaySnapshot;
  #nextId = 1;
  #restarts = 0;
  #badMessages = 0;
  #youngDeaths = 0;
  #failure: { readonly code: string; readonly message: string; readonly port: number } | null = null;
  #stopping = false;
  #cancelWatch: () => void = () => undefined;
  readonly #cancelRespawns = new Set<() => void>();

  constructor(options: FleetOptions<Settings>) {
    this.#options = options;
    this.#settings = options.settings;
    this.#snapshot = options.snapshot;
  }

  /** Starts all workers; resolves when the first one listens, or when none can. */
  async start(): Promise<StartOutcome> {
    const first = Array.from({ length: this.#options.size }, () => this.#spawn());
    this.#watch();
    await Promise.race([
      Promise.all(first.map((worker) => this.#settlement(worker))),
      this.#untilServing(first),
    ]);
    if (this.serving > 0) return { ok: true };
    const crashed = { code: 'gateway.no-worker', message: 'Every gateway worker ended before it listened.' };
    return { ok: false, ...(this.#failure ?? crashed) };
  }

  get serving(): number {
    return [...this.#workers.values()].filter(({ state }) => state === 'serving').length;
  }

  /** Workers that ended without being asked to. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Messages of workers that were not understood. */
  get badMessages(): number {
    return this.#badMessages;
  }

  facts(): readonly WorkerFact[] {
    return [...this.#workers.values()].map(({ id, process, state, startedWallMs, version }) => ({
      id,
      pid: process.pid,
      state,
      startedAtMs: startedWallMs,
      snapshotVersion: version,
    }));
  }

  /** Hands a new snapshot to every worker, now and in future. */
  publish(snapshot: GatewaySnapshot): void {
    this.#snapshot = snapshot;
    for (const worker of this.#workers.values()) this.#offer(worker);
  }

  /** Tells every worker that the process at this address (host:port) has ended. */
  gone(upstream: string): void {
    for (const worker of this.#workers.values()) {
      if (worker.state !== 'starting') this.#send(worker, { kind: 'gone', upstream });
    }
  }

  /** Hands new certificates or ticket keys to every worker; workers to come are given `tls()`. */
  publishTls(tls: TlsMaterial): void {
    for (const worker of this.#workers.values()) this.#send(worker, { kind: 'tls', tls });
  }

  /**
   * Whether every worker has the latest snapshot and nothing under way at this upstream (`pool\nid`), which takes
   * nothing new in it. Workers that are told to stop count: they still finish requests.
   */
  isDrained(key: string): boolean {
    for (const { state, version, busy } of this.#workers.values()) {
      if (state === 'starting') continue;
      if (version !== this.#snapshot.version || busy.has(key)) return false;
    }
    return true;
  }

  /** Replaces every worker, one at a time, the new one serving before the old one is told to stop. */
  async roll(settings: Settings): Promise<void> {
    this.#settings = settings;
    const old = [...this.#workers.values()].filter(({ state }) => state !== 'stopping');
    for (const worker of old) {
      if (this.#stopping) return;
      const successor = this.#spawn();
      await this.#settlement(successor);
      if (successor.state !== 'serving') {
        this.#options.logger.error('a new worker does not listen; the old ones stay', {
          pid: successor.process.pid,
        });
        return;
      }
      this.#tellToStop(worker, this.#options.stop());
    }
  }

  /** Every worker finishes what is under way and ends; one that does not is killed. */
  async stop(times: StopTimes): Promise<void> {
    this.#stopping = true;
    this.#cancelWatch();
    for (const cancel of this.#cancelRespawns) cancel();
    for (const worker of this.#workers.values()) this.#tellToStop(worker, times);
    await Promise.all([...this.#workers.values()].map((worker) => this.#ended(worker)));
  }

  #spawn(): Worker {
    const { clock, spawn } = this.#options;
    const id = this.#nextId++;
    const process = spawn({
      onMessage: (raw) => this.#onMessage(id, raw),
      onExit: (how) => this.#onExit(id, how),
    });
    const worker: Worker = {
      id,
      process,
      startedAtMs: clock.nowMs(),
      startedWallMs: clock.wallMs(),
      state: 'starting',
      heardAtMs: clock.nowMs(),
      version: null,
      busy: new Set(),
      awaiting: false,
      settled: [],
    };
    this.#workers.set(id, worker);
    return worker;
  }

  /** Resolves when it listens, failed to, or ended. */
  #settlement(worker: Worker): Promise<void> {
    if (worker.state !== 'starting' || !this.#workers.has(worker.id)) return Promise.resolve();
    return new Promise((resolve) => worker.settled.push(resolve));
  }

  async #untilServing(workers: readonly Worker[]): Promise<void> {
    await Promise.race(
      workers.map(async (worker) => {
        await this.#settlement(worker);
        // One that failed is no reason to stop waiting for the others.
        if (worker.state !== 'serving') await new Promise(() => undefined);
      }),
    );
  }

  #settle(worker: Worker): void {
    for (const resolve of worker.settled.splice(0)) resolve();
  }

  #onMessage(id: number, raw: unknown): void {
    const worker = this.#workers.get(id);
    if (worker === undefined) return;
    const message = readWorkerMessage(raw);
    if (message === null) {
      this.#badMessages += 1;
      return;
    }
    worker.heardAtMs = this.#options.clock.nowMs();
    this.#apply(worker, message);
  }

  #apply(worker: Worker, message: FromWorker): void {
    const { listen, onStats, onLog, onAsk, onProgress, logger } = this.#options;
    switch (message.kind) {
      case 'ready': {
        const from = { snapshot: this.#snapshot, settings: this.#settings, tls: this.#options.tls() };
        worker.awaiting = true;
        this.#send(worker, { kind: 'start', listen, ...from });
        return;
      }
      case 'listening':
        if (worker.state === 'starting') worker.state = 'serving';
        this.#settle(worker);
        onProgress();
        return;
      case 'waiting':
        this.#options.onWaiting();
        return;
      case 'failed':
        this.#failure = { code: message.code, message: message.message, port: message.port };
        logger.warn('a gateway worker cannot listen', { ...this.#failure });
        this.#settle(worker);
        // Its successor tries again, after a pause.
        worker.process.kill('SIGKILL');
        return;
      case 'swapped':
        worker.awaiting = false;
        worker.version = message.version;
        worker.busy = new Set(message.busy);
        this.#offer(worker);
        onProgress();
        return;
      case 'stats':
        onStats(worker.id, message.stats);
        return;
      case 'ask':
      case 'call': {
        const asked =
          message.kind === 'ask' ? onAsk(message.path) : this.#options.onCall(message.path, message.body);
        void asked.then((answer) => this.#send(worker, { kind: 'page', id: message.id, answer }));
        return;
      }
      case 'log':
        onLog(message.batch.split('\n'));
        this.#send(worker, { kind: 'logged' });
    }
  }

  /** Sends the latest snapshot to a worker that does not have it, unless one is on its way. */
  #offer(worker: Worker): void {
    if (worker.awaiting || worker.version === null || worker.version === this.#snapshot.version) return;
    worker.awaiting = true;
    this.#send(worker, { kind: 'snapshot', snapshot: this.#snapshot });
  }

  #send(worker: Worker, message: ToWorker<Settings>): void {
    worker.process.send(message);
  }

  #tellToStop(worker: Worker, times: StopTimes): void {
    // One that is being replaced goes on as it was told, but not for longer than all others now.
    if (worker.state !== 'stopping') this.#send(worker, { kind: 'stop', times });
    worker.state = 'stopping';
    this.#options.clock.after(times.graceMs + STOP_SLACK_MS, () => {
      if (this.#workers.has(worker.id)) worker.process.kill('SIGKILL');
    });
  }

  async #ended(worker: Worker): Promise<void> {
    while (this.#workers.has(worker.id)) {
      await new Promise<void>((resolve) => worker.settled.push(resolve));
    }
  }

  #onExit(id: number, how: { readonly code: number | null; readonly signal: string | null }): void {
    const { clock, logger, onGone, onProgress, size } = this.#options;
    const worker = this.#workers.get(id);
    if (worker === undefined) return;
    const wasAsked = worker.state === 'stopping';
    this.#workers.delete(id);
    this.#settle(worker);
    onGone(id);
    onProgress();
    if (wasAsked || this.#stopping) return;
    this.#restarts += 1;
    const livedMs = Math.round(clock.nowMs() - worker.startedAtMs);
    logger.error('a gateway worker ended and is replaced', { pid: worker.process.pid, ...how, livedMs });
    this.#youngDeaths = livedMs < YOUNG_MS ? this.#youngDeaths + 1 : 0;
    // The first young death may be bad luck; a second one in a row is a pattern.
    const delayMs = this.#youngDeaths < 2 ? 0 : this.#backoffMs();
    const cancel = clock.after(delayMs, () => {
      this.#cancelRespawns.delete(cancel);
      const staying = [...this.#workers.values()].filter(({ state }) => state !== 'stopping').length;
      if (!this.#stopping && staying < size) this.#spawn();
    });
    this.#cancelRespawns.add(cancel);
  }

  #backoffMs(): number {
    const attempt = Math.min(this.#youngDeaths - 2, 16);
    return BACKOFF.baseMs + fullJitterMs(attempt, BACKOFF, this.#options.random);
  }

  /** Kills workers that have fallen silent. */
  #watch(): void {
    const { clock, logger } = this.#options;
    const beganMs = clock.nowMs();
    this.#cancelWatch = clock.after(WATCH_INTERVAL_MS, () => {
      // If it was this process that stood still, what the workers said in the meantime is yet to be read.
      const wasAway = clock.nowMs() - beganMs > 3 * WATCH_INTERVAL_MS;
      if (wasAway) for (const worker of this.#workers.values()) worker.heardAtMs = clock.nowMs();
      for (const { process, heardAtMs, state } of this.#workers.values()) {
        const silentMs = Math.round(clock.nowMs() - heardAtMs);
        if (silentMs < SILENCE_MS || state === 'stopping') continue;
        logger.error('a gateway worker does not answer and is killed', { pid: process.pid, silentMs });
        process.kill('SIGKILL');
      }
      this.#watch();
    });
  }
}
