/**
 * Upstreams that a pool has for as long as its source has never answered: a gateway that is started by hand, with nothing
 * configured, serves what runs on the usual ports until there is a supervisor.
 *
 *   off ──the source gives no answer──▶ on ──its first answer──▶ over
 *    └──────────its first answer──────────────────────────────────▲
 *
 * Over is for good: from then on the source's last good answer is what counts.
 */
import { memberOf, type Member } from '../../domain/upstreams/members.js';
import type { Logger } from '../../ports.js';
import type { SourceFact } from '../pages/facts.js';
import type { Announcer } from './editedPools.js';

/** Its name as a source. */
export const STAND_IN_SOURCE = 'ports';

export interface StandInPlan {
  /** Not verified by anything: they take traffic when they pass the checks. */
  readonly members: readonly Member[];
  /** Why they are used, for people, and until when; completes "these ports: …". */
  readonly reason: string;
}

export class StandIn {
  readonly #pool: string;
  readonly #plan: StandInPlan;
  readonly #membership: Announcer;
  readonly #logger: Logger;
  #state: 'off' | 'on' | 'over' = 'off';

  constructor(pool: string, plan: StandInPlan, membership: Announcer, logger: Logger) {
    this.#pool = pool;
    this.#plan = plan;
    this.#membership = membership;
    this.#logger = logger;
  }

  /** The source gives no answer. @returns whether the upstreams here stand in for it. */
  sourceFailed(): boolean {
    if (this.#state === 'off') {
      this.#state = 'on';
      this.#logger.info('the upstreams are ports that nothing was asked about', {
        pool: this.#pool,
        ports: shown(this.#plan.members),
        reason: this.#plan.reason,
      });
      this.#membership.announce({
        pool: this.#pool,
        source: STAND_IN_SOURCE,
        members: this.#plan.members,
        verified: false,
      });
    }
    return this.#state === 'on';
  }

  /** The source has answered, and what it said is announced: what it did not name drains. */
  sourceAnswered(): void {
    if (this.#state === 'on') {
      this.#logger.info(
        'the supervisor has answered: from now on the upstreams are the instances that it announces',
        {
          pool: this.#pool,
        },
      );
      this.#membership.withdraw(this.#pool, STAND_IN_SOURCE);
    }
    this.#state = 'over';
  }

  /** As a source on the pages, in place of the one that gives no answer; null: it is not needed. */
  get fact(): SourceFact | null {
    if (this.#state !== 'on') return null;
    const detail = `${shown(this.#plan.members)}: ${this.#plan.reason}`;
    return { name: STAND_IN_SOURCE, pool: this.#pool, state: 'live', detail };
  }
}

/** "127.0.0.1:13004 to 13008". */
function shown(members: readonly Member[]): string {
  const [first = memberOf('', 0)] = members;
  const last = members.at(-1) ?? first;
  return first.port === last.port ? first.id : `${first.id} to ${last.port}`;
}
