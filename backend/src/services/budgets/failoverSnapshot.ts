/**
 * What is persisted of restart budgets and quarantines. Read piece by piece (lib/salvage): a field that is not usable has
 * its default, so that neither the other charges nor the other services suffer from it.
 */
import { z } from 'zod';
import { trialStableMs } from '../../domain/failures/failover.js';
import { FAILURE_CAUSES } from '../../domain/model.js';
import type { FailurePolicy } from '../../domain/policy.js';
import type { Quarantine } from '../../domain/failures/quarantine.js';
import { savedCount, savedDuration, savedNumber, savedTime } from '../../lib/savedKinds.js';

const causeSchema = z.enum(FAILURE_CAUSES).default('crashed');
const chargeSchema = z.object({
  atMs: savedTime,
  ranMs: savedDuration.default(0),
  cause: causeSchema,
});
const chargesSchema = z.array(chargeSchema).default([]);
const maybeNumber = savedNumber.nullable().default(null);
const heldShape = {
  sinceMs: savedTime.default(0),
  reason: z.string().default('the reason is not known any more'),
  trials: savedCount.default(0),
  holes: z
    .array(
      z.object({
        pmId: maybeNumber,
        charges: chargesSchema,
        failOpen: z.boolean().default(false),
        replaces: maybeNumber,
      }),
    )
    .default([]),
};

const quarantineSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('none') }),
  z.object({
    kind: z.literal('quarantined'),
    // What can't be read means: now. A quarantine always ends.
    nextTrialAtMs: savedTime.default(0),
    ...heldShape,
  }),
  z.object({
    kind: z.literal('trial'),
    startedAtMs: savedTime.default(0),
    pmId: maybeNumber,
    replaces: maybeNumber,
    trialCharges: chargesSchema,
    /** null: as its charges say. */
    mustLastMs: savedDuration.nullable().default(null),
    ...heldShape,
  }),
]);

/** One whose kind is lost is told by what else it has. */
function withKind(raw: unknown): unknown {
  if (typeof raw !== 'object' || raw === null || 'kind' in raw) return raw;
  if ('trialCharges' in raw) return { ...raw, kind: 'trial' };
  return 'holes' in raw ? { ...raw, kind: 'quarantined' } : raw;
}

export const failoverSnapshotSchema = z.record(
  z.string(),
  z.object({
    slots: z.array(z.object({ pmId: savedNumber, charges: chargesSchema })).default([]),
    successions: z
      .array(z.object({ pmId: savedNumber, replaces: savedNumber, inherited: chargesSchema }))
      .default([]),
    quarantine: z.preprocess(withKind, quarantineSchema).default({ kind: 'none' }),
    lastFailure: z
      .object({ atMs: savedTime, cause: causeSchema, detail: z.string().default(''), pmId: savedNumber })
      .nullable()
      .default(null),
  }),
);
export type FailoverSnapshot = z.infer<typeof failoverSnapshotSchema>;
type SavedQuarantine = FailoverSnapshot[string]['quarantine'];

/** As it goes on under this policy: it can always end. */
export function restoredQuarantine(saved: SavedQuarantine, policy: FailurePolicy): Quarantine {
  if (saved.kind === 'none') return saved;
  if (saved.kind === 'quarantined') return saved.holes.length === 0 ? { kind: 'none' } : saved;
  const { pmId, replaces, trialCharges, sinceMs, reason, trials, holes } = saved;
  if (pmId === null) {
    // Which instance is on trial is not known any more: its place gets another trial, now.
    const tried = { pmId, charges: trialCharges, failOpen: false, replaces };
    return { kind: 'quarantined', sinceMs, reason, trials, holes: [...holes, tried], nextTrialAtMs: 0 };
  }
  const longestMs = Math.max(policy.stableMs, policy.windowMs);
  const mustLastMs = Math.min(saved.mustLastMs ?? trialStableMs(trialCharges, policy), longestMs);
  return { ...saved, pmId, mustLastMs };
}
