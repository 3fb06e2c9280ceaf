/**
 * Smooth weighted turns: with weights 5, 1, 1 the order is a a b a c a a and not a a a a a b c, as nginx has it, but in
 * O(log n) instead of asking every endpoint at every pick.
 *
 * Every endpoint has a time at which its next turn is due; after a turn the next is due 1/weight later; the earliest
 * goes first (earliest deadline first, on a heap). First turns are staggered, or all light endpoints would come after
 * one another; where the order begins is left to chance, or many workers would begin alike. Who is not to be had when its turn comes is parked, off the heap, so that a pool of which most are down
 * costs no more. Every pick looks at one parked endpoint; back again, it is due its usual interval from now, like one
 * that has just had a turn: it catches nothing up.
 */
import { isEligible, MOST_TURNED_AWAY, passesRamp } from './eligible.js';
import type { Algorithm, Endpoint, PickContext, Picker } from './picker.js';

class WeightedRoundRobin implements Picker {
  readonly #endpoints: readonly Endpoint[];
  readonly #random: () => number;
  /** When each endpoint's next turn is due, by index. */
  readonly #due: Float64Array;
  /** Indices: a binary heap by `due` in [0, heaped), then the parked ones. */
  readonly #order: Uint32Array;
  #heaped: number;
  /** Which parked one was looked at last. */
  #looked = 0;
  /** The time of the latest turn. */
  #now = 0;

  constructor(endpoints: readonly Endpoint[], random: () => number) {
    this.#endpoints = endpoints;
    this.#random = random;
    this.#order = Uint32Array.from(endpoints.keys());
    const begin = random();
    this.#due = Float64Array.from(
      endpoints,
      ({ weight }, index) => (((index + 0.5) / endpoints.length + begin) % 1) / weight,
    );
    this.#heaped = endpoints.length;
    for (let place = this.#heaped >>> 1; place >= 0; place -= 1) this.#sink(place);
  }

  pick({ tried }: PickContext): Endpoint | null {
    this.#reviveOne();
    const found = this.#take(tried) ?? (this.#reviveAll() ? this.#take(tried) : null);
    // Only for this request were those already tried not to be had.
    if (tried !== null) this.#reviveAll();
    return found;
  }

  #take(tried: readonly Endpoint[] | null): Endpoint | null {
    let turnedAway = 0;
    let last: Endpoint | null = null;
    while (this.#heaped > 0) {
      const index = this.#order[0] ?? 0;
      const endpoint = this.#endpoints[index];
      if (endpoint === undefined || !isEligible(endpoint, tried)) {
        this.#park();
        continue;
      }
      this.#now = this.#due[index] ?? 0;
      this.#due[index] = this.#now + 1 / endpoint.weight;
      this.#sink(0);
      if (turnedAway === MOST_TURNED_AWAY || passesRamp(endpoint, this.#random)) return endpoint;
      turnedAway += 1;
      last = endpoint;
    }
    return last;
  }

  /** Takes the first off the heap. */
  #park(): void {
    this.#heaped -= 1;
    this.#swap(0, this.#heaped);
    this.#sink(0);
  }

  #reviveOne(): void {
    const parked = this.#endpoints.length - this.#heaped;
    if (parked === 0) return;
    this.#looked = this.#looked + 1 < parked ? this.#looked + 1 : 0;
    this.#revive(this.#heaped + this.#looked);
  }

  /** Nobody to be had: whoever is back now need not wait to be looked at. */
  #reviveAll(): boolean {
    let revived = false;
    for (let place = this.#heaped; place < this.#order.length; place += 1) {
      if (this.#revive(place)) revived = true;
    }
    return revived;
  }

  #revive(place: number): boolean {
    const index = this.#order[place] ?? 0;
    const endpoint = this.#endpoints[index];
    if (endpoint === undefined || !endpoint.available) return false;
    this.#due[index] = this.#now + 1 / endpoint.weight;
    this.#swap(place, this.#heaped);
    this.#rise(this.#heaped);
    this.#heaped += 1;
    return true;
  }

  /** By time due, then by index: endpoints of equal weight take turns in their order. */
  #isBefore(a: number, b: number): boolean {
    const first = this.#order[a] ?? 0;
    const second = this.#order[b] ?? 0;
    const difference = (this.#due[first] ?? 0) - (this.#due[second] ?? 0);
    return difference < 0 || (difference === 0 && first < second);
  }

  #swap(a: number, b: number): void {
    const index = this.#order[a] ?? 0;
    this.#order[a] = this.#order[b] ?? 0;
    this.#order[b] = index;
  }

  #rise(from: number): void {
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >>> 1;
      if (!this.#isBefore(place, parent)) return;
      this.#swap(place, parent);
      place = parent;
    }
  }

  #sink(from: number): void {
    let place = from;
    for (;;) {
      const left = 2 * place + 1;
      const right = left + 1;
      let first = place;
      if (left < this.#heaped && this.#isBefore(left, first)) first = left;
      if (right < this.#heaped && this.#isBefore(right, first)) first = right;
      if (first === place) return;
      this.#swap(place, first);
      place = first;
    }
  }
}

export const weightedRoundRobin: Algorithm = {
  name: 'weighted-round-robin',
  keyedBy: 'none',
  build: (endpoints, random) => new WeightedRoundRobin(endpoints, random),
};
