/**
 * The endpoint with the fewest requests under way for its weight. Ties (all idle, for a start) are not left to the
 * order of the list: among equals it is whose turn it is, by weight (start-time fair queueing, as in Goyal et al., 1996:
 * every pick moves the endpoint's next turn on by 1/weight, and who was busy elsewhere has nothing saved up).
 *
 * All are compared in pools of up to 32. In a larger one a window of 32 is, which moves on with every pick: the cost
 * stays flat, and the fewest of 32 is next to the fewest of all (p2c compares two).
 */
import { isEligible, passesRamp } from './eligible.js';
import type { Algorithm, Endpoint, PickContext, Picker } from './picker.js';

const WINDOW = 32;
/** Fewer than elsewhere: each costs another comparison, and who is in slow start is soon as loaded as it may be. */
const MOST_TURNED_AWAY = 4;

class LeastConnections implements Picker {
  readonly #endpoints: readonly Endpoint[];
  readonly #random: () => number;
  /** When each endpoint's next turn is, by index; compared with others only among equals. */
  readonly #turn: Float64Array;
  /** The number of the pick in which each endpoint was last turned away by slow start, by index. */
  readonly #turnedAway: Float64Array;
  #now = 0;
  #picks = 0;
  /** Where the next comparison begins; the first one anywhere, or many workers would begin with the same one. */
  #start: number;

  constructor(endpoints: readonly Endpoint[], random: () => number) {
    this.#endpoints = endpoints;
    this.#random = random;
    this.#turn = new Float64Array(endpoints.length);
    this.#turnedAway = new Float64Array(endpoints.length);
    this.#start = Math.floor(random() * endpoints.length);
  }

  pick({ tried }: PickContext): Endpoint | null {
    this.#picks += 1;
    let last: Endpoint | null = null;
    for (let turnedAway = 0; ; turnedAway += 1) {
      const index = this.#least(tried);
      const endpoint = this.#endpoints[index];
      if (endpoint === undefined) return last;
      // Its turn, also if slow start then turns it away: its share of the turns is what the ramp is a share of.
      this.#now = this.#turnOf(index);
      this.#turn[index] = this.#now + 1 / endpoint.weight;
      if (turnedAway === MOST_TURNED_AWAY || passesRamp(endpoint, this.#random)) return endpoint;
      this.#turnedAway[index] = this.#picks;
      last = endpoint;
    }
  }

  /** Index of the least loaded of those that were not turned away in this pick, or −1. */
  #least(tried: readonly Endpoint[] | null): number {
    const count = this.#endpoints.length;
    let index = this.#start < count ? this.#start : 0;
    let best = -1;
    let bestLoad = Number.POSITIVE_INFINITY;
    for (let seen = 0; seen < count && (seen < WINDOW || best < 0); seen += 1) {
      const endpoint = this.#endpoints[index];
      if (
        endpoint !== undefined &&
        isEligible(endpoint, tried) &&
        (endpoint.ramp >= 1 || this.#turnedAway[index] !== this.#picks)
      ) {
        const load = loadOf(endpoint);
        if (load < bestLoad || (load === bestLoad && this.#turnOf(index) < this.#turnOf(best))) {
          best = index;
          bestLoad = load;
        }
      }
      index = index + 1 < count ? index + 1 : 0;
    }
    // What is equal in all else is taken in the order of the list, from the last one on.
    this.#start = count > WINDOW ? index : best + 1;
    return best;
  }

  /** Turns that passed unused are lost. */
  #turnOf(index: number): number {
    return Math.max(this.#turn[index] ?? 0, this.#now);
  }
}

/** Always below infinity, so that somebody is the least. One division, so that equal loads are equal numbers. */
function loadOf({ inFlight, weight, ramp }: Endpoint): number {
  return ramp >= 1 ? inFlight / weight : inFlight / (weight * Math.max(ramp, 1e-6));
}

export const leastConnections: Algorithm = {
  name: 'least-connections',
  keyedBy: 'none',
  build: (endpoints, random) => new LeastConnections(endpoints, random),
};
