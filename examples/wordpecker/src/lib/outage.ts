import { messageOf } from './errors.js';
import type { Log } from './log.js';

/** Whether a dependency works, logged when that changes and not per failure. */
export class Outage {
  readonly #what: string;
  readonly #log: Log;
  #sinceMs: number | null = null;
  #failures = 0;

  /** @param what names the dependency without any credential. */
  constructor(what: string, log: Log) {
    this.#what = what;
    this.#log = log;
  }

  get active(): boolean {
    return this.#sinceMs !== null;
  }

  failed(cause: unknown): void {
    this.#failures += 1;
    if (this.#sinceMs !== null) return;
    this.#sinceMs = performance.now();
    this.#log.error(`${this.#what} is unavailable; trying again until it is back`, {
      problem: messageOf(cause),
    });
  }

  works(): void {
    if (this.#sinceMs === null) return;
    const forMs = Math.round(performance.now() - this.#sinceMs);
    this.#log.info(`${this.#what} is back`, { forMs, failures: this.#failures });
    this.#sinceMs = null;
    this.#failures = 0;
  }
}
