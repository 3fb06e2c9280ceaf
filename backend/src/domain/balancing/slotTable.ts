/**
 * Who owns which key: a fixed number of slots, each with an owner and a runner-up, by weighted rendezvous.
 *
 * Every endpoint visits all slots in a pseudo-random order of its own (offset and stride from its id, modulo a prime:
 * Eisenbud et al., "Maglev", NSDI 2016), at times that are exponentially distributed with its weight as the rate: of
 * such times the first is anybody's with the probability of its share of the weight. A slot belongs to whose visit came
 * first; the second visitor is its runner-up. Unlike in Maglev nobody moves on because a slot was taken, so an
 * endpoint's visits depend on nothing but its own id and weight. Hence, exactly and for any weights:
 *
 *   - one that leaves gives up its own slots only, to their runners-up; being unavailable is the same as having left;
 *   - one that comes takes its share only;
 *   - all workers and gateways with the same endpoints agree, whatever happened before.
 *
 * Why not the alternatives? A ketama ring with 160 points has more uneven shares (highest ÷ mean with 4/10/50/1000
 * endpoints, measured: 1.13/1.10/1.22/1.26; here 1.00/1.01/1.04/1.22), takes 100 ms to build with 1000, and must scale
 * its points by a common factor of the weights, which moves everybody's keys when that factor changes. Rendezvous
 * without slots asks every endpoint at every pick: microseconds with 1000. Maglev itself moves keys of endpoints that
 * stay. Jump and anchor hashing need a history that all workers share.
 *
 * Building takes 2 to 10 ms, a lookup one array access, whatever the number of endpoints.
 */
import type { Endpoint } from './picker.js';
import { hashText, mix32 } from './hash.js';

/** Prime, so that every stride reaches every slot. More slots: more even shares, slower building. */
const SLOTS = 65_537;
/** Owner and runner-up. */
const RANKS = 2;
const NOBODY = 0xffff;
/** Visits per slot, in the mean, after which hardly any slot lacks a runner-up. */
const FIRST_HORIZON = 14.5;

interface Visitor {
  readonly offset: number;
  readonly stride: number;
  /** Fraction of a step by which it is late, 0–1: no two arrive at the same time. */
  readonly delay: number;
  readonly weight: number;
}

function visitorOf({ id, weight }: Endpoint): Visitor {
  return {
    offset: hashText(id, 0x51ed270b) % SLOTS,
    stride: 1 + (hashText(id, 0x2545f491) % (SLOTS - 1)),
    delay: hashText(id, 0x6c8e9cf5) / 2 ** 32,
    weight,
  };
}

/** Tables kept: those of a process's pools, and of a few memberships that come and go. 256 KiB each. */
const MOST_KEPT = 16;
const kept = new Map<string, SlotTable>();

/** Immutable. Holds indices into the endpoints it was built from (at most 65 534 of them). */
export class SlotTable {
  readonly #ranked: Uint16Array;

  private constructor(endpoints: readonly Endpoint[]) {
    this.#ranked = rankVisitors(endpoints.map(visitorOf));
  }

  /** The table of these ids and weights; the latest ones are kept, because pools are rebuilt more often than changed. */
  static of(endpoints: readonly Endpoint[]): SlotTable {
    const key = endpoints.map(({ id, weight }) => `${id}*${weight}`).join(' ');
    const table = kept.get(key) ?? new SlotTable(endpoints);
    kept.delete(key);
    kept.set(key, table);
    for (const oldest of kept.keys()) {
      if (kept.size <= MOST_KEPT) break;
      kept.delete(oldest);
    }
    return table;
  }

  /** The slot of a key's hash (unsigned 32-bit). */
  static slotOf(hash: number): number {
    return Math.floor((hash / 2 ** 32) * SLOTS);
  }

  /** Another slot for a key whose slot has nobody to offer; `attempt` counts from 1. */
  static nextSlot(slot: number, attempt: number): number {
    return mix32(slot * 64 + attempt) % SLOTS;
  }

  /** Index of the owner; meaningless when there are no endpoints. */
  owner(slot: number): number {
    return this.#ranked[slot * RANKS] ?? NOBODY;
  }

  /** Index of the runner-up; with one endpoint, nobody's. */
  runnerUp(slot: number): number {
    return this.#ranked[slot * RANKS + 1] ?? NOBODY;
  }
}

/**
 * Times of the visits at weight 1: the quantiles of the exponential distribution, one step of the order each. The end of
 * the last step would be infinite.
 */
const TIMES = Float64Array.from({ length: SLOTS + 1 }, (_, step) =>
  step < SLOTS ? -Math.log1p(-step / SLOTS) : Math.log(SLOTS) + 1,
);

/** Lets everybody visit until every slot has been visited by two (or by the only one). */
function rankVisitors(visitors: readonly Visitor[]): Uint16Array {
  const ranked = new Uint16Array(SLOTS * RANKS).fill(NOBODY);
  const times = new Float64Array(SLOTS * RANKS).fill(Number.POSITIVE_INFINITY);
  const totalWeight = visitors.reduce((sum, { weight }) => sum + weight, 0);
  const lastRank = Math.min(RANKS, visitors.length) - 1;
  const steps = visitors.map(() => 0);
  let horizon = FIRST_HORIZON / totalWeight;
  while (visitors.length > 0) {
    for (const [index, visitor] of visitors.entries()) {
      const until = Math.ceil(-Math.expm1(-horizon * visitor.weight) * SLOTS);
      visit(ranked, times, visitor, index, steps[index] ?? 0, until);
      steps[index] = until;
    }
    if (isComplete(ranked, lastRank)) break;
    horizon *= 1.25;
  }
  return ranked;
}

/** The steps `from` to `until` of one visitor. */
function visit(
  ranked: Uint16Array,
  times: Float64Array,
  { offset, stride, delay, weight }: Visitor,
  index: number,
  from: number,
  until: number,
): void {
  let slot = (offset + from * stride) % SLOTS;
  for (let step = from; step < until; step += 1) {
    const begin = TIMES[step] ?? 0;
    const time = (begin + delay * ((TIMES[step + 1] ?? 0) - begin)) / weight;
    const first = slot * RANKS;
    const second = first + 1;
    if (time < (times[first] ?? 0)) {
      times[second] = times[first] ?? 0;
      ranked[second] = ranked[first] ?? NOBODY;
      times[first] = time;
      ranked[first] = index;
    } else if (time < (times[second] ?? 0)) {
      times[second] = time;
      ranked[second] = index;
    }
    slot += stride;
    if (slot >= SLOTS) slot -= SLOTS;
  }
}

function isComplete(ranked: Uint16Array, lastRank: number): boolean {
  for (let slot = 0; slot < SLOTS; slot += 1) {
    if (ranked[slot * RANKS + lastRank] === NOBODY) return false;
  }
  return true;
}
