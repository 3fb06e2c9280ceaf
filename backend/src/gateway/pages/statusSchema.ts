/**
 * `/lb/status`: everything that `/lb` shows, for machines. This schema is its documentation; the page is rendered
 * from its type, and tests hold real answers to it. Additions are compatible, anything else is not.
 *
 * Times are ISO 8601, UTC. Rates and shares look back 10 s, percentiles and error rates 60 s; null where nothing was
 * measured. Totals count from the start of the gateway.
 *
 * The figures under their usual names (totalRequests, successRate, averageResponseTime, percentage) count since
 * `countedSince`: the start of the gateway, or the last POST /lb/reset. Rates in percent are 0–100, times milliseconds.
 */
import { z } from 'zod';

const count = z.number().int().min(0);
const perSecond = z.number().min(0);
const percent = z.number().min(0).max(100).nullable();
const averageMs = z.number().min(0).nullable();
const share = z.number().min(0).max(1);
const time = z.iso.datetime();
const latency = z.object({ p50: z.number(), p95: z.number(), p99: z.number() }).nullable();
const condition = z.enum(['up', 'degraded', 'down']);

const upstream = z.strictObject({
  /** host:port. */
  id: z.string(),
  /** up: takes traffic. draining: finishes what it has. down: failed its checks. ejected: failed its traffic. */
  state: z.enum(['up', 'draining', 'down', 'ejected']),
  /** Why it does not take traffic; empty when it does. */
  detail: z.string(),
  /** Since when its membership or checks say so. */
  upSince: time.nullable(),
  weight: z.number(),
  /** Of the pool's requests. */
  share: share.nullable(),
  requestsPerSecond: perSecond,
  /** Since `countedSince`: answered, or failed for good. */
  totalRequests: count,
  /** Of the requests of the pool's upstreams, %. */
  percentage: percent,
  /** Of its requests, those answered below 500, %. */
  successRate: percent,
  /** Mean from choosing it to the end of its answer, ms. */
  averageResponseTime: averageMs,
  inFlight: count,
  connections: count,
  latencyMs: latency,
  /** 5xx, or no answer, ÷ requests. */
  errorRate: share.nullable(),
  totals: z.strictObject({
    requests: count,
    errors: count,
    failures: count,
    retries: count,
    ejections: count,
    connections: count,
  }),
  source: z.string().nullable(),
  lastCheck: z
    .strictObject({ at: time, ok: z.boolean(), latencyMs: z.number(), detail: z.string() })
    .nullable(),
});

const pool = z.strictObject({
  name: z.string(),
  condition,
  algorithm: z.string(),
  /** What the algorithm keys on; null when it does not. */
  hashOn: z.string().nullable(),
  sticky: z.boolean(),
  /** What answers when no upstream can be reached: `page`, `redirect to <URL>`, `pool <name>`; null: the gateway's 502 or 503. */
  fallback: z.string().nullable(),
  /** Host and path prefix: `shop.example.org/api`; the host is an asterisk where any will do. */
  routes: z.array(z.string()),
  requestsPerSecond: perSecond,
  inFlight: count,
  latencyMs: latency,
  errorRate: share.nullable(),
  upstreams: z.array(upstream),
});

const worker = z.strictObject({
  pid: count,
  state: z.enum(['starting', 'serving', 'stopping']),
  since: time,
  /** Of the snapshot it serves from; null before the first. */
  snapshotVersion: count.nullable(),
  connections: count,
  upgraded: count,
});

const change = z.strictObject({ at: time, tone: z.enum(['good', 'bad', 'neutral']), text: z.string() });

export const gatewayStatusSchema = z.strictObject({
  at: time,
  version: z.string(),
  startedAt: time,
  condition,
  /** Since when the next three count. */
  countedSince: time,
  /** Answered to clients, by upstreams or by the gateway itself; without its own pages. */
  totalRequests: count,
  /** Of them, those answered below 500, %. */
  successRate: percent,
  /** Mean of all upstreams, from choosing one to the end of its answer, ms. */
  averageResponseTime: averageMs,
  /** Answered to clients, over the last 60 s. */
  requestsPerSecond: perSecond.nullable(),
  /**
   * Sessions seen in the last 30 minutes: sticky cookies that came back, and in pools without such a cookie addresses of
   * clients. Counted in bounded memory, within 1.6 % in 19 of 20 cases; exact or one off up to some hundred.
   */
  activeSessions: count,
  snapshotVersion: count,
  traffic: z.strictObject({
    requestsPerSecond: perSecond,
    latencyMs: latency,
    errorRate: share.nullable(),
    inFlight: count,
    clientConnections: count,
    /** Of them, upgraded: WebSockets. */
    upgradedConnections: count,
    /** Answers that clients got, by class of status. */
    answers: z.strictObject({ '1xx': count, '2xx': count, '3xx': count, '4xx': count, '5xx': count }),
  }),
  /** The last two minutes, oldest first, one point a second; what was before the start is missing. */
  history: z.strictObject({
    stepMs: count,
    requestsPerSecond: z.array(perSecond),
    errorsPerSecond: z.array(perSecond),
  }),
  pools: z.array(pool),
  workers: z.array(worker),
  workerRestarts: count,
  /** Answers that the gateway gave itself, and connections it closed, by code; most frequent first. */
  refusals: z.array(z.strictObject({ code: z.string(), total: count })),
  /** Lines of the access log that could not be kept, by workers or by the file. */
  accessLogDropped: count,
  /** One for each pool. */
  sources: z.array(
    z.strictObject({
      name: z.string(),
      pool: z.string(),
      state: z.enum(['live', 'polling', 'stale']),
      detail: z.string(),
    }),
  ),
  problems: z.array(z.string()),
  /** Served on the TLS port: the file, the names it is for, its end. */
  certificates: z.array(z.strictObject({ name: z.string(), names: z.array(z.string()), endsAt: time })),
  /** Newest first, at most 50. */
  changes: z.array(change),
});

export type GatewayStatus = z.infer<typeof gatewayStatusSchema>;
export type PoolStatus = GatewayStatus['pools'][number];
export type UpstreamStatus = PoolStatus['upstreams'][number];
export type WorkerStatus = GatewayStatus['workers'][number];
export type Change = GatewayStatus['changes'][number];
