/**
 * Bounds how fast an address may try tokens: a token bucket each, charged per *wrong* guess. An empty bucket
 * refuses before anything is compared, so a right guess can't be told from a wrong one.
 *
 * The same wrong token again is not a new guess and costs nothing; otherwise one client with an outdated token
 * would lock out everybody behind its address, most likely in the middle of an incident.
 */
import { isIPv6 } from 'node:net';

interface Bucket {
  left: number;
  updatedMs: number;
  /** Digests of the last wrong guesses, oldest first. */
  readonly known: string[];
}

/** Wrong tokens remembered per address as "already tried". */
const KNOWN_GUESSES = 4;

export interface GuessLimits {
  /** Wrong guesses that an address may make at once. */
  readonly burst: number;
  /** Time in which one more is allowed, ms. */
  readonly refillMs: number;
  /** Addresses that are remembered. */
  readonly addresses: number;
}

/** Ten wrong tokens at once, and one more every six seconds. */
export const DEFAULT_GUESS_LIMITS: GuessLimits = { burst: 10, refillMs: 6_000, addresses: 1_024 };

export class GuessLimiter {
  readonly #limits: GuessLimits;
  /** Least recently charged first. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(limits: GuessLimits) {
    this.#limits = limits;
  }

  /** Seconds until `address` may guess again; 0 when it may now. */
  waitSeconds(address: string, nowMs: number): number {
    const bucket = this.#buckets.get(networkOf(address));
    if (bucket === undefined) return 0;
    this.#refill(bucket, nowMs);
    return bucket.left >= 1 ? 0 : Math.ceil(((1 - bucket.left) * this.#limits.refillMs) / 1000);
  }

  /** Charges a wrong guess, unless this very one was charged lately. Returns whether it was. */
  charge(address: string, guessDigest: string, nowMs: number): boolean {
    const key = networkOf(address);
    const bucket = this.#buckets.get(key) ?? { left: this.#limits.burst, updatedMs: nowMs, known: [] };
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    for (const oldest of this.#buckets.keys()) {
      if (this.#buckets.size <= this.#limits.addresses) break;
      this.#buckets.delete(oldest);
    }
    if (bucket.known.includes(guessDigest)) return false;
    bucket.known.push(guessDigest);
    if (bucket.known.length > KNOWN_GUESSES) bucket.known.shift();
    this.#refill(bucket, nowMs);
    bucket.left = Math.max(0, bucket.left - 1);
    return true;
  }

  /** Addresses remembered. */
  get size(): number {
    return this.#buckets.size;
  }

  #refill(bucket: Bucket, nowMs: number): void {
    const earned = (nowMs - bucket.updatedMs) / this.#limits.refillMs;
    bucket.left = Math.min(this.#limits.burst, bucket.left + Math.max(0, earned));
    bucket.updatedMs = nowMs;
  }
}

/** An IPv4 address stands for itself, an IPv6 one for its /64: that much one customer gets. */
function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  const zeros = tail === undefined ? 0 : 8 - groups.length - (tail === '' ? 0 : tail.split(':').length);
  const all = [...groups, ...Array.from({ length: zeros }, () => '0'), ...(tail ? tail.split(':') : [])];
  return all.slice(0, 4).join(':');
}
