/**
 * A browser's login, without a table: the cookie is `v1.<expiry>.<HMAC-SHA256>`, the expiry in seconds since
 * 1970. The key comes from SESSION_SECRET *and* the token, so changing either ends every session. It slides:
 * a cookie past a tenth of its life is replaced by a fresh one.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

export const COOKIE_NAME = 'holdfast_session';
const FORMAT = /^v1\.(\d{1,12})\.([\w-]{43})$/;

export interface Session {
  readonly expiresAtMs: number;
  /** True when a fresh cookie should go out with the answer. */
  readonly renew: boolean;
}

export class SessionCookies {
  readonly #key: Buffer;
  readonly #lifetimeMs: number;

  /** @param secret null: a random one, so that sessions end with this process. */
  constructor(secret: string | null, token: string, lifetimeMs: number) {
    this.#key = createHmac('sha256', secret ?? randomBytes(32))
      .update(`holdfast session\n${token}`)
      .digest();
    this.#lifetimeMs = lifetimeMs;
  }

  /** A `Set-Cookie` value for a session that starts now, and when it ends. */
  issue(nowMs: number, secure: boolean): { readonly header: string; readonly expiresAtMs: number } {
    const expiresAtSeconds = Math.floor((nowMs + this.#lifetimeMs) / 1000);
    const signed = `v1.${expiresAtSeconds}`;
    const maxAgeSeconds = Math.floor(this.#lifetimeMs / 1000);
    return {
      header: cookie(`${signed}.${this.#sign(signed)}`, maxAgeSeconds, secure),
      expiresAtMs: expiresAtSeconds * 1000,
    };
  }

  /** The session in a request's `Cookie` header; null when there is none, or it is forged or over. */
  read(cookieHeader: string | undefined, nowMs: number): Session | null {
    for (const value of valuesOf(cookieHeader)) {
      const [, expiry, signature] = FORMAT.exec(value) ?? [];
      if (expiry === undefined || signature === undefined) continue;
      const expected = Buffer.from(this.#sign(`v1.${expiry}`));
      if (!timingSafeEqual(expected, Buffer.from(signature))) continue;
      const expiresAtMs = Number(expiry) * 1000;
      const leftMs = expiresAtMs - nowMs;
      if (leftMs > 0) return { expiresAtMs, renew: leftMs < this.#lifetimeMs * 0.9 };
    }
    return null;
  }

  #sign(text: string): string {
    return createHmac('sha256', this.#key).update(text).digest('base64url');
  }
}

/** The `Set-Cookie` value that makes a browser forget its session. */
export function expiredCookie(secure: boolean): string {
  return cookie('', 0, secure);
}

function cookie(value: string, maxAgeSeconds: number, secure: boolean): string {
  const attributes = `Path=/; Max-Age=${maxAgeSeconds}; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}`;
  return `${COOKIE_NAME}=${value}; ${attributes}`;
}

/** Every cookie of our name: a page of a sibling host may have planted one before ours. */
function valuesOf(header: string | undefined): string[] {
  return (header ?? '')
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${COOKIE_NAME}=`))
    .map((pair) => pair.slice(COOKIE_NAME.length + 1));
}
