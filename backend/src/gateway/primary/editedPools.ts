/**
 * Pools whose upstreams may be changed by calls (pages/upstreamCalls.ts): what their source lists, with the changes laid
 * over it (domain/upstreams/upstreamEdits). The changes are on disk (`gateway-upstreams.json`) before they apply, so that what a
 * caller was told outlives the process. One change at a time.
 */
import { z } from 'zod';
import { messageOf } from '../../domain/errors.js';
import { memberOf, MOST_WEIGHT } from '../../domain/upstreams/members.js';
import {
  edited,
  editedMembers,
  relevantEdits,
  type EditCommand,
  type EditResult,
  type UpstreamEdits,
} from '../../domain/upstreams/upstreamEdits.js';
import { listed, salvage } from '../../lib/salvage.js';
import type { Logger, Member, StateStore } from '../../ports.js';
import { MOST_UPSTREAMS, type Announcement, type Membership } from './membership.js';

/** Read piece by piece (lib/salvage): a change that is not usable is left out, the others stay. */
const edit = z.object({
  host: z.string().min(1).max(253),
  port: z.int().min(1).max(65_535),
  added: z.boolean().default(false),
  weight: z.int().min(1).max(MOST_WEIGHT).nullable().default(null),
  draining: z.boolean().default(false),
  removed: z.boolean().default(false),
});
const kept = z.array(z.object({ pool: z.string().max(128), edits: z.array(edit).default([]) }));

export type Announcer = Pick<Membership, 'announce' | 'withdraw'>;

export interface EditedPoolsOptions {
  readonly store: StateStore;
  /** What was changed before, by pool (`readEdits`). */
  readonly edits: ReadonlyMap<string, UpstreamEdits>;
  /** Is told what the pools have. */
  readonly membership: Announcer;
}

export type EditOutcome =
  | EditResult
  | {
      readonly ok: false;
      readonly code: 'state.unwritable' | 'upstreams.too-many';
      readonly message: string;
    };

export interface EditedPool {
  readonly listed: readonly Member[];
  readonly edits: UpstreamEdits;
}

/** What was changed before, as far as it is usable; the rest is told. Never rejects. */
export async function readEdits(
  store: StateStore,
  logger: Logger,
): Promise<ReadonlyMap<string, UpstreamEdits>> {
  const { state, damaged } = await store.load().catch(async (thrown: unknown) => {
    // The gateway serves without them. They are kept for a person, because the next change writes the file anew.
    return { state: null, damaged: { movedTo: await store.setAside(), problem: messageOf(thrown) } };
  });
  if (damaged !== undefined) logger.error('the changes of upstreams by calls were damaged', { ...damaged });
  const { value, problems } = salvage(kept, state ?? []);
  const pools = (value ?? []).map(({ pool, edits }) => [pool, edits.slice(0, MOST_UPSTREAMS)] as const);
  const isCut = (value ?? []).some(({ edits }) => edits.length > MOST_UPSTREAMS);
  const tooMany = isCut ? [`more than ${MOST_UPSTREAMS} changes of a pool`] : [];
  if (problems.length > 0 || isCut) {
    logger.error('some of the changes of upstreams by calls are not usable and are left out', {
      movedTo: await store.keepCopy(),
      problem: listed([...problems, ...tooMany]),
    });
  }
  return new Map(
    pools.map(([pool, edits]) => [pool, new Map(edits.map((one) => [memberOf(one.host, one.port).id, one]))]),
  );
}

/** Stands before the membership for sources whose upstreams calls may change. */
export class EditedPools implements Announcer {
  readonly #options: EditedPoolsOptions;
  /** What the source of each pool said last. */
  readonly #announced = new Map<string, Announcement>();
  /** Also of pools that no source lists now: their changes stay. */
  readonly #edits: Map<string, UpstreamEdits>;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: EditedPoolsOptions) {
    this.#options = options;
    this.#edits = new Map(options.edits);
  }

  announce(announcement: Announcement): void {
    const { pool, members } = announcement;
    const edits = relevantEdits(members, this.#edits.get(pool) ?? new Map());
    this.#edits.set(pool, edits);
    this.#announced.set(pool, announcement);
    // What a call took out is meant to be out, though it be the last one.
    this.#options.membership.announce({
      ...announcement,
      members: editedMembers(members, edits),
      mayBeEmpty: true,
    });
  }

  withdraw(pool: string, source: string): void {
    if (this.#announced.get(pool)?.source === source) this.#announced.delete(pool);
    this.#options.membership.withdraw(pool, source);
  }

  /** null: no source that calls may change has listed anything for it. */
  pool(name: string): EditedPool | null {
    const announced = this.#announced.get(name);
    if (announced === undefined) return null;
    return { listed: announced.members, edits: this.#edits.get(name) ?? new Map() };
  }

  /** Names of the pools that calls may change. */
  get names(): readonly string[] {
    return [...this.#announced.keys()];
  }

  /** Carries out a command once those before it are done. `null`: calls may not change this pool (any more). */
  edit(pool: string, command: EditCommand): Promise<EditOutcome | null> {
    const done = this.#last.then(() => this.#edit(pool, command));
    this.#last = done.catch(() => undefined);
    return done;
  }

  async #edit(pool: string, command: EditCommand): Promise<EditOutcome | null> {
    const current = this.pool(pool);
    if (current === null) return null;
    const result = edited(current.listed, current.edits, command);
    if (!result.ok || !result.changed) return result;
    const members = editedMembers(current.listed, result.edits);
    if (members.length > MOST_UPSTREAMS) {
      const message = `A pool has at most ${MOST_UPSTREAMS} upstreams.`;
      return { ok: false, code: 'upstreams.too-many', message };
    }
    try {
      await this.#save(new Map(this.#edits).set(pool, result.edits));
    } catch (error) {
      const message = `Nothing was changed, because it could not be kept. ${messageOf(error)}`;
      return { ok: false, code: 'state.unwritable', message };
    }
    this.#edits.set(pool, result.edits);
    const announcement = this.#announced.get(pool);
    if (announcement !== undefined) this.announce(announcement);
    return result;
  }

  async #save(edits: ReadonlyMap<string, UpstreamEdits>): Promise<void> {
    const state = [...edits]
      .filter(([, ofPool]) => ofPool.size > 0)
      .map(([pool, ofPool]) => ({ pool, edits: [...ofPool.values()] }));
    await this.#options.store.save(state);
  }
}
