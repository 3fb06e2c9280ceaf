/**
 * `/metrics`: what `/lb` shows, in Prometheus's form, plus histograms. Built for the one answer from the books, so
 * nothing goes stale and an upstream that has left leaves no series behind. Labels come from the configuration and
 * from fixed sets of words, never from requests.
 */
import { Registry, type Metric } from 'prom-client';

import { countOf, cumulativeCounts, type Histogram } from '../../domain/statistics/histogram.js';
import type { AnswerClasses, UpstreamCounters } from '../../domain/statistics/gatewayStats.js';
import type { TrafficLedger } from '../../domain/statistics/trafficLedger.js';
import { shownLabels } from '../../lib/secrets/ofProcess.js';
import type { FamilyDoc } from '../../lib/metricReference.js';
import type { GatewayStatus, UpstreamStatus } from './statusSchema.js';

export const METRICS_CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

type Labels = Readonly<Record<string, string>>;
interface Value {
  readonly labels: Labels;
  readonly value: number;
  /** Where it is not the family's: `…_bucket`. */
  readonly metricName?: string;
}
/** What a figure is, and how its values come from the books. */
interface Family extends FamilyDoc {
  readonly values: (books: Books) => readonly Value[];
}
interface Books {
  readonly status: GatewayStatus;
  readonly ledger: TrafficLedger;
}

/** Each is a bound of the workers' own buckets, so the counts are exact. */
const BUCKETS_MS = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000];
const CLASSES = ['1xx', '2xx', '3xx', '4xx', '5xx'] as const;
const POOL_STATES = ['up', 'degraded', 'down'] as const;
const UPSTREAM_STATES = ['up', 'draining', 'down', 'ejected'] as const;
const WORKER_STATES = ['starting', 'serving', 'stopping'] as const;

/** The text of an answer to Prometheus. */
export async function renderMetrics(status: GatewayStatus, ledger: TrafficLedger): Promise<string> {
  const registry = new Registry();
  // The registry asks a metric for nothing but this, as its own class for clusters relies on; counting was done elsewhere.
  for (const { name, help, type, values } of gatewayFamilies) {
    const measured = { name, help, type, values: values({ status, ledger }).map(scrubbed) };
    registry.registerMetric({ ...measured, get: async () => measured } as unknown as Metric);
  }
  return registry.metrics();
}

const scrubbed = (value: Value): Value => ({ ...value, labels: shownLabels(value.labels) });

const PREFIX = 'holdfast_gateway_';

const own: readonly Family[] = [
  gauge('build_info', 'Always 1; the version is a label.', ['version'], ({ status }) => [
    one(1, { version: status.version }),
  ]),
  gauge('uptime_seconds', 'Since the gateway started.', [], ({ status }) => [
    one((Date.parse(status.at) - Date.parse(status.startedAt)) / 1_000),
  ]),
  gauge('workers', 'Workers by state.', ['state'], ({ status }) =>
    WORKER_STATES.map((state) =>
      one(status.workers.filter((each) => each.state === state).length, { state }),
    ),
  ),
  counter('worker_restarts_total', 'Workers that ended unasked.', [], ({ status }) => [
    one(status.workerRestarts),
  ]),
  gauge('client_connections', 'Open client connections.', [], ({ status }) => [
    one(status.traffic.clientConnections),
  ]),
  gauge(
    'client_connections_upgraded',
    'Open client connections that were upgraded (WebSocket).',
    [],
    ({ status }) => [one(status.traffic.upgradedConnections)],
  ),
  counter('client_connections_total', 'Client connections accepted.', [], ({ ledger }) => [
    one(ledger.clients.accepted),
  ]),
  gauge(
    'sessions',
    'Sessions seen in the last 30 minutes: sticky cookies that came back, or addresses of clients.',
    [],
    ({ status }) => [one(status.activeSessions)],
  ),
  counter(
    'answers_total',
    'Answers to clients by class of status, of the gateway as well as of upstreams; without own pages.',
    ['class'],
    ({ ledger }) => byClass(ledger.clients.answers, {}),
  ),
  counter(
    'refusals_total',
    'Answers given and connections closed by the gateway itself, limits included, by code.',
    ['code'],
    ({ status }) => status.refusals.map(({ code, total }) => one(total, { code })),
  ),
  counter('access_log_dropped_total', 'Access-log lines that could not be kept.', [], ({ status }) => [
    one(status.accessLogDropped),
  ]),
  gauge('snapshot_version', 'Of the pools that workers are to serve from.', [], ({ status }) => [
    one(status.snapshotVersion),
  ]),
  gauge(
    'certificate_expiry_seconds',
    'How much longer a certificate of the TLS port is valid; negative when it has ended.',
    ['certificate'],
    ({ status }) =>
      status.certificates.map(({ name, endsAt }) =>
        one((Date.parse(endsAt) - Date.parse(status.at)) / 1_000, { certificate: name }),
      ),
  ),
  gauge(
    'source_live',
    'Whether a source of upstreams answers (1) or its last good answer is kept (0).',
    ['source', 'pool'],
    ({ status }) =>
      status.sources.map(({ name, pool, state }) => one(state === 'stale' ? 0 : 1, { source: name, pool })),
  ),
  gauge(
    'source_polling',
    'Whether a source of upstreams that should tell of changes is asked again and again instead (1) or not (0).',
    ['source', 'pool'],
    ({ status }) =>
      status.sources.map(({ name, pool, state }) => one(state === 'polling' ? 1 : 0, { source: name, pool })),
  ),
];

const pools: readonly Family[] = [
  gauge(
    'pool_state',
    '1 for the state that the pool is in, 0 for the others.',
    ['pool', 'state'],
    ({ status }) =>
      status.pools.flatMap(({ name, condition }) =>
        POOL_STATES.map((state) => one(state === condition ? 1 : 0, { pool: name, state })),
      ),
  ),
  gauge('pool_upstreams', 'Upstreams of the pool by state.', ['pool', 'state'], ({ status }) =>
    status.pools.flatMap(({ name, upstreams }) =>
      UPSTREAM_STATES.map((state) =>
        one(upstreams.filter((upstream) => upstream.state === state).length, { pool: name, state }),
      ),
    ),
  ),
  ...trafficFamilies('pool', ['pool'], ({ status, ledger }) =>
    status.pools.map(({ name }) => ({ labels: { pool: name }, counters: ledger.poolTotal(name) })),
  ),
];

const UPSTREAM_LABELS = ['pool', 'upstream'] as const;

const upstreams: readonly Family[] = [
  gauge(
    'upstream_state',
    '1 for the state that the upstream is in, 0 for the others.',
    [...UPSTREAM_LABELS, 'state'],
    ({ status }) =>
      upstreamsOf(status).flatMap(({ upstream, labels }) =>
        UPSTREAM_STATES.map((state) => one(state === upstream.state ? 1 : 0, { ...labels, state })),
      ),
  ),
  perUpstream('upstream_weight', 'Relative share of traffic it is given.', ({ weight }) => weight),
  perUpstream('upstream_in_flight', 'Requests under way.', ({ inFlight }) => inFlight),
  perUpstream('upstream_connections', 'Open connections.', ({ connections }) => connections),
  ...trafficFamilies('upstream', UPSTREAM_LABELS, ({ status, ledger }) =>
    upstreamsOf(status).map(({ labels }) => ({
      labels,
      counters: ledger.upstreamTotal(labels.pool, labels.upstream),
    })),
  ),
];

/** Every figure of the gateway. */
export const gatewayFamilies: readonly Family[] = [...own, ...pools, ...upstreams];

function upstreamsOf(status: GatewayStatus) {
  return status.pools.flatMap((pool) =>
    pool.upstreams.map((upstream) => ({ upstream, labels: { pool: pool.name, upstream: upstream.id } })),
  );
}

function perUpstream(name: string, help: string, value: (upstream: UpstreamStatus) => number): Family {
  return gauge(name, help, UPSTREAM_LABELS, ({ status }) =>
    upstreamsOf(status).map(({ upstream, labels }) => one(value(upstream), labels)),
  );
}

interface Row {
  readonly labels: Labels;
  readonly counters: UpstreamCounters;
}

/** What is counted for an upstream and, added up, for a pool. */
function trafficFamilies(
  subject: 'pool' | 'upstream',
  labels: readonly string[],
  rows: (books: Books) => readonly Row[],
): Family[] {
  const perRow =
    (value: (counters: UpstreamCounters) => number): Family['values'] =>
    (books) =>
      rows(books).map((row) => one(value(row.counters), row.labels));
  return [
    counter(
      `${subject}_answers_total`,
      'Final answers of upstreams, by class of status.',
      [...labels, 'class'],
      (books) => rows(books).flatMap((row) => byClass(row.counters.answers, row.labels)),
    ),
    counter(
      `${subject}_failures_total`,
      'Attempts that brought no answer.',
      labels,
      perRow(({ failures }) => failures),
    ),
    counter(
      `${subject}_retries_total`,
      'Failed attempts that were repeated.',
      labels,
      perRow(({ retries }) => retries),
    ),
    counter(
      `${subject}_ejections_total`,
      'Ejections because of failing traffic.',
      labels,
      perRow(({ ejections }) => ejections),
    ),
    counter(
      `${subject}_connections_opened_total`,
      'Connections opened to upstreams.',
      labels,
      perRow(({ connectionsOpened }) => connectionsOpened),
    ),
    histogram(
      `${subject}_request_duration_seconds`,
      'From choosing the upstream to the end of its answer.',
      labels,
      (books) => rows(books).map((row) => ({ labels: row.labels, latency: row.counters.latency })),
    ),
  ];
}

function gauge(name: string, help: string, labels: readonly string[], values: Family['values']): Family {
  return { name: PREFIX + name, help, type: 'gauge', labels, values };
}

function counter(name: string, help: string, labels: readonly string[], values: Family['values']): Family {
  return { name: PREFIX + name, help, type: 'counter', labels, values };
}

interface Latencies {
  readonly labels: Labels;
  readonly latency: Histogram;
}

function histogram(
  shortName: string,
  help: string,
  labels: readonly string[],
  rows: (books: Books) => readonly Latencies[],
): Family {
  const name = PREFIX + shortName;
  return {
    name,
    help,
    type: 'histogram',
    labels,
    values: (books) => rows(books).flatMap((row) => bucketsOf(name, row)),
  };
}

function bucketsOf(name: string, { labels, latency }: Latencies): Value[] {
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
