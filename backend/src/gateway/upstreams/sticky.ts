/**
 * Sessions that stay with their upstream, without a table to lose: the cookie itself names the upstream.
 *
 *   cookie = <name of the upstream>.<when it ends, seconds since 1970, base 36>.<id>.<signature>
 *
 * The name is a keyed hash, so that no address of the inside is shown. The id is random and stays with the session when
 * the cookie is renewed or its upstream leaves, so that sessions can be counted (seenSessions.ts); cookies of before there
 * were ids have none. The signature (HMAC-SHA256, 128 bits) covers pool, name, end and id; the newest key signs, all keys
 * verify, so that keys can be rotated without losing a session. The lifetime slides: a cookie that has lost a twentieth
 * of it is renewed by the next answer.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { hashText } from '../../domain/balancing/hash.js';
import type { StickySnapshot } from '../../domain/upstreams/pool.js';
import type { Noted } from './seenSessions.js';
import type { Upstream } from './upstream.js';

/** Verified cookies that are remembered, so that a session costs its HMAC once and not with every request. */
const MOST_REMEMBERED = 4_096;
const RENEW_SHARE = 0.05;

export interface StickyChoice extends Noted {
  /** null: it has left. */
  readonly upstream: Upstream | null;
  readonly endsMs: number;
  /** '' in a cookie of before there were ids. */
  readonly id: string;
  /** Of the session. */
  readonly hash: number;
}

export class StickySessions {
  readonly #pool: string;
  readonly #snapshot: StickySnapshot;
  readonly #byName = new Map<string, Upstream>();
  readonly #names = new Map<Upstream, string>();
  readonly #remembered = new Map<string, StickyChoice>();

  /** @param snapshot with at least one key. */
  constructor(pool: string, snapshot: StickySnapshot, upstreams: ReadonlyMap<string, Upstream>) {
    this.#pool = pool;
    this.#snapshot = snapshot;
    for (const key of snapshot.keys.toReversed()) {
      for (const upstream of upstreams.values()) {
        const name = hmac(key, `name\0${pool}\0${upstream.id}`).subarray(0, 9).toString('base64url');
        this.#byName.set(name, upstream);
        this.#names.set(upstream, name);
      }
    }
  }

  /** What a request's Cookie field says, or null: no cookie of ours, forged, or expired. */
  find(cookieField: string | null, wallMs: number): StickyChoice | null {
    const value = cookieField === null ? null : cookieValue(cookieField, this.#snapshot.cookieName);
    if (value === null) return null;
    const choice = this.#remembered.get(value) ?? this.#verify(value);
    return choice !== null && choice.endsMs > wallMs ? choice : null;
  }

  /**
   * The Set-Cookie line, with its CRLF, that an answer of `upstream` needs; '' when the client's cookie is still good.
   * @param current what `find` said of the request.
   */
  setCookieLine(upstream: Upstream, current: StickyChoice | null, secure: boolean, wallMs: number): string {
    const { lifetimeMs, cookieName, keys } = this.#snapshot;
    const name = this.#names.get(upstream);
    const stillGood =
      current !== null &&
      current.upstream === upstream &&
      current.endsMs - wallMs > lifetimeMs * (1 - RENEW_SHARE);
    if (stillGood || name === undefined) return '';
    const id = current === null || current.id === '' ? randomBytes(6).toString('base64url') : current.id;
    const named = `${name}.${Math.ceil((wallMs + lifetimeMs) / 1_000).toString(36)}.${id}`;
    const value = `${named}.${this.#sign(keys[0] ?? '', named)}`;
    const attributes = `Path=/; Max-Age=${Math.round(lifetimeMs / 1_000)}; HttpOnly; SameSite=Lax`;
    return `Set-Cookie: ${cookieName}=${value}; ${attributes}${secure ? '; Secure' : ''}\r\n`;
  }

  #verify(value: string): StickyChoice | null {
    const signedEnd = value.lastIndexOf('.');
    const named = value.slice(0, signedEnd);
    const [name = '', ends = '', id = '', ...rest] = named.split('.');
    if (signedEnd === -1 || rest.length > 0 || !/^[0-9a-z]{1,8}$/.test(ends)) return null;
    const given = Buffer.from(value.slice(signedEnd + 1));
    const signed = this.#snapshot.keys.some((key) => {
      const expected = Buffer.from(this.#sign(key, named));
      return given.length === expected.length && timingSafeEqual(given, expected);
    });
    if (!signed) return null;
    const choice = {
      upstream: this.#byName.get(name) ?? null,
      endsMs: Number.parseInt(ends, 36) * 1_000,
      id,
      hash: hashText(id === '' ? value : id),
      notedIn: -1,
    };
    if (this.#remembered.size >= MOST_REMEMBERED) this.#remembered.clear();
    this.#remembered.set(value, choice);
    return choice;
  }

  #sign(key: string, named: string): string {
    return hmac(key, `session\0${this.#pool}\0${named}`).subarray(0, 16).toString('base64url');
  }
}

function hmac(key: string, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

/** The value of the cookie `name` in a Cookie field, or null. */
export function cookieValue(field: string, name: string): string | null {
  for (let at = 0; at < field.length;) {
    const semicolon = field.indexOf(';', at);
    const end = semicolon === -1 ? field.length : semicolon;
    while (at < end && (field[at] === ' ' || field[at] === '\t')) at += 1;
    if (field.startsWith(name, at) && field[at + name.length] === '=')
      return field.slice(at + name.length + 1, end).trim();
    at = end + 1;
  }
  return null;
}
