/** What a client may do of something that costs us more than it costs the client: so much at once, then slowly. */
export class Allowance {
  readonly #burst: number;
  readonly #perSecond: number;
  #left: number;
  #filledMs: number | null = null;

  constructor(limits: { readonly burst: number; readonly perSecond: number }) {
    this.#burst = limits.burst;
    this.#perSecond = limits.perSecond;
    this.#left = limits.burst;
  }

  /** Spends one of it at `nowMs` (monotonic). @returns false when there is none left. */
  spend(nowMs: number): boolean {
    const elapsedMs = nowMs - (this.#filledMs ?? nowMs);
    this.#left = Math.min(this.#burst, this.#left + (elapsedMs * this.#perSecond) / 1_000);
    this.#filledMs = nowMs;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
