/** Honest clients of a gateway that others attack: whether each of their requests succeeds, and how long it takes. */
import { Agent, request } from 'node:http';

export interface Experience {
  readonly requests: number;
  /** What did not end with 200, a line each. */
  readonly failures: readonly string[];
  readonly p99Ms: number;
  readonly slowestMs: number;
}

export interface BystanderOptions {
  readonly port: number;
  /** Its own address in 127.0.0.0/8, so that limits per address are not shared with attackers. */
  readonly localAddress: string;
  readonly path: string;
}

/** Pause of a client between two requests: honest clients do not saturate the machine. */
const THINKING_MS = 4;
const PATIENCE_MS = 10_000;

/** Two clients that keep their connections and one that opens one per request; until told to stop. */
export class Bystander {
  readonly #options: BystanderOptions;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #clients: Promise<void>[];
  #times: number[] = [];
  #failures: string[] = [];
  #stopping = false;

  constructor(options: BystanderOptions) {
    this.#options = options;
    this.#clients = [this.#agent, this.#agent, false as const].map((agent) => this.#client(agent));
  }

  /** Requests that were answered since the last `take`. */
  get answered(): number {
    return this.#times.length;
  }

  /** Forgets what was before: the figures of the next `take` begin now. */
  take(): Experience {
    const times = this.#times.toSorted((a, b) => a - b);
    const failures = this.#failures;
    this.#times = [];
    this.#failures = [];
    return {
      requests: times.length + failures.length,
      failures,
      p99Ms: times[Math.floor(times.length * 0.99)] ?? Number.NaN,
      slowestMs: times.at(-1) ?? Number.NaN,
    };
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#clients);
    this.#agent.destroy();
  }

  async #client(agent: Agent | false): Promise<void> {
    while (!this.#stopping) {
      const startedMs = performance.now();
      const outcome = await this.#ask(agent);
      if (outcome === 200) this.#times.push(performance.now() - startedMs);
      else this.#failures.push(String(outcome));
      await new Promise((resolve) => setTimeout(resolve, THINKING_MS));
    }
  }

  #ask(agent: Agent | false): Promise<number | string> {
    const { port, localAddress, path } = this.#options;
    return new Promise((resolve) => {
      const call = request({ host: '127.0.0.1', port, localAddress, path, agent, timeout: PATIENCE_MS });
      call.once('response', (answer) => {
        answer.resume();
        answer.once('end', () => resolve(answer.statusCode ?? 0));
        answer.once('error', (error) => resolve(error.message));
      });
      call.once('timeout', () => call.destroy(new Error(`no answer in ${PATIENCE_MS} ms`)));
      call.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      call.end();
    });
  }
}
