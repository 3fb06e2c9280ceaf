/** What is kept of instances that were replaced or died. */
import { z } from 'zod';
import { BLACK_BOX_FILES, BLACK_BOX_ID } from '../../domain/blackBox/blackBox.js';
import type { BlackBoxEntry, BlackBoxOutcome } from '../../domain/blackBox/blackBox.js';
import type { BlackBoxView } from '../../domain/views/controlPlane.js';
import { eventRecord, failureCause } from './events.js';
import { bytes, count, durationMs, timestamp } from './primitives.js';

const idRule = 'must be the id of a black box, as the list and the events show it';
export const blackBoxId = z
  .string({ error: idRule })
  .regex(BLACK_BOX_ID, idRule)
  .describe('`<service>-<pmId>-<time>`');

export const blackBoxFile = z
  .enum(BLACK_BOX_FILES, { error: `must be one of ${BLACK_BOX_FILES.join(', ')}` })
  .describe('One of those that the entry lists.');

const outcome = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('replaced'),
    byPmId: count,
    servingAfterMs: durationMs,
    endedAfterMs: durationMs,
  }),
  z.object({ kind: z.literal('restarted'), servingAfterMs: durationMs }),
  z.object({ kind: z.literal('recovered'), afterMs: durationMs }),
  z.object({ kind: z.literal('quarantined'), afterMs: durationMs }),
  z.object({ kind: z.literal('ended'), afterMs: durationMs }),
  z.object({ kind: z.literal('unsettled'), watchedMs: durationMs }),
]) satisfies z.ZodType<BlackBoxOutcome>;

const outcomes = ['replaced', 'restarted', 'recovered', 'quarantined', 'ended', 'unsettled'] as const;
const inFlight = z.object({ method: z.string(), path: z.string(), ageMs: durationMs });

const entry = z.object({
  id: z.string(),
  service: z.string(),
  pmId: count,
  at: timestamp,
  cause: failureCause,
  detail: z.string(),
  outcome: z.enum(outcomes).nullable().describe('null: not known, or not known yet.'),
  bytes,
  files: z.array(z.object({ name: z.enum(BLACK_BOX_FILES), bytes })),
}) satisfies z.ZodType<BlackBoxEntry>;

const summary = z.object({
  version: z.literal(1),
  id: z.string(),
  service: z.string(),
  pmId: count,
  pid: count.nullable(),
  port: count.nullable(),
  startedAt: timestamp,
  at: timestamp.describe('When the decision fell.'),
  ranMs: durationMs,
  cause: failureCause,
  detail: z.string(),
  findings: z.array(z.string()).describe('What else the pieces say, a sentence each.'),
  decision: z.object({
    by: z.enum(['unfit', 'exit']).describe('Judged while it ran, or after it had ended by itself.'),
    exitCode: z.int().nullable(),
    signal: z.string().nullable(),
    lastProbe: z.object({ at: timestamp, ok: z.boolean(), detail: z.string() }).nullable(),
    attemptsUsed: count,
    attemptsMax: count,
    desired: count,
    serving: count.describe('Instances of the service that served without it.'),
  }),
  outcome: outcome.nullable(),
  hang: z
    .object({
      silentMs: durationMs,
      where: z.enum(['javascript', 'native', 'unknown']),
      detail: z.string(),
      requests: z.array(inFlight),
    })
    .nullable(),
  versions: z.object({ holdfast: z.string(), agent: z.string().nullable(), node: z.string().nullable() }),
  stderrPath: z.string().nullable(),
  omitted: z.array(z.object({ file: z.enum(BLACK_BOX_FILES), why: z.string() })),
  before: z.array(eventRecord),
  after: z.array(eventRecord),
});

export const blackBoxList = z.object({ blackBoxes: z.array(entry).describe('Newest last.') });

export const blackBox = z.object({
  entry,
  summary,
  stack: z.string().nullable().describe('stack.txt, where there is one.'),
}) satisfies z.ZodType<BlackBoxView>;
