/**
 * Picking by key, for `ip-hash` and `consistent-hash`: the owner of the key's slot, else its runner-up, else the same
 * of other slots that follow from the first. Availability is looked at, never built in: an endpoint that goes away and
 * comes back costs nothing and moves only its own keys. The gate of slow start is a property of the key here: as the
 * ramp grows, keys go over to the endpoint one by one, each once.
 */
import { isEligible, passesRamp } from './eligible.js';
import { mix32 } from './hash.js';
import type { Endpoint } from './picker.js';
import { SlotTable } from './slotTable.js';

/** Further slots that are tried before simply the next eligible endpoint is taken. */
const MOST_SLOTS = 32;

/** What an algorithm adds: whether `endpoints[index]` may take one more. */
export type HasRoom = (endpoint: Endpoint, index: number) => boolean;

export class KeyedEndpoints {
  readonly #endpoints: readonly Endpoint[];
  readonly #table: SlotTable;
  readonly #random: () => number;
  readonly #keyDraw: () => number;
  readonly #hasRoom: HasRoom | null;
  #hash = 0;
  #tried: readonly Endpoint[] | null = null;
  /** The first that could have been picked but for its ramp or its load. */
  #refused: Endpoint | null = null;

  constructor(endpoints: readonly Endpoint[], random: () => number, hasRoom: HasRoom | null = null) {
    this.#endpoints = endpoints;
    this.#table = SlotTable.of(endpoints);
    this.#random = random;
    this.#hasRoom = hasRoom;
    this.#keyDraw = () => mix32(this.#hash) / 2 ** 32;
  }

  /** @param hash 0: no key; then any endpoint will do, and one is drawn. */
  pick(hash: number, tried: readonly Endpoint[] | null): Endpoint | null {
    this.#hash = hash === 0 ? mix32(this.#random() * 2 ** 32) : hash;
    this.#tried = tried;
    this.#refused = null;
    const first = SlotTable.slotOf(this.#hash);
    let slot = first;
    for (let attempt = 1; attempt <= MOST_SLOTS; attempt += 1) {
      const found = this.#accept(this.#table.owner(slot)) ?? this.#accept(this.#table.runnerUp(slot));
      if (found !== null) return found;
      slot = SlotTable.nextSlot(first, attempt);
    }
    return this.#refused ?? this.#anyFrom(first);
  }

  #accept(index: number): Endpoint | null {
    const endpoint = this.#endpoints[index];
    if (endpoint === undefined || !isEligible(endpoint, this.#tried)) return null;
    if (passesRamp(endpoint, this.#keyDraw) && (this.#hasRoom === null || this.#hasRoom(endpoint, index))) {
      return endpoint;
    }
    this.#refused ??= endpoint;
    return null;
  }

  /** When hardly anybody is left. */
  #anyFrom(start: number): Endpoint | null {
    const count = this.#endpoints.length;
    for (let step = 0; step < count; step += 1) {
      const endpoint = this.#endpoints[(start + step) % count];
      if (endpoint !== undefined && isEligible(endpoint, this.#tried)) return endpoint;
    }
    return null;
  }
}
