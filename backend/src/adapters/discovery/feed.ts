/**
 * What every source has in common: it keeps its last good answer, tells its listener of changes only, and says a
 * problem once, until it is another one or over. When it is over the listener hears the list again, changed or not:
 * that is how it learns of it.
 */
import { isDeepStrictEqual } from 'node:util';
import { distinctMembers, sameMembers, type Member } from '../../domain/upstreams/members.js';
import type { ListNotes } from '../../ports.js';

type Listener = (members: readonly Member[], notes?: ListNotes) => void;

/** A source that goes wild must not take the gateway down. */
const MOST_MEMBERS = 4_096;

export class MemberFeed {
  #listener: Listener | null = null;
  #onProblem: ((problem: string) => void) | null = null;
  #last: readonly Member[] | null = null;
  #notes: ListNotes | undefined;
  #problem: string | null = null;

  open(listener: Listener, onProblem: (problem: string) => void): void {
    this.#listener = listener;
    this.#onProblem = onProblem;
  }

  /** What was published last; null before the first answer. */
  get last(): readonly Member[] | null {
    return this.#last;
  }

  get isOpen(): boolean {
    return this.#listener !== null;
  }

  /**
   * A good answer.
   * @param remark something about it that a person should mend.
   * @param notes undefined: there are none.
   */
  publish(members: readonly Member[], remark: string | null = null, notes?: ListNotes): void {
    const distinct = distinctMembers(members);
    const kept = distinct.slice(0, MOST_MEMBERS);
    const isSame =
      this.#last !== null && sameMembers(kept, this.#last) && isDeepStrictEqual(notes, this.#notes);
    this.#last = kept;
    this.#notes = notes;
    const problem =
      distinct.length > kept.length
        ? `${distinct.length} upstreams are announced; only the first ${MOST_MEMBERS} are used`
        : remark;
    if (!isSame || (this.#problem !== null && problem === null)) this.#listener?.(kept, notes);
    if (problem === null) this.#problem = null;
    else this.fail(problem);
  }

  /** No good answer just now. */
  fail(problem: string): void {
    if (this.#problem === problem) return;
    this.#problem = problem;
    this.#onProblem?.(problem);
  }

  /** Nobody hears anything any more. */
  close(): void {
    this.#listener = null;
    this.#onProblem = null;
  }
}
