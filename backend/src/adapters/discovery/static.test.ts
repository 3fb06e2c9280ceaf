import { expect, it } from 'vitest';

import { Listening } from '../../../../test/support/discoveryContract.js';
import { memberOf } from '../../domain/upstreams/members.js';
import { MemberFeed } from './feed.js';
import { staticDiscovery } from './static.js';

it('says its list once, at once, in one order', async () => {
  const source = new Listening(staticDiscovery([memberOf('b', 1), memberOf('a', 1, 5), memberOf('b', 1)]));
  expect(source.lists).toEqual([[memberOf('a', 1, 5), memberOf('b', 1)]]);
  expect(source.problems).toEqual([]);
  await source.discovery.close();
});

it('a feed is bounded: what is too much is left out and said', () => {
  const feed = new MemberFeed();
  const lists: number[] = [];
  const problems: string[] = [];
  feed.open(
    (members) => lists.push(members.length),
    (problem) => problems.push(problem),
  );
  feed.publish(Array.from({ length: 5_000 }, (_, index) => memberOf('h', index + 1)));
  expect(lists).toEqual([4_096]);
  expect(problems).toEqual(['5000 upstreams are announced; only the first 4096 are used']);
});

it('a feed tells a change of weight, and a remark that comes and goes', () => {
  const feed = new MemberFeed();
  const heard: string[] = [];
  feed.open(
    (members) => heard.push(members.map(({ id, weight }) => `${id}*${weight}`).join()),
    (problem) => heard.push(problem),
  );
  feed.publish([memberOf('a', 1)]);
  feed.publish([memberOf('a', 1)]);
  feed.publish([memberOf('a', 1, 2)]);
  feed.publish([memberOf('a', 1, 2)], 'hm');
  feed.publish([memberOf('a', 1, 2)], 'hm');
  feed.publish([memberOf('a', 1, 2)]);
  expect(heard).toEqual(['a:1*1', 'a:1*2', 'hm', 'a:1*2']);
});
