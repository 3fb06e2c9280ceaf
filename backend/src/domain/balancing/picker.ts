/**
 * What every balancing algorithm is: built from the endpoints of one pool whenever the pool changes, asked once a
 * request. Building may take its time; picking may not: no allocation, no clock, no I/O.
 */

/** An upstream as the data path sees it. Its counters are the data path's own and live. */
export interface Endpoint {
  /** Stable over pool changes: host:port. */
  readonly id: string;
  /** Relative share of traffic, 1–1000. */
  readonly weight: number;
  /** Requests under way there from this worker. */
  inFlight: number;
  /** False: not to be picked (unhealthy, ejected, draining, circuit open). */
  available: boolean;
  /** Slow start: the share of its weight it may take now, 0–1. */
  ramp: number;
}

export interface PickContext {
  /** 32-bit hash of whatever the algorithm keys on (client address, header, cookie, path); 0 when there is none. */
  readonly hash: number;
  /** Endpoints already tried for this request, not to be picked again; null for none. */
  readonly tried: readonly Endpoint[] | null;
}

export interface Picker {
  /** The endpoint for this request, or null when none is available. Never throws. */
  pick(context: PickContext): Endpoint | null;
}

/** How a pool picks. `build` is called with the endpoints in a stable order. */
export interface Algorithm {
  /** As in LB_ALGORITHM. */
  readonly name: string;
  /** What the request's hash is made of; `none` when the algorithm ignores it. */
  readonly keyedBy: 'none' | 'client-ip' | 'configured';
  build(endpoints: readonly Endpoint[], random: () => number): Picker;
}
