/**
 * `/metrics`: what `/lb` shows, in Prometheus's form, plus histograms. Built for the one answer from the books, so
 * nothing goes stale and an upstream that has left leaves no series behind. Labels come from the configuration and
 * from fixed sets of words, never from requests.
 */
import { Registry, type Metric } from 'prom-client';

import { countOf, cumulativeCounts, type Histogram } from '../../domain/histogram.js';
import type { AnswerClasses, UpstreamCounters } from '../../domain/gatewayStats.js';
import type { TrafficLedger } from '../../domain/trafficLedger.js';
import type { GatewayStatus, PoolStatus, UpstreamStatus } from './statusSchema.js';

export const METRICS_CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

type Labels = Readonly<Record<string, string>>;
interface Value {
  readonly labels: Labels;
  readonly value: number;
  /** Where it is not the family's: `…_bucket`. */
  readonly metricName?: string;
}
interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly values: readonly Value[];
}

/** Each is a bound of the workers' own buckets, so the counts are exact. */
const BUCKETS_MS = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000];
const CLASSES = ['1xx', '2xx', '3xx', '4xx', '5xx'] as const;
const POOL_STATES = ['up', 'degraded', 'down'] as const;
const UPSTREAM_STATES = ['up', 'draining', 'down', 'ejected'] as const;
const WORKER_STATES = ['starting', 'serving', 'stopping'] as const;

/** The text of an answer to Prometheus. */
export async function renderMetrics(status: GatewayStatus, ledger: TrafficLedger): Promise<string> {
  const families = [
    ...gatewayFamilies(status, ledger),
    ...poolFamilies(status.pools, ledger),
    ...upstreamFamilies(status.pools, ledger),
  ];
  const registry = new Registry();
  // The registry asks a metric for nothing but this, as its own class for clusters relies on; counting was done elsewhere.
  for (const family of families) {
    registry.registerMetric({ ...family, get: async () => family } as unknown as Metric);
  }
  return registry.metrics();
}

function gatewayFamilies(status: GatewayStatus, ledger: TrafficLedger): Family[] {
  const { traffic, workers } = status;
  const uptimeSeconds = (Date.parse(status.at) - Date.parse(status.startedAt)) / 1_000;
  return [
    gauge('build_info', 'Always 1; the version is a label.', [one(1, { version: status.version })]),
    gauge('uptime_seconds', 'Since the gateway started.', [one(uptimeSeconds)]),
    gauge(
      'workers',
      'Workers by state.',
      WORKER_STATES.map((state) => one(workers.filter((each) => each.state === state).length, { state })),
    ),
    counter('worker_restarts_total', 'Workers that ended unasked.', [one(status.workerRestarts)]),
    gauge('client_connections', 'Open client connections.', [one(traffic.clientConnections)]),
    gauge('client_connections_upgraded', 'Open client connections that were upgraded (WebSocket).', [
      one(traffic.upgradedConnections),
    ]),
    counter('client_connections_total', 'Client connections accepted.', [one(ledger.clients.accepted)]),
    counter(
      'answers_total',
      'Answers to clients, by class of status, whoever gave them; without own pages.',
      byClass(ledger.clients.answers, {}),
    ),
    counter(
      'refusals_total',
      'Answers given and connections closed by the gateway itself, limits included, by code.',
      status.refusals.map(({ code, total }) => one(total, { code })),
    ),
    counter('access_log_dropped_total', 'Access-log lines that could not be kept.', [
      one(status.accessLogDropped),
    ]),
    gauge('snapshot_version', 'Of the pools that workers are to serve from.', [one(status.snapshotVersion)]),
    gauge(
      'certificate_expiry_seconds',
      'How much longer a certificate of the TLS port is valid; negative when it has ended.',
      status.certificates.map(({ name, endsAt }) =>
        one((Date.parse(endsAt) - Date.parse(status.at)) / 1_000, { certificate: name }),
      ),
    ),
    gauge(
      'source_live',
      'Whether a source of upstreams answers (1) or its last good answer is kept (0).',
      status.sources.map(({ name, pool, state }) => one(state === 'live' ? 1 : 0, { source: name, pool })),
    ),
  ];
}

function poolFamilies(pools: readonly PoolStatus[], ledger: TrafficLedger): Family[] {
  const totals = pools.map(({ name }) => ({ labels: { pool: name }, counters: ledger.poolTotal(name) }));
  return [
    gauge(
      'pool_state',
      '1 for the state that the pool is in, 0 for the others.',
      pools.flatMap(({ name, condition }) =>
        POOL_STATES.map((state) => one(state === condition ? 1 : 0, { pool: name, state })),
      ),
    ),
    gauge(
      'pool_upstreams',
      'Upstreams of the pool by state.',
      pools.flatMap(({ name, upstreams }) =>
        UPSTREAM_STATES.map((state) =>
          one(upstreams.filter((upstream) => upstream.state === state).length, { pool: name, state }),
        ),
      ),
    ),
    ...trafficFamilies('pool', totals),
  ];
}

function upstreamFamilies(pools: readonly PoolStatus[], ledger: TrafficLedger): Family[] {
  const rows = pools.flatMap((pool) =>
    pool.upstreams.map((upstream) => ({
      upstream,
      labels: { pool: pool.name, upstream: upstream.id },
      counters: ledger.upstreamTotal(pool.name, upstream.id),
    })),
  );
  const perUpstream = (value: (upstream: UpstreamStatus) => number): Value[] =>
    rows.map(({ upstream, labels }) => one(value(upstream), labels));
  return [
    gauge(
      'upstream_state',
      '1 for the state that the upstream is in, 0 for the others.',
      rows.flatMap(({ upstream, labels }) =>
        UPSTREAM_STATES.map((state) => one(state === upstream.state ? 1 : 0, { ...labels, state })),
      ),
    ),
    gauge(
      'upstream_weight',
      'Relative share of traffic it is given.',
      perUpstream(({ weight }) => weight),
    ),
    gauge(
      'upstream_in_flight',
      'Requests under way.',
      perUpstream(({ inFlight }) => inFlight),
    ),
    gauge(
      'upstream_connections',
      'Open connections.',
      perUpstream(({ connections }) => connections),
    ),
    ...trafficFamilies('upstream', rows),
  ];
}

interface Row {
  readonly labels: Labels;
  readonly counters: UpstreamCounters;
}

/** What is counted for an upstream and, added up, for a pool. */
function trafficFamilies(subject: 'pool' | 'upstream', rows: readonly Row[]): Family[] {
  const perRow = (value: (counters: UpstreamCounters) => number): Value[] =>
    rows.map(({ labels, counters }) => one(value(counters), labels));
  return [
    counter(
      `${subject}_answers_total`,
      'Final answers of upstreams, by class of status.',
      rows.flatMap(({ labels, counters }) => byClass(counters.answers, labels)),
    ),
    counter(
      `${subject}_failures_total`,
      'Attempts that brought no answer.',
      perRow(({ failures }) => failures),
    ),
    counter(
      `${subject}_retries_total`,
      'Failed attempts that were repeated.',
      perRow(({ retries }) => retries),
    ),
    counter(
      `${subject}_ejections_total`,
      'Ejections because of failing traffic.',
      perRow(({ ejections }) => ejections),
    ),
    counter(
      `${subject}_connections_opened_total`,
      'Connections opened to upstreams.',
      perRow(({ connectionsOpened }) => connectionsOpened),
    ),
    histogram(
      `${subject}_request_duration_seconds`,
      'From choosing the upstream to the end of its answer.',
      rows.map(({ labels, counters }) => ({ labels, latency: counters.latency })),
    ),
  ];
}

const PREFIX = 'holdfast_gateway_';

function gauge(name: string, help: string, values: readonly Value[]): Family {
  return { name: PREFIX + name, help, type: 'gauge', values };
}

function counter(name: string, help: string, values: readonly Value[]): Family {
  return { name: PREFIX + name, help, type: 'counter', values };
}

function histogram(
  shortName: string,
  help: string,
  rows: readonly { readonly labels: Labels; readonly latency: Histogram }[],
): Family {
  const name = PREFIX + shortName;
  const values = rows.flatMap(({ labels, latency }) => {
    const total = countOf(latency);
    const buckets = cumulativeCounts(latency, BUCKETS_MS).map((count, index) =>
      bucket(name, labels, String((BUCKETS_MS[index] ?? 0) / 1_000), count),
    );
    return [
      ...buckets,
      bucket(name, labels, '+Inf', total),
      { labels, value: latency.sumMs / 1_000, metricName: `${name}_sum` },
      { labels, value: total, metricName: `${name}_count` },
    ];
  });
  return { name, help, type: 'histogram', values };
}

function bucket(name: string, labels: Labels, le: string, value: number): Value {
  return { labels: { ...labels, le }, value, metricName: `${name}_bucket` };
}

function one(value: number, labels: Labels = {}): Value {
  return { labels, value };
}

function byClass(answers: AnswerClasses, labels: Labels): Value[] {
  return CLASSES.map((name, index) => one(answers[index] ?? 0, { ...labels, class: name }));
}
