/**
 * The network that an address stands for where clients are counted: an IPv4 address stands for itself, an IPv6 address
 * for its first 64 bits, because one customer gets so many, and loopback addresses (127.0.0.0/8, ::1) for this machine.
 */
import { NOT_IPV4, readIpv4, readIpv6 } from './ipAddress.js';

export const LOOPBACK_NETWORK = 'loopback';
const GROUP_BITS = 16;
const groups = new Uint16Array(8);

/** @param ipv6Bits how many bits of an IPv6 address count: 1 to 128. */
export function networkOf(address: string, ipv6Bits = 64): string {
  const plain = withoutMapping(address);
  if (isIpv4(plain)) return plain.startsWith('127.') ? LOOPBACK_NETWORK : plain;
  if (!readIpv6(plain, groups)) return plain;
  if (groups.every((group, index) => group === (index === 7 ? 1 : 0))) return LOOPBACK_NETWORK;
  const kept = Array.from(groups, (group, index) => {
    const bits = Math.min(GROUP_BITS, Math.max(0, ipv6Bits - index * GROUP_BITS));
    return (group & (0xffff << (GROUP_BITS - bits))).toString(16);
  });
  return `${kept.join(':')}/${ipv6Bits}`;
}

/** Whether a connection from there comes from this machine: 127.0.0.0/8 and ::1, however they are written. */
export function isLoopbackAddress(address: string): boolean {
  return networkOf(address) === LOOPBACK_NETWORK;
}

/** An IPv4 address that is written as IPv6 (`::ffff:192.0.2.1`, `::ffff:c000:201`), as IPv4; all others as they are. */
export function withoutMapping(address: string): string {
  if (!address.includes(':') || !readIpv6(address, groups)) return address;
  for (let index = 0; index < 6; index += 1) {
    if (groups[index] !== (index === 5 ? 0xffff : 0)) return address;
  }
  const [high = 0, low = 0] = groups.subarray(6);
  return `${high >> 8}.${high & 0xff}.${low >> 8}.${low & 0xff}`;
}

function isIpv4(text: string): boolean {
  return readIpv4(text, 0, text.length) !== NOT_IPV4;
}
