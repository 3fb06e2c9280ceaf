/**
 * Collects bytes until the empty line that ends a head.
 *
 * The usual case is a head that arrives whole; then nothing is copied. A head that arrives in pieces is looked over
 * as it comes, so that what can never become one (a bare LF, a NUL, a TLS greeting) is refused at once and not only
 * when its time has run out.
 */
import { CR, LF, TOKEN } from './chars.js';

const HEAD_END = Buffer.from('\r\n\r\n');

const MOST_TEXT_BYTES = 65_536;

export const INCOMPLETE = -1;
export const HOPELESS = -2;

/**
 * Where the head that begins at `from` ends, just behind its empty line; INCOMPLETE, or HOPELESS.
 * @param seen bytes from `from` on that were looked over before and need not be again.
 */
export function findHeadEnd(buffer: Buffer, from: number, seen: number): number {
  const at = buffer.indexOf(HEAD_END, Math.max(from, from + seen - 3));
  if (at !== -1) return at + 4;
  if (from === buffer.length || (buffer[from] === CR && from + 1 === buffer.length)) return INCOMPLETE;
  if (TOKEN[buffer[from] ?? 0] !== 1) return HOPELESS;
  for (let i = from + seen; i < buffer.length; i += 1) {
    const byte = buffer[i];
    if (byte === 0) return HOPELESS;
    if (byte === LF && (i === from || buffer[i - 1] !== CR)) return HOPELESS;
    if (byte !== LF && i > from && buffer[i - 1] === CR) return HOPELESS;
  }
  return INCOMPLETE;
}

/** Skips the empty lines that old clients send behind a body (RFC 9112 section 2.2), at most two. */
export function skipEmptyLines(buffer: Buffer, from: number): number {
  let at = from;
  for (let lines = 0; lines < 2 && buffer[at] === CR && buffer[at + 1] === LF; lines += 1) at += 2;
  return at;
}

/** What has arrived of a head that can't be read; a browser says in the beginning what it accepts. */
export function textOfHead(pending: Buffer): string {
  return pending.toString('latin1', skipEmptyLines(pending, 0), MOST_TEXT_BYTES);
}
