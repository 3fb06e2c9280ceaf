/**
 * How many different things were seen lately, in bounded memory (HyperLogLog, Flajolet et al. 2007; estimator of Ertl,
 * "New cardinality estimation algorithms for HyperLogLog sketches", 2017).
 *
 * A thing is known by a 32-bit hash alone. With 2^14 registers the standard error is 0.8 %: 19 of 20 counts are within
 * 1.6 %, and up to some hundred things the count is exact or one off. A register is told of as one number, a mark: a
 * process that sees things sends the marks that are new, and another one adds them up; the order and repeats are no matter.
 */

const INDEX_BITS = 14;
export const REGISTERS = 1 << INDEX_BITS;
const RANK_BITS = 32 - INDEX_BITS;
/** Of a hash whose bits behind the index are all zero. */
const HIGHEST_RANK = RANK_BITS + 1;
const RANK_SPACE = 64;
const ALPHA = 1 / (2 * Math.LN2);

/** Place and value of the register that a hash speaks for. @param hash 32 bits, well spread (balancing/hash). */
export function markOf(hash: number): number {
  const rank = Math.min(HIGHEST_RANK, Math.clz32(hash << INDEX_BITS) + 1);
  return (hash >>> RANK_BITS) * RANK_SPACE + rank;
}

/** One set of things. */
export class DistinctCount {
  readonly #registers = new Uint8Array(REGISTERS);

  /** @returns whether the mark says something new. A mark that is none says nothing. */
  add(mark: number): boolean {
    const index = Math.floor(mark / RANK_SPACE);
    const rank = mark % RANK_SPACE;
    if (!(index < REGISTERS) || rank > HIGHEST_RANK || rank <= (this.#registers[index] ?? 0)) return false;
    this.#registers[index] = rank;
    return true;
  }

  clear(): void {
    this.#registers.fill(0);
  }

  addAll(other: DistinctCount): void {
    const theirs = other.#registers;
    for (let index = 0; index < REGISTERS; index += 1) {
      const rank = theirs[index] ?? 0;
      if (rank > (this.#registers[index] ?? 0)) this.#registers[index] = rank;
    }
  }

  estimate(): number {
    const histogram = Array.from({ length: HIGHEST_RANK + 1 }, () => 0);
    for (const rank of this.#registers) histogram[rank] = (histogram[rank] ?? 0) + 1;
    const shareOf = (rank: number): number => (histogram[rank] ?? 0) / REGISTERS;
    let z = tau(1 - shareOf(HIGHEST_RANK));
    for (let rank = RANK_BITS; rank >= 1; rank -= 1) z = 0.5 * (z + shareOf(rank));
    return Math.round((ALPHA * REGISTERS) / (z + sigma(shareOf(0))));
  }
}

/** What was seen within a window that slides by a step; memory is a set for each step of the window. */
export class SlidingDistinctCount {
  readonly #stepMs: number;
  readonly #steps: number;
  /** By number of the step since the clock's beginning, oldest first. */
  readonly #sets = new Map<number, DistinctCount>();

  constructor(windowMs: number, stepMs: number) {
    this.#stepMs = stepMs;
    this.#steps = Math.ceil(windowMs / stepMs);
  }

  /** @param nowMs monotonic. */
  add(nowMs: number, marks: readonly number[]): void {
    if (marks.length === 0) return;
    const step = Math.floor(nowMs / this.#stepMs);
    let set = this.#sets.get(step);
    if (set === undefined) {
      this.#forget(nowMs);
      set = new DistinctCount();
      this.#sets.set(step, set);
    }
    for (const mark of marks) set.add(mark);
  }

  /** Over the window and the step that is under way. */
  estimate(nowMs: number): number {
    this.#forget(nowMs);
    const all = new DistinctCount();
    for (const set of this.#sets.values()) all.addAll(set);
    return all.estimate();
  }

  #forget(nowMs: number): void {
    const oldest = Math.floor(nowMs / this.#stepMs) - this.#steps;
    for (const step of this.#sets.keys()) if (step < oldest) this.#sets.delete(step);
  }
}

/** Ertl 2017, algorithm 6: what empty registers say. */
function sigma(share: number): number {
  if (share === 1) return Number.POSITIVE_INFINITY;
  let x = share;
  let y = 1;
  let z = share;
  for (let before = -1; before !== z;) {
    before = z;
    x *= x;
    z += x * y;
    y += y;
  }
  return z;
}

/** Ertl 2017, algorithm 6: what full registers say. */
function tau(share: number): number {
  if (share === 0 || share === 1) return 0;
  let x = share;
  let y = 1;
  let z = 1 - share;
  for (let before = -1; before !== z;) {
    before = z;
    x = Math.sqrt(x);
    y *= 0.5;
    z -= (1 - x) ** 2 * y;
  }
  return z / 3;
}
