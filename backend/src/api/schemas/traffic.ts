/** What a gateway reports of real traffic: `POST /api/ha/gateway/report`. */
import { z } from 'zod';
import { MOST_REPORTED_UPSTREAMS } from '../../domain/statistics/traffic.js';
import type { TrafficReport } from '../../domain/statistics/traffic.js';
import { count, durationMs } from './primitives.js';

const share = z.number().min(0).max(1);
/** More than any machine does; keeps sums finite. */
const rate = z.number().min(0).max(1e9);

const upstream = z.strictObject({
  host: z.string().min(1).max(253),
  port: z.int().min(1).max(65_535),
  state: z.enum(['up', 'draining', 'down']),
  inFlight: count.describe('Requests under way there, of all workers.'),
  drained: z.boolean().describe('Takes nothing new, nothing is under way, and every worker says so.'),
  throughputPerSecond: rate,
  errorRate: share.nullable().describe('5xx and missing answers ÷ all, 0–1; null without traffic.'),
  responseTimeMs: z.strictObject({ p50: durationMs, p95: durationMs, p99: durationMs }).nullable(),
});

export const trafficReport = z.strictObject({
  gateway: z
    .string()
    .regex(/^[\w.-]{1,253}:\d{1,10}$/, 'must be <host>:<pid>')
    .describe('Names one life of one gateway: <host>:<pid>.'),
  workers: count.max(1_024).describe('Workers that serve.'),
  leaving: z.boolean().describe('The last report of a gateway that stops.'),
  upstreams: z.array(upstream).max(MOST_REPORTED_UPSTREAMS),
  cut: z.literal(true).optional().describe('Upstreams on this machine were left out: there are too many.'),
}) satisfies z.ZodType<TrafficReport>;

export const trafficAccepted = z.object({ accepted: z.literal(true) });
