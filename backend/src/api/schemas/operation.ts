/** What operations answer. */
import { z } from 'zod';
import type { OperationReport } from '../../domain/model.js';
import type { CustodyView } from '../../domain/views/controlPlane.js';
import { count, durationMs, instanceRef } from './primitives.js';

export const operationKind = z.enum(['scale-up', 'scale-down', 'failover', 'deploy']);

export const operationReport = z.object({
  operationId: z.string().nullable().describe('null when there was nothing to do.'),
  kind: operationKind,
  serviceName: z.string(),
  changed: z
    .boolean()
    .describe('False when the number that was asked for was reached already: nothing was done.'),
  done: z.boolean().describe('False when the time ran out first: then `pending` says what is under way.'),
  message: z.string(),
  fromInstances: count,
  toInstances: count,
  started: z.array(instanceRef),
  stopped: z.array(instanceRef),
  pending: z.array(z.string()),
  durationMs,
}) satisfies z.ZodType<OperationReport>;

export const managementStarted = z.object({
  running: z.literal(true),
  changed: z.boolean().describe('False when it was on already.'),
});

export const managementStopped = z.object({
  running: z.literal(false),
  changed: z.boolean().describe('False when it was off already.'),
});

export const custody = z.object({
  serviceName: z.string(),
  released: z.boolean().describe('Whether Holdfast leaves the service alone from now on.'),
  changed: z.boolean().describe('False when it was so already.'),
  message: z.string().describe('What follows, one sentence.'),
}) satisfies z.ZodType<CustodyView>;

export const failureReset = z.object({
  serviceName: z.string(),
  cleared: z.object({
    attempts: count.describe('Failures forgotten.'),
    quarantined: z.boolean().describe('Whether a quarantine ended.'),
  }),
});
