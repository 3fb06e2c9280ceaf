/** Reads IP addresses without allocating (RFC 4291, section 2.2, and dotted decimal). */

export const NOT_IPV4 = -1;
const DOT = 0x2e;
const COLON = 0x3a;
const PERCENT = 0x25;

/** The 32 bits (unsigned) of dotted decimal in `text[start, end)`, or NOT_IPV4. */
export function readIpv4(text: string, start: number, end: number): number {
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
    } else if (code >= 0x30 && code <= 0x39 && digits < 3 && (digits === 0 || octet > 0)) {
      // A leading zero is refused: some read it as octal.
      octet = octet * 10 + (code - 0x30);
      digits += 1;
    } else {
      return NOT_IPV4;
    }
  }
  return octets === 4 ? bits : NOT_IPV4;
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** Fills the eight `groups`; false when `text` is no IPv6 address. A zone (`%eth0`) is left out. */
export function readIpv6(text: string, groups: Uint16Array): boolean {
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
      if (!readTrailingIpv4(text, groupStart, end, groups, count)) return false;
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
  return spreadGap(groups, count, gap);
}

/** `::ffff:10.0.0.1`: the last two groups as dotted decimal. */
function readTrailingIpv4(
  text: string,
  start: number,
  end: number,
  groups: Uint16Array,
  count: number,
): boolean {
  const bits = readIpv4(text, start, end);
  if (bits === NOT_IPV4 || count > 6) return false;
  groups[count] = bits >>> 16;
  groups[count + 1] = bits & 0xffff;
  return true;
}

/** Moves what follows `::` to the end and fills the gap with zeros. */
function spreadGap(groups: Uint16Array, count: number, gap: number): boolean {
  if (gap < 0) return count === 8;
  if (count === 8) return false;
  groups.copyWithin(8 - (count - gap), gap, count);
  groups.fill(0, gap, 8 - (count - gap));
  return true;
}

const scratch = new Uint16Array(8);

/** 4 or 6; 0 when `text` is no IP address. An IPv6 zone is not accepted. */
export function ipVersion(text: string): 4 | 6 | 0 {
  if (readIpv4(text, 0, text.length) !== NOT_IPV4) return 4;
  return !text.includes('%') && readIpv6(text, scratch) ? 6 : 0;
}

/** Whether `text` is an address or a range such as 10.0.0.0/8 or fd00::/8. */
export function isAddressRange(text: string): boolean {
  const slash = text.indexOf('/');
  const version = ipVersion(slash < 0 ? text : text.slice(0, slash));
  if (version === 0 || slash < 0) return version !== 0;
  const bits = text.slice(slash + 1);
  return /^\d{1,3}$/.test(bits) && Number(bits) <= (version === 6 ? 128 : 32);
}
