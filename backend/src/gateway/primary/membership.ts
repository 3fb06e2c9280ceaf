/**
 * Who is in which pool, from all sources, and how each of them stands:
 *
 *   announced ──checks──▶ up ⇄ down
 *       │                  │
 *       └──no longer announced──▶ draining ──every worker is done with it──▶ forgotten
 *
 * An upstream that its source no longer announces takes nothing new at once, and stays until its last request is
 * finished, which every worker must say. A source that suddenly announces *nobody* for a pool is not believed that
 * far: its last members stay as down, so that the pool fails open instead of answering 503 to everybody. One that can
 * tell names those that live but are not well (`doubtful`): they are down until our own checks say otherwise. What it
 * names `unverified` answers, but not as it is probed: it is up whatever our checks say, and judged by its traffic alone.
 */
import type { HealthPolicy } from '../../domain/policy.js';
import type { UpstreamSnapshot, UpstreamState } from '../../domain/upstreams/pool.js';
import { upstreamKey } from '../../domain/statistics/trafficLedger.js';
import type { Clock, Member } from '../../ports.js';
import type { Checker } from './checker.js';

export interface MembershipOptions {
  readonly clock: Clock;
  readonly checker: Checker;
  /** How the upstreams of a pool are checked. */
  readonly checkOf: (pool: string) => HealthPolicy;
  /** Something that the snapshot shows has changed. */
  readonly onChange: () => void;
}

/** What a source says of one pool. */
export interface Announcement {
  readonly pool: string;
  readonly source: string;
  readonly members: readonly Member[];
  /** The source has probed them: they take traffic before our own first check. */
  readonly verified: boolean;
  /** A list without anything is meant: its last members are not kept. Default false. */
  readonly mayBeEmpty?: boolean;
}

interface Entry {
  readonly pool: string;
  readonly source: string;
  readonly member: Member;
  /** False once its source no longer announces it. */
  announced: boolean;
  /** Announced by nobody, but kept because the pool would be empty without it. */
  kept: boolean;
  /** Wall clock since when it is up, ms. */
  upSinceMs: number;
  wasUp: boolean;
}

/** A gateway is not made for more; a source that goes wild must not take it down. */
export const MOST_UPSTREAMS = 4_096;

export class Membership {
  readonly #options: MembershipOptions;
  /** By pool and id. */
  readonly #entries = new Map<string, Entry>();
  #refused = 0;

  constructor(options: MembershipOptions) {
    this.#options = options;
  }

  /** Upstreams that were announced beyond the bound, so far. */
  get refused(): number {
    return this.#refused;
  }

  /** Replaces what `source` says of `pool`. */
  announce({ pool, source, members, verified, mayBeEmpty = false }: Announcement): void {
    const wanted = new Map(members.map((member) => [member.id, member]));
    const own = [...this.#entries.values()].filter((entry) => entry.pool === pool && entry.source === source);
    const isSilenced = !mayBeEmpty && wanted.size === 0 && own.some(({ announced }) => announced);
    for (const entry of own) {
      if (wanted.has(entry.member.id)) continue;
      entry.kept = isSilenced ? entry.announced || entry.kept : entry.kept && wanted.size === 0;
      entry.announced = false;
    }
    for (const member of wanted.values()) this.#admit(pool, source, member, verified);
    this.#options.onChange();
  }

  /** `source` announces nothing more of `pool`, on purpose: its upstreams drain, though the pool be empty then. */
  withdraw(pool: string, source: string): void {
    for (const entry of this.#entries.values()) {
      if (entry.pool !== pool || entry.source !== source) continue;
      entry.announced = false;
      entry.kept = false;
    }
    this.#options.onChange();
  }

  /** Other pools and checks: drops every pool that is not in `pools`, at once; the others go on by the new checks. */
  reconfigure(pools: ReadonlySet<string>): void {
    const { checker, checkOf } = this.#options;
    for (const [key, { pool, member }] of this.#entries) {
      if (!pools.has(pool)) this.#forget(key);
      else checker.track(member, checkOf(pool), false);
    }
  }

  /** The checker's verdict on an upstream changed. */
  checked(id: string): void {
    if ([...this.#entries.values()].some(({ member }) => member.id === id)) this.#options.onChange();
  }

  /** Every worker is done with these (pool and id as in `drainingKeys`): forgets those that are still leaving. */
  drained(keys: readonly string[]): void {
    let changed = false;
    for (const key of keys) {
      const entry = this.#entries.get(key);
      if (entry === undefined || entry.announced || this.#stateOf(entry) !== 'draining') continue;
      this.#forget(key);
      changed = true;
    }
    if (changed) this.#options.onChange();
  }

  /** Rows of one pool for the snapshot, in a stable order. */
  rows(pool: string): readonly UpstreamSnapshot[] {
    const { clock } = this.#options;
    return [...this.#entries.values()]
      .filter((entry) => entry.pool === pool)
      .map((entry): UpstreamSnapshot => {
        const state = this.#stateOf(entry);
        if (state === 'up' && !entry.wasUp) entry.upSinceMs = clock.wallMs();
        entry.wasUp = state === 'up';
        const { id, host, port, weight, owner } = entry.member;
        const row = { id, host, port, weight, state, upSinceMs: entry.upSinceMs };
        return owner === undefined ? row : { ...row, owner };
      })
      .sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Ids of those that their source has withdrawn, and that stay because their pool would be empty without them. */
  kept(): ReadonlySet<string> {
    return new Set(
      [...this.#entries.values()]
        .filter(({ kept, announced }) => kept && !announced)
        .map(({ member }) => member.id),
    );
  }

  /** Where each upstream comes from, by id. */
  sources(): ReadonlyMap<string, string> {
    return new Map([...this.#entries.values()].map(({ member, source }) => [member.id, source]));
  }

  /** What to remember over a restart: those that are announced, by pool. */
  announced(): readonly { readonly pool: string; readonly source: string; readonly member: Member }[] {
    return [...this.#entries.values()]
      .filter(({ announced, kept }) => announced || kept)
      .map(({ pool, source, member }) => ({ pool, source, member }));
  }

  #admit(pool: string, source: string, member: Member, verified: boolean): void {
    const { checker, checkOf, clock } = this.#options;
    const key = upstreamKey(pool, member.id);
    const known = this.#entries.get(key);
    if (known === undefined && this.#entries.size >= MOST_UPSTREAMS) {
      this.#refused += 1;
      return;
    }
    const isDoubtful = member.doubtful === true;
    // One that comes back while it was leaving is another process at the same address: it is judged anew.
    const isNew = known === undefined || !known.announced || isOtherwise(known.member, member);
    const isTrusted = verified && !isDoubtful;
    // A source that has verified it vouches for one that another source named without that.
    const isTakenOver = known !== undefined && known.source !== source;
    if (isNew && !isTrusted && known !== undefined && (!known.kept || isDoubtful)) checker.untrack(member.id);
    checker.track(member, checkOf(pool), isTrusted && (isNew || isTakenOver));
    this.#entries.set(key, {
      pool,
      source,
      member,
      announced: true,
      kept: false,
      upSinceMs: known?.upSinceMs ?? clock.wallMs(),
      wasUp: known?.wasUp ?? false,
    });
  }

  #stateOf({ member, announced, kept }: Entry): UpstreamState {
    if (announced && member.draining === true) return 'draining';
    const isUp = member.unverified === true || this.#options.checker.isFit(member.id);
    if (announced) return isUp ? 'up' : 'down';
    return kept ? 'down' : 'draining';
  }

  #forget(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    const isUsedElsewhere = [...this.#entries.values()].some(({ member }) => member.id === entry.member.id);
    if (!isUsedElsewhere) this.#options.checker.untrack(entry.member.id);
  }
}

/** Whether its source thinks otherwise of it than before. */
function isOtherwise(before: Member, now: Member): boolean {
  return before.doubtful !== now.doubtful || before.unverified !== now.unverified;
}
