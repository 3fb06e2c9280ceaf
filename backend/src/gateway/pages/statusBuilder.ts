/** Puts together what `/lb` and `/lb/status` show, from what the primary knows and what the workers counted. */
import { addHistograms, meanMsOf, percentilesOf } from '../../domain/statistics/histogram.js';
import type { PoolSnapshot, UpstreamSnapshot } from '../../domain/upstreams/pool.js';
import { conditionOf, overall } from '../../domain/statistics/serviceCondition.js';
import type { Condition } from '../../domain/statistics/serviceCondition.js';
import type { Lately, TrafficLedger } from '../../domain/statistics/trafficLedger.js';
import {
  addCounters,
  errorsOf,
  NO_TRAFFIC,
  requestsOf,
  sumOfAnswers,
} from '../../domain/statistics/trafficCounters.js';
import { percentOf, rounded } from '../../lib/numbers.js';
import { isLeaving, shownState, type GatewayFacts, type UpstreamFact } from './facts.js';
import type { Change, GatewayStatus, PoolStatus, UpstreamStatus, WorkerStatus } from './statusSchema.js';

/** Rates look back this far: long enough to be calm, short enough to be now. */
const RATE_WINDOW_MS = 10_000;

export interface StatusInput {
  readonly facts: GatewayFacts;
  readonly ledger: TrafficLedger;
  readonly history: GatewayStatus['history'];
  /** Newest first. */
  readonly changes: readonly Change[];
  /** Wall clock, ms: since when figures for people count. */
  readonly countedSinceMs: number;
  /** Monotonic, ms. */
  readonly nowMs: number;
  readonly wallMs: number;
}

export function buildStatus(input: StatusInput): GatewayStatus {
  const { facts, ledger, history, changes, nowMs, wallMs } = input;
  const { clients } = ledger;
  const pools = facts.snapshot.pools.map((pool) => buildPool(pool, input));
  const minute = facts.snapshot.pools
    .map(({ name }) => ledger.poolLately(name, nowMs).counters)
    .reduce(addCounters, NO_TRAFFIC);
  const [informational, good, redirects, clientErrors, serverErrors] = clients.answers;
  return {
    at: isoOf(wallMs),
    version: facts.version,
    startedAt: isoOf(facts.startedAtMs),
    condition: overall(pools.map(({ condition }) => condition)),
    ...buildFigures(input),
    snapshotVersion: facts.snapshot.version,
    traffic: {
      requestsPerSecond: rounded(
        sum(pools, ({ requestsPerSecond }) => requestsPerSecond),
        2,
      ),
      latencyMs: latencyOf(minute),
      errorRate: errorRateOf(minute),
      inFlight: sum(pools, ({ inFlight }) => inFlight),
      clientConnections: clients.connections,
      upgradedConnections: clients.upgraded,
      answers: {
        '1xx': informational,
        '2xx': good,
        '3xx': redirects,
        '4xx': clientErrors,
        '5xx': serverErrors,
      },
    },
    history,
    pools,
    workers: facts.workers.map((worker) => buildWorker(worker, ledger)),
    workerRestarts: facts.workerRestarts,
    refusals: [...ledger.refusals]
      .map(([code, total]) => ({ code, total }))
      .sort((a, b) => b.total - a.total || (a.code < b.code ? -1 : 1)),
    accessLogDropped: ledger.accessLogDropped + facts.accessLogDropped,
    sources: facts.sources.map(({ name, pool, state, detail }) => ({ name, pool, state, detail })),
    problems: [...facts.problems],
    certificates: facts.certificates.map(({ name, names, endsAtMs }) => ({
      name,
      names: [...names],
      endsAt: isoOf(endsAtMs),
    })),
    changes: [...changes],
  };
}

/** What is asked for under the usual names. */
function buildFigures({ facts, ledger, countedSinceMs, nowMs }: StatusInput) {
  const answers = ledger.answersCounted;
  const total = sumOfAnswers(answers);
  const latency = facts.snapshot.pools
    .map(({ name }) => ledger.poolCounted(name).latency)
    .reduce(addHistograms, NO_TRAFFIC.latency);
  return {
    countedSince: isoOf(countedSinceMs),
    totalRequests: total,
    successRate: percentOf(total - answers[4], total),
    averageResponseTime: rounded(meanMsOf(latency), 2),
    requestsPerSecond: rounded(ledger.answersPerSecond(nowMs), 2),
    activeSessions: ledger.sessions(nowMs),
  };
}

/** How a pool fares; also what the public page is told. */
export function poolCondition(
  pool: PoolSnapshot,
  { upstreams }: GatewayFacts,
  ledger: TrafficLedger,
  nowMs: number,
): Condition {
  const states = pool.upstreams.map((upstream) =>
    stateOf(pool.name, upstream, upstreams.get(upstream.id), ledger),
  );
  return conditionOf({
    usable: states.filter((state) => state === 'up').length,
    missing: states.filter((state) => state === 'down' || state === 'ejected').length,
    recent: ledger.poolLately(pool.name, nowMs, RATE_WINDOW_MS).counters,
  });
}

/**
 * Ejected only when no worker would send traffic there: each judges by its own. One that its source has withdrawn drains,
 * though it is kept as the last of its pool: it is down only when its checks or its source say so.
 */
function stateOf(
  pool: string,
  upstream: UpstreamSnapshot,
  fact: UpstreamFact | undefined,
  ledger: TrafficLedger,
): UpstreamStatus['state'] {
  const state = shownState(upstream, fact);
  if (state !== 'up') return state;
  const { ejectedBy } = ledger.gauges(pool, upstream.id);
  return ejectedBy > 0 && ejectedBy >= ledger.reporting ? 'ejected' : 'up';
}

function fallbackText({ fallback }: PoolSnapshot): string | null {
  switch (fallback?.kind) {
    case undefined:
      return null;
    case 'page':
      return 'page';
    case 'pool':
      return `pool ${fallback.pool}`;
    case 'redirect':
      return `redirect to ${fallback.location}`;
  }
}

function buildPool(pool: PoolSnapshot, input: StatusInput): PoolStatus {
  const { facts, ledger, nowMs } = input;
  const moment = ledger.poolLately(pool.name, nowMs, RATE_WINDOW_MS);
  const minute = ledger.poolLately(pool.name, nowMs).counters;
  const upstreams = pool.upstreams.map((upstream) => buildUpstream(pool, upstream, moment, input));
  return {
    name: pool.name,
    condition: poolCondition(pool, facts, ledger, nowMs),
    algorithm: pool.algorithm,
    hashOn: pool.algorithm === 'consistent-hash' ? pool.hashOn : null,
    sticky: pool.sticky !== null,
    fallback: fallbackText(pool),
    routes: facts.snapshot.routes
      .filter((route) => route.pool === pool.name)
      .map(({ host, pathPrefix }) => `${host ?? '*'}${pathPrefix}`),
    requestsPerSecond: rateOf(moment),
    inFlight: sum(upstreams, ({ inFlight }) => inFlight),
    latencyMs: latencyOf(minute),
    errorRate: errorRateOf(minute),
    upstreams,
  };
}

function buildUpstream(
  pool: PoolSnapshot,
  upstream: UpstreamSnapshot,
  poolMoment: Lately,
  { facts, ledger, nowMs }: StatusInput,
): UpstreamStatus {
  const { id, weight } = upstream;
  const gauges = ledger.gauges(pool.name, id);
  const moment = ledger.upstreamLately(pool.name, id, nowMs, RATE_WINDOW_MS);
  const minute = ledger.upstreamLately(pool.name, id, nowMs).counters;
  const total = ledger.upstreamTotal(pool.name, id);
  const fact = facts.upstreams.get(id);
  const ofPool = requestsOf(poolMoment.counters);
  const counted = ledger.upstreamCounted(pool.name, id);
  const requests = requestsOf(counted);
  return {
    id,
    state: stateOf(pool.name, upstream, fact, ledger),
    detail: detailOf(upstream, gauges, ledger.reporting, fact),
    upSince: upstream.state === 'up' ? isoOf(upstream.upSinceMs) : null,
    weight,
    share: ofPool === 0 ? null : rounded(Math.min(1, requestsOf(moment.counters) / ofPool), 4),
    requestsPerSecond: rateOf(moment),
    totalRequests: requests,
    percentage: percentOf(
      requests,
      sum(pool.upstreams, (each) => requestsOf(ledger.upstreamCounted(pool.name, each.id))),
    ),
    successRate: percentOf(requests - errorsOf(counted), requests),
    averageResponseTime: rounded(meanMsOf(counted.latency), 2),
    inFlight: gauges.inFlight,
    connections: gauges.connections,
    latencyMs: latencyOf(minute),
    errorRate: errorRateOf(minute),
    totals: {
      requests: requestsOf(total),
      errors: errorsOf(total),
      failures: total.failures,
      retries: total.retries,
      ejections: total.ejections,
      connections: total.connectionsOpened,
    },
    source: fact?.source ?? null,
    lastCheck: fact?.lastCheck
      ? {
          at: isoOf(fact.lastCheck.atMs),
          ok: fact.lastCheck.ok,
          latencyMs: rounded(fact.lastCheck.latencyMs, 2),
          detail: fact.lastCheck.detail,
        }
      : null,
  };
}

function detailOf(
  { state }: UpstreamSnapshot,
  { ejectedBy, ejectedForMs }: { ejectedBy: number; ejectedForMs: number },
  workers: number,
  fact: UpstreamFact | undefined,
): string {
  const fault = fact?.fault ?? null;
  const checkDetail = fault ?? fact?.lastCheck?.detail ?? '';
  if (state === 'draining' && fault !== null) return `withdrawn by its source: ${fault}`;
  if (state === 'draining') return 'finishes what is in flight';
  if (state === 'down' && isLeaving(fact)) return 'withdrawn by its source; kept until another one serves';
  if (state === 'down') return checkDetail === '' ? 'failed its checks' : checkDetail;
  if (ejectedBy === 0) return '';
  const seconds = Math.max(1, Math.ceil(ejectedForMs / 1000));
  const by = ejectedBy >= workers ? '' : ` by ${ejectedBy} of ${workers} workers`;
  return `ejected${by} for failing traffic, back in ${seconds}\u00a0s`;
}

function buildWorker(worker: GatewayFacts['workers'][number], ledger: TrafficLedger): WorkerStatus {
  const latest = ledger.latest(worker.id);
  return {
    pid: worker.pid,
    state: worker.state,
    since: isoOf(worker.startedAtMs),
    snapshotVersion: worker.snapshotVersion,
    connections: latest?.clients.connections ?? 0,
    upgraded: latest?.clients.upgraded ?? 0,
  };
}

function rateOf({ counters, elapsedMs }: Lately): number {
  return elapsedMs <= 0 ? 0 : rounded(requestsOf(counters) / (elapsedMs / 1000), 2);
}

function latencyOf({ latency }: Lately['counters']): GatewayStatus['traffic']['latencyMs'] {
  const percentiles = percentilesOf(latency);
  if (percentiles === null) return null;
  const { p50, p95, p99 } = percentiles;
  return { p50: rounded(p50, 3), p95: rounded(p95, 3), p99: rounded(p99, 3) };
}

function errorRateOf(counters: Lately['counters']): number | null {
  const requests = requestsOf(counters);
  return requests === 0 ? null : rounded(errorsOf(counters) / requests, 6);
}

function isoOf(wallMs: number): string {
  return new Date(wallMs).toISOString();
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}
