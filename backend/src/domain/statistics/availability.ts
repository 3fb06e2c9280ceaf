/**
 * The high-availability figures of a service, as a handful of sums: small enough to persist on every change,
 * mergeable over services, and the same whether the supervisor ran through or was restarted in between.
 *
 * Every function returns a new tally. Time that nobody watched (the supervisor was down or suspended) is neither
 * up nor down; it is not counted.
 */
import { percentOf } from '../../lib/numbers.js';

export interface AvailabilityTally {
  /** Time watched. */
  readonly observedMs: number;
  /** Of it, with at least one serving instance. */
  readonly servingMs: number;
  readonly failures: number;
  /** Failures that ended in a verified recovery. */
  readonly recoveries: number;
  readonly recoveryMs: number;
  /** Failures that ended otherwise: in quarantine. */
  readonly lost: number;
  readonly scalings: number;
  readonly scalingMs: number;
}

export const EMPTY_TALLY: AvailabilityTally = {
  observedMs: 0,
  servingMs: 0,
  failures: 0,
  recoveries: 0,
  recoveryMs: 0,
  lost: 0,
  scalings: 0,
  scalingMs: 0,
};

export interface HighAvailabilityFigures {
  /** Share of observed time with at least one serving instance, 0–100; null before the first second. */
  readonly availabilityPercent: number | null;
  readonly observedSeconds: number;
  /** Mean time from a failure to its verified recovery; null when there was none. */
  readonly mttrMs: number | null;
  /** Mean time from a scale decision to all instances serving. */
  readonly scaleReactionMs: number | null;
  /** Recovered ÷ all failures that ended, 0–100. */
  readonly failoverSuccessPercent: number | null;
  readonly failures: number;
  readonly recoveries: number;
}

/** A longer gap between two looks was not watched: the process was suspended, or the tick was blocked. */
const MAX_WATCHED_GAP_MS = 15_000;

/**
 * Time passed since the last look.
 * @param serving whether at least one instance served during it (the state seen at its beginning).
 */
export function addElapsed(tally: AvailabilityTally, elapsedMs: number, serving: boolean): AvailabilityTally {
  if (!(elapsedMs > 0) || elapsedMs > MAX_WATCHED_GAP_MS) return tally;
  return {
    ...tally,
    observedMs: tally.observedMs + elapsedMs,
    servingMs: tally.servingMs + (serving ? elapsedMs : 0),
  };
}

/** An instance was found unfit, or left by itself. */
export function addFailure(tally: AvailabilityTally): AvailabilityTally {
  return { ...tally, failures: tally.failures + 1 };
}

/** A failure ended in a verified recovery, `afterMs` after it was seen. */
export function addRecovery(tally: AvailabilityTally, afterMs: number): AvailabilityTally {
  return {
    ...tally,
    recoveries: tally.recoveries + 1,
    recoveryMs: tally.recoveryMs + Math.max(0, afterMs),
  };
}

/** A failure ended without recovery: its budget was spent. */
export function addLoss(tally: AvailabilityTally): AvailabilityTally {
  return { ...tally, lost: tally.lost + 1 };
}

/** All instances of a scale decision serve, `afterMs` after it. */
export function addScaling(tally: AvailabilityTally, afterMs: number): AvailabilityTally {
  return { ...tally, scalings: tally.scalings + 1, scalingMs: tally.scalingMs + Math.max(0, afterMs) };
}

/** The sum over services: availability becomes the mean weighted by the time each was watched. */
export function mergeTallies(tallies: readonly AvailabilityTally[]): AvailabilityTally {
  const sum = (name: keyof AvailabilityTally): number =>
    tallies.reduce((total, tally) => total + tally[name], 0);
  return {
    observedMs: sum('observedMs'),
    servingMs: sum('servingMs'),
    failures: sum('failures'),
    recoveries: sum('recoveries'),
    recoveryMs: sum('recoveryMs'),
    lost: sum('lost'),
    scalings: sum('scalings'),
    scalingMs: sum('scalingMs'),
  };
}

/** What people are shown; null where there is nothing to divide by. */
export function figuresOf(tally: AvailabilityTally): HighAvailabilityFigures {
  const ended = tally.recoveries + tally.lost;
  return {
    availabilityPercent: tally.observedMs < 1000 ? null : percentOf(tally.servingMs, tally.observedMs, 4),
    observedSeconds: Math.floor(tally.observedMs / 1000),
    mttrMs: tally.recoveries === 0 ? null : Math.round(tally.recoveryMs / tally.recoveries),
    scaleReactionMs: tally.scalings === 0 ? null : Math.round(tally.scalingMs / tally.scalings),
    failoverSuccessPercent: percentOf(tally.recoveries, ended),
    failures: tally.failures,
    recoveries: tally.recoveries,
  };
}

/** A tally as it was persisted. A sum that can't be one (damaged, or of another version) begins anew. */
export function restoreTally(saved: unknown): AvailabilityTally {
  if (typeof saved !== 'object' || saved === null) return EMPTY_TALLY;
  const fields = saved as Readonly<Record<string, unknown>>;
  const restored: Record<keyof AvailabilityTally, number> = { ...EMPTY_TALLY };
  for (const name of Object.keys(EMPTY_TALLY) as (keyof AvailabilityTally)[]) {
    const value = fields[name];
    const isSum = typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER;
    restored[name] = isSum ? value : 0;
  }
  return { ...restored, servingMs: Math.min(restored.servingMs, restored.observedMs) };
}
