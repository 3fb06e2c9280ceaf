/**
 * Turns in order: a, b, c, a, b, c. An endpoint with twice the weight takes two turns in a row; where that is too
 * lumpy, `weighted-round-robin` spreads them. Who is away loses its turns and nobody inherits them twice: the order
 * goes on after the one that was picked. It begins anywhere, so that many workers don't all begin with the same one.
 */
import { isEligible, MOST_TURNED_AWAY, passesRamp } from './eligible.js';
import type { Algorithm, Endpoint, PickContext, Picker } from './picker.js';

class RoundRobin implements Picker {
  readonly #endpoints: readonly Endpoint[];
  readonly #random: () => number;
  /** Turns in a row, by index: weights without their common factor. */
  readonly #turns: readonly number[];
  #current: number;
  #turnsLeft: number;

  constructor(endpoints: readonly Endpoint[], random: () => number) {
    this.#endpoints = endpoints;
    this.#random = random;
    const factor = endpoints.reduce((common, { weight }) => greatestCommonDivisor(common, weight), 0);
    this.#turns = endpoints.map(({ weight }) => weight / factor);
    this.#current = Math.floor(random() * endpoints.length);
    this.#turnsLeft = this.#turns[this.#current] ?? 0;
  }

  pick({ tried }: PickContext): Endpoint | null {
    let skipped = 0;
    let turnedAway = 0;
    let last: Endpoint | null = null;
    // One more than there are: the first may be met again after the others were not to be had.
    while (skipped <= this.#endpoints.length) {
      if (this.#turnsLeft === 0) this.#advance();
      const endpoint = this.#endpoints[this.#current];
      if (endpoint === undefined || !isEligible(endpoint, tried)) {
        this.#turnsLeft = 0;
        skipped += 1;
        continue;
      }
      this.#turnsLeft -= 1;
      if (turnedAway === MOST_TURNED_AWAY || passesRamp(endpoint, this.#random)) return endpoint;
      last = endpoint;
      turnedAway += 1;
    }
    return last;
  }

  #advance(): void {
    this.#current = this.#current + 1 < this.#endpoints.length ? this.#current + 1 : 0;
    this.#turnsLeft = this.#turns[this.#current] ?? 0;
  }
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

export const roundRobin: Algorithm = {
  name: 'round-robin',
  keyedBy: 'none',
  build: (endpoints, random) => new RoundRobin(endpoints, random),
};
