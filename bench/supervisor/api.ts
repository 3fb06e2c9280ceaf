/** The supervisor's API, as far as the measurements need it. */
import { request } from 'node:http';

interface Status {
  readonly node: { readonly pid: number };
  readonly services: readonly {
    readonly name: string;
    readonly instances: readonly { readonly port: number | null; readonly serving: boolean }[];
  }[];
}

export interface Report {
  readonly done: boolean;
  readonly message: string;
}

const OPERATION_TIMEOUT_MS = 120_000;

export class Api {
  readonly #base: string;

  constructor(port: number) {
    this.#base = `http://127.0.0.1:${port}`;
  }

  status(): Promise<Status> {
    return this.#call('GET', '/api/ha/status');
  }

  async servingPorts(service: string): Promise<number[]> {
    const { services } = await this.status();
    const found = services.find(({ name }) => name === service);
    return (found?.instances ?? []).flatMap(({ port, serving }) => (serving && port !== null ? [port] : []));
  }

  scale(direction: 'up' | 'down', serviceName: string): Promise<Report> {
    return this.#operate(`/api/ha/scale-${direction}`, serviceName);
  }

  failover(serviceName: string): Promise<Report> {
    return this.#operate('/api/ha/failover', serviceName);
  }

  /** Ports that may get traffic, kept up to date by the event stream. `close` ends it. */
  async follow(service: string): Promise<{ ports: () => readonly number[]; close: () => void }> {
    const ports = new Set<number>();
    let buffer = '';
    const following = request(`${this.#base}/api/ha/stream?service=${service}`, (response) => {
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        const frames = (buffer + chunk).split('\n\n');
        buffer = frames.pop() ?? '';
        for (const frame of frames) apply(frame, ports);
      });
    });
    await new Promise((resolve, reject) => {
      following.once('response', resolve);
      following.on('error', reject);
      following.end();
    });
    for (const port of await this.servingPorts(service)) ports.add(port);
    return { ports: () => [...ports], close: () => following.destroy() };
  }

  /** Throws when the operation was refused, failed, or did not end in time. */
  async #operate(path: string, serviceName: string): Promise<Report> {
    const report = await this.#call<Report>('POST', path, { serviceName, timeoutMs: OPERATION_TIMEOUT_MS });
    if (!report.done) throw new Error(`${path} did not end: ${report.message}`);
    return report;
  }

  async #call<T>(method: string, path: string, body?: object): Promise<T> {
    const text = await exchange(`${this.#base}${path}`, method, body);
    const answer = JSON.parse(text) as { success: boolean; data: T; error?: { message: string } };
    if (!answer.success) throw new Error(`${method} ${path}: ${answer.error?.message ?? text}`);
    return answer.data;
  }
}

/** Resolves with the body. node:http, because what the client costs is in the times, and fetch costs a millisecond. */
function exchange(url: string, method: string, body: object | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const outgoing = request(url, { method, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve(text));
      response.on('error', reject);
    });
    outgoing.on('error', reject);
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function apply(frame: string, ports: Set<number>): void {
  const data = frame.split('\n').find((line) => line.startsWith('data: '));
  if (data === undefined) return;
  const event = JSON.parse(data.slice('data: '.length)) as {
    type: string;
    data: { instance?: { port: number | null } };
  };
  const port = event.data.instance?.port;
  if (port === undefined || port === null) return;
  if (event.type === 'instance.serving') ports.add(port);
  if (event.type === 'instance.withdrawn') ports.delete(port);
}
