import { beforeEach, describe, expect, it } from 'vitest';
import { memberOf } from '../../domain/upstreams/members.js';
import type { EditCommand } from '../../domain/upstreams/upstreamEdits.js';
import type { Member, StateStore } from '../../ports.js';
import { EditedPools, readEdits } from './editedPools.js';
import type { Announcement } from './membership.js';

const LISTED = [memberOf('a', 1), memberOf('b', 1)];
const add = (host: string): EditCommand => ({ kind: 'add', host, port: 1, weight: 2, force: false });

/** A disk: what was saved last, as text. */
let saved = 'null';
let isFull = false;
const logged: string[] = [];
const said: string[] = [];
const disk: StateStore = {
  load: () => Promise.resolve({ state: JSON.parse(saved) as unknown }),
  save: (state) => {
    if (isFull) return Promise.reject(new Error('the disk is full'));
    saved = JSON.stringify(state);
    return Promise.resolve();
  },
  setAside: () => Promise.resolve('elsewhere'),
  keepCopy: () => Promise.resolve('a copy'),
};
beforeEach(() => {
  [saved, isFull] = ['null', false];
  [logged.length, said.length] = [0, 0];
});

const idsOf = (members: readonly Member[]): string => members.map(({ id }) => id).join(' ');

async function open(store: StateStore = disk): Promise<EditedPools> {
  const log = (message: string): void => void logged.push(message);
  const edits = await readEdits(store, { debug: log, info: log, warn: log, error: log });
  return new EditedPools({
    store,
    edits,
    membership: {
      announce: ({ pool, members }) => void said.push(`${pool}: ${idsOf(members)}`),
      withdraw: (pool) => void said.push(`${pool} withdrawn`),
    },
  });
}

const listed: Announcement = { pool: 'default', source: 'static', members: LISTED, verified: false };

describe('pools that calls may change', () => {
  it('keeps changes on the disk before it tells of them, and over a restart', async () => {
    const pools = await open();
    pools.announce(listed);
    expect(said).toEqual(['default: a:1 b:1']);
    expect(await pools.edit('default', add('c'))).toMatchObject({ ok: true, changed: true, id: 'c:1' });
    expect(said.slice(1)).toEqual(['default: a:1 b:1 c:1']);
    expect(saved).toContain('"c"');
    expect(await pools.edit('default', add('c'))).toMatchObject({ ok: true, changed: false });
    expect(said).toHaveLength(2);
    (await open()).announce(listed);
    expect(said.at(-1)).toBe('default: a:1 b:1 c:1');
  });

  it('carries out commands that come together one after the other', async () => {
    const pools = await open();
    pools.announce(listed);
    await Promise.all(['c', 'd', 'e', 'f'].map((host) => pools.edit('default', add(host))));
    expect(said.at(-1)).toBe('default: a:1 b:1 c:1 d:1 e:1 f:1');
    (await open()).announce(listed);
    expect(said.at(-1)).toBe('default: a:1 b:1 c:1 d:1 e:1 f:1');
  });

  it('changes nothing that it cannot keep', async () => {
    const pools = await open();
    isFull = true;
    pools.announce(listed);
    expect(await pools.edit('default', add('c'))).toMatchObject({ ok: false, code: 'state.unwritable' });
    pools.announce(listed);
    expect(said).toEqual(['default: a:1 b:1', 'default: a:1 b:1']);
  });

  it('changes no pool that its source does not let it change', async () => {
    const pools = await open();
    expect(await pools.edit('default', add('c'))).toBeNull();
    pools.announce(listed);
    pools.withdraw('default', 'static');
    expect([await pools.edit('default', add('c')), pools.names]).toEqual([null, []]);
  });

  it.each(['{"servers":[]}', '[{"pool":"p","edits":[{"host":7}]}]', '"text"'])(
    'leaves out what is not usable, and says so: %s',
    async (text) => {
      saved = text;
      (await open()).announce(listed);
      expect(said).toEqual(['default: a:1 b:1']);
      expect(logged).toEqual([expect.stringContaining('left out')]);
    },
  );

  it('a change that is not usable does not cost the others', async () => {
    await (await open()).edit('default', add('c'));
    const pools = await open();
    pools.announce(listed);
    await pools.edit('default', add('c'));
    const [kept] = JSON.parse(saved!) as [{ pool: string; edits: unknown[] }];
    saved = JSON.stringify([7, { pool: 5 }, { ...kept, edits: [{ host: 'x', port: '1' }, ...kept.edits] }]);
    said.length = 0;
    (await open()).announce(listed);
    expect(said).toEqual(['default: a:1 b:1 c:1']);
    expect(logged).toEqual([expect.stringContaining('left out')]);
  });

  it('says that a damaged file was set aside', async () => {
    const damaged = { movedTo: 'elsewhere', problem: 'it is empty' };
    await open({ ...disk, load: () => Promise.resolve({ state: null, damaged }) });
    expect(logged).toEqual([expect.stringContaining('damaged')]);
  });
});
