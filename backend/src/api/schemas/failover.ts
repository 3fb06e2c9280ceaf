/** What `GET /api/ha/failover-manager` shows: which instances are unfit, and what was tried. */
import { z } from 'zod';
import type { FailoverView } from '../../domain/views/controlPlane.js';
import { failureCause } from './events.js';
import { count, durationMs, timestamp } from './primitives.js';
import { serviceState } from './status.js';

const instance = z.object({
  pmId: count,
  state: z.enum(['starting', 'fit', 'unfit', 'unverified', 'draining', 'quarantined', 'stopped']),
  detail: z.string(),
  attemptsUsed: count,
  consecutiveFailures: count,
  lastProbe: z
    .object({ at: timestamp, ok: z.boolean(), latencyMs: durationMs, detail: z.string() })
    .nullable(),
});

export const failover = z.object({
  limits: z.object({
    healthCheckIntervalMs: durationMs,
    healthCheckTimeoutMs: durationMs,
    maxRestartAttempts: count,
    restartCooldownMs: durationMs,
    restartWindowMs: durationMs,
    unhealthyThreshold: count,
    healthyThreshold: count,
  }),
  services: z.array(
    z.object({
      name: z.string(),
      state: serviceState,
      attemptsUsed: count,
      attemptsMax: count,
      quarantine: z
        .object({
          since: timestamp,
          reason: z.string(),
          nextTrialAt: timestamp.nullable(),
          trials: count,
        })
        .nullable(),
      lastFailure: z
        .object({ at: timestamp, cause: failureCause, detail: z.string(), pmId: count })
        .nullable(),
      lastRecovery: z.object({ at: timestamp, afterMs: durationMs }).nullable(),
      instances: z.array(instance),
    }),
  ),
}) satisfies z.ZodType<FailoverView>;
