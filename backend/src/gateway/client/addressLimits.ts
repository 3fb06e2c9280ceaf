/**
 * What one client address may have: connections at a time, and requests per second (a token bucket that holds two
 * seconds' worth). Only addresses that have a connection or have lately made requests are remembered.
 *
 * Of an IPv6 address the first bits count (64 by default): one customer gets a network of at least that size, and could
 * take another address for each connection (RFC 6177).
 */
import { networkOf } from '../../domain/network/network.js';
import type { GatewayLimits } from '../shared/limits.js';

const BURST_SECONDS = 2;
/** Beyond as many addresses requests are not counted: memory is bounded before fairness is. */
const MOST_BUCKETS = 100_000;

interface Bucket {
  tokens: number;
  filledMs: number;
}

type Limits = Pick<GatewayLimits, 'maxConnectionsPerIp' | 'maxRequestsPerSecondPerIp' | 'ipv6PrefixBits'>;

export class AddressLimits {
  readonly #limits: Limits;
  readonly #connections = new Map<string, number>();
  readonly #buckets = new Map<string, Bucket>();
  #nextCleaningMs = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** One more connection. @returns false, and counts nothing, when that is too many. */
  open(address: string): boolean {
    const client = this.#clientOf(address);
    const open = this.#connections.get(client) ?? 0;
    if (open >= this.#limits.maxConnectionsPerIp) return false;
    this.#connections.set(client, open + 1);
    return true;
  }

  /** One less. */
  close(address: string): void {
    const client = this.#clientOf(address);
    const open = this.#connections.get(client) ?? 0;
    if (open <= 1) this.#connections.delete(client);
    else this.#connections.set(client, open - 1);
  }

  /** One more request at `nowMs` (monotonic). @returns false when it comes too soon. */
  request(address: string, nowMs: number): boolean {
    const perSecond = this.#limits.maxRequestsPerSecondPerIp;
    if (perSecond === 0) return true;
    const most = perSecond * BURST_SECONDS;
    const client = this.#clientOf(address);
    let bucket = this.#buckets.get(client);
    if (bucket === undefined) {
      if (this.#buckets.size >= MOST_BUCKETS) return true;
      bucket = { tokens: most, filledMs: nowMs };
      this.#buckets.set(client, bucket);
    }
    bucket.tokens = Math.min(most, bucket.tokens + ((nowMs - bucket.filledMs) * perSecond) / 1_000);
    bucket.filledMs = nowMs;
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  #clientOf(address: string): string {
    return address.includes(':') ? networkOf(address, this.#limits.ipv6PrefixBits) : address;
  }

  /** Forgets addresses whose bucket is full again. */
  passTime(nowMs: number): void {
    if (nowMs < this.#nextCleaningMs) return;
    this.#nextCleaningMs = nowMs + BURST_SECONDS * 1_000;
    for (const [address, { filledMs }] of this.#buckets) {
      if (nowMs - filledMs > BURST_SECONDS * 1_000) this.#buckets.delete(address);
    }
  }
}
