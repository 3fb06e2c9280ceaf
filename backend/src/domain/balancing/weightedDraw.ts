/**
 * Draws an eligible endpoint with a probability that is its share of weight × ramp among the eligible. Drawing again
 * after a miss keeps the shares exact; only when hardly anybody is eligible are all looked at instead, by weight.
 */
import { AliasTable } from './aliasTable.js';
import { isEligible, MOST_TURNED_AWAY, passesRamp } from './eligible.js';
import type { Endpoint } from './picker.js';

const MOST_DRAWS = MOST_TURNED_AWAY;

export class WeightedDraw {
  readonly #endpoints: readonly Endpoint[];
  readonly #random: () => number;
  readonly #table: AliasTable;

  constructor(endpoints: readonly Endpoint[], random: () => number) {
    this.#endpoints = endpoints;
    this.#random = random;
    this.#table = new AliasTable(endpoints.map(({ weight }) => weight));
  }

  /** @param besides not to be drawn either. */
  draw(tried: readonly Endpoint[] | null, besides: Endpoint | null = null): Endpoint | null {
    let turnedAway: Endpoint | null = null;
    for (let draws = 0; draws < MOST_DRAWS; draws += 1) {
      const endpoint = this.#endpoints[this.#table.draw(this.#random())];
      if (endpoint === undefined) return null;
      if (endpoint === besides || !isEligible(endpoint, tried)) continue;
      if (passesRamp(endpoint, this.#random)) return endpoint;
      turnedAway = endpoint;
    }
    return turnedAway ?? this.#drawFromAll(tried, besides);
  }

  #drawFromAll(tried: readonly Endpoint[] | null, besides: Endpoint | null): Endpoint | null {
    let total = 0;
    for (const endpoint of this.#endpoints) {
      if (endpoint !== besides && isEligible(endpoint, tried)) total += endpoint.weight;
    }
    let left = this.#random() * total;
    let last: Endpoint | null = null;
    for (const endpoint of this.#endpoints) {
      if (endpoint === besides || !isEligible(endpoint, tried)) continue;
      last = endpoint;
      left -= endpoint.weight;
      if (left < 0) break;
    }
    return last;
  }
}
