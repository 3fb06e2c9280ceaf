/**
 * A key (header, cookie, path or client address: the pool's `hashOn`) keeps its upstream, as with `ip-hash`, but no
 * upstream takes more than 1.25 times its fair share of the requests under way: what is over goes to the key's next
 * upstreams (V. Mirrokni, M. Thorup, M. Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2018). One hot key can
 * then make an upstream busy, not overrun it.
 *
 * The bound of an upstream is ceil(1.25 × requests under way everywhere × its share of the weight of all available), this
 * request included. The sums are kept by looking at 8 endpoints a pick, in turn: exact at every pick in pools of up to
 * 8, at most n/8 picks old in larger ones.
 */
import { KeyedEndpoints } from './keyed.js';
import type { Algorithm, Endpoint, PickContext, Picker } from './picker.js';

const BOUND = 1.25;
const LOOKED_AT_PER_PICK = 8;

class ConsistentHash implements Picker {
  readonly #endpoints: readonly Endpoint[];
  readonly #keyed: KeyedEndpoints;
  /** What each endpoint adds to the sums, as last seen. */
  readonly #inFlight: Int32Array;
  readonly #shares: Int32Array;
  #totalInFlight = 0;
  #totalShares = 0;
  #next = 0;

  constructor(endpoints: readonly Endpoint[], random: () => number) {
    this.#endpoints = endpoints;
    this.#inFlight = new Int32Array(endpoints.length);
    this.#shares = new Int32Array(endpoints.length);
    this.#keyed = new KeyedEndpoints(endpoints, random, (endpoint, index) => {
      this.#look(endpoint, index);
      return endpoint.inFlight < this.#mostInFlight(endpoint);
    });
    for (const [index, endpoint] of endpoints.entries()) this.#look(endpoint, index);
  }

  pick({ hash, tried }: PickContext): Endpoint | null {
    const looks = Math.min(LOOKED_AT_PER_PICK, this.#endpoints.length);
    for (let look = 0; look < looks; look += 1) {
      const endpoint = this.#endpoints[this.#next];
      if (endpoint !== undefined) this.#look(endpoint, this.#next);
      this.#next = this.#next + 1 < this.#endpoints.length ? this.#next + 1 : 0;
    }
    return this.#keyed.pick(hash, tried);
  }

  /** Requests on an endpoint that takes no new ones are no reason for the others to take more, or less. */
  /** Requests on an endpoint that takes no new ones are no reason for the others to take more, or less. */
  #look(endpoint: Endpoint, index: number): void {
    const inFlight = endpoint.available ? endpoint.inFlight : 0;
    const share = endpoint.available ? shareOf(endpoint) : 0;
    this.#totalInFlight += inFlight - (this.#inFlight[index] ?? 0);
    this.#totalShares += share - (this.#shares[index] ?? 0);
    this.#inFlight[index] = inFlight;
    this.#shares[index] = share;
  }

  #mostInFlight(endpoint: Endpoint): number {
    return Math.ceil((BOUND * (this.#totalInFlight + 1) * shareOf(endpoint)) / this.#totalShares);
  }
}

/** Weight × ramp in whole 1024ths: sums of them never drift. */
function shareOf({ weight, ramp }: Endpoint): number {
  return weight * Math.ceil(1024 * Math.min(ramp, 1));
}

export const consistentHash: Algorithm = {
  name: 'consistent-hash',
  keyedBy: 'configured',
  build: (endpoints, random) => new ConsistentHash(endpoints, random),
};
