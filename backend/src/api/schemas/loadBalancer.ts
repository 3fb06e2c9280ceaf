/** What `GET /api/ha/load-balancer` shows: how many instances, and why. */
import { z } from 'zod';
import type { DecisionView, LoadBalancerView } from '../../domain/views/controlPlane.js';
import { count, durationMs, maybePercent, percent, timestamp } from './primitives.js';

const decision = z.object({
  at: timestamp,
  action: z.enum(['up', 'down', 'hold']),
  from: count,
  to: count,
  reason: z.string(),
  limitedBy: z.string().nullable(),
  inputs: z.object({
    loadPercent: maybePercent,
    backlogPercent: maybePercent.describe(
      'Work that waits in an instance on average, percent of one core over 10 s; null without agents.',
    ),
    memoryPercent: maybePercent,
    ready: count,
    starting: count,
  }),
}) satisfies z.ZodType<DecisionView>;

export const loadBalancer = z.object({
  thresholds: z.object({
    cpuHighPercent: percent,
    cpuLowPercent: percent,
    memoryHighPercent: percent,
    memoryLowPercent: percent,
  }),
  scaleCooldownMs: durationMs,
  services: z.array(
    z.object({
      name: z.string(),
      current: count,
      desired: count,
      min: count,
      max: count,
      autoscale: z.boolean(),
      cooldownLeftMs: durationMs,
      last: decision.nullable().describe('The latest, also when it was to hold.'),
      decisions: z
        .array(decision)
        .describe('Moves, and holds whose reason changed. Newest last, at most 50.'),
    }),
  ),
}) satisfies z.ZodType<LoadBalancerView>;
