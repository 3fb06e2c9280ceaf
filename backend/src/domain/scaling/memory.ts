/**
 * What the scaling rule remembers of its moves: enough to cool down, not to turn back at once, and to become
 * slower to shrink after it has shrunk too early. Immutable; `remember` returns the next one.
 */

export interface ScalingMove {
  /** Monotonic. */
  readonly atMs: number;
  readonly direction: 'up' | 'down';
  readonly by: 'autoscaler' | 'operator';
}

export interface ScalingMemory {
  readonly lastMove: ScalingMove | null;
  /** Of any author: a down-window starts anew after growing. */
  readonly lastUpAtMs: number | null;
  /** Of the autoscaler: growing soon after it is a reversal. */
  readonly lastAutomaticDownAtMs: number | null;
  readonly lastReversalAtMs: number | null;
  /** Reversals in a row, each soon after the one before. At most MAX_REVERSALS. */
  readonly reversals: number;
  /** Since when memory alone has stood in the way of shrinking. */
  readonly memoryBlockedSinceMs: number | null;
}

export const NO_MEMORY: ScalingMemory = {
  lastMove: null,
  lastUpAtMs: null,
  lastAutomaticDownAtMs: null,
  lastReversalAtMs: null,
  reversals: 0,
  memoryBlockedSinceMs: null,
};

/** An automatic move never undoes the last move within this time. */
export const REVERSAL_GUARD_MS = 60_000;
/** Growing again within this time after shrinking: the shrink was too early. Forgotten after as long. */
export const REVERSAL_MEMORY_MS = 900_000;
/** The down-window doubles per reversal, at most this often: × 4. */
const MAX_REVERSALS = 2;
/** The longest that a down-window becomes, as a multiple of the configured one. */
export const MAX_WINDOW_FACTOR = 2 ** MAX_REVERSALS;

/** The memory after a move at `move.atMs`. */
export function remember(memory: ScalingMemory, move: ScalingMove): ScalingMemory {
  const next = { ...memory, lastMove: move, memoryBlockedSinceMs: null };
  if (move.direction === 'down') {
    return move.by === 'autoscaler' ? { ...next, lastAutomaticDownAtMs: move.atMs } : next;
  }
  const down = memory.lastAutomaticDownAtMs;
  const regretted = move.by === 'autoscaler' && down !== null && move.atMs - down < REVERSAL_MEMORY_MS;
  if (!regretted) return { ...next, lastUpAtMs: move.atMs };
  return {
    ...next,
    lastUpAtMs: move.atMs,
    lastAutomaticDownAtMs: null,
    lastReversalAtMs: move.atMs,
    reversals: Math.min(MAX_REVERSALS, activeReversals(memory, move.atMs) + 1),
  };
}

/** Factor on the down-window: 1, or 2 or 4 after recent reversals. */
export function downWindowFactor(memory: ScalingMemory, nowMs: number): number {
  return 2 ** activeReversals(memory, nowMs);
}

function activeReversals(memory: ScalingMemory, nowMs: number): number {
  const last = memory.lastReversalAtMs;
  return last !== null && nowMs - last < REVERSAL_MEMORY_MS ? memory.reversals : 0;
}

const TIMES = ['lastUpAtMs', 'lastAutomaticDownAtMs', 'lastReversalAtMs', 'memoryBlockedSinceMs'] as const;

/** With times on the wall clock, for JSON. `offsetMs` is wall clock minus monotonic clock, now. */
export function saveMemory(memory: ScalingMemory, offsetMs: number): ScalingMemory {
  const timeOf = (atMs: number | null): number | null => (atMs === null ? null : atMs + offsetMs);
  const { lastMove } = memory;
  return {
    ...memory,
    ...Object.fromEntries(TIMES.map((name) => [name, timeOf(memory[name])])),
    lastMove: lastMove && { ...lastMove, atMs: lastMove.atMs + offsetMs },
  };
}

/**
 * The memory in `saved`, with times on the monotonic clock; null when it is not one. A time in the future counts
 * as now.
 */
export function restoreMemory(saved: unknown, offsetMs: number, nowMs: number): ScalingMemory | null {
  if (typeof saved !== 'object' || saved === null) return null;
  const fields = saved as Readonly<Record<string, unknown>>;
  const timeOf = (value: unknown): number | null =>
    typeof value === 'number' && Number.isFinite(value) ? Math.min(nowMs, value - offsetMs) : null;
  const { reversals } = fields;
  const isCount = typeof reversals === 'number' && Number.isInteger(reversals) && reversals >= 0;
  return {
    lastMove: restoreMove(fields['lastMove'], timeOf),
    lastUpAtMs: timeOf(fields['lastUpAtMs']),
    lastAutomaticDownAtMs: timeOf(fields['lastAutomaticDownAtMs']),
    lastReversalAtMs: timeOf(fields['lastReversalAtMs']),
    reversals: isCount ? Math.min(MAX_REVERSALS, reversals) : 0,
    memoryBlockedSinceMs: timeOf(fields['memoryBlockedSinceMs']),
  };
}

function restoreMove(saved: unknown, timeOf: (value: unknown) => number | null): ScalingMove | null {
  if (typeof saved !== 'object' || saved === null) return null;
  const { atMs, direction, by } = saved as Readonly<Record<string, unknown>>;
  const at = timeOf(atMs);
  if (at === null || (direction !== 'up' && direction !== 'down')) return null;
  return { atMs: at, direction, by: by === 'operator' ? 'operator' : 'autoscaler' };
}
