import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { COOKIE_NAME, SessionCookies, expiredCookie } from './sessionCookie.js';

const HOUR_MS = 3_600_000;
const NOW_MS = 1_800_000_000_000;
const cookies = new SessionCookies('a secret', 'a token', 12 * HOUR_MS);
const issued = cookies.issue(NOW_MS, false).header;
const pair = issued.split(';')[0] ?? '';

describe('SessionCookies', () => {
  it('issues what it reads, until it ends', () => {
    expect(cookies.read(pair, NOW_MS)).toEqual({ expiresAtMs: NOW_MS + 12 * HOUR_MS, renew: false });
    expect(cookies.read(`a=b; ${pair}; c=d`, NOW_MS + 11 * HOUR_MS)?.renew).toBe(true);
    expect(cookies.read(pair, NOW_MS + 12 * HOUR_MS)).toBeNull();
  });

  it('is out of reach of scripts and other sites', () => {
    expect(issued).toMatch(/; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/);
    expect(cookies.issue(NOW_MS, true).header).toMatch(/; Secure$/);
    expect(expiredCookie(false)).toMatch(
      /^holdfast_session=; Path=\/; Max-Age=0; HttpOnly; SameSite=Strict$/,
    );
  });

  it('a planted cookie before it does no harm', () => {
    expect(cookies.read(`${COOKIE_NAME}=v1.9999999999.${'A'.repeat(43)}; ${pair}`, NOW_MS)).not.toBeNull();
  });

  it('ends with another secret, another token, or, without a secret, another process', () => {
    for (const other of [
      new SessionCookies('another secret', 'a token', 12 * HOUR_MS),
      new SessionCookies('a secret', 'another token', 12 * HOUR_MS),
      new SessionCookies(null, 'a token', 12 * HOUR_MS),
    ]) {
      expect(other.read(pair, NOW_MS)).toBeNull();
    }
  });

  it('no change of any character passes', () => {
    const value = pair.slice(COOKIE_NAME.length + 1);
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.= ';
    fc.assert(
      fc.property(fc.nat(value.length - 1), fc.constantFrom(...alphabet), (at, character) => {
        fc.pre(value[at] !== character);
        const forged = `${value.slice(0, at)}${character}${value.slice(at + 1)}`;
        expect(cookies.read(`${COOKIE_NAME}=${forged}`, NOW_MS)).toBeNull();
      }),
    );
  });

  it('reads any header without a throw', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((text) => `${COOKIE_NAME}=${text}`),
        ),
        (header) => {
          expect(cookies.read(header, NOW_MS)).toBeNull();
        },
      ),
    );
    expect(cookies.read(undefined, NOW_MS)).toBeNull();
  });
});
