/**
 * The workers: as many as asked for, replaced when they end, given every snapshot.
 *
 *   starting ──listening──▶ serving ──told to stop──▶ stopping ──exit──▶ gone
 *      └────────┴─── exit, or silence ──▶ gone, replaced at once; after a pause that doubles when it died young
 *
 * A worker that hangs is as bad as one that died, only later: its share of connections goes nowhere. So one that
 * reports nothing for `SILENCE_MS` (`START_SILENCE_MS` until it listens) is killed, and replaced like any other. The
 * others never notice either.
 *
 * Snapshots: at most one per worker is without its answer; while it is, only the latest is kept for it. So a slow
 * worker has a bounded backlog, and "every worker has it" is known, not assumed. That is what `isDrained` stands on.
 */
import type { GatewaySnapshot } from '../../domain/upstreams/pool.js';
import { fullJitterMs } from '../../lib/backoff.js';
import type { ProcessNews } from '../../ports.js';
import type { WorkerFact } from '../pages/facts.js';
import type { TlsMaterial } from '../tls/contexts.js';
import type { FleetOptions, WorkerProcess } from './fleetOptions.js';
import type { StartOutcome } from './listenProblem.js';
import { readWorkerMessage } from './messages.js';
import type { FromWorker, StopTimes, ToWorker } from './messages.js';

interface Worker {
  readonly id: number;
  readonly process: WorkerProcess;
  readonly startedAtMs: number;
  readonly startedWallMs: number;
  state: WorkerFact['state'];
  heardAtMs: number;
  /** Version that it confirmed. */
  version: number | null;
  /** Which settings it was started with; null: it has not asked for them yet, and gets the latest. */
  settingsVersion: number | null;
  busy: ReadonlySet<string>;
  /** A snapshot is on its way to it. */
  awaiting: boolean;
  /** Called when it listens, failed or ended. */
  settled: (() => void)[];
}

/** Twenty missed reports. */
export const SILENCE_MS = 10_000;
/** For one that has yet to load its code: on a starved machine that takes many times the usual second. */
export const START_SILENCE_MS = 60_000;
const WATCH_INTERVAL_MS = 1_000;
/** Who lives shorter than this died young. */
const YOUNG_MS = 5_000;
const BACKOFF = { baseMs: 100, capMs: 10_000 };
/** On top of the grace, before a worker that was told to stop is killed. */
const STOP_SLACK_MS = 1_000;
/** How long a worker may take that is to end at once. */
const AT_ONCE_MS = 500;

export class Fleet<Settings> {
  readonly #options: FleetOptions<Settings>;
  readonly #workers = new Map<number, Worker>();
  #settings: Settings;
  #settingsVersion = 1;
  /** Ends when no roll is under way or waits. Never rejects. */
  #rolled: Promise<void> = Promise.resolve();
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

  /** Tells every worker what has become of the process at this address (host:port). */
  tellOfProcess(upstream: string, news: ProcessNews): void {
    for (const worker of this.#workers.values()) {
      if (worker.state !== 'starting') this.#send(worker, { kind: 'process', upstream, news });
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

  /**
   * Replaces every worker, one at a time, the new one serving before an old one is told to stop. One roll at a time: one
   * that is asked for meanwhile waits, and the roll under way goes on with its settings, because they are the latest.
   */
  roll(settings: Settings): Promise<void> {
    this.#settings = settings;
    this.#settingsVersion += 1;
    const rolled = this.#rolled.then(() => this.#replaceOutdated());
    this.#rolled = rolled.catch(() => undefined);
    return rolled;
  }

  async #replaceOutdated(): Promise<void> {
    while (!this.#stopping && this.#outdated().length > 0) {
      const successor = this.#spawn();
      await this.#settlement(successor);
      if (this.#stopping) return;
      if (successor.state !== 'serving') {
        this.#options.logger.error('a new worker does not listen; the old ones stay', {
          pid: successor.process.pid,
        });
        return;
      }
      // One that died meanwhile has left its place to the successor.
      const [oldest] = this.#outdated();
      if (oldest !== undefined && this.#staying().length > this.#options.size)
        this.#tellToStop(oldest, this.#options.stop());
    }
  }

  /** Those that work by former settings, the oldest settings first. */
  #outdated(): readonly Worker[] {
    const age = ({ settingsVersion }: Worker): number =>
      this.#settingsVersion - (settingsVersion ?? Infinity);
    return this.#staying()
      .filter((worker) => age(worker) > 0)
      .sort((a, b) => age(b) - age(a));
  }

  #staying(): readonly Worker[] {
    return [...this.#workers.values()].filter(({ state }) => state !== 'stopping');
  }

  /** Every worker finishes what is under way and ends; one that does not is killed. @param times null: it ends at once. */
  async stop(times: StopTimes | null): Promise<void> {
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
      settingsVersion: null,
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
        worker.settingsVersion = this.#settingsVersion;
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

  #tellToStop(worker: Worker, times: StopTimes | null): void {
    if (times === null) this.#send(worker, { kind: 'end' });
    // One that is being replaced goes on as it was told, but not for longer than all others now.
    else if (worker.state !== 'stopping') this.#send(worker, { kind: 'stop', times });
    worker.state = 'stopping';
    this.#options.clock.after(times === null ? AT_ONCE_MS : times.graceMs + STOP_SLACK_MS, () => {
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
      if (!this.#stopping && this.#staying().length < size) this.#spawn();
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
        const allowedMs = state === 'starting' ? START_SILENCE_MS : SILENCE_MS;
        if (silentMs < allowedMs || state === 'stopping') continue;
        logger.error('a gateway worker does not answer and is killed', { pid: process.pid, silentMs });
        process.kill('SIGKILL');
      }
      this.#watch();
    });
  }
}
