/**
 * Two are drawn by weight, the one with fewer requests under way (for its weight) is picked. Nearly as even as asking
 * all (M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001), at a constant cost, and without
 * the herd: where several workers each know only their own requests, "the least" would be the same one for all of them.
 */
import type { Algorithm, Endpoint, PickContext, Picker } from './picker.js';
import { WeightedDraw } from './weightedDraw.js';

class PowerOfTwoChoices implements Picker {
  readonly #weighted: WeightedDraw;
  readonly #isAlone: boolean;

  constructor(endpoints: readonly Endpoint[], random: () => number) {
    this.#isAlone = endpoints.length === 1;
    this.#weighted = new WeightedDraw(endpoints, random);
  }

  pick({ tried }: PickContext): Endpoint | null {
    const first = this.#weighted.draw(tried);
    if (first === null || this.#isAlone) return first;
    const second = this.#weighted.draw(tried, first);
    if (second === null) return first;
    // A tie goes to the first: it was drawn by weight alone, the second is what was left.
    return second.inFlight * first.weight < first.inFlight * second.weight ? second : first;
  }
}

export const powerOfTwoChoices: Algorithm = {
  name: 'p2c',
  keyedBy: 'none',
  build: (endpoints, random) => new PowerOfTwoChoices(endpoints, random),
};
