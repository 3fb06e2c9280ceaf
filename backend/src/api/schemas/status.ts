/** Status, health, and the two short answers for other machines. */
import { z } from 'zod';
import type { HealthView, StatusView } from '../../domain/views/controlPlane.js';
import { diagnosisCode, failureCause, eventRecord } from './events.js';
import { operationKind } from './operation.js';
import { bytes, count, durationMs, instanceRef, maybeBytes, maybePercent, timestamp } from './primitives.js';

export const serviceState = z.enum([
  'healthy',
  'degraded',
  'unhealthy',
  'quarantined',
  'unverified',
  'stopped',
  'finished',
  'released',
]);
export const overallState = z
  .enum(['healthy', 'degraded', 'unhealthy'])
  .describe(
    'degraded: every service that should serve does, but not all is as it should be. unhealthy: one does not.',
  );

const processStatus = z.enum([
  'launching',
  'online',
  'stopping',
  'stopped',
  'errored',
  'waiting restart',
  'one-launch-status',
]);

const wallMs = z.number().describe('Milliseconds since 1970, UTC.');

const fitness = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('starting') }),
  z.object({ kind: z.literal('fit'), sinceMs: wallMs }),
  z
    .object({
      kind: z.literal('unverified'),
      sinceMs: wallMs,
      answers: z.boolean().describe('It answers, if not as the probe expects: then it gets traffic.'),
      detail: z.string(),
    })
    .describe('Was there before Holdfast and has never passed the probe: kept as it is.'),
  z.object({ kind: z.literal('unfit'), sinceMs: wallMs, cause: failureCause, detail: z.string() }),
]);

const memoryTrend = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('unknown') }).describe('Watched for too short a time.'),
  z
    .object({ kind: z.literal('steady') })
    .describe('No growth that leads to a limit in the foreseeable future.'),
  z.object({
    kind: z.literal('growing'),
    limit: z.enum(['resident', 'heap']).describe("The service's limit, or what V8's heap can hold."),
    perSecondBytes: z.number(),
    usedBytes: bytes,
    limitBytes: bytes,
    etaMs: durationMs.describe('Until the limit is met at this pace.'),
    spanMs: durationMs.describe('Over how long it was seen to grow.'),
    sure: z
      .boolean()
      .describe('Seen for so long that it is no warm-up: reason to replace the instance in time.'),
  }),
]);

const instance = z.object({
  service: z.string(),
  pmId: count,
  startedAtMs: wallMs,
  pid: count.nullable(),
  port: count.nullable(),
  host: z
    .string()
    .describe(
      'The address at which it is asked and reached: 127.0.0.1, unless it listens only elsewhere (::1).',
    ),
  owner: z
    .object({ pid: count, userIds: z.array(z.int().nonnegative()) })
    .nullable()
    .describe(
      'Users of this machine to whom its port must belong: a gateway sends nothing to the process of another one. null: not known.',
    ),
  status: processStatus,
  mode: z.enum(['fork', 'cluster']),
  restarts: count,
  createdAtMs: wallMs,
  killTimeoutMs: z
    .int()
    .nonnegative()
    .describe('From the signal to SIGKILL, as PM2 was told when it started it.'),
  fitness,
  serving: z.boolean(),
  draining: z.boolean(),
  quarantined: z.boolean(),
  attemptsUsed: count,
  cpuPercent: maybePercent,
  memoryBytes: maybeBytes,
  eluPercent: maybePercent,
  agent: z
    .enum(['connected', 'silent', 'absent'])
    .describe('Whether its agent speaks; silent: nothing was heard for two seconds.'),
  memoryTrend,
  backlogPercent: maybePercent.describe(
    'Work that waits for the event loop, percent of one core over 10 s, 0–100; null without agent.',
  ),
});

const diagnosis = z.object({
  code: diagnosisCode,
  service: z.string(),
  instance: instanceRef.nullable().describe('null: PM2 starts none.'),
  what: z.string().describe('What was expected and what came, with instance, port and path.'),
  advice: z.string().describe('What to do about it.'),
  settled: z.boolean().describe('Waiting does not help.'),
  log: z
    .object({ path: z.string(), lines: z.array(z.string()) })
    .nullable()
    .describe('The last lines that the application wrote; secrets are removed.'),
});

const service = z.object({
  name: z.string(),
  state: serviceState,
  desired: count,
  serving: count,
  min: count,
  max: count,
  reason: z.string().describe('Why it is in this state and what happens next.'),
  diagnosis: diagnosis.nullable().describe('Why it does not serve as it should, where that was found out.'),
  warnings: z
    .array(z.string())
    .describe('What is wrong with its settings in view of each other, or with the ports of its instances.'),
  unprovenFiles: z
    .object({ since: timestamp, problem: z.string() })
    .nullable()
    .describe(
      'Files that a deploy did not verify lie in its folder: the next instance that starts runs them.',
    ),
  startWarnings: z
    .array(z.string())
    .describe(
      'What to know before the next instance is started, such as that it would differ from those that run.',
    ),
  operation: z.object({ id: z.string(), kind: operationKind, since: timestamp }).nullable(),
  instances: z.array(instance),
});

const daemonState = z.enum(['connected', 'unresponsive', 'lost']);

export const status = z.object({
  running: z.boolean().describe('Automatic management on or off.'),
  version: z.string(),
  startedAt: timestamp,
  node: z.object({ hostname: z.string(), pid: count, cores: z.number(), memoryTotalBytes: bytes }),
  daemon: z.object({
    state: daemonState,
    version: z.string().nullable(),
    since: timestamp,
    problem: z.string().nullable(),
  }),
  services: z.array(service),
  gateways: z
    .array(
      z.object({
        gateway: z.string(),
        workers: count,
        upstreams: count,
        inFlight: count,
        lastReportAt: timestamp,
      }),
    )
    .describe('Gateways that reported within the last seconds.'),
  lastEvents: z.array(eventRecord).describe('Newest last, at most 20.'),
}) satisfies z.ZodType<StatusView>;

export const health = z.object({
  status: overallState,
  checks: z.array(
    z.object({
      name: z.string(),
      ok: z.boolean(),
      latencyMs: durationMs.nullable(),
      detail: z.string(),
    }),
  ),
}) satisfies z.ZodType<HealthView>;

/** Of `GET /api/health`: from what is known, without probing. */
export const overallHealth = z.object({
  status: overallState,
  running: z.boolean(),
  version: z.string(),
  uptimeSeconds: z.number().min(0),
  daemon: daemonState,
  services: z.array(z.object({ name: z.string(), state: serviceState, desired: count, serving: count })),
});

/** Of `GET /api/status`. */
export const summary = z.object({
  running: z.boolean(),
  version: z.string(),
  startedAt: timestamp,
  services: z.object({ total: count, healthy: count }),
  instances: z.object({ desired: count, serving: count }),
});

export const alive = z.object({ alive: z.literal(true) });
export const ready = z.object({ ready: z.literal(true), reason: z.string() });
