/**
 * Every event's shape, held to the domain's EventMap by the compiler in both directions: a new event without
 * an entry here, or an entry without an event, does not build.
 */
import { z } from 'zod';
import type { EventMap, EventRecord, EventType } from '../../domain/events.js';
import { DIAGNOSES } from '../../domain/diagnosis/facts.js';
import { FAILURE_CAUSES } from '../../domain/model.js';
import { operationKind } from './operation.js';
import { count, durationMs, instanceRef, timestamp } from './primitives.js';

const service = z.string();
const text = z.string();
const aboutInstance = { service, instance: instanceRef };
const aboutOperation = { service, operationId: text, kind: operationKind };

export const diagnosisCode = z.enum(DIAGNOSES);
export const failureCause = z.enum(FAILURE_CAUSES);

const blackBox = text.exactOptional().describe('What is kept of it: GET /api/ha/blackbox/{id}.');

export const eventData = {
  'supervisor.started': z.object({ version: text, adopted: count }),
  'supervisor.stopping': z.object({ signal: text }),
  'management.started': z.object({ by: text }),
  'management.stopped': z.object({ by: text }),
  'state.damaged': z.object({ movedTo: text, problem: text }),
  'state.awaited': z.object({ problem: text }),
  'state.unwritable': z.object({ problem: text }),
  'config.reloaded': z.object({ changed: z.array(text) }),
  'config.rejected': z.object({ problems: z.array(text) }),
  'dump.narrowed': z.object({
    file: text,
    mode: text.describe('Its permissions before, in octal.'),
    holds: z.array(text).describe('Names of variables, never their values.'),
  }),
  'daemon.connected': z.object({ version: text, pid: count.nullable() }),
  'daemon.unresponsive': z.object({ forMs: durationMs }),
  'daemon.lost': z.object({ problem: text }),
  'daemon.started': z.object({ by: text }),
  'supervisor.handedOver': z.object({ successorPid: count.nullable() }),
  'instance.started': z.object({
    ...aboutInstance,
    why: text,
    replaces: count.exactOptional().describe('The number whose place it takes.'),
  }),
  'instance.serving': z.object({ ...aboutInstance, afterMs: durationMs }),
  'instance.withdrawn': z.object({ ...aboutInstance, why: text }),
  'instance.superseded': z.object(aboutInstance),
  'instance.restored': z.object({ ...aboutInstance, why: text }),
  'instance.exited': z.object({
    ...aboutInstance,
    exitCode: z.int().nullable(),
    signal: text.nullable(),
    charged: z.boolean(),
    ranMs: durationMs,
    cause: failureCause.exactOptional(),
    run: z
      .enum(['finished', 'failed'])
      .exactOptional()
      .describe('PM2 leaves it down as it was told: whether the run did what it should.'),
    why: text.exactOptional().describe('Why PM2 restarts it by itself, or which program has its port.'),
    blackBox,
  }),
  'instance.unfit': z.object({ ...aboutInstance, cause: failureCause, detail: text, blackBox }),
  'instance.unverified': z.object({ ...aboutInstance, detail: text }),
  'instance.portShared': z.object({ ...aboutInstance, heldBy: text }),
  'instance.hung': z.object({
    ...aboutInstance,
    silentMs: durationMs,
    where: z.enum(['javascript', 'native', 'unknown']),
    at: text.nullable(),
    detail: text,
  }),
  'instance.resumed': z.object({
    ...aboutInstance,
    from: z.enum(['hung', 'stopped', 'stalled']),
    afterMs: durationMs,
  }),
  'instance.stopped': z.object({ ...aboutInstance, why: text, tookMs: durationMs }),
  'instance.quarantined': z.object({ ...aboutInstance, attempts: count, detail: text }),
  'stray.ended': z.object({ service, pid: count, kind: z.enum(['ghost', 'orphan']) }),
  'port.occupied': z.object({ service, port: count, by: text }),
  'service.scaled': z.object({
    service,
    from: count,
    to: count,
    by: z.enum(['autoscaler', 'operator']),
    reason: text,
  }),
  'service.quarantined': z.object({ service, reason: text, nextTrialMs: durationMs }),
  'service.trialStarted': z.object(aboutInstance),
  'service.trialFailed': z.object({ service, detail: text, nextTrialMs: durationMs }),
  'service.recovered': z.object({ service, afterMs: durationMs }),
  'service.diagnosed': z.object({
    service,
    code: diagnosisCode,
    settled: z.boolean().describe('Waiting does not help.'),
    detail: text.describe('What was expected, what came, and what to do.'),
    instance: instanceRef.exactOptional(),
  }),
  'service.reset': z.object({ service, by: text }),
  'service.released': z.object({ service, by: text }),
  'service.adopted': z.object({ service, by: text, desired: count }),
  'service.unconfigured': z.object({ service }),
  'service.stalled': z.object({ service, detail: text }),
  'service.restartedOverAndOver': z.object({ service, detail: text }),
  'service.stoppedByOperator': z.object({ service }),
  'operation.started': z.object({ ...aboutOperation, reason: text }),
  'operation.finished': z.object({ ...aboutOperation, tookMs: durationMs }),
  'operation.failed': z.object({ ...aboutOperation, problem: text }),
  'gateway.connected': z.object({ gateway: text, workers: count }),
  'gateway.left': z.object({ gateway: text }),
  'gateway.silent': z.object({ gateway: text, forMs: durationMs }),
  'action.failed': z.object({ service, action: text, problem: text }),
} satisfies { readonly [K in EventType]: z.ZodType<EventMap[K]> };

function recordOf<K extends EventType>(type: K): z.ZodObject {
  return z.object({
    seq: count.describe("Grows by one per event within a supervisor's life."),
    type: z.literal(type),
    at: timestamp,
    service: z.string().nullable().describe('The service it is about.'),
    data: eventData[type],
  });
}

const [first, ...others] = (Object.keys(eventData) as EventType[]).map(recordOf);
if (first === undefined) throw new Error('there are no events');

export const eventRecord = z.discriminatedUnion('type', [
  first,
  ...others,
]) as unknown as z.ZodType<EventRecord>;
export const eventList = z.object({ events: z.array(eventRecord).describe('Newest last.') });
