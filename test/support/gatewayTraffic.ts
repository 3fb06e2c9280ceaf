/** Clients of a gateway: many requests at a time until told to stop, and every one that was not answered well. */
import { Agent, request } from 'node:http';
import { waitFor } from './waitFor.js';

export interface GatewayTrafficOptions {
  readonly port: number;
  /** Asked in turn. Default GET /. */
  readonly requests?: readonly { readonly method: string; readonly path: string; readonly body?: string }[];
  /** At a time. Default 8. */
  readonly concurrency?: number;
  /** Keep connections open between requests. Default false: a connection each, which meets every new worker. */
  readonly keepAlive?: boolean;
}

export interface Loss {
  readonly atMs: number;
  readonly what: string;
  /** ECONNREFUSED, HTTP 502, … */
  readonly problem: string;
}

export class GatewayTraffic {
  readonly lost: Loss[] = [];
  /** `x-instance`-like distinction is the test's: bodies as they came, at most 1 000. */
  readonly answers: string[] = [];
  answered = 0;
  sent = 0;
  #stopping = false;
  readonly #agent: Agent;
  readonly #clients: Promise<void>[];

  private constructor({ port, requests, concurrency = 8, keepAlive = false }: GatewayTrafficOptions) {
    this.#agent = new Agent({ keepAlive, maxSockets: concurrency });
    const all = requests ?? [{ method: 'GET', path: '/' }];
    this.#clients = Array.from({ length: concurrency }, (_, i) => this.#client(port, all, i));
  }

  /** Begins, and resolves when the first request was answered. */
  static async start(options: GatewayTrafficOptions): Promise<GatewayTraffic> {
    const traffic = new GatewayTraffic(options);
    await waitFor(() => traffic.answered > 0, { what: 'the first answer' });
    return traffic;
  }

  /** Resolves when `count` more requests have been answered. */
  async more(count: number, deadlineMs = 30_000): Promise<void> {
    const goal = this.answered + count;
    await waitFor(() => this.answered >= goal, { what: `${count} more answers`, deadlineMs });
  }

  async stop(): Promise<this> {
    this.#stopping = true;
    await Promise.all(this.#clients);
    this.#agent.destroy();
    return this;
  }

  async #client(
    port: number,
    requests: NonNullable<GatewayTrafficOptions['requests']>,
    number: number,
  ): Promise<void> {
    for (let turn = number; !this.#stopping; turn += 1) {
      const { method, path, body } = requests[turn % requests.length]!;
      this.sent += 1;
      const problem = await this.#send(port, method, path, body);
      if (problem === null) {
        this.answered += 1;
        continue;
      }
      this.lost.push({ atMs: performance.now(), what: `${method} ${path}`, problem });
      // Whoever is refused comes back in a moment, not in no time.
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  /** null when it was answered with 2xx, whole. */
  #send(port: number, method: string, path: string, body: string | undefined): Promise<string | null> {
    return new Promise((resolve) => {
      const headers =
        body === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
      const call = request(
        { host: '127.0.0.1', port, method, path, headers, agent: this.#agent, timeout: 30_000 },
        (answer) => {
          const chunks: Buffer[] = [];
          answer.on('data', (chunk: Buffer) => chunks.push(chunk));
          answer.once('end', () => {
            const text = Buffer.concat(chunks).toString();
            if (this.answers.length < 1_000) this.answers.push(text);
            const { statusCode = 0 } = answer;
            resolve(
              statusCode >= 200 && statusCode < 300 ? null : `HTTP ${statusCode} ${text.slice(0, 200)}`,
            );
          });
          answer.once('error', (error) => resolve(`answer: ${error.message}`));
        },
      );
      call.once('timeout', () => call.destroy(new Error('no answer in 30 s')));
      call.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      call.end(body);
    });
  }
}
