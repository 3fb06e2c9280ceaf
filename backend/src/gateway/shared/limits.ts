/** What a gateway worker allows: every wait, buffer and queue of the data path has its bound here. */
import type { HeadLimits } from '../http1/refusal.js';

export interface GatewayLimits extends HeadLimits {
  /** From the first byte of a head (or from accepting the connection) to its end. */
  readonly headTimeoutMs: number;
  /** A client connection without a request. */
  readonly idleTimeoutMs: number;
  /** Pause in a request's body, or in a client's reading of the answer. */
  readonly bodyTimeoutMs: number;
  readonly connectTimeoutMs: number;
  /** From the last byte of the request to the head of the answer. */
  readonly responseTimeoutMs: number;
  /** Pause in an answer's body. */
  readonly streamTimeoutMs: number;
  /** An upgraded connection on which nothing moves. */
  readonly tunnelTimeoutMs: number;
  /** How long a client is still read from after its last answer, so that no reset overtakes that. */
  readonly lingerMs: number;
  /** An unused upstream connection; below the application's own keep-alive time-out (Node: 5 s). */
  readonly upstreamIdleMs: number;
  /** Payload of one request. */
  readonly maxBodyBytes: number;
  /** Of a request's body, kept to be sent again in a retry. */
  readonly maxKeptBodyBytes: number;
  readonly maxConnections: number;
  /** Requests at a time on one HTTP/2 connection; each counts as a connection in the limits on those. */
  readonly maxStreamsPerConnection: number;
  /** From one address; trusted proxies are exempt. */
  readonly maxConnectionsPerIp: number;
  /** Per client address, with bursts of twice as many; 0: no limit. */
  readonly maxRequestsPerSecondPerIp: number;
  /** Bits of an IPv6 address that make one client of these limits. */
  readonly ipv6PrefixBits: number;
  readonly maxInFlightPerUpstream: number;
  /** As many as may be in flight: what a burst needed, the next one needs again. Unused ones end by `upstreamIdleMs`. */
  readonly maxIdlePerUpstream: number;
  /** Requests of one pool that wait until an upstream has room. */
  readonly maxQueued: number;
  readonly queueTimeoutMs: number;
  /**
   * How long a request is held when nobody can take it (the only instance is being replaced), in the same queue. Only
   * requests that may be sent again, or were not sent at all. 0: not at all.
   */
  readonly holdMs: number;
  /** Of one request, the first one included; what never reached an upstream is none. Default: that of HAProxy. */
  readonly maxAttempts: number;
  /** How exactly time-outs are kept: up to this much earlier or later. */
  readonly tickMs: number;
}

export const DEFAULT_LIMITS: GatewayLimits = {
  maxHeadBytes: 16_384,
  maxTargetBytes: 8_192,
  maxFields: 100,
  headTimeoutMs: 10_000,
  idleTimeoutMs: 60_000,
  bodyTimeoutMs: 30_000,
  connectTimeoutMs: 3_000,
  responseTimeoutMs: 60_000,
  streamTimeoutMs: 300_000,
  tunnelTimeoutMs: 3_600_000,
  lingerMs: 2_000,
  upstreamIdleMs: 4_000,
  maxBodyBytes: 1_073_741_824,
  maxKeptBodyBytes: 65_536,
  maxConnections: 10_000,
  maxStreamsPerConnection: 100,
  maxConnectionsPerIp: 1_000,
  maxRequestsPerSecondPerIp: 0,
  ipv6PrefixBits: 64,
  maxInFlightPerUpstream: 1_024,
  maxIdlePerUpstream: 1_024,
  maxQueued: 1_024,
  queueTimeoutMs: 5_000,
  holdMs: 2_000,
  maxAttempts: 4,
  tickMs: 100,
};

/**
 * The time-out for what an exchange awaits now, ms.
 * @param relay of the attempt under way; undefined: the request waits for an upstream.
 * @param isBodyDue whether more of the request's body is to come.
 */
export function allowedMs(
  limits: GatewayLimits,
  relay: { readonly head: object | null; readonly clientIsFull: boolean } | undefined,
  isBodyDue: boolean,
): number {
  if (relay === undefined) return limits.queueTimeoutMs;
  if (isBodyDue || relay.clientIsFull) return limits.bodyTimeoutMs;
  return relay.head === null ? limits.responseTimeoutMs : limits.streamTimeoutMs;
}
