/**
 * A figure that takes time to get: the last known one at once, a fresh one fetched when it is asked for and old.
 * At most one fetch runs; a failed one is tried again after the usual interval.
 */
export class Background<T> {
  readonly #fetch: () => Promise<T | null>;
  readonly #everyMs: number;
  readonly #nowMs: () => number;
  #value: T | null = null;
  #startedAtMs = Number.NEGATIVE_INFINITY;
  #fetching = false;

  /** @param everyMs at most one fetch in so long. */
  constructor(fetch: () => Promise<T | null>, everyMs: number, nowMs: () => number) {
    this.#fetch = fetch;
    this.#everyMs = everyMs;
    this.#nowMs = nowMs;
  }

  /** The last known figure; null before the first, after a failure, and when a fetch is overdue. */
  latest(): T | null {
    const sinceMs = this.#nowMs() - this.#startedAtMs;
    if (this.#fetching) return sinceMs > 2 * this.#everyMs ? null : this.#value;
    if (sinceMs >= this.#everyMs) void this.#refresh();
    return this.#value;
  }

  async #refresh(): Promise<void> {
    this.#fetching = true;
    this.#startedAtMs = this.#nowMs();
    try {
      this.#value = await this.#fetch();
    } catch {
      this.#value = null;
    }
    this.#fetching = false;
  }
}
