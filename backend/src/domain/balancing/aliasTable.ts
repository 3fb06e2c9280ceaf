/**
 * Draws an index with a probability that is its weight's share, in constant time (A. J. Walker 1977, built as in
 * M. Vose 1991): as many columns as weights, each filled by at most two of them.
 */
export class AliasTable {
  /** How far up its column the index itself reaches, 0–1. */
  readonly #own: Float64Array;
  /** Who has the rest of the column. */
  readonly #alias: Uint32Array;

  /** @param weights positive. */
  constructor(weights: readonly number[]) {
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    this.#own = Float64Array.from(weights, (weight) => (weight * weights.length) / total);
    this.#alias = Uint32Array.from(weights.keys());
    const short: number[] = [];
    const tall: number[] = [];
    for (const [index, height] of this.#own.entries()) (height < 1 ? short : tall).push(index);
    for (let giver = tall.at(-1); giver !== undefined; giver = tall.at(-1)) {
      const filled = short.pop();
      if (filled === undefined) break;
      this.#alias[filled] = giver;
      const left = (this.#own[giver] ?? 0) - (1 - (this.#own[filled] ?? 0));
      this.#own[giver] = left;
      if (left < 1) short.push(tall.pop() ?? giver);
    }
  }

  /** @param uniform in [0, 1). */
  draw(uniform: number): number {
    const place = uniform * this.#own.length;
    const column = Math.floor(place);
    return place - column < (this.#own[column] ?? 1) ? column : (this.#alias[column] ?? column);
  }
}
