/** How often each network (domain/network/network.ts) asks: a token bucket each that holds two seconds' worth. Bounded. */

const BURST_SECONDS = 2;
const MOST_NETWORKS = 1_024;

interface Bucket {
  left: number;
  filledMs: number;
}

export class NetworkRates {
  /** Least recently asked for first. */
  readonly #buckets = new Map<string, Bucket>();

  /** One more request. @returns false when it comes too soon. */
  take(network: string, nowMs: number, perSecond: number): boolean {
    const most = perSecond * BURST_SECONDS;
    const bucket = this.#buckets.get(network) ?? { left: most, filledMs: nowMs };
    this.#buckets.delete(network);
    this.#buckets.set(network, bucket);
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size > MOST_NETWORKS && oldest !== undefined) this.#buckets.delete(oldest);
    bucket.left = Math.min(most, bucket.left + ((nowMs - bucket.filledMs) * perSecond) / 1_000);
    bucket.filledMs = nowMs;
    if (bucket.left < 1) return false;
    bucket.left -= 1;
    return true;
  }
}
