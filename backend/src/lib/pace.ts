/**
 * Asks again and again, and does not let a late answer hold up the next question: while one is unanswered for longer
 * than the fast interval, others are sent beside it, up to a bound. So whoever counts consecutive bad answers learns of
 * a silent peer after `time-out + (bound − 1) × fast interval` and not after `bound × time-out`.
 */
export interface PaceOptions {
  /** Calls once after `delayMs`; the returned function cancels. */
  readonly after: (delayMs: number, run: () => void) => () => void;
  /** Asks once, with an answer or a time-out of its own. Never rejects. */
  readonly ask: () => Promise<void>;
  /** Pause before the next question, once all are answered, ms. */
  readonly pauseMs: () => number;
  /** Pause before another question is sent beside unanswered ones, ms. */
  readonly fastMs: () => number;
  /** Most questions without an answer at a time. */
  readonly most: () => number;
}

export class Pace {
  readonly #options: PaceOptions;
  #outstanding = 0;
  #stopped = false;
  #cancelTimer: () => void = () => undefined;

  /** Asks at once. */
  constructor(options: PaceOptions) {
    this.#options = options;
    this.#ask();
  }

  /** The pause has another length now: counts it anew. */
  reschedule(): void {
    if (this.#outstanding === 0) this.#schedule();
  }

  /** Asks now, and counts the pause from there. */
  hurry(): void {
    if (this.#outstanding === 0 && !this.#stopped) this.#ask();
  }

  /** Asks no more. Answers under way still come. */
  stop(): void {
    this.#stopped = true;
    this.#cancelTimer();
  }

  #ask(): void {
    const { after, ask, fastMs, most } = this.#options;
    this.#outstanding += 1;
    void ask().then(() => {
      this.#outstanding -= 1;
      // While others are unanswered their own pace goes on: an answer to one must not put off the next.
      if (this.#outstanding === 0) this.#schedule();
    });
    this.#cancelTimer();
    this.#cancelTimer = after(fastMs(), () => {
      if (this.#outstanding > 0 && this.#outstanding < most()) this.#ask();
    });
  }

  #schedule(): void {
    this.#cancelTimer();
    if (this.#stopped) return;
    this.#cancelTimer = this.#options.after(this.#options.pauseMs(), () => this.#ask());
  }
}
