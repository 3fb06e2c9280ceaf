/**
 * Which bytes may stand where in HTTP/1.1 (RFC 9110 section 5, RFC 9112 section 3), as tables indexed by the byte.
 * Heads are looked at as latin1 text, so that a character code is the byte it came from.
 */

const TOKEN_TEXT = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

function table(allowed: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (allowed(byte) ? 1 : 0));
}

/** tchar: method, field name. */
export const TOKEN = table((byte) => TOKEN_TEXT.includes(String.fromCharCode(byte)));

/** Inside a field value: visible, space, tab and obs-text; no control character, so neither CR nor LF nor NUL. */
export const FIELD_VALUE = table((byte) => byte === 0x09 || (byte >= 0x20 && byte !== 0x7f));

/** Inside a request target: visible ASCII. A fragment (`#`) is never sent to a server. */
export const TARGET = table((byte) => byte > 0x20 && byte < 0x7f && byte !== 0x23);

export const TAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SPACE = 0x20;
export const COLON = 0x3a;

/** How `text` continues at a place, compared with a name. */
export const DIFFERS = 0;
export const IS_NAME = 1;
/** It is the name but for underscores in the place of hyphens: another name, which CGI-like servers take for this one. */
export const IS_LOOKALIKE = 2;

/**
 * How `text` continues at `start`, compared with `lower`, whatever its case. `lower` has letters in lower case, digits
 * and hyphens only.
 */
export function compareName(text: string, start: number, lower: string): number {
  let result = IS_NAME;
  for (let i = 0; i < lower.length; i += 1) {
    const wanted = lower.charCodeAt(i);
    const got = text.charCodeAt(start + i);
    if (got === wanted || (got | 0x20) === wanted) continue;
    if (got !== 0x5f || wanted !== 0x2d) return DIFFERS;
    result = IS_LOOKALIKE;
  }
  return result;
}

/** Whether text[start, end) equals `lower`, whatever its case. `lower` is in lower case. */
export function equalsIgnoringCase(text: string, start: number, end: number, lower: string): boolean {
  if (end - start !== lower.length) return false;
  for (let i = 0; i < lower.length; i += 1) {
    let got = text.charCodeAt(start + i);
    if (got >= 0x41 && got <= 0x5a) got |= 0x20;
    if (got !== lower.charCodeAt(i)) return false;
  }
  return true;
}
