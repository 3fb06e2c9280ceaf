/** What every source of upstreams promises, whatever it asks. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { memberOf, type Member } from '../../backend/src/domain/upstreams/members.js';
import type { Discovery, ListNotes } from '../../backend/src/ports.js';
import { waitFor } from './waitFor.js';

/** A source and what stands behind it. */
export interface DiscoveryWorld {
  /** One more source on the same backend. */
  open(): Discovery;
  /** What the backend says from now on; all on 127.0.0.x, weight 1. */
  say(members: readonly Member[]): void | Promise<void>;
  /** No good answer from now on, until `say`. */
  fail(): void | Promise<void>;
  /** How often the backend was asked, or a number that grows with it. */
  asked(): number;
  close(): Promise<void>;
}

/** A source that was started, and all that it said. */
export class Listening {
  readonly lists: (readonly Member[])[] = [];
  /** Of each list. */
  readonly notes: (ListNotes | undefined)[] = [];
  readonly problems: string[] = [];
  /** Ids of members: their process has ended, or was superseded. */
  readonly gone: string[] = [];
  readonly superseded: string[] = [];
  readonly discovery: Discovery;

  constructor(discovery: Discovery) {
    this.discovery = discovery;
    discovery.start(
      (members, notes) => {
        this.lists.push(members);
        this.notes.push(notes);
      },
      (problem) => this.problems.push(problem),
      (id, news) => (news === 'ended' ? this.gone : this.superseded).push(id),
    );
  }

  get ids(): readonly string[] | null {
    return this.lists.at(-1)?.map(({ id }) => id) ?? null;
  }

  async hears(...ids: readonly string[]): Promise<void> {
    await waitFor(() => JSON.stringify(this.ids) === JSON.stringify(ids), {
      what: `the upstreams ${ids.join(', ')}`,
    }).catch((error: unknown) => {
      throw new Error(
        `${String(error)}; heard ${JSON.stringify(this.ids)}, problems: ${this.problems.join('; ')}`,
      );
    });
  }

  async hearsProblem(): Promise<string> {
    return waitFor(() => this.problems.at(-1), { what: 'a problem' });
  }
}

/** @param ports of the members that `say` is given: where a source allows one port only, the same for both. */
export function discoveryContract(open: () => Promise<DiscoveryWorld>, ports = { a: 8080, b: 8081 }): void {
  const a = memberOf('127.0.0.1', ports.a);
  const b = memberOf(ports.a === ports.b ? '127.0.0.2' : '127.0.0.1', ports.b);
  let world: DiscoveryWorld;
  let sources: Listening[];

  beforeEach(async () => {
    sources = [];
    world = await open();
  });
  afterEach(async () => {
    for (const { discovery } of sources) await discovery.close();
    await world.close();
  });
  const listen = (): Listening => {
    const source = new Listening(world.open());
    sources.push(source);
    return source;
  };
  const askedAgain = async (times = 2): Promise<void> => {
    const before = world.asked();
    await waitFor(() => world.asked() >= before + times, { what: 'the source to ask again' });
  };

  it('says the list at first and whenever it changed, in one order', async () => {
    await world.say([b, a]);
    const source = listen();
    await source.hears(a.id, b.id);
    await world.say([b]);
    await source.hears(b.id);
    await world.say([a, b]);
    await source.hears(a.id, b.id);
    expect(source.lists.at(-1)).toEqual([a, b]);
    expect(source.problems).toEqual([]);
  });

  it('keeps what it knew when there is no answer, says so once, and says when it is over', async () => {
    await world.say([a]);
    const source = listen();
    await source.hears(a.id);
    await world.fail();
    expect(await source.hearsProblem()).toMatch(/\w+.*\w+/);
    await askedAgain();
    const { length } = source.problems;
    await askedAgain();
    expect(source.problems).toHaveLength(length);
    expect(source.lists).toHaveLength(1);
    await world.say([a]);
    await waitFor(() => source.lists.length === 2, { what: 'the list, though it is the same' });
    expect(source.lists[1]).toEqual([a]);
  });

  it('has nothing to say but the problem while there was never an answer, and then the list', async () => {
    await world.fail();
    const source = listen();
    await source.hearsProblem();
    expect(source.lists).toEqual([]);
    await world.say([b]);
    await source.hears(b.id);
  });

  it('says nothing after it was closed, and closes twice', async () => {
    await world.say([a]);
    const source = listen();
    const other = listen();
    await source.hears(a.id);
    await other.hears(a.id);
    await source.discovery.close();
    await source.discovery.close();
    await world.say([a, b]);
    await other.hears(a.id, b.id);
    expect(source.lists).toHaveLength(1);
    expect(source.problems).toEqual([]);
  });

  it('can be closed before the first answer', async () => {
    await world.say([a]);
    const source = listen();
    await source.discovery.close();
    await listen().hears(a.id);
    expect(source.lists).toEqual([]);
  });
}
