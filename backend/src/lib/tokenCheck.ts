/**
 * Compares what a caller shows with HA_API_TOKEN: as SHA-256 digests, in constant time.
 *
 * The right token is accepted at once, whatever came before it and from where: a limit by address would lock operators
 * out together with an attacker behind the same address, which on loopback is every user of the machine. A wrong token
 * costs the connection that brought it: its answer comes late, and the connection ends with it. What keeps a token
 * from being guessed is its length (config/checks.ts warns of short ones).
 */
import { createHash, timingSafeEqual } from 'node:crypto';

/** How long the refusal of a wrong token is held back. */
export const WRONG_TOKEN_DELAY_MS = 1_000;

export class TokenCheck {
  readonly #expected: Buffer;

  constructor(token: string) {
    this.#expected = digest(token);
  }

  isRight(shown: string): boolean {
    return timingSafeEqual(digest(shown), this.#expected);
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
