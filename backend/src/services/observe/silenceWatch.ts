/**
 * Who has fallen silent, counted in looks of our own and not in time: a supervisor that was itself held up (stopped, a
 * laptop that slept, a machine that is overloaded) has heard nobody meanwhile, and must judge nobody for that.
 *
 *   heard ──looks without a word──▶ silent after LOOKS_UNTIL_SILENT ──a word──▶ heard
 */
import type { Clock } from '../../ports.js';

export interface SilenceWatchOptions {
  readonly clock: Clock;
  /** Called at the first look at which that process counts as silent, and then every few looks while it stays so. */
  readonly onSilent: (pid: number, silentMs: number) => void;
  /**
   * After every look, but for the first of those that come late in a row: what was said meanwhile is heard after that one,
   * and before the next, however late that is.
   */
  readonly onLook: () => void;
}

const LOOK_INTERVAL_MS = 250;
const LOOKS_UNTIL_SILENT = 8;
/** While it goes on. */
const LOOKS_BETWEEN = 4;
/** A look that comes so late says that we were held up. */
const LATE_MS = 2 * LOOK_INTERVAL_MS;

export class SilenceWatch {
  readonly #options: SilenceWatchOptions;
  /** Looks since the last word. */
  readonly #looks = new Map<number, number>();
  #lookedAtMs: number;
  #lastWasLate = false;
  #cancelTimer: () => void;

  constructor(options: SilenceWatchOptions) {
    this.#options = options;
    this.#lookedAtMs = options.clock.nowMs();
    this.#cancelTimer = options.clock.after(LOOK_INTERVAL_MS, () => this.#look());
  }

  heard(pid: number): void {
    this.#looks.set(pid, 0);
  }

  forget(pid: number): void {
    this.#looks.delete(pid);
  }

  isSilent(pid: number): boolean {
    return (this.#looks.get(pid) ?? 0) >= LOOKS_UNTIL_SILENT;
  }

  /** Whether we were held up until just now: what is heard first may be old. */
  isHeldUp(): boolean {
    return this.#options.clock.nowMs() - this.#lookedAtMs > LATE_MS;
  }

  close(): void {
    this.#cancelTimer();
  }

  #look(): void {
    const { clock, onSilent, onLook } = this.#options;
    const wasHeldUp = this.isHeldUp();
    const isFirstLate = wasHeldUp && !this.#lastWasLate;
    this.#lastWasLate = wasHeldUp;
    this.#lookedAtMs = clock.nowMs();
    this.#cancelTimer = clock.after(LOOK_INTERVAL_MS, () => this.#look());
    if (wasHeldUp) {
      for (const pid of this.#looks.keys()) this.#looks.set(pid, 0);
      if (!isFirstLate) onLook();
      return;
    }
    for (const [pid, before] of this.#looks) {
      const looks = before + 1;
      this.#looks.set(pid, looks);
      const over = looks - LOOKS_UNTIL_SILENT;
      if (over >= 0 && over % LOOKS_BETWEEN === 0) onSilent(pid, looks * LOOK_INTERVAL_MS);
    }
    onLook();
  }
}
