/**
 * The 32-bit hash that keyed algorithms pick by. FNV-1a over the characters, then the finaliser of MurmurHash3: FNV
 * alone leaves neighbouring addresses (10.0.0.1, 10.0.0.2, …) in neighbouring places. Not for security: who wants to
 * can find keys that collide. Never 0, which means "no key" in a PickContext.
 */

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
  if (!readIpv6(address)) return hashText(address);
  return hashWords(wordAt(0), wordAt(2), wordAt(4), wordAt(6));
}

/** An IPv4 address counts as its IPv4-mapped IPv6 address. */
function hashWords(a: number, b: number, c: number, d: number): number {
  let hash = mix32(FNV_OFFSET ^ a);
  hash = mix32(Math.imul(hash, 5) + b);
  hash = mix32(Math.imul(hash, 5) + c);
  return neverZero(mix32(Math.imul(hash, 5) + d));
}

const NOT_IPV4 = -1;
const DOT = 0x2e;
const COLON = 0x3a;
const PERCENT = 0x25;

/** The 32 bits (unsigned) of dotted decimal in `text[start, end)`, or NOT_IPV4. */
function readIpv4(text: string, start: number, end: number): number {
  if (end - start > 15) return NOT_IPV4;
  let bits = 0;
  let octet = 0;
  let digits = 0;
  let octets = 0;
  for (let index = start; index <= end; index += 1) {
    const code = index < end ? text.charCodeAt(index) : DOT;
    if (code === DOT) {
      if (digits === 0 || octet > 255) return NOT_IPV4;
      bits = bits * 256 + octet;
      octets += 1;
      octet = 0;
      digits = 0;
    } else if (code >= 0x30 && code <= 0x39 && digits < 3) {
      octet = octet * 10 + (code - 0x30);
      digits += 1;
    } else {
      return NOT_IPV4;
    }
  }
  return octets === 4 ? bits : NOT_IPV4;
}

/** The eight groups of the address read last: reused, so that hashing allocates nothing. */
const groups = new Uint16Array(8);
const wordAt = (index: number): number => (groups[index] ?? 0) * 0x10000 + (groups[index + 1] ?? 0);

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** Fills `groups`; false when `text` is no IPv6 address. */
function readIpv6(text: string): boolean {
  const zone = text.indexOf('%');
  const end = zone < 0 ? text.length : zone;
  let count = 0;
  /** How many groups stand before `::`; −1: not seen. */
  let gap = -1;
  let index = 0;
  if (text.charCodeAt(0) === COLON) {
    if (text.charCodeAt(1) !== COLON) return false;
    gap = 0;
    index = 2;
  }
  while (index < end) {
    if (count === 8) return false;
    const groupStart = index;
    let value = 0;
    for (; index < end && index - groupStart < 5; index += 1) {
      const digit = hexDigit(text.charCodeAt(index));
      if (digit < 0) break;
      value = value * 16 + digit;
    }
    const next = index < end ? text.charCodeAt(index) : PERCENT;
    if (next === DOT) {
      if (!readTrailingIpv4(text, groupStart, end, count)) return false;
      count += 2;
      break;
    }
    if (index === groupStart || index - groupStart > 4) return false;
    groups[count] = value;
    count += 1;
    if (index === end) break;
    if (next !== COLON) return false;
    index += 1;
    if (text.charCodeAt(index) === COLON && index < end) {
      if (gap >= 0) return false;
      gap = count;
      index += 1;
    } else if (index === end) {
      return false;
    }
  }
  return spreadGap(count, gap);
}

/** `::ffff:10.0.0.1`: the last two groups as dotted decimal. */
function readTrailingIpv4(text: string, start: number, end: number, count: number): boolean {
  const bits = readIpv4(text, start, end);
  if (bits === NOT_IPV4 || count > 6) return false;
  groups[count] = bits >>> 16;
  groups[count + 1] = bits & 0xffff;
  return true;
}

/** Moves what follows `::` to the end and fills the gap with zeros. */
function spreadGap(count: number, gap: number): boolean {
  if (gap < 0) return count === 8;
  if (count === 8) return false;
  groups.copyWithin(8 - (count - gap), gap, count);
  groups.fill(0, gap, 8 - (count - gap));
  return true;
}
