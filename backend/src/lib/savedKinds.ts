/**
 * Kinds of values in a state file. None of these numbers can be NaN, infinite, negative or too large to calculate with,
 * whatever the file says.
 */
import { z } from 'zod';

/** The end of the year 9999: what Date shows and what can still be added to. */
const LATEST_MS = 253_402_300_799_999;
/** Thirty years: longer than anything lasts. */
const LONGEST_MS = 1e12;
const MOST = 1_000_000;

/** Since the epoch. */
export const savedTime = z.number().min(0).max(LATEST_MS);
export const savedDuration = z.number().min(0).max(LONGEST_MS);
export const savedCount = z.int().min(0).max(MOST);
/** PM2's number of a process. */
export const savedNumber = z.int().min(0);
export const savedPid = z.int().min(1);

/** What means something only as a whole: one bad member makes all of it unusable. */
export function asWhole<S extends z.ZodType>(schema: S, what: string) {
  return z.custom<z.output<S>>((value) => schema.safeParse(value).success, `expected ${what}`);
}
