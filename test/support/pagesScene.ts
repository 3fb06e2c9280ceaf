/**
 * A gateway as its pages see it, without a gateway: two pools, four upstreams, two workers whose counters grow by a
 * known traffic, on a clock that the test turns. Everything that is shown comes out of the real monitor and ledger.
 */
import type { UpstreamStats, WorkerStats } from '../../backend/src/domain/statistics/gatewayStats.js';
import { createHistogram, record } from '../../backend/src/domain/statistics/histogram.js';
import type { MutableHistogram } from '../../backend/src/domain/statistics/histogram.js';
import type {
  GatewaySnapshot,
  PoolSnapshot,
  UpstreamSnapshot,
} from '../../backend/src/domain/upstreams/pool.js';
import type { GatewayFacts, UpstreamFact } from '../../backend/src/gateway/pages/facts.js';
import { GatewayMonitor } from '../../backend/src/gateway/pages/monitor.js';
import type { Logger, StateStore } from '../../backend/src/ports.js';

export const SCENE_START_MS = Date.UTC(2026, 4, 4, 9, 0, 0);

interface Traffic {
  readonly pool: string;
  readonly id: string;
  perSecond: number;
  latencyMs: number;
  /** Share of 5xx. */
  errors: number;
}

interface Counted {
  answers: [number, number, number, number, number];
  failures: number;
  retries: number;
  ejections: number;
  latency: MutableHistogram;
}

export class MemoryStore implements StateStore {
  saved: unknown = null;
  async load(): Promise<{ state: unknown }> {
    return { state: this.saved };
  }
  keepCopy(): Promise<string> {
    return Promise.resolve('memory');
  }

  async setAside(): Promise<string> {
    return 'nowhere';
  }
  async save(state: unknown): Promise<void> {
    this.saved = structuredClone(state);
  }
}

export class PagesScene {
  facts: GatewayFacts;
  readonly traffic: Traffic[];
  readonly store: MemoryStore;
  readonly warnings: string[] = [];
  readonly monitor: GatewayMonitor;
  elapsedMs = 0;
  /** Kept out by its traffic, by worker and upstream. */
  readonly ejected = new Set<string>();
  readonly #counted = new Map<string, Counted>();

  constructor(store = new MemoryStore()) {
    this.store = store;
    this.facts = sceneFacts();
    this.traffic = [
      { pool: 'shop-backend', id: '127.0.0.1:13004', perSecond: 120, latencyMs: 4, errors: 0 },
      { pool: 'shop-backend', id: '127.0.0.1:13005', perSecond: 118, latencyMs: 5, errors: 0 },
      { pool: 'shop-backend', id: '127.0.0.1:13006', perSecond: 61, latencyMs: 18, errors: 0.002 },
      { pool: 'shop-frontend', id: '127.0.0.1:13100', perSecond: 40, latencyMs: 2, errors: 0 },
    ];
    const logger: Logger = {
      debug: () => undefined,
      info: () => undefined,
      warn: (message) => void this.warnings.push(message),
      error: (message) => void this.warnings.push(message),
    };
    this.monitor = new GatewayMonitor({
      clock: {
        nowMs: () => this.elapsedMs,
        wallMs: () => SCENE_START_MS + this.elapsedMs,
        after: () => () => undefined,
      },
      facts: () => this.facts,
      store,
      logger,
    });
  }

  /** Lets time pass, second by second, with its traffic, reports and looks. */
  pass(seconds: number): void {
    for (let second = 0; second < seconds; second += 1) {
      this.elapsedMs += 1_000;
      for (const worker of this.facts.workers) this.monitor.report(worker.id, this.#work(worker.id));
      this.monitor.look();
    }
  }

  /** Changes one upstream in the snapshot. */
  setState(id: string, state: UpstreamSnapshot['state'], detail = ''): void {
    const { snapshot } = this.facts;
    const pools = snapshot.pools.map((pool) => ({
      ...pool,
      upstreams: pool.upstreams.map((each) => (each.id === id ? { ...each, state } : each)),
    }));
    const fact = this.facts.upstreams.get(id);
    const atMs = SCENE_START_MS + this.elapsedMs;
    const lastCheck = { atMs, ok: state !== 'down', latencyMs: 2.1, detail };
    const upstreams = new Map(this.facts.upstreams);
    if (fact !== undefined) upstreams.set(id, { ...fact, lastCheck });
    this.facts = {
      ...this.facts,
      snapshot: { ...snapshot, version: snapshot.version + 1, pools },
      upstreams,
    };
  }

  trafficOf(id: string): Traffic {
    const found = this.traffic.find((each) => each.id === id);
    if (found === undefined) throw new Error(`there is no traffic for ${id}`);
    return found;
  }

  /** One second of one worker's work, and its report. */
  #work(workerId: number): WorkerStats {
    const rows = this.traffic.map((traffic): UpstreamStats => {
      const { pool, id } = traffic;
      const counted = this.#account(`${workerId} ${id}`);
      this.#serve(traffic, counted);
      const ejectedForMs = this.ejected.has(`${workerId} ${id}`) ? 12_000 : 0;
      const inFlight = Math.round((traffic.perSecond * traffic.latencyMs) / 500);
      return {
        pool,
        id,
        counters: { ...structuredClone(counted), connectionsOpened: 12 },
        inFlight,
        connections: inFlight + 3,
        ejectedForMs,
      };
    });
    const answers = rows.reduce<[number, number, number, number, number]>(
      (sum, { counters }) => {
        for (const [index, count] of counters.answers.entries()) sum[index]! += count;
        return sum;
      },
      [0, 0, 0, 0, 0],
    );
    return {
      upstreams: rows,
      clients: { connections: 84, upgraded: 6, accepted: 900 + this.elapsedMs / 1_000, answers },
      refusals: { 'head.malformed': 3, 'limit.connections-per-client': 1 },
      accessLogDropped: 0,
      seen: [],
    };
  }

  #serve({ perSecond, latencyMs, errors }: Traffic, counted: Counted): void {
    const share = perSecond / this.facts.workers.length;
    // A wave, so that a chart has something to show; whole requests, so that counts are exact.
    const wave = 1 + 0.25 * Math.sin(this.elapsedMs / 9_000);
    const requests = Math.round(share * wave);
    const bad = Math.round(requests * errors);
    counted.answers[1] += requests - bad;
    counted.answers[4] += bad;
    for (let i = 0; i < requests; i += 1) record(counted.latency, latencyMs * (0.6 + (i % 20) / 20));
  }

  #account(key: string): Counted {
    const known = this.#counted.get(key);
    if (known !== undefined) return known;
    const fresh: Counted = {
      answers: [0, 0, 0, 0, 0],
      failures: 0,
      retries: 0,
      ejections: 0,
      latency: createHistogram(),
    };
    this.#counted.set(key, fresh);
    return fresh;
  }
}

function sceneFacts(): GatewayFacts {
  const fact = (): UpstreamFact => ({
    source: 'supervisor',
    kept: false,
    fault: null,
    lastCheck: { atMs: SCENE_START_MS - 4_000, ok: true, latencyMs: 1.7, detail: '' },
  });
  const snapshot: GatewaySnapshot = {
    version: 7,
    routes: [
      { host: null, pathPrefix: '/', pool: 'shop-backend' },
      { host: 'www.example.org', pathPrefix: '/ui', pool: 'shop-frontend' },
    ],
    pools: [
      pool('shop-backend', ['127.0.0.1:13004', '127.0.0.1:13005', '127.0.0.1:13006']),
      pool('shop-frontend', ['127.0.0.1:13100']),
    ],
  };
  const ids = snapshot.pools.flatMap(({ upstreams }) => upstreams.map(({ id }) => id));
  return {
    version: '1.2.3',
    startedAtMs: SCENE_START_MS - 3_600_000,
    snapshot,
    workers: [101, 102].map((pid, index) => ({
      id: index + 1,
      pid,
      state: 'serving',
      startedAtMs: SCENE_START_MS - 3_600_000,
      snapshotVersion: 7,
    })),
    workerRestarts: 0,
    upstreams: new Map(ids.map((id) => [id, fact()])),
    sources: ['shop-backend', 'shop-frontend'].map((pool) => ({
      name: 'supervisor',
      pool,
      state: 'live' as const,
      detail: '3 upstreams',
    })),
    problems: [],
    accessLogDropped: 0,
    certificates: [
      {
        name: 'shop.pem',
        names: ['shop.example.org', 'www.example.org'],
        endsAtMs: SCENE_START_MS + 80 * 24 * 3_600_000,
      },
    ],
  };
}

function pool(name: string, ids: readonly string[]): PoolSnapshot {
  return {
    name,
    algorithm: 'least-connections',
    hashOn: 'ip',
    slowStartMs: 10_000,
    sticky: { cookieName: 'JSESSIONID', lifetimeMs: 1_800_000, keys: ['a secret key that nobody may see'] },
    retryBudget: { share: 0.2, min: 3 },
    retryUnsafe: false,
    ejection: { consecutiveFailures: 5, baseMs: 1_000, maxMs: 60_000, minHealthyShare: 0.5 },
    upstreams: ids.map((id) => ({
      id,
      host: id.slice(0, id.lastIndexOf(':')),
      port: Number(id.slice(id.lastIndexOf(':') + 1)),
      weight: 1,
      state: 'up',
      upSinceMs: SCENE_START_MS - 3_500_000,
    })),
  };
}
