/**
 * The network that an address stands for where clients are counted: an IPv4 address stands for itself, an IPv6 address
 * for its first 64 bits, because one customer gets so many, and loopback addresses (127.0.0.0/8, ::1) for this machine.
 */
import { isIPv4, isIPv6 } from 'node:net';

export const LOOPBACK_NETWORK = 'loopback';
const GROUP_BITS = 16;

/** @param ipv6Bits how many bits of an IPv6 address count: 1 to 128. */
export function networkOf(address: string, ipv6Bits = 64): string {
  const plain = withoutMapping(address);
  if (isIPv4(plain)) return plain.startsWith('127.') ? LOOPBACK_NETWORK : plain;
  const groups = isIPv6(plain) ? groupsOf(plain) : null;
  if (groups === null) return plain;
  if (groups.every((group, index) => group === (index === 7 ? 1 : 0))) return LOOPBACK_NETWORK;
  const kept = groups.map((group, index) => {
    const bits = Math.min(GROUP_BITS, Math.max(0, ipv6Bits - index * GROUP_BITS));
    return group & (0xffff << (GROUP_BITS - bits));
  });
  return `${kept.map((group) => group.toString(16)).join(':')}/${ipv6Bits}`;
}

/** An IPv4 address that is written as IPv6 (::ffff:192.0.2.1), as IPv4. */
export function withoutMapping(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  return mapped ?? address;
}

/** The eight numbers of an IPv6 address; a zone (`%eth0`) does not count. */
function groupsOf(address: string): readonly number[] {
  const [plain = ''] = address.split('%');
  const [head = '', tail] = plain.split('::');
  const before = numbersOf(head);
  const after = numbersOf(tail ?? '');
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length;
  return [...before, ...Array.from({ length: zeros }, () => 0), ...after];
}

function numbersOf(part: string): readonly number[] {
  if (part === '') return [];
  return part.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [a * 256 + b, c * 256 + d];
  });
}
