import { describe, expect, it } from 'vitest';
import { listenersFor, sameOwner, strangerAmong, type ListeningRow } from './portOwner.js';

const row = (address: string, userId = 1_000): ListeningRow => ({
  address,
  userId,
  inode: `${address} ${userId}`,
});
const OWNER = { pid: 7, userIds: [1_000, 1_001] };

describe('what a connection meets', () => {
  it.each([
    ['the very address before all addresses', '127.0.0.1', ['0.0.0.0', '127.0.0.1'], '127.0.0.1'],
    ['the very address, bound through IPv6', '127.0.0.1', ['::', '::ffff:127.0.0.1'], '::ffff:127.0.0.1'],
    ['all addresses of its family before both families', '127.0.0.1', ['::', '0.0.0.0'], '0.0.0.0'],
    ['both families', '127.0.0.1', ['::', '::1', '10.0.0.1'], '::'],
    ['the very address of IPv6', '::1', ['::', '::1'], '::1'],
    ['all addresses of IPv6', '::1', ['0.0.0.0', '::'], '::'],
    ['nothing of another address', '10.0.0.2', ['127.0.0.1', '::1', '10.0.0.1'], undefined],
  ])('is %s', (_, host, addresses, met) => {
    const rows = addresses.map((address) => row(address));
    expect(listenersFor(host, rows).map(({ address }) => address)).toEqual(met === undefined ? [] : [met]);
  });

  it('is not what a stranger has opened beside it for IPv6 alone', () => {
    const rows = [row('::', 65_534), row('127.0.0.1')];
    expect(strangerAmong(listenersFor('127.0.0.1', rows), OWNER)).toBeNull();
    expect(strangerAmong(listenersFor('::1', rows), OWNER)?.userId).toBe(65_534);
  });
});

it('a stranger is each user but the owners and root', () => {
  expect(strangerAmong([row('::', 1_000), row('::', 0), row('::', 1_001)], OWNER)).toBeNull();
  expect(strangerAmong([row('::', 1_000), row('::', 1_002)], OWNER)?.userId).toBe(1_002);
  expect(strangerAmong([], OWNER)).toBeNull();
});

it('owners are the same by process and users', () => {
  expect(sameOwner(OWNER, { pid: 7, userIds: [1_000, 1_001] })).toBe(true);
  expect(sameOwner(undefined, undefined)).toBe(true);
  expect(sameOwner(OWNER, undefined)).toBe(false);
  expect(sameOwner(OWNER, { ...OWNER, pid: 8 })).toBe(false);
  expect(sameOwner(OWNER, { ...OWNER, userIds: [1_000] })).toBe(false);
});
