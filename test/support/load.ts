/**
 * Requests to one port, as clients that don't care how the server fares: so many at a time (closed), or so many a second
 * whatever happens (open: what a queue grows from). Runs until it is stopped.
 */
import { Agent, get } from 'node:http';

export type LoadKind = { readonly closed: number } | { readonly perSecond: number };

const OPEN_TICK_MS = 10;

export class Load {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: Infinity });
  readonly #port: number;
  readonly #path: string;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #answered = 0;

  constructor(port: number, path: string, kind: LoadKind) {
    this.#port = port;
    this.#path = path;
    if ('closed' in kind) for (let i = 0; i < kind.closed; i++) void this.#oneAfterTheOther();
    else this.#open(kind.perSecond);
  }

  get answered(): number {
    return this.#answered;
  }

  /** Ends at once: what is under way is given up. */
  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#agent.destroy();
  }

  async #oneAfterTheOther(): Promise<void> {
    while (!this.#stopped) await this.#ask();
  }

  #open(perSecond: number): void {
    let dueMs = performance.now();
    this.#timer = setInterval(() => {
      for (; dueMs < performance.now(); dueMs += 1_000 / perSecond) void this.#ask();
    }, OPEN_TICK_MS);
  }

  #ask(): Promise<void> {
    return new Promise((resolve) => {
      const request = get(
        { host: '127.0.0.1', port: this.#port, path: this.#path, agent: this.#agent },
        (answer) => {
          answer.resume();
          answer.once('end', () => {
            this.#answered += 1;
            resolve();
          });
          answer.once('error', () => resolve());
        },
      );
      // A client that is refused asks again, though not at once.
      request.once('error', () => setTimeout(resolve, 20).unref());
    });
  }
}
