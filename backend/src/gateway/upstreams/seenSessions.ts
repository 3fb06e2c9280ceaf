/**
 * Which sessions a worker sees, for the count of those of the last half an hour (domain/statistics/distinctCount). A session is a
 * sticky cookie that came back, in a pool that has one; in every other pool it is a client's address.
 *
 * A session is noted once a minute: a request of one that is noted costs a comparison. What is new is handed to the
 * primary with the next report, as marks that say nothing of who it was.
 */
import { hashAddress } from '../../domain/balancing/hash.js';
import { DistinctCount, markOf } from '../../domain/statistics/distinctCount.js';

export const SEEN_STEP_MS = 60_000;

/** What remembers that a session was noted: a connection, or a cookie that was verified. */
export interface Noted {
  /** Number of the minute. */
  notedIn: number;
}

export interface NotedClient extends Noted {
  notedAddress: string;
}

export class SeenSessions {
  readonly #seen = new DistinctCount();
  /** By register, so that as many wait as there are registers at most. */
  readonly #news = new Map<number, number>();
  #minute = 0;

  /** A request came with a sticky cookie that is good. */
  cookie(choice: Noted & { readonly hash: number }): void {
    if (choice.notedIn === this.#minute) return;
    choice.notedIn = this.#minute;
    this.#add(choice.hash);
  }

  /** A request came to a pool without sticky cookies. */
  client(client: NotedClient, address: string): void {
    if (client.notedIn === this.#minute && client.notedAddress === address) return;
    client.notedIn = this.#minute;
    client.notedAddress = address;
    this.#add(hashAddress(address));
  }

  /** @param nowMs monotonic. */
  passTime(nowMs: number): void {
    const minute = Math.floor(nowMs / SEEN_STEP_MS);
    if (minute === this.#minute) return;
    this.#minute = minute;
    this.#seen.clear();
  }

  /** Marks of what was seen since the last call. */
  take(): number[] {
    const marks = [...this.#news.values()];
    this.#news.clear();
    return marks;
  }

  #add(hash: number): void {
    const mark = markOf(hash);
    // The mark of one register only grows within a minute, so the last one says it all.
    if (this.#seen.add(mark)) this.#news.set(Math.floor(mark / 64), mark);
  }
}
