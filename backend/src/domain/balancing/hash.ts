/**
 * The 32-bit hash that keyed algorithms pick by. FNV-1a over the characters, then the finaliser of MurmurHash3: FNV
 * alone leaves neighbouring addresses (10.0.0.1, 10.0.0.2, …) in neighbouring places. Not for security: who wants to
 * can find keys that collide. Never 0, which means "no key" in a PickContext.
 */
import { NOT_IPV4, readIpv4, readIpv6 } from '../network/ipAddress.js';

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** Spreads every bit of `value` over all 32 (MurmurHash3's fmix32: a bijection). The result is unsigned. */
export function mix32(value: number): number {
  let mixed = value ^ (value >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

const neverZero = (hash: number): number => (hash === 0 ? 1 : hash);

/** Of any text: a header, a cookie, a path. Case counts. @param seed gives an independent hash. */
export function hashText(text: string, seed = 0): number {
  let hash = FNV_OFFSET ^ seed;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    hash = Math.imul(hash ^ (unit & 0xff), FNV_PRIME);
    if (unit > 0xff) hash = Math.imul(hash ^ (unit >>> 8), FNV_PRIME);
  }
  return neverZero(mix32(hash));
}

/**
 * Of a client's IP address: the whole address, so that two clients of one network are two clients. All spellings of
 * one address give one hash: IPv4-mapped IPv6 (`::ffff:10.0.0.1`, what a dual-stack socket reports) counts as the
 * IPv4 address, IPv6 may be compressed and in either case, a zone (`%eth0`) is left out. Anything else is hashed as text.
 */
export function hashAddress(address: string): number {
  const ipv4 = readIpv4(address, 0, address.length);
  if (ipv4 !== NOT_IPV4) return hashWords(0, 0, 0xffff, ipv4);
  if (!readIpv6(address, groups)) return hashText(address);
  return hashWords(wordAt(0), wordAt(2), wordAt(4), wordAt(6));
}

/** An IPv4 address counts as its IPv4-mapped IPv6 address. */
function hashWords(a: number, b: number, c: number, d: number): number {
  let hash = mix32(FNV_OFFSET ^ a);
  hash = mix32(Math.imul(hash, 5) + b);
  hash = mix32(Math.imul(hash, 5) + c);
  return neverZero(mix32(Math.imul(hash, 5) + d));
}

/** The address read last: reused, so that hashing allocates nothing. */
const groups = new Uint16Array(8);
const wordAt = (index: number): number => (groups[index] ?? 0) * 0x10000 + (groups[index + 1] ?? 0);
