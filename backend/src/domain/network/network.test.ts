import { SocketAddress } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isLoopbackAddress, LOOPBACK_NETWORK, networkOf, withoutMapping } from './network.js';

describe('networkOf', () => {
  it.each([
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['127.0.0.1', LOOPBACK_NETWORK],
    ['127.8.9.10', LOOPBACK_NETWORK],
    ['::ffff:127.0.0.1', LOOPBACK_NETWORK],
    ['::1', LOOPBACK_NETWORK],
    ['0:0:0:0:0:0:0:1', LOOPBACK_NETWORK],
    ['2001:db8:1:2::1', '2001:db8:1:2:0:0:0:0/64'],
    ['2001:DB8:1:2:ffff::9', '2001:db8:1:2:0:0:0:0/64'],
    ['2001:db8:1:2:1:2:3:4', '2001:db8:1:2:0:0:0:0/64'],
    ['2001:db8:1:3::1', '2001:db8:1:3:0:0:0:0/64'],
    ['fe80::1%eth0', 'fe80:0:0:0:0:0:0:0/64'],
    ['64:ff9b::192.0.2.7', '64:ff9b:0:0:0:0:0:0/64'],
    ['::', '0:0:0:0:0:0:0:0/64'],
    ['not an address', 'not an address'],
  ])('counts %s as %s', (address, network) => {
    expect(networkOf(address)).toBe(network);
  });

  it.each([
    [128, '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff/128'],
    [56, '2001:db8:ffff:ff00:0:0:0:0/56'],
    [33, '2001:db8:8000:0:0:0:0:0/33'],
    [1, '0:0:0:0:0:0:0:0/1'],
  ])('keeps %i bits of an IPv6 address', (bits, network) => {
    expect(networkOf('2001:db8:ffff:ffff:ffff:ffff:ffff:ffff', bits)).toBe(network);
  });
});

it('knows an address in every spelling', () => {
  const canonical = (address: string): string => new SocketAddress({ address, family: 'ipv6' }).address;
  fc.assert(
    fc.property(fc.ipV6(), (address) => {
      for (const spelling of [address, address.toUpperCase(), canonical(address), `${address}%eth0`])
        expect(networkOf(spelling, 128), spelling).toBe(networkOf(address, 128));
    }),
  );
});

it.each([
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['::FFFF:192.0.2.7', '192.0.2.7'],
  ['::ffff:c000:207', '192.0.2.7'],
  ['0:0:0:0:0:ffff:c000:0207', '192.0.2.7'],
  ['::ffff:0:0', '0.0.0.0'],
  ['192.0.2.7', '192.0.2.7'],
  ['::fffe:192.0.2.7', '::fffe:192.0.2.7'],
  ['1::ffff:192.0.2.7', '1::ffff:192.0.2.7'],
  ['::192.0.2.7', '::192.0.2.7'],
  ['not:an:address', 'not:an:address'],
])('takes %s, without a mapping, for %s', (address, plain) => {
  expect(withoutMapping(address)).toBe(plain);
});

it.each([
  [true, ['127.0.0.1', '127.8.9.1', '::1', '::ffff:127.0.0.1', '::FFFF:127.0.0.1', '::ffff:7f00:1']],
  [false, ['10.0.0.1', '128.0.0.1', '::2', '::ffff:10.0.0.1', '', '127.0.0.1.evil', '127.1']],
])('says %s to the question whether it is a loopback address', (isOne, addresses) => {
  for (const address of addresses) expect(isLoopbackAddress(address), address).toBe(isOne);
});
