/**
 * A browser's login: the cookie is `v2.<id>.<start>.<end>.<HMAC-SHA256>`, times in seconds since 1970. The key comes from
 * SESSION_SECRET *and* the token, so changing either ends every session. It slides: a cookie past a tenth of its idle
 * time is replaced by a fresh one of the same session, but never beyond the lifetime that began with the login.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { API_SESSION_COOKIE, API_SESSION_COOKIE_TLS, API_SESSION_COOKIES } from '../../lib/apiCookies.js';

const FORMAT = /^v2\.([\w-]{22})\.(\d{1,12})\.(\d{1,12})\.([\w-]{43})$/;
/** Of the cookies of one request. */
const MOST_EXAMINED = 8;

export interface Session {
  readonly id: string;
  /** When the login was. */
  readonly startedAtMs: number;
  readonly expiresAtMs: number;
  /** When it ends however much it is used. */
  readonly endsAtMs: number;
  /** True when a fresh cookie should go out with the answer. */
  readonly renew: boolean;
}

export interface SessionTimes {
  /** A session that is not used for so long ends. */
  readonly sessionIdleMs: number;
  /** One that is used ends all the same so long after its login. */
  readonly sessionLifetimeMs: number;
}

export interface IssuedCookie {
  readonly header: string;
  readonly expiresAtMs: number;
}

export class SessionCookies {
  readonly #key: Buffer;
  readonly #times: SessionTimes;

  /** @param secret null: a random one, so that sessions end with this process. */
  constructor(secret: string | null, token: string, times: SessionTimes) {
    this.#key = createHmac('sha256', secret ?? randomBytes(32))
      .update(`holdfast session\n${token}`)
      .digest();
    this.#times = times;
  }

  /** A `Set-Cookie` value for a session that starts now, and when it ends. */
  issue(nowMs: number, secure: boolean): IssuedCookie {
    return this.#issue(randomBytes(16).toString('base64url'), nowMs, nowMs, secure);
  }

  /** The same for a session that goes on. */
  renew({ id, startedAtMs }: Session, nowMs: number, secure: boolean): IssuedCookie {
    return this.#issue(id, startedAtMs, nowMs, secure);
  }

  /** The sessions in a request's `Cookie` header that are neither forged nor over. */
  read(cookieHeader: string | undefined, nowMs: number): readonly Session[] {
    return valuesOf(cookieHeader).flatMap((value) => this.#parse(value, nowMs) ?? []);
  }

  #issue(id: string, startedAtMs: number, nowMs: number, secure: boolean): IssuedCookie {
    const { sessionIdleMs, sessionLifetimeMs } = this.#times;
    const expiresAtMs = Math.min(nowMs + sessionIdleMs, startedAtMs + sessionLifetimeMs);
    const [start, end] = [seconds(startedAtMs), seconds(expiresAtMs)];
    const signed = `v2.${id}.${start}.${end}`;
    return {
      header: cookie(`${signed}.${this.#sign(signed)}`, Math.max(0, end - seconds(nowMs)), secure),
      expiresAtMs: end * 1000,
    };
  }

  #parse(value: string, nowMs: number): Session | null {
    const [, id, start, end, signature] = FORMAT.exec(value) ?? [];
    if (id === undefined || signature === undefined) return null;
    const expected = Buffer.from(this.#sign(`v2.${id}.${start}.${end}`));
    if (!timingSafeEqual(expected, Buffer.from(signature))) return null;
    const { sessionIdleMs, sessionLifetimeMs } = this.#times;
    const [startedAtMs, expiresAtMs] = [Number(start) * 1000, Number(end) * 1000];
    // The lifetime may have been made shorter since.
    const endsAtMs = startedAtMs + sessionLifetimeMs;
    if (nowMs >= expiresAtMs || nowMs >= endsAtMs) return null;
    const canGrow = expiresAtMs < seconds(endsAtMs) * 1000;
    const renew = canGrow && expiresAtMs - nowMs < sessionIdleMs * 0.9;
    return { id, startedAtMs, expiresAtMs, endsAtMs, renew };
  }

  #sign(text: string): string {
    return createHmac('sha256', this.#key).update(text).digest('base64url');
  }
}

/** The `Set-Cookie` value that makes a browser forget its session. */
export function expiredCookie(secure: boolean): string {
  return cookie('', 0, secure);
}

const seconds = (ms: number): number => Math.floor(ms / 1000);

function cookie(value: string, maxAgeSeconds: number, secure: boolean): string {
  const name = secure ? API_SESSION_COOKIE_TLS : API_SESSION_COOKIE;
  const attributes = `Path=/; Max-Age=${maxAgeSeconds}; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}`;
  return `${name}=${value}; ${attributes}`;
}

/**
 * The first cookies of our names: a page of a sibling host may have planted some before ours. Each costs a signature, also
 * of a caller that shows no token.
 */
function valuesOf(header: string | undefined): string[] {
  const values = (header ?? '').split(';').flatMap((pair) => {
    const [name = '', value = ''] = pair.trim().split('=', 2);
    return API_SESSION_COOKIES.includes(name) ? [value] : [];
  });
  return values.slice(0, MOST_EXAMINED);
}
