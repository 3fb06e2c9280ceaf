/** What is persisted of restart budgets and quarantines; validated when it is read back. */
import { z } from 'zod';
import { FAILURE_CAUSES } from '../domain/model.js';

const causeSchema = z.enum(FAILURE_CAUSES);
const chargeSchema = z.object({ atMs: z.number(), ranMs: z.number(), cause: causeSchema });
/** States of former versions don't have it. */
const replacesSchema = z.number().nullable().default(null);
const heldShape = {
  sinceMs: z.number(),
  reason: z.string(),
  trials: z.number().int(),
  holes: z.array(
    z.object({
      pmId: z.number().nullable(),
      charges: z.array(chargeSchema),
      failOpen: z.boolean(),
      replaces: replacesSchema,
    }),
  ),
};

export const failoverSnapshotSchema = z.record(
  z.string(),
  z.object({
    slots: z.array(z.object({ pmId: z.number(), charges: z.array(chargeSchema) })),
    successions: z
      .array(z.object({ pmId: z.number(), replaces: z.number(), inherited: z.array(chargeSchema) }))
      .default([]),
    quarantine: z.discriminatedUnion('kind', [
      z.object({ kind: z.literal('none') }),
      z.object({
        kind: z.literal('quarantined'),
        // What can't be read means: now. A quarantine always ends.
        nextTrialAtMs: z.number().catch(0),
        ...heldShape,
      }),
      z.object({
        kind: z.literal('trial'),
        startedAtMs: z.number(),
        pmId: z.number(),
        replaces: replacesSchema,
        trialCharges: z.array(chargeSchema),
        mustLastMs: z.number(),
        ...heldShape,
      }),
    ]),
    lastFailure: z
      .object({ atMs: z.number(), cause: causeSchema, detail: z.string(), pmId: z.number() })
      .nullable(),
  }),
);
export type FailoverSnapshot = z.infer<typeof failoverSnapshotSchema>;
