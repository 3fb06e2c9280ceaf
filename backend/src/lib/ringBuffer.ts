/** The last `capacity` items: appending is O(1), and what no longer fits is handed back so that it can be counted. */
export class RingBuffer<T> {
  readonly capacity: number;
  readonly #slots: (T | undefined)[] = [];
  /** Slot of the oldest item. */
  #head = 0;
  #size = 0;

  /** @param capacity how many items are kept; a whole number from 1. @throws RangeError */
  constructor(capacity: number) {
    if (!Number.isInteger(capacity) || capacity < 1) {
      throw new RangeError(`A ring buffer's capacity is a whole number from 1; got ${capacity}.`);
    }
    this.capacity = capacity;
  }

  get size(): number {
    return this.#size;
  }

  /** Appends `item`; returns the oldest one when it had to make room. */
  push(item: T): T | undefined {
    if (this.#size < this.capacity) {
      this.#slots[(this.#head + this.#size) % this.capacity] = item;
      this.#size += 1;
      return undefined;
    }
    const evicted = this.#slots[this.#head];
    this.#slots[this.#head] = item;
    this.#head = (this.#head + 1) % this.capacity;
    return evicted;
  }

  /** Removes and returns the oldest item; undefined when empty. */
  shift(): T | undefined {
    if (this.#size === 0) return undefined;
    const oldest = this.#slots[this.#head];
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) % this.capacity;
    this.#size -= 1;
    return oldest;
  }

  includes(item: T): boolean {
    return this.#slots.includes(item);
  }

  /** A copy, oldest first. */
  toArray(): T[] {
    const items: T[] = [];
    for (let i = 0; i < this.#size; i += 1) {
      items.push(this.#slots[(this.#head + i) % this.capacity] as T);
    }
    return items;
  }
}
