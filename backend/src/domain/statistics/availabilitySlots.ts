/**
 * A day of a service in 288 slots of five minutes: how long it was up, degraded and down in each. What nobody watched
 * is in none of them. Constant size, small enough to be written every minute, and it survives its writer.
 */
import type { Condition } from './serviceCondition.js';

export const SLOT_MS = 5 * 60_000;
export const SLOTS = 288;

/** Services remembered at most; more are not sampled. */
export const MOST_SERVICES = 200;

/** Seconds in each condition. */
export interface Slot {
  readonly up: number;
  readonly degraded: number;
  readonly down: number;
}

/** Slots by their number since the epoch (wall clock ÷ SLOT_MS), ascending; slots without any sample are absent. */
export type SlotHistory = readonly (readonly [number: number, slot: Slot])[];

/** By service. */
export type AvailabilityDay = Readonly<Record<string, SlotHistory>>;

const EMPTY_SLOT: Slot = { up: 0, degraded: 0, down: 0 };

/**
 * `seconds` in `condition`, just before `wallMs`. Time in the future of the clock (it was set back) is forgotten, so
 * that a slot never waits a year to be overwritten.
 */
export function addSample(
  history: SlotHistory,
  wallMs: number,
  condition: Condition,
  seconds: number,
): SlotHistory {
  if (!(seconds > 0)) return history;
  const current = Math.floor(wallMs / SLOT_MS);
  const kept = history.filter(([number]) => number > current - SLOTS && number <= current);
  const last = kept.at(-1);
  const slot = last?.[0] === current ? last[1] : EMPTY_SLOT;
  const grown = { ...slot, [condition]: Math.min(SLOT_MS / 1000, slot[condition] + seconds) };
  return [...kept.filter(([number]) => number < current), [current, grown]];
}

/** Removes what is older than a day, and services of which nothing is left. */
export function forgetOld(day: AvailabilityDay, wallMs: number): AvailabilityDay {
  const oldest = Math.floor(wallMs / SLOT_MS) - SLOTS;
  const kept = Object.entries(day)
    .map(([name, history]) => [name, history.filter(([number]) => number > oldest)] as const)
    .filter(([, history]) => history.length > 0);
  return Object.fromEntries(kept);
}

/** The last SLOTS slots, oldest first; null where nobody watched. */
export function slotsOfDay(history: SlotHistory, wallMs: number): (Slot | null)[] {
  const byNumber = new Map(history);
  const current = Math.floor(wallMs / SLOT_MS);
  return Array.from({ length: SLOTS }, (_, index) => byNumber.get(current - SLOTS + 1 + index) ?? null);
}

/** Share of the watched time in which the service answered (up or degraded), 0–1; null when nobody watched. */
export function availabilityOf(slots: readonly (Slot | null)[]): number | null {
  let answered = 0;
  let watched = 0;
  for (const slot of slots) {
    if (slot === null) continue;
    answered += slot.up + slot.degraded;
    watched += slot.up + slot.degraded + slot.down;
  }
  return watched === 0 ? null : answered / watched;
}

/**
 * The condition that stands for a slot: down when it was down for at least 5 s of it, or all the time it was
 * watched; degraded likewise; else up. A bar is looked at to find what was wrong, so the worst that mattered shows.
 */
export function conditionOfSlot({ up, degraded, down }: Slot): Condition {
  const watched = up + degraded + down;
  const matters = (seconds: number): boolean => seconds > 0 && (seconds >= 5 || seconds >= watched / 2);
  if (matters(down)) return 'down';
  return matters(degraded + down) ? 'degraded' : 'up';
}

/** What was persisted, as far as it can be a day: anything else in it is left out. */
export function restoreDay(saved: unknown, wallMs: number): AvailabilityDay {
  if (typeof saved !== 'object' || saved === null) return {};
  const entries = Object.entries(saved)
    .slice(0, MOST_SERVICES)
    .map(([name, history]) => [name, restoreHistory(history)] as const);
  return forgetOld(Object.fromEntries(entries), wallMs);
}

function restoreHistory(saved: unknown): SlotHistory {
  if (!Array.isArray(saved)) return [];
  const slots = saved.slice(-SLOTS).filter(isEntry);
  return slots.toSorted(([a], [b]) => a - b);
}

function isEntry(entry: unknown): entry is readonly [number, Slot] {
  if (!Array.isArray(entry) || !Number.isSafeInteger(entry[0])) return false;
  const slot: unknown = entry[1];
  if (typeof slot !== 'object' || slot === null) return false;
  const { up, degraded, down } = slot as Readonly<Record<string, unknown>>;
  return [up, degraded, down].every(
    (seconds) => typeof seconds === 'number' && seconds >= 0 && seconds <= SLOT_MS / 1000,
  );
}
