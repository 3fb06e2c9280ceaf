import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { distinctMembers, memberOf, parseMember, parseMembers, portRange, sameMembers } from './members.js';

describe('parseMembers', () => {
  it('reads hosts, addresses, weights and spaces', () => {
    expect(
      parseMembers('app:8080, 10.0.0.1:80;weight=3 ,[::1]:9000 ; weight = 1000,Shop.Example.ORG:1,_a-b.c:2'),
    ).toEqual({
      ok: true,
      members: [
        { id: 'app:8080', host: 'app', port: 8080, weight: 1 },
        { id: '10.0.0.1:80', host: '10.0.0.1', port: 80, weight: 3 },
        { id: '[::1]:9000', host: '::1', port: 9000, weight: 1000 },
        { id: 'shop.example.org:1', host: 'shop.example.org', port: 1, weight: 1 },
        { id: '_a-b.c:2', host: '_a-b.c', port: 2, weight: 1 },
      ],
    });
  });

  it('says all that is wrong, entry by entry', () => {
    const reading = parseMembers(
      'app, app:0, app:70000,,10.0.0.300:80, ::1:80, [10.0.0.1]:80, a b:80, x:1;weight=0, x:1;weight=two, x:1;w=2, ok:1, ok:1',
    );
    expect(reading).toEqual({
      ok: false,
      problems: [
        '"app" is not host:port or host:port;weight=N',
        '"app:0": the port must be from 1 to 65535',
        '"app:70000": the port must be from 1 to 65535',
        'an entry is empty',
        '"10.0.0.300:80": "10.0.0.300" is no host name and no IP address',
        '"::1:80" is not host:port or host:port;weight=N; IPv6 addresses stand in brackets, as in [::1]:8080',
        '"[10.0.0.1]:80": "10.0.0.1" is no host name and no IP address',
        '"a b:80": "a b" is no host name and no IP address',
        '"x:1;weight=0": the weight must be a whole number from 1 to 1000',
        '"x:1;weight=two": the weight must be a whole number from 1 to 1000',
        '"x:1;w=2" is not host:port or host:port;weight=N',
        'ok:1 is there twice',
      ],
    });
  });

  it('reads back what it would write, and never throws', () => {
    const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain());
    fc.assert(
      fc.property(
        host,
        fc.integer({ min: 1, max: 65_535 }),
        fc.integer({ min: 1, max: 1000 }),
        (h, port, weight) => {
          const member = memberOf(h.toLowerCase(), port, weight);
          expect(parseMember(`${member.id};weight=${weight}`)).toEqual(member);
        },
      ),
    );
    fc.assert(fc.property(fc.string(), (text) => void parseMembers(text)));
  });

  it('does not take long over a hostile text', () => {
    const reading = parseMembers(`${'a-'.repeat(50_000)}:80`);
    expect(reading.ok).toBe(false);
  });
});

it('portRange: consecutive ports', () => {
  expect(portRange('127.0.0.1', 13_004, 3).map(({ id }) => id)).toEqual([
    '127.0.0.1:13004',
    '127.0.0.1:13005',
    '127.0.0.1:13006',
  ]);
});

it('distinctMembers and sameMembers: one list, whatever the order', () => {
  const a = [memberOf('b', 1), memberOf('a', 1), memberOf('b', 1, 5)];
  const b = [memberOf('a', 1), memberOf('b', 1)];
  expect(distinctMembers(a)).toEqual(b);
  expect(sameMembers(distinctMembers(a), distinctMembers(b))).toBe(true);
  expect(sameMembers(b, [memberOf('a', 1), memberOf('b', 1, 2)])).toBe(false);
  expect(sameMembers(b, b.slice(1))).toBe(false);
});

it('lists differ where one is doubted in one of them only', () => {
  const member = memberOf('127.0.0.1', 1);
  const doubtful = { ...member, doubtful: true as const };
  expect(sameMembers([member], [doubtful])).toBe(false);
  expect(sameMembers([doubtful], [{ ...doubtful }])).toBe(true);
});
