/**
 * Sessions that were ended by a logout, until they would have ended by themselves. They are kept over a restart, because
 * the signature of a session is good beyond one. Bounded: where there are too many, all sessions end that began before
 * the one that is forgotten. What can't be read or written ends sessions rather than keeping them.
 */
import { z } from 'zod';
import { messageOf } from '../../domain/errors.js';
import type { Logger, StateStore } from '../../ports.js';

export interface SessionIdentity {
  readonly id: string;
  readonly startedAtMs: number;
}

/** The part of a state store that is needed. */
export type SessionStore = Pick<StateStore, 'load' | 'save'>;

const MOST_REVOKED = 1_000;

const kept = z.object({
  /** Sessions that began before, or then, are over. */
  notBeforeMs: z.number(),
  revoked: z.array(z.object({ id: z.string(), startedAtMs: z.number(), endsAtMs: z.number() })),
});

export class RevokedSessions {
  readonly #store: SessionStore | null;
  readonly #logger: Logger;
  #notBeforeMs = 0;
  #revoked = new Map<string, { readonly startedAtMs: number; readonly endsAtMs: number }>();

  /** @param store null: what was revoked is known for as long as this process runs. */
  constructor(store: SessionStore | null, logger: Logger) {
    this.#store = store;
    this.#logger = logger;
  }

  /** Reads what was kept. */
  async load(nowMs: number): Promise<void> {
    if (this.#store === null) return;
    const { state, damaged } = await this.#store.load().catch((thrown: unknown) => {
      return { state: null, damaged: { problem: messageOf(thrown) } };
    });
    if (state === null && damaged === undefined) return;
    const read = kept.safeParse(state);
    if (!read.success) {
      this.#notBeforeMs = nowMs;
      this.#logger.warn('It is not known which sessions were logged out, so all of them are over', {
        problem: damaged?.problem ?? 'the file is not as expected',
      });
      return;
    }
    this.#notBeforeMs = read.data.notBeforeMs;
    this.#revoked = new Map(read.data.revoked.map(({ id, ...times }) => [id, times]));
  }

  has({ id, startedAtMs }: SessionIdentity): boolean {
    return startedAtMs <= this.#notBeforeMs || this.#revoked.has(id);
  }

  /** Resolves when it is on the disk, or could not be written. @param endsAtMs when it would be over at the latest. */
  async add({ id, startedAtMs }: SessionIdentity, endsAtMs: number, nowMs: number): Promise<void> {
    for (const [known, { endsAtMs: end }] of this.#revoked) if (end <= nowMs) this.#revoked.delete(known);
    this.#revoked.set(id, { startedAtMs, endsAtMs });
    const [oldest] = this.#revoked;
    if (this.#revoked.size > MOST_REVOKED && oldest !== undefined) {
      this.#revoked.delete(oldest[0]);
      this.#notBeforeMs = Math.max(this.#notBeforeMs, oldest[1].startedAtMs);
    }
    const revoked = [...this.#revoked].map(([each, times]) => ({ id: each, ...times }));
    try {
      await this.#store?.save({ notBeforeMs: this.#notBeforeMs, revoked });
    } catch (error) {
      this.#logger.error('A logout could not be written down; after a restart the session is valid again', {
        problem: messageOf(error),
      });
    }
  }
}
