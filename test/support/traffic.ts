/**
 * Clients that send only to instances announced as serving, the way a gateway would: they follow the event stream, and
 * count what was lost. Each request uses a connection of its own, the hardest case for a stopping server.
 */
import { request } from 'node:http';
import { waitFor } from './waitFor.js';

export interface Losses {
  readonly sent: number;
  readonly answered: number;
  /** One line per lost request. */
  readonly lost: readonly string[];
}

interface Serving {
  readonly pmId: number;
  readonly port: number;
}

export interface TrafficOptions {
  readonly haPort: number;
  readonly service: string;
  /** Requests under way at a time. Default 8. */
  readonly concurrency?: number;
  readonly path?: string;
  /** How long a client waits for an answer. Default 20 000 ms. */
  readonly timeoutMs?: number;
}

export class Traffic {
  readonly #options: Required<TrafficOptions>;
  readonly #serving = new Map<number, Serving>();
  readonly #lost: string[] = [];
  readonly #abort = new AbortController();
  #clients: Promise<void>[] = [];
  #sent = 0;
  #answered = 0;
  readonly #stopping = new AbortController();

  private constructor(options: TrafficOptions) {
    this.#options = { concurrency: 8, path: '/debug/slow?ms=100', timeoutMs: 20_000, ...options };
  }

  /** Begins, and resolves when the first request was answered. */
  static async start(options: TrafficOptions): Promise<Traffic> {
    const traffic = new Traffic(options);
    await traffic.#follow();
    traffic.#clients = Array.from({ length: traffic.#options.concurrency }, (_, i) => traffic.#client(i));
    await waitFor(() => traffic.#answered > 0, { what: 'the first answer' });
    return traffic;
  }

  async stop(): Promise<Losses> {
    this.#stopping.abort();
    await Promise.all(this.#clients);
    this.#abort.abort();
    return { sent: this.#sent, answered: this.#answered, lost: this.#lost };
  }

  /** A killed instance loses what it was answering: no test counts that against the supervisor. */
  forgive(pattern: RegExp): void {
    for (let i = this.#lost.length - 1; i >= 0; i--)
      if (pattern.test(this.#lost[i]!)) this.#lost.splice(i, 1);
  }

  async #follow(): Promise<void> {
    const { haPort, service } = this.#options;
    const base = `http://127.0.0.1:${haPort}/api/ha`;
    const stream = await fetch(`${base}/stream`, { signal: this.#abort.signal });
    const status = (await (await fetch(`${base}/status`)).json()) as {
      data: { services: { name: string; instances: { pmId: number; port: number; serving: boolean }[] }[] };
    };
    for (const { pmId, port, serving } of status.data.services.find(({ name }) => name === service)!
      .instances) {
      if (serving) this.#serving.set(pmId, { pmId, port });
    }
    void this.#read(stream).catch(() => undefined);
  }

  async #read(stream: Response): Promise<void> {
    let buffer = '';
    const decoder = new TextDecoder();
    for await (const chunk of stream.body!) {
      buffer += decoder.decode(chunk as Uint8Array, { stream: true });
      for (let end = buffer.indexOf('\n\n'); end >= 0; end = buffer.indexOf('\n\n')) {
        this.#apply(buffer.slice(0, end));
        buffer = buffer.slice(end + 2);
      }
    }
  }

  #apply(frame: string): void {
    const data = /^data: (.*)$/m.exec(frame)?.[1];
    if (data === undefined || !/^event: instance\.(serving|withdrawn)$/m.test(frame)) return;
    const event = JSON.parse(data) as {
      type: string;
      service: string;
      data: { instance: { pmId: number; port: number } };
    };
    if (event.service !== this.#options.service) return;
    const { pmId, port } = event.data.instance;
    if (event.type === 'instance.serving') this.#serving.set(pmId, { pmId, port });
    else this.#serving.delete(pmId);
  }

  async #client(number: number): Promise<void> {
    for (let turn = number; !this.#stopping.signal.aborted; turn++) {
      const serving = [...this.#serving.values()];
      const target = serving[turn % serving.length];
      if (target === undefined) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        continue;
      }
      this.#sent += 1;
      const problem = await send(target.port, this.#options.path, this.#options.timeoutMs);
      if (problem === null) this.#answered += 1;
      else this.#lost.push(`pm ${target.pmId} port ${target.port}: ${problem}`);
    }
  }
}

/** One request on a connection of its own; null when it was answered with 200. */
function send(port: number, path: string, timeoutMs: number): Promise<string | null> {
  return new Promise((resolve) => {
    const call = request({ host: '127.0.0.1', port, path, agent: false, timeout: timeoutMs }, (answer) => {
      answer.resume();
      answer.once('end', () => resolve(answer.statusCode === 200 ? null : `HTTP ${answer.statusCode}`));
      answer.once('error', (error) => resolve(error.message));
    });
    call.once('timeout', () => call.destroy(new Error(`no answer in ${timeoutMs} ms`)));
    call.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    call.end();
  });
}
