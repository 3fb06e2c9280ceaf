/**
 * A worker's end of the channel to its primary (primary/messages.ts has the conversation): builds the data path when
 * it is told to start, swaps snapshots, reports, renders pages with the primary's help, and ends when told to.
 *
 * When the channel breaks, the primary is dead. Its successor needs the port, so the worker stops accepting at once,
 * finishes the requests that are under way, and leaves: what was begun is not lost, and nobody is left behind.
 */
import { LISTENING_SOCKETS } from '../client/sharedReads.js';
import type { WorkerStats } from '../../domain/statistics/gatewayStats.js';
import type { GatewaySnapshot } from '../../domain/upstreams/pool.js';
import { knowSecrets } from '../../lib/secrets/ofProcess.js';
import type { Clock, PortOwners, TcpSockets } from '../../ports.js';
import { AccessLog } from '../accessLog/accessLog.js';
import type { AccessLogSettings } from '../accessLog/accessLog.js';
import type { OwnAnswer, Problem } from '../shared/answer.js';
import type { GatewayLimits } from '../shared/limits.js';
import type { CallPath, PrimaryPath } from '../pages/ownPaths.js';
import type { TlsMaterial } from '../tls/contexts.js';
import { WorkerPages } from '../pages/workerPages.js';
import type { WorkerCallsOptions } from '../pages/workerCalls.js';
import type { WorkerHealth } from '../pages/workerPages.js';
import type { FromWorker, ListenAddress, StopTimes, ToWorker } from '../primary/messages.js';
import { GatewayWorker } from './worker.js';

/** What a worker is built from, beside its address and its snapshot. Plain data: it crosses the channel. */
export interface WorkerSettings {
  readonly limits: Partial<GatewayLimits>;
  readonly trustedProxies: readonly string[];
  /** Whose connections begin with a PROXY header. */
  readonly proxyProtocolFrom: readonly string[];
  /** Whether TLS clients may speak HTTP/2. */
  readonly http2: boolean;
  /** Plain requests are sent to https on this port; null: they are served. */
  readonly tlsRedirectPort: number | null;
  /** HA_API_TOKEN; null: none. */
  readonly token: string | null;
  /** Values of secret settings, which are taken out of what is shown. */
  readonly secrets: readonly string[];
  /** Whether clients on this machine need it, too, to see the pages and why a request failed. */
  readonly tokenOnLoopback: boolean;
  /** null: requests are not logged. */
  readonly accessLog: AccessLogSettings | null;
  /** What it is called in Via. */
  readonly viaName: string;
  /** How it ends when its primary dies. */
  readonly stop: StopTimes;
  /** Over which time WebSockets are closed whose upstream leaves, ms. */
  readonly tunnelDrainMs: number;
}

export interface WorkerChannel {
  send(message: FromWorker): void;
  onMessage(listener: (message: ToWorker<WorkerSettings>) => void): void;
  onClosed(listener: () => void): void;
}

export interface WorkerProcessOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly channel: WorkerChannel;
  /** The user at the other end of a loopback connection; null: not known. */
  readonly peerUserId: WorkerCallsOptions['peerUserId'];
  /** The TCP sockets of this machine; null where the system does not tell. */
  readonly sockets: () => Promise<TcpSockets | null>;
  /** To whom the ports of this machine belong. */
  readonly portOwners: PortOwners;
  /** Ends this process. */
  readonly exit: (code: number) => void;
}

const STATS_INTERVAL_MS = 500;
/** While something drains: the supervisor waits for it to be done. */
const FINISHING_POLL_MS = 10;
const LISTEN_RETRY_MS = 5;

export class WorkerProcess {
  readonly #options: WorkerProcessOptions;
  readonly #questions = new Map<number, (answer: OwnAnswer | Problem) => void>();
  /** Calls that the primary carries out; it answers each, however late. */
  readonly #calls = new Map<number, (answer: OwnAnswer | Problem) => void>();
  #worker: GatewayWorker | null = null;
  #accessLog: AccessLog | null = null;
  #stop: StopTimes = { graceMs: 0, webSocketWindowMs: 0 };
  #pools: GatewaySnapshot['pools'] = [];
  #tls: TlsMaterial | null = null;
  #nextQuestion = 1;
  #busy = '';
  #cancelPoll: () => void = () => undefined;
  #ending = false;

  private constructor(options: WorkerProcessOptions) {
    this.#options = options;
  }

  /** Does what the primary says, until it ends this process. */
  static run(options: WorkerProcessOptions): void {
    const { channel } = options;
    const worker = new WorkerProcess(options);
    channel.onMessage((message) => worker.#onMessage(message));
    channel.onClosed(() => void worker.#end(worker.#stop));
    channel.send({ kind: 'ready' });
  }

  #onMessage(message: ToWorker<WorkerSettings>): void {
    switch (message.kind) {
      case 'start':
        void this.#start(message);
        return;
      case 'snapshot':
        this.#swap(message.snapshot);
        return;
      case 'tls':
        this.#tls = message.tls;
        this.#worker?.updateTls(message.tls);
        return;
      case 'process':
        this.#worker?.heardOfProcess(message.upstream, message.news);
        return;
      case 'page':
        this.#questions.get(message.id)?.(message.answer);
        this.#questions.delete(message.id);
        this.#calls.get(message.id)?.(message.answer);
        this.#calls.delete(message.id);
        return;
      case 'logged':
        this.#accessLog?.taken();
        return;
      case 'stop':
        void this.#end(message.times);
        return;
      case 'end':
        // Not by a signal: then the kernel would close connections, and half an answer could pass for a whole one.
        this.#worker?.close();
        this.#options.exit(0);
    }
  }

  async #start({ listen, settings, snapshot, tls }: Start): Promise<void> {
    const { clock, random, channel } = this.#options;
    const { accessLog, token, secrets, stop, ...forWorker } = settings;
    knowSecrets(secrets);
    this.#stop = stop;
    this.#tls = tls;
    const ownPages = new WorkerPages({
      token,
      tokenOnLoopback: settings.tokenOnLoopback,
      askPrimary: (path) => this.#ask(path),
      health: () => this.#health(),
      calls: {
        peerUserId: this.#options.peerUserId,
        ownUserId: process.getuid?.() ?? null,
        askPrimary: (path, body) => this.#call(path, body),
      },
      onRefused: (code) => this.#worker?.refusals.count(code),
      nowMs: () => clock.nowMs(),
    });
    const log = this.#openAccessLog(accessLog);
    this.#worker = new GatewayWorker({
      clock,
      random,
      ownPages,
      sockets: this.#options.sockets,
      portOwners: this.#options.portOwners,
      trustsLoopback: !settings.tokenOnLoopback,
      ...forWorker,
      // Without a log a request pays nothing for it.
      ...(log === null ? {} : { onRequestEnd: (record) => log.record(record) }),
    });
    const worker = this.#worker;
    this.#swap(snapshot);
    try {
      const port = await this.#listen(worker, listen);
      channel.send({ kind: 'listening', port });
      this.#report();
    } catch (error) {
      const { code = 'listen.failed', message, port } = error as NodeJS.ErrnoException & { port?: number };
      channel.send({ kind: 'failed', code, message, port: port ?? listen.port });
      worker.close();
    }
  }

  #openAccessLog(settings: AccessLogSettings | null): AccessLog | null {
    if (settings === null) return null;
    const { clock, random, channel } = this.#options;
    const send = (batch: string): void => channel.send({ kind: 'log', batch });
    this.#accessLog = new AccessLog({ ...settings, clock, random, send });
    return this.#accessLog;
  }

  /** On both ports. @returns the plain one. */
  async #listen(worker: GatewayWorker, listen: ListenAddress): Promise<number> {
    const { host, port, tlsPort, reusePort, patienceMs } = listen;
    const options = { host, backlog: BACKLOG, ...(reusePort ? { reusePort } : {}) };
    const deadlineMs = this.#options.clock.nowMs() + patienceMs;
    if (tlsPort !== null) {
      await this.#insist(deadlineMs, () => {
        // Not the one that `start` brought: a newer one may have come while the port was taken.
        if (this.#tls === null) throw new Error('there is a TLS port but no certificate');
        return worker.listenTls({ ...options, port: tlsPort }, this.#tls);
      });
    }
    const bound = await this.#insist(deadlineMs, () => worker.listen({ ...options, port }));
    const wanted = reusePort ? LISTENING_SOCKETS : 1;
    for (let sockets = 1; sockets < wanted; sockets += 1) {
      await this.#insist(deadlineMs, () => worker.listen({ ...options, port: bound }));
    }
    return bound;
  }

  /** A port that is taken is tried again while there is patience: its holder was asked to let go. */
  async #insist(deadlineMs: number, listen: () => Promise<number>): Promise<number> {
    const { clock, channel } = this.#options;
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await listen();
      } catch (error) {
        const isTaken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
        if (!isTaken || clock.nowMs() >= deadlineMs) throw error;
        if (attempt === 0) channel.send({ kind: 'waiting' });
        await new Promise<void>((resolve) => clock.after(LISTEN_RETRY_MS, resolve));
      }
    }
  }

  #swap(snapshot: GatewaySnapshot): void {
    this.#pools = snapshot.pools;
    this.#worker?.swap(snapshot);
    this.#busy = '';
    this.#tellProgress(true);
  }

  /** Which leaving upstreams are still busy here: after a swap, and whenever that changes, until none is. */
  #tellProgress(always: boolean): void {
    const { clock, channel } = this.#options;
    const worker = this.#worker;
    if (worker === null) return;
    this.#cancelPoll();
    const busy = worker.finishing();
    const key = busy.join('\n');
    if (always || key !== this.#busy) channel.send({ kind: 'swapped', version: worker.version, busy });
    this.#busy = key;
    if (busy.length > 0) this.#cancelPoll = clock.after(FINISHING_POLL_MS, () => this.#tellProgress(false));
  }

  #report(): void {
    const { clock, channel } = this.#options;
    if (this.#worker === null) return;
    channel.send({ kind: 'stats', stats: this.#statsOf(this.#worker) });
    clock.after(STATS_INTERVAL_MS, () => this.#report());
  }

  #statsOf(worker: GatewayWorker): WorkerStats {
    const accessLogDropped = this.#accessLog?.dropped ?? 0;
    return { ...worker.stats(), accessLogDropped, seen: worker.seen.take() };
  }

  #ask(path: PrimaryPath): Promise<OwnAnswer | Problem> {
    const id = this.#nextQuestion++;
    // WorkerPages has at most one question a page under way, so what is never answered stays bounded.
    for (const old of this.#questions.keys()) if (old < id - MOST_QUESTIONS) this.#questions.delete(old);
    return new Promise((resolve) => {
      this.#questions.set(id, resolve);
      this.#options.channel.send({ kind: 'ask', id, path });
    });
  }

  #call(path: CallPath, body: string | null): Promise<OwnAnswer | Problem> {
    const id = this.#nextQuestion++;
    return new Promise((resolve) => {
      this.#calls.set(id, resolve);
      this.#options.channel.send({ kind: 'call', id, path, body });
    });
  }

  #health(): WorkerHealth {
    const isEmpty = ({ upstreams }: { upstreams: readonly { state: string }[] }): boolean =>
      upstreams.every(({ state }) => state !== 'up');
    return {
      draining: this.#ending,
      pools: this.#pools.length,
      emptyPools: this.#pools.filter(isEmpty).length,
    };
  }

  async #end({ graceMs, webSocketWindowMs }: StopTimes): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    const worker = this.#worker;
    if (worker !== null) {
      await worker.drain({ timeoutMs: graceMs, windowMs: webSocketWindowMs });
      await this.#accessLog?.close();
      this.#options.channel.send({ kind: 'stats', stats: this.#statsOf(worker) });
    }
    this.#options.exit(0);
  }
}

type Start = Extract<ToWorker<WorkerSettings>, { kind: 'start' }>;

/** Connections that the kernel keeps for us while we are busy: a burst must not be refused. */
const BACKLOG = 4_096;
const MOST_QUESTIONS = 64;
