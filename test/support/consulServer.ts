/**
 * Consul's HTTP API as it is documented, as far as GET /v1/health/service/<name> goes: blocking queries on an index that
 * grows with every change of the catalogue, `wait`, `passing`, `tag`, `dc`, `stale`, tokens, the X-Consul-… headers, and
 * what happens on servers that are restored, leaderless or broken.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

export interface CatalogueEntry {
  readonly id: string;
  readonly node?: string;
  /** Empty: the node's. */
  readonly address: string;
  readonly port: number;
  readonly tags?: readonly string[];
  /** Of `Weights.Passing`; null: the answer has no weights. */
  readonly weight?: number | null;
  /** Consul itself knows text values only. */
  readonly meta?: unknown;
  readonly status?: 'passing' | 'warning' | 'critical';
}

export class ConsulServer {
  readonly queries: URL[] = [];
  token: string | null = null;
  /** Sent with every answer. */
  knownLeader = true;
  lastContactMs = 0;
  /** Every query is answered with this instead. */
  failure: { readonly status: number; readonly body: string } | null = null;
  /** What is sent instead of the real index. */
  indexSent: string | null = null;
  readonly #server: Server;
  readonly #services = new Map<string, readonly CatalogueEntry[]>();
  readonly #waiting = new Set<() => void>();
  #index = 10;

  private constructor(server: Server) {
    this.#server = server;
    server.on('request', (request, response) => this.#serve(request, response));
  }

  static async start(): Promise<ConsulServer> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new ConsulServer(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get index(): number {
    return this.#index;
  }

  /** Queries that hang. */
  get waiting(): number {
    return this.#waiting.size;
  }

  register(service: string, entries: readonly CatalogueEntry[]): void {
    this.#services.set(service, entries);
    this.touch();
  }

  /** Something changed, maybe something else: whoever waits is answered. */
  touch(): void {
    this.#index += 1;
    this.#wake();
  }

  /** As when a server is restored from a snapshot. */
  restore(index: number): void {
    this.#index = index;
    this.#wake();
  }

  /** Answers whoever waits with what is configured now, though nothing changed. */
  release(): void {
    this.#wake();
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', this.url);
    this.queries.push(url);
    const [, service] = /^\/v1\/health\/service\/([^/]+)$/.exec(url.pathname) ?? [];
    if (this.failure !== null) {
      response.writeHead(this.failure.status).end(this.failure.body);
    } else if (this.token !== null && request.headers['x-consul-token'] !== this.token) {
      response.writeHead(403).end('Permission denied');
    } else if (service === undefined) {
      response.writeHead(404).end();
    } else {
      this.#answerWhenNewer(decodeURIComponent(service), url, response);
    }
  }

  #answerWhenNewer(service: string, url: URL, response: ServerResponse): void {
    const index = Number(url.searchParams.get('index') ?? 0);
    const answer = (): void => {
      clearTimeout(timer);
      this.#waiting.delete(answer);
      this.#answer(service, url, response);
    };
    const [, amount = '300000', unit = 'ms'] =
      /^(\d+)(ms|s|m)$/.exec(url.searchParams.get('wait') ?? '') ?? [];
    const waitMs = Number(amount) * { ms: 1, s: 1_000, m: 60_000 }[unit as 'ms' | 's' | 'm'];
    const timer = setTimeout(answer, waitMs + (waitMs / 16) * Math.random());
    // An index that is not the current one, above or below, is answered at once: only "the same" waits.
    if (index !== this.#index) {
      answer();
      return;
    }
    this.#waiting.add(answer);
    response.once('close', () => {
      clearTimeout(timer);
      this.#waiting.delete(answer);
    });
  }

  #answer(service: string, url: URL, response: ServerResponse): void {
    if (this.failure !== null) {
      response.writeHead(this.failure.status).end(this.failure.body);
      return;
    }
    const tag = url.searchParams.get('tag');
    const entries = (this.#services.get(service) ?? [])
      .filter(({ status = 'passing' }) => !url.searchParams.has('passing') || status === 'passing')
      .filter(({ tags = [] }) => tag === null || tags.includes(tag));
    response.writeHead(200, {
      'content-type': 'application/json',
      'x-consul-index': this.indexSent ?? String(this.#index),
      'x-consul-knownleader': String(this.knownLeader),
      'x-consul-lastcontact': String(this.lastContactMs),
    });
    response.end(JSON.stringify(entries.map((entry) => healthEntry(service, entry))));
  }
}

function healthEntry(
  service: string,
  {
    id,
    node = '10.1.1.1',
    address,
    port,
    tags = [],
    weight = 1,
    meta = {},
    status = 'passing',
  }: CatalogueEntry,
): object {
  return {
    Node: { ID: `node-${node}`, Node: `node-${node}`, Address: node, Datacenter: 'dc1', Meta: {} },
    Service: {
      ID: id,
      Service: service,
      Tags: tags,
      Address: address,
      Port: port,
      ...(weight === null ? {} : { Weights: { Passing: weight, Warning: 1 } }),
      Meta: meta,
      EnableTagOverride: false,
    },
    Checks: [
      { Node: `node-${node}`, CheckID: `service:${id}`, Status: status, ServiceID: id, ServiceName: service },
    ],
  };
}
