/**
 * The requests under way, in the order of their beginnings, found by their response in a few nanoseconds.
 *
 * A linked list, and on each response a private field that leads to its link. A private field can be put on any object by
 * a constructor that returns it; nobody else can see it, neither reflection nor the debugger's view of its properties nor
 * a copy. A Map from responses to links does the same at five times the cost, which is a percent of what node:http needs
 * for a whole small request; a WeakMap costs more than the request.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';

/** A request that has begun and not finished. */
export interface Begun {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly startedAtMs: number;
  /** Which one since the start. */
  readonly number: number;
  /** `startedAtMs` is its own, so that it says how long it took. */
  readonly isTimed: boolean;
}

export interface UnderWay extends Begun {
  before: UnderWay | null;
  after: UnderWay | null;
  /** False once it is out of the list. */
  isListed: boolean;
}

/** Whose constructor gives back what it is given. */
const Given = function given(target: object): object {
  return target;
} as unknown as new (target: object) => object;

class Mark extends Given {
  #underWay: UnderWay;

  constructor(target: object, underWay: UnderWay) {
    super(target);
    this.#underWay = underWay;
  }

  static of(target: object): UnderWay | null {
    return #underWay in target ? target.#underWay : null;
  }
}

export class UnderWayList {
  #first: UnderWay | null = null;
  #last: UnderWay | null = null;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Appends. A response is added once. */
  add({ request, response, startedAtMs, number, isTimed }: Begun): void {
    const before = this.#last;
    const added: UnderWay = {
      request,
      response,
      startedAtMs,
      number,
      isTimed,
      before,
      after: null,
      isListed: true,
    };
    if (before === null) this.#first = added;
    else before.after = added;
    this.#last = added;
    this.#size += 1;
    void new Mark(response, added);
  }

  /** What belongs to a response, if it is in the list. */
  find(response: ServerResponse): UnderWay | null {
    const found = Mark.of(response);
    return found?.isListed === true ? found : null;
  }

  remove(underWay: UnderWay): void {
    const { before, after } = underWay;
    if (before === null) this.#first = after;
    else before.after = after;
    if (after === null) this.#last = before;
    else after.before = before;
    // Whoever keeps an old response must not keep through it all that came after.
    underWay.before = null;
    underWay.after = null;
    underWay.isListed = false;
    this.#size -= 1;
  }

  /** Oldest first. The one that was just given may be removed meanwhile. */
  *[Symbol.iterator](): IterableIterator<UnderWay> {
    let next = this.#first;
    while (next !== null) {
      const each = next;
      next = each.after;
      yield each;
    }
  }
}
