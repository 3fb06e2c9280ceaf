/** The figures of `GET /api/ha/metrics`. */
import { z } from 'zod';
import type { AgentMetrics, MetricsView } from '../../domain/views/controlPlane.js';
import type { HighAvailabilityFigures } from '../../domain/statistics/availability.js';
import { bytes, count, durationMs, instanceRef, maybeBytes, maybePercent, percent } from './primitives.js';

const percentiles = z.object({ p50: durationMs, p95: durationMs, p99: durationMs }).nullable();
const errorRate = z.number().min(0).max(1).nullable().describe('Failed ÷ all, 0–1.');
const throughput = z.number().min(0).nullable().describe('Requests per second.');

const highAvailability = z.object({
  availabilityPercent: maybePercent,
  observedSeconds: z.number().min(0),
  mttrMs: durationMs.nullable().describe('Mean time from a failure to its verified recovery, ms.'),
  scaleReactionMs: durationMs.nullable().describe('Mean time from a decision to all instances serving, ms.'),
  failoverSuccessPercent: maybePercent,
  failures: count,
  recoveries: count,
}) satisfies z.ZodType<HighAvailabilityFigures>;

const agent = z
  .object({
    loopDelayP50Ms: durationMs.nullable().describe('Delay of the event loop beyond due times, median, ms.'),
    loopDelayP99Ms: durationMs.nullable(),
    heapUsedBytes: maybeBytes,
    heapLimitBytes: maybeBytes,
    liveHeapBytes: maybeBytes.describe('Right after the last major garbage collection.'),
    requestsActive: count,
    requestsOverdue: count.describe('Without an answer for more than two seconds.'),
    requestsFinished: count.describe('Since the start of the process.'),
    requestsAborted: count.describe('Cut off before their end, since the start of the process.'),
    connections: count,
    debugged: z.boolean(),
  })
  .nullable()
  .describe(
    'The latest that its agent told; null without one, or when it is silent.',
  ) satisfies z.ZodType<AgentMetrics | null>;

const instance = z.object({
  ...instanceRef.shape,
  cpuPercent: maybePercent,
  memoryBytes: maybeBytes,
  memoryGrowthBytesPerSecond: z
    .number()
    .nullable()
    .describe('How fast its memory grows for good; 0 when it does not, null while that is not known.'),
  memoryLimitInMs: durationMs
    .nullable()
    .describe('Until it meets a limit at that pace; null: none is in sight.'),
  eventLoopPercent: maybePercent,
  waitingWorkMs: durationMs
    .nullable()
    .describe('Work that waits for the event loop, in time of one core, at most 10 s; null without agent.'),
  agent,
  uptimeMs: durationMs,
  restarts: count,
  responseTimeMs: percentiles,
  errorRate,
  throughputPerSecond: throughput,
});

const service = z.object({
  name: z.string(),
  desired: count,
  serving: count,
  cpuPercent: maybePercent,
  memoryBytes: maybeBytes,
  responseTimeMs: percentiles,
  errorRate,
  throughputPerSecond: throughput,
  restarts: count,
  recycled: count.describe('Instances replaced because of their memory, since the supervisor started.'),
  instances: z.array(instance),
  highAvailability,
});

export const metrics = z.object({
  system: z.object({
    cores: z.number(),
    cpuPercent: maybePercent,
    memoryTotalBytes: bytes,
    memoryUsedPercent: percent,
    diskUsedPercent: maybePercent,
    connections: count.nullable(),
    loadAverage1m: z.number().min(0),
    uptimeSeconds: z.number().min(0),
  }),
  supervisor: z.object({
    cpuPercent: maybePercent,
    memoryBytes: bytes,
    uptimeSeconds: z.number().min(0),
  }),
  services: z.array(service),
  highAvailability,
  agents: z.object({
    connected: count,
    refused: count.describe('Connections ended because of what their peer did, or for want of room.'),
    badLines: count,
    problem: z.string().nullable().describe("Why agents can't connect at all; null when they can."),
  }),
  dropped: z.object({ events: count, notifications: count, blackBoxes: count }),
}) satisfies z.ZodType<MetricsView>;
