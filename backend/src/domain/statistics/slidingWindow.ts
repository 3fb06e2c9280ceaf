/**
 * Looks back on a growing counter: what was it a minute ago? Samples are taken at most once a step and only as many
 * as the window needs, so a window's size does not depend on how often it is asked or told.
 *
 * Values are kept by reference and must not be changed afterwards; one that did not change costs a slot, no copy.
 */

interface Sample<T> {
  readonly atMs: number;
  readonly value: T;
}

export class SlidingWindow<T> {
  readonly #stepMs: number;
  readonly #lengthMs: number;
  /** Oldest first; the first may be older than the window by one step. */
  readonly #samples: Sample<T>[] = [];

  /** @param lengthMs how far back it can look, ms; @param stepMs time between two samples, ms. */
  constructor(lengthMs: number, stepMs: number) {
    this.#lengthMs = lengthMs;
    this.#stepMs = stepMs;
  }

  /** The counter is `value` now (monotonic, ms). Ignored while the last sample is younger than a step. */
  add(atMs: number, value: T): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && atMs - last.atMs < this.#stepMs) return;
    this.#samples.push({ atMs, value });
    while (this.#samples.length > 1 && (this.#samples[1]?.atMs ?? Infinity) <= atMs - this.#lengthMs) {
      this.#samples.shift();
    }
  }

  /**
   * The youngest sample that is at least `backMs` old, else the oldest there is: what to compare the present with.
   * null before the first, or while it is of this very moment.
   */
  before(nowMs: number, backMs: number): { readonly value: T; readonly elapsedMs: number } | null {
    let found = this.#samples[0];
    for (const sample of this.#samples) {
      if (sample.atMs > nowMs - backMs) break;
      found = sample;
    }
    if (found === undefined || found.atMs >= nowMs) return null;
    return { value: found.value, elapsedMs: nowMs - found.atMs };
  }

  get size(): number {
    return this.#samples.length;
  }
}
