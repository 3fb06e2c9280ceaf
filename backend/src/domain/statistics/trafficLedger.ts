/**
 * The gateway's books: what all workers together counted, per upstream, per pool and in all, and how fast it grows.
 *
 * Each worker reports its own counters, which begin at 0 with the worker. The ledger adds up what they grow by
 * (`trafficCounters.growth`), so that its totals only grow, whichever workers and upstreams come and go. What a worker
 * counted between its last report and its death is lost; at two reports a second that is half a second of counting.
 *
 * An upstream that has left the pool and that no worker mentions any more is forgotten; its pool keeps its part.
 *
 * `begin` sets a mark from which the figures for people count (`…Counted`); totals, and with them Prometheus's counters,
 * grow on.
 */
import type { AnswerClasses, UpstreamCounters, UpstreamStats, WorkerStats } from './gatewayStats.js';
import { SlidingDistinctCount } from './distinctCount.js';
import { SlidingWindow } from './slidingWindow.js';
import {
  NO_ANSWERS,
  NO_TRAFFIC,
  addAnswers,
  addCounters,
  growth,
  subtractAnswers,
  subtractCounters,
  sumOfAnswers,
} from './trafficCounters.js';

/** Percentiles and error rates look back this far. */
export const WINDOW_MS = 60_000;
const STEP_MS = 5_000;
/** Sessions are counted over this long. */
const SESSIONS_MS = 1_800_000;
const SESSIONS_STEP_MS = 60_000;

/** Codes of refusals kept at most; they come from a fixed set, so more would be a defect of a worker. */
const MOST_CODES = 100;

interface Account {
  total: UpstreamCounters;
  /** What the total was at the last `begin`. */
  begun: UpstreamCounters;
  readonly window: SlidingWindow<UpstreamCounters>;
}

/** What is now, of all workers together. */
export interface Gauges {
  readonly inFlight: number;
  readonly connections: number;
  /** Workers that keep it out because of its traffic. */
  readonly ejectedBy: number;
  /** Until the first of them takes it back, ms; 0 when none keeps it out. */
  readonly ejectedForMs: number;
}

/** Counters over a stretch of time. */
export interface Lately {
  readonly counters: UpstreamCounters;
  readonly elapsedMs: number;
}

export const NOTHING_LATELY: Lately = { counters: NO_TRAFFIC, elapsedMs: 0 };

interface WorkerEntry {
  readonly stats: WorkerStats;
  readonly rows: ReadonlyMap<string, UpstreamStats>;
}

export class TrafficLedger {
  readonly #workers = new Map<number, WorkerEntry>();
  readonly #upstreams = new Map<string, Account>();
  readonly #pools = new Map<string, Account>();
  readonly #refusals = new Map<string, number>();
  readonly #answersWindow = new SlidingWindow<number>(WINDOW_MS, STEP_MS);
  readonly #sessions = new SlidingDistinctCount(SESSIONS_MS, SESSIONS_STEP_MS);
  #answers: AnswerClasses = NO_ANSWERS;
  #answersBegun: AnswerClasses = NO_ANSWERS;
  #accepted = 0;
  #accessLogDropped = 0;

  /** @param workerId unique to one start of one worker. @param nowMs monotonic. */
  report(workerId: number, stats: WorkerStats, nowMs: number): void {
    const before = this.#workers.get(workerId);
    const rows = new Map(stats.upstreams.map((row) => [upstreamKey(row.pool, row.id), row]));
    const touched = new Set<Account>();
    for (const [key, row] of rows) {
      const grown = growth(row.counters, before?.rows.get(key)?.counters);
      for (const account of [
        accountOf(this.#upstreams, key, nowMs),
        accountOf(this.#pools, row.pool, nowMs),
      ]) {
        if (grown !== null) account.total = addCounters(account.total, grown);
        touched.add(account);
      }
    }
    // After the whole report, so that a pool and its upstreams are sampled at the same moment.
    for (const account of touched) account.window.add(nowMs, account.total);
    if (this.#answersWindow.size === 0) this.#answersWindow.add(nowMs, 0);
    this.#answers = addAnswers(
      this.#answers,
      subtractAnswers(stats.clients.answers, before?.stats.clients.answers ?? NO_ANSWERS),
    );
    this.#answersWindow.add(nowMs, sumOfAnswers(this.#answers));
    this.#sessions.add(nowMs, stats.seen);
    this.#accepted += Math.max(0, stats.clients.accepted - (before?.stats.clients.accepted ?? 0));
    this.#accessLogDropped += Math.max(0, stats.accessLogDropped - (before?.stats.accessLogDropped ?? 0));
    for (const [code, count] of Object.entries(stats.refusals)) {
      this.#refuse(code, count - (before?.stats.refusals[code] ?? 0));
    }
    this.#workers.set(workerId, { stats, rows });
  }

  /** Its counters stay in the totals, its gauges go. */
  workerGone(workerId: number): void {
    this.#workers.delete(workerId);
  }

  /** Forgets upstreams and pools that are neither in `current` nor mentioned by a worker. */
  retain(current: ReadonlySet<string>, pools: ReadonlySet<string>): void {
    const mentioned = (key: string): boolean => [...this.#workers.values()].some(({ rows }) => rows.has(key));
    for (const key of this.#upstreams.keys()) {
      if (!current.has(key) && !mentioned(key)) this.#upstreams.delete(key);
    }
    for (const name of this.#pools.keys()) {
      if (!pools.has(name)) this.#pools.delete(name);
    }
  }

  upstreamTotal(pool: string, id: string): UpstreamCounters {
    return this.#upstreams.get(upstreamKey(pool, id))?.total ?? NO_TRAFFIC;
  }

  poolTotal(pool: string): UpstreamCounters {
    return this.#pools.get(pool)?.total ?? NO_TRAFFIC;
  }

  /** Figures for people count from now on. */
  begin(): void {
    for (const account of [...this.#upstreams.values(), ...this.#pools.values()]) {
      account.begun = account.total;
    }
    this.#answersBegun = this.#answers;
  }

  /** What it counted since the last `begin`. */
  upstreamCounted(pool: string, id: string): UpstreamCounters {
    return countedOf(this.#upstreams.get(upstreamKey(pool, id)));
  }

  poolCounted(pool: string): UpstreamCounters {
    return countedOf(this.#pools.get(pool));
  }

  /** Answers to clients since the last `begin`. */
  get answersCounted(): AnswerClasses {
    return subtractAnswers(this.#answers, this.#answersBegun);
  }

  /** Answers to clients a second, over the last minute or what there is of it; null before there is any. */
  answersPerSecond(nowMs: number): number | null {
    const before = this.#answersWindow.before(nowMs, WINDOW_MS);
    if (before === null) return null;
    return (sumOfAnswers(this.#answers) - before.value) / (before.elapsedMs / 1_000);
  }

  /** Sessions seen in the last half an hour (distinctCount: within 1.6 % in 19 of 20 cases). */
  sessions(nowMs: number): number {
    return this.#sessions.estimate(nowMs);
  }

  /** What it counted over the last `backMs` (at most WINDOW_MS, at least one step of 5 s once that has passed). */
  upstreamLately(pool: string, id: string, nowMs: number, backMs = WINDOW_MS): Lately {
    return lately(this.#upstreams.get(upstreamKey(pool, id)), nowMs, backMs);
  }

  poolLately(pool: string, nowMs: number, backMs = WINDOW_MS): Lately {
    return lately(this.#pools.get(pool), nowMs, backMs);
  }

  gauges(pool: string, id: string): Gauges {
    const key = upstreamKey(pool, id);
    const rows = [...this.#workers.values()].flatMap(({ rows }) => rows.get(key) ?? []);
    const ejections = rows.map((row) => row.ejectedForMs).filter((forMs) => forMs > 0);
    return {
      inFlight: sum(rows, (row) => row.inFlight),
      connections: sum(rows, (row) => row.connections),
      ejectedBy: ejections.length,
      ejectedForMs: ejections.length === 0 ? 0 : Math.min(...ejections),
    };
  }

  /** The latest report of each worker that lives. */
  latest(workerId: number): WorkerStats | null {
    return this.#workers.get(workerId)?.stats ?? null;
  }

  get clients(): { connections: number; upgraded: number; accepted: number; answers: AnswerClasses } {
    const all = [...this.#workers.values()];
    return {
      connections: sum(all, ({ stats }) => stats.clients.connections),
      upgraded: sum(all, ({ stats }) => stats.clients.upgraded),
      accepted: this.#accepted,
      answers: this.#answers,
    };
  }

  /** Workers that have reported and live. */
  get reporting(): number {
    return this.#workers.size;
  }

  get refusals(): ReadonlyMap<string, number> {
    return this.#refusals;
  }

  get accessLogDropped(): number {
    return this.#accessLogDropped;
  }

  #refuse(code: string, more: number): void {
    if (!(more > 0)) return;
    const known = this.#refusals.has(code) || this.#refusals.size < MOST_CODES;
    const name = known ? code : 'other';
    this.#refusals.set(name, (this.#refusals.get(name) ?? 0) + more);
  }
}

/** A key for maps of upstreams: the same address may serve in several pools. */
export function upstreamKey(pool: string, id: string): string {
  return `${pool}\n${id}`;
}

function accountOf(accounts: Map<string, Account>, key: string, nowMs: number): Account {
  const known = accounts.get(key);
  if (known !== undefined) return known;
  const account: Account = {
    total: NO_TRAFFIC,
    begun: NO_TRAFFIC,
    window: new SlidingWindow(WINDOW_MS, STEP_MS),
  };
  account.window.add(nowMs, NO_TRAFFIC);
  accounts.set(key, account);
  return account;
}

function countedOf(account: Account | undefined): UpstreamCounters {
  return account === undefined ? NO_TRAFFIC : subtractCounters(account.total, account.begun);
}

function lately(account: Account | undefined, nowMs: number, backMs: number): Lately {
  const before = account?.window.before(nowMs, backMs) ?? null;
  if (account === undefined || before === null) return NOTHING_LATELY;
  return { counters: subtractCounters(account.total, before.value), elapsedMs: before.elapsedMs };
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}
