/**
 * The real clock. Timers are unref'd: what keeps the supervisor alive is its listening socket, so that a timer
 * somebody forgot can never hold up a shutdown.
 */
import type { Clock } from '../ports.js';

/** setTimeout takes a signed 32-bit delay and fires at once beyond it. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

function after(delayMs: number, run: () => void): () => void {
  let timer: NodeJS.Timeout;
  const arm = (leftMs: number): void => {
    const stepMs = Math.min(leftMs, LONGEST_TIMER_MS);
    timer = setTimeout(() => (leftMs > stepMs ? arm(leftMs - stepMs) : run()), stepMs);
    timer.unref();
  };
  arm(delayMs);
  return () => clearTimeout(timer);
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after,
};
