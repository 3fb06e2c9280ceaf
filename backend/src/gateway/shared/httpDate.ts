/** When a message was made (RFC 9110 section 6.6.1): of the gateway's own answers, and of an upstream's that does not say. */

let second = -1;
let line = '';

/** The field line, with its CRLF. @param wallMs wall clock. */
export function dateLine(wallMs: number): string {
  const now = Math.floor(wallMs / 1_000);
  if (now !== second) {
    second = now;
    line = `Date: ${new Date(now * 1_000).toUTCString()}\r\n`;
  }
  return line;
}
