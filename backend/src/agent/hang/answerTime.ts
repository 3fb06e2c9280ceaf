/**
 * How long the main thread has owed an answer, on a machine that may be busy.
 *
 * A question to the main thread needs CPU twice: the main thread has to run to answer, and this thread to hear it. By the
 * clock alone, a loop in JavaScript that gets a fiftieth of a core looks like native code, which lets no inspector in: its stack,
 * which takes 20 ms of its CPU time, comes after 1.5 s. So what counts is the time in which the answer could have come:
 * that of the clock without the time for which the kernel says that either thread waited for a CPU, and in any case the
 * CPU time of the main thread.
 */
import { nowMs } from '../clock.js';
import { readMainThread, readOwnThread } from './threadStat.js';

/** JavaScript lets the inspector in and tells its stack within 30 ms; native code has that much time, and more. */
const STACK_WAIT_MS = 120;

/** By the clock: however busy the machine is, a hang is reported after this time, with what is known by then. */
const LONGEST_STACK_WAIT_MS = 1_000;

/** Enough to say that it is native code when there is no more time to wait. */
const TELLING_MS = 60;

/** Of a thread since some moment, ms; null: not known. */
export interface ThreadTimes {
  readonly ranMs: number | null;
  readonly queuedMs: number | null;
}

/** @param passedMs by the clock; the other two: what the kernel says of these threads in the same time. */
export function owedMs(passedMs: number, main: ThreadTimes, own: ThreadTimes): number {
  // Where both wait at the same time, that is taken off twice: then the main thread's own time tells.
  const couldAnswerMs = passedMs - (main.queuedMs ?? 0) - (own.queuedMs ?? 0);
  return Math.max(0, couldAnswerMs, main.ranMs ?? 0);
}

/** For the thread that calls: how long from now on the main thread has owed it an answer, whenever it is asked, ms. */
export function startOwing(): () => number {
  const [atMs, main, own] = [nowMs(), readMainThread(), readOwnThread()];
  return () => owedMs(nowMs() - atMs, since(main, readMainThread()), since(own, readOwnThread()));
}

/**
 * What a hang is reported as while its stack has not come and no inspector was let in: native code, or that it is not known
 * because the machine hardly let the main thread run. null: not yet.
 * @param owed since the stack was asked for, see above. @param waitedMs the same by the clock.
 */
export function verdictWithoutStack(owed: number, waitedMs: number): 'native' | 'unknown' | null {
  if (owed >= STACK_WAIT_MS) return 'native';
  if (waitedMs < LONGEST_STACK_WAIT_MS) return null;
  return owed >= TELLING_MS ? 'native' : 'unknown';
}

/** Whether an inspector that is let in now has met JavaScript, and not native code that has returned. */
export function isPromptEntry(owed: number): boolean {
  return owed < STACK_WAIT_MS;
}

function since(before: ThreadTimes, now: ThreadTimes): ThreadTimes {
  return { ranMs: difference(now.ranMs, before.ranMs), queuedMs: difference(now.queuedMs, before.queuedMs) };
}

export function difference(now: number | null, before: number | null): number | null {
  return now === null || before === null ? null : now - before;
}
