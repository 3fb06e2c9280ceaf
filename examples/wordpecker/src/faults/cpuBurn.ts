/**
 * Burns a chosen share of one core on the main thread, in slices short enough that requests are still answered
 * in between. It steers by the CPU time that the process really got, not by the wall clock: on a busy machine
 * a slice that was preempted has not burnt anything.
 */
const SLICE_MS = 10;
/** Time that could not be burnt (starved machine, blocked loop) is caught up only this far. */
const MAX_DEBT_MS = 200;

export class CpuBurn {
  #cancel: (() => void) | null = null;

  get active(): boolean {
    return this.#cancel !== null;
  }

  /** Replaces a burn that is under way. `percent` is of one core, 1–100; `durationMs` 0 only stops. */
  start(percent: number, durationMs: number): void {
    this.stop();
    if (durationMs <= 0) return;
    const untilMs = performance.now() + durationMs;
    let lastMs = performance.now();
    let debtMs = 0;
    const step = (): void => {
      const nowMs = performance.now();
      if (nowMs >= untilMs) return this.stop();
      debtMs = Math.min(MAX_DEBT_MS, debtMs + ((nowMs - lastMs) * percent) / 100);
      lastMs = nowMs;
      if (debtMs >= 1) debtMs -= spin(Math.min(debtMs, SLICE_MS));
      this.#next(step, debtMs >= 1 ? 0 : SLICE_MS);
    };
    this.#next(step, 0);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  #next(step: () => void, delayMs: number): void {
    if (delayMs === 0) {
      const immediate = setImmediate(step);
      this.#cancel = () => clearImmediate(immediate);
    } else {
      const timeout = setTimeout(step, delayMs);
      this.#cancel = () => clearTimeout(timeout);
    }
  }
}

/** Spins until `cpuMs` of CPU time is used, but not for longer than four times that; returns what was used. */
function spin(cpuMs: number): number {
  const start = process.cpuUsage();
  const deadlineMs = performance.now() + cpuMs * 4;
  for (;;) {
    const { user, system } = process.cpuUsage(start);
    const usedMs = (user + system) / 1000;
    if (usedMs >= cpuMs || performance.now() >= deadlineMs) return usedMs;
  }
}
