/**
 * Instances of one service without PM2, as long as this process lives: what `npm run cluster` runs in a terminal.
 *
 *   start ──every instance listens, or has ended──▶ running ──stop()──▶ stopping ──the last has ended──▶ (gone)
 *                                                     │ an instance ends by itself: another one, after a pause
 *
 * They are workers of node's cluster module, each listening on its own port: the module tells when one listens, and a
 * worker ends by itself when this process is gone, even by SIGKILL.
 */
import cluster, { type Worker } from 'node:cluster';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { OutputLines } from '../lib/secrets/outputLines.js';

export interface InstancePlan {
  readonly script: string;
  readonly cwd: string;
  readonly args: readonly string[];
  readonly nodeArgs: readonly string[];
  /** Of all; each has its PORT and its number beside. */
  readonly env: Readonly<Record<string, string>>;
  /** Holds an instance's number, from 0. */
  readonly instanceVar: string;
  /** One instance for each. */
  readonly ports: readonly number[];
  readonly startTimeoutMs: number;
  /** From SIGINT to SIGKILL. */
  readonly killTimeoutMs: number;
}

export interface InstanceListener {
  /** One line of what an instance prints. */
  printed(port: number, line: string): void;
  /** An instance serves again after it had ended. */
  serves(port: number, pid: number): void;
  /** An instance ended without being asked to. @param pauseMs until another one is started. */
  ended(port: number, how: string, pauseMs: number): void;
}

export interface StartOutcome {
  readonly serving: readonly { readonly port: number; readonly pid: number }[];
  /** Why the others do not serve, a sentence each. */
  readonly problems: readonly string[];
}

const RESTART_BASE_MS = 1_000;
const RESTART_CAP_MS = 30_000;
/** One that served for so long has recovered: its next restart comes quickly again. */
const RECOVERED_MS = 60_000;

interface Instance {
  /** From 0. */
  readonly number: number;
  readonly port: number;
  worker: Worker | null;
  listening: boolean;
  /** Ends in a row without RECOVERED_MS of service between them. */
  failures: number;
  cancelRestart: () => void;
}

export class InstanceGroup {
  readonly #plan: InstancePlan;
  readonly #listener: InstanceListener;
  readonly #instances: readonly Instance[];
  #phase: 'starting' | 'running' | 'stopping' = 'starting';

  constructor(plan: InstancePlan, listener: InstanceListener) {
    this.#plan = plan;
    this.#listener = listener;
    this.#instances = plan.ports.map((port, number) => ({
      number,
      port,
      worker: null,
      listening: false,
      failures: 0,
      cancelRestart: () => undefined,
    }));
  }

  /** Starts every instance; resolves when each of them listens on its port or will not. Call it once. */
  async start(): Promise<StartOutcome> {
    const { script, cwd, args, nodeArgs } = this.#plan;
    // With the other policy this process would accept the connections of all.
    cluster.schedulingPolicy = cluster.SCHED_NONE;
    cluster.setupPrimary({ exec: script, args: [...args], execArgv: [...nodeArgs], cwd, silent: true });
    const problems = await Promise.all(this.#instances.map((instance) => this.#first(instance)));
    const serving = this.#instances.flatMap(({ port, listening, worker }) =>
      listening && worker?.process.pid !== undefined ? [{ port, pid: worker.process.pid }] : [],
    );
    if (this.#phase === 'starting' && serving.length > 0) this.#run();
    return { serving, problems: problems.filter((problem) => problem !== null) };
  }

  /** Asks every instance to end, kills those that have not within the time; resolves when all are gone. */
  async stop(): Promise<void> {
    this.#phase = 'stopping';
    const kill = setTimeout(() => this.#signal('SIGKILL'), this.#plan.killTimeoutMs);
    const gone = this.#instances.map(({ worker, cancelRestart }) => {
      cancelRestart();
      return new Promise<void>((resolve) => {
        if (worker === null || worker.isDead()) resolve();
        else worker.once('exit', () => resolve());
      });
    });
    this.#signal('SIGINT');
    await Promise.all(gone);
    clearTimeout(kill);
  }

  /** At once. */
  kill(): void {
    this.#phase = 'stopping';
    for (const { cancelRestart } of this.#instances) cancelRestart();
    this.#signal('SIGKILL');
  }

  /** From now on an instance that ends is started again; so is one that has ended already. */
  #run(): void {
    this.#phase = 'running';
    for (const instance of this.#instances) if (instance.worker === null) this.#restart(instance);
  }

  #signal(signal: NodeJS.Signals): void {
    for (const { worker } of this.#instances) worker?.process.kill(signal);
  }

  /** The first start of an instance. @returns why it does not serve, or null. */
  #first(instance: Instance): Promise<string | null> {
    const { port } = instance;
    return new Promise((resolve) => {
      const worker = this.#fork(instance);
      const seconds = this.#plan.startTimeoutMs / 1_000;
      const late = setTimeout(
        () => resolve(`The instance for port ${port} has not listened on it within ${seconds} s.`),
        this.#plan.startTimeoutMs,
      );
      const settle = (problem: string | null): void => {
        clearTimeout(late);
        resolve(problem);
      };
      worker.on('listening', (address) => {
        if (address.port === port) settle(null);
        else this.#listener.printed(port, `listens on ${address.port}; PORT in its environment is ${port}`);
      });
      worker.once('exit', (code, signal) =>
        settle(`The instance for port ${port} ${howItEnded(code, signal)}.`),
      );
    });
  }

  #fork(instance: Instance): Worker {
    const { env, instanceVar } = this.#plan;
    const { port, number } = instance;
    const worker = cluster.fork({ ...env, PORT: port, [instanceVar]: number });
    instance.worker = worker;
    instance.listening = false;
    let servesSinceMs = Infinity;
    this.#follow(port, worker.process.stdout);
    this.#follow(port, worker.process.stderr);
    worker.on('listening', (address) => {
      if (address.port !== port) return;
      instance.listening = true;
      servesSinceMs = performance.now();
      if (this.#phase === 'running') this.#listener.serves(port, worker.process.pid ?? 0);
    });
    worker.once('exit', (code, signal) => {
      instance.worker = null;
      instance.listening = false;
      if (this.#phase !== 'running') return;
      if (performance.now() - servesSinceMs >= RECOVERED_MS) instance.failures = 0;
      this.#listener.ended(port, howItEnded(code, signal), this.#restart(instance));
    });
    return worker;
  }

  /** @returns after which pause, ms. */
  #restart(instance: Instance): number {
    const pauseMs = Math.min(RESTART_CAP_MS, RESTART_BASE_MS * 2 ** instance.failures);
    instance.failures += 1;
    const timer = setTimeout(() => this.#fork(instance), pauseMs);
    instance.cancelRestart = () => clearTimeout(timer);
    return pauseMs;
  }

  #follow(port: number, output: Readable | null): void {
    if (output === null) return;
    const lines = new OutputLines();
    const waiting: string[] = [];
    // All lines of one piece at once: what stands in several of them is looked at in one go.
    const print = (): void => {
      for (const line of lines.next(waiting.splice(0))) this.#listener.printed(port, line);
    };
    createInterface({ input: output }).on('line', (line) => {
      if (waiting.push(line) === 1) queueMicrotask(print);
    });
  }
}

function howItEnded(code: number | null, signal: string | null): string {
  return signal === null ? `ended with exit code ${code ?? 'unknown'}` : `was ended by ${signal}`;
}
