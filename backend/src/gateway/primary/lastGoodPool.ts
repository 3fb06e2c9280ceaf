/**
 * The last members that each source announced, on disk (`gateway-pool.json`), so that a gateway that starts while the
 * supervisor, DNS or Consul is away serves at once from what was good when it was last seen. Written a moment after a
 * change, at most once a second; what can't be written is reported once and tried again with the next change, or after a while.
 */
import { z } from 'zod';
import { messageOf } from '../../domain/errors.js';
import { listed, salvage } from '../../lib/salvage.js';
import type { Clock, Logger, Member, StateStore } from '../../ports.js';
import { MOST_UPSTREAMS } from './membership.js';

const flag = z.literal(true).optional();

/** Read piece by piece (lib/salvage): an upstream that is not usable is left out, the others stay. */
const member = z.object({
  id: z.string().min(1).max(300),
  host: z.string().min(1).max(253),
  port: z.int().min(1).max(65_535),
  weight: z.number().min(1).max(1_000).default(1),
  doubtful: flag,
  unverified: flag,
  draining: flag,
  owner: z.object({ pid: z.int(), userIds: z.array(z.int()) }).optional(),
});

const remembered = z.array(
  z.object({ pool: z.string().max(128), source: z.string().max(256), members: z.array(member) }),
);

/** What one source said of one pool. */
export interface RememberedPool {
  readonly pool: string;
  readonly source: string;
  readonly members: readonly Member[];
}

export interface LastGoodPoolOptions {
  readonly store: StateStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly capture: () => readonly RememberedPool[];
}

const WRITE_PAUSE_MS = 1_000;
const RETRY_PAUSE_MS = 30_000;

export class LastGoodPool {
  readonly #options: LastGoodPoolOptions;
  #cancel: (() => void) | null = null;
  #cancelRetry: () => void = () => undefined;
  #isFailing = false;
  #written = '';

  constructor(options: LastGoodPoolOptions) {
    this.#options = options;
  }

  /** What was remembered, as far as it is usable. Never rejects. */
  async load(): Promise<readonly RememberedPool[]> {
    const { store, logger } = this.#options;
    const { state, damaged } = await store.load().catch((thrown: unknown) => {
      logger.error('the remembered upstreams cannot be read', { problem: messageOf(thrown) });
      return { state: null, damaged: undefined };
    });
    if (damaged !== undefined) logger.error('the remembered upstreams were damaged', { ...damaged });
    if (state === null) return [];
    const { value, problems } = salvage(remembered, state);
    const pools = (value ?? []).filter(({ members }) => members.length > 0);
    const count = pools.reduce((sum, { members }) => sum + members.length, 0);
    const tooMany = count > MOST_UPSTREAMS ? [`more than ${MOST_UPSTREAMS} upstreams`] : [];
    if (problems.length > 0 || tooMany.length > 0) {
      logger.error('some of the remembered upstreams are not usable and are left out', {
        movedTo: await store.keepCopy(),
        problem: listed([...problems, ...tooMany]),
      });
    }
    return count > MOST_UPSTREAMS ? [] : pools;
  }

  /** Something changed: it is written soon. */
  touch(): void {
    this.#cancel ??= this.#options.clock.after(WRITE_PAUSE_MS, () => {
      this.#cancel = null;
      void this.#write();
    });
  }

  /** Writes what is due. */
  async close(): Promise<void> {
    this.#cancelRetry();
    if (this.#cancel === null) return;
    this.#cancel();
    this.#cancel = null;
    await this.#write();
  }

  async #write(): Promise<void> {
    const { store, capture, logger, clock } = this.#options;
    const state = capture();
    const text = JSON.stringify(state);
    this.#cancelRetry();
    if (text === this.#written) return;
    try {
      await store.save(state);
      this.#written = text;
      this.#isFailing = false;
    } catch (thrown) {
      if (!this.#isFailing)
        logger.error('the upstreams cannot be remembered', { problem: messageOf(thrown) });
      this.#isFailing = true;
      this.#cancelRetry = clock.after(RETRY_PAUSE_MS, () => void this.#write());
    }
  }
}

/** What is to be remembered of upstreams that are announced now. */
export function byPool(
  announced: readonly { readonly pool: string; readonly source: string; readonly member: Member }[],
): readonly RememberedPool[] {
  const pools = new Map<string, RememberedPool & { members: Member[] }>();
  for (const { pool, source, member } of announced) {
    const key = `${pool}\n${source}`;
    const known = pools.get(key) ?? { pool, source, members: [] };
    known.members.push(member);
    pools.set(key, known);
  }
  return [...pools.values()];
}
