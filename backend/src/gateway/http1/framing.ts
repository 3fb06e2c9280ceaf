/** Where a body ends, as a number (RFC 9112 section 6.3): bytes, or one of these. */

/** The end is marked in the body itself. */
export const CHUNKED = -1;
/** An answer that ends with its connection. */
export const UNTIL_CLOSE = -2;

/** No length was given, or none that can be relied on. */
export const ABSENT = -1;

const MAX_LENGTH_DIGITS = 15;

/** Decimal digits only, small enough to be exact; else -1. */
export function parseLength(text: string, start: number, end: number): number {
  if (end === start || end - start > MAX_LENGTH_DIGITS) return ABSENT;
  let length = 0;
  for (let i = start; i < end; i += 1) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return ABSENT;
    length = length * 10 + digit;
  }
  return length;
}
