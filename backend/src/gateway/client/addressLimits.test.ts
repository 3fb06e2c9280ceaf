import { expect, it } from 'vitest';
import { AddressLimits } from './addressLimits.js';

const limits = (ipv6PrefixBits = 64): AddressLimits =>
  new AddressLimits({ maxConnectionsPerIp: 2, maxRequestsPerSecondPerIp: 1, ipv6PrefixBits });

const sameNetwork = Array.from({ length: 40 }, (_, host) => `2001:db8:1:2::${(host + 1).toString(16)}`);

it.each([
  ['40 addresses of one /64 are one client', 64, sameNetwork, 2],
  ['of a /128 each is one', 128, sameNetwork, 40],
  ['40 networks are 40 clients', 64, sameNetwork.map((_, net) => `2001:db8:1:${net.toString(16)}::1`), 40],
  ['and with /48 one client', 48, sameNetwork.map((_, net) => `2001:db8:1:${net.toString(16)}::1`), 2],
  ['of IPv4 each is one', 64, sameNetwork.map((_, host) => `192.0.2.${host}`), 40],
])('%s', (_, bits, addresses, admitted) => {
  const byAddress = limits(bits);
  expect(addresses.filter((address) => byAddress.open(address))).toHaveLength(admitted);
  const requests = limits(bits);
  expect(addresses.filter((address) => requests.request(address, 0))).toHaveLength(admitted);
});

it('a place that one address of a network gives back is free for another one', () => {
  const byAddress = limits();
  expect(['2001:db8::1', '2001:db8::2', '2001:db8::3'].map((one) => byAddress.open(one))).toEqual([
    true,
    true,
    false,
  ]);
  byAddress.close('2001:db8::9');
  expect(byAddress.open('2001:db8::3')).toBe(true);
});
