/**
 * Time-outs without a timer each: whoever may run out of time carries one number, and a sweep over all of them looks
 * ten times a second. Moving a deadline is then an assignment, which a proxy does several times a request; ten
 * thousand connections are looked over in a fraction of a millisecond.
 */
import type { Clock } from '../../ports.js';

export interface Timed {
  /** Monotonic, ms; Infinity: none. Whoever owns it moves it freely. */
  deadlineMs: number;
  /** Called once per passed deadline, which is then Infinity again. */
  onDeadline(): void;
}

export class Deadlines {
  /** Monotonic time of the last sweep: costs nothing to read, and is exact to a tick, as time-outs then are. */
  nowMs: number;
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #timed = new Set<Timed>();
  readonly #onTick: (nowMs: number) => void;
  #cancel: (() => void) | null = null;

  /** @param onTick called with every sweep, before it. */
  constructor(clock: Clock, tickMs: number, onTick: (nowMs: number) => void) {
    this.#clock = clock;
    this.#tickMs = tickMs;
    this.#onTick = onTick;
    this.nowMs = clock.nowMs();
  }

  add(timed: Timed): void {
    this.#timed.add(timed);
  }

  delete(timed: Timed): void {
    this.#timed.delete(timed);
  }

  start(): void {
    this.#cancel ??= this.#clock.after(this.#tickMs, () => {
      this.#cancel = null;
      this.#sweep();
      this.start();
    });
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  #sweep(): void {
    const nowMs = this.#clock.nowMs();
    this.nowMs = nowMs;
    this.#onTick(nowMs);
    for (const timed of this.#timed) {
      if (timed.deadlineMs > nowMs) continue;
      timed.deadlineMs = Number.POSITIVE_INFINITY;
      timed.onDeadline();
    }
  }
}
