import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { API_SESSION_COOKIE as COOKIE_NAME } from '../../lib/apiCookies.js';
import { SessionCookies, expiredCookie } from './sessionCookie.js';

const HOUR_MS = 3_600_000;
const NOW_MS = 1_800_000_000_000;
const TIMES = { sessionIdleMs: 12 * HOUR_MS, sessionLifetimeMs: 24 * HOUR_MS };
const cookies = new SessionCookies('a secret', 'a token', TIMES);
const issued = cookies.issue(NOW_MS, false).header;
const pair = issued.split(';')[0] ?? '';

describe('SessionCookies', () => {
  it('issues what it reads, until it ends', () => {
    const [session] = cookies.read(pair, NOW_MS);
    expect(session).toMatchObject({ startedAtMs: NOW_MS, expiresAtMs: NOW_MS + 12 * HOUR_MS, renew: false });
    expect(cookies.read(`a=b; ${pair}; c=d`, NOW_MS + 11 * HOUR_MS)[0]?.renew).toBe(true);
    expect(cookies.read(pair, NOW_MS + 12 * HOUR_MS)).toEqual([]);
  });

  it('slides with use, as the same session, and ends when its lifetime is over', () => {
    let nowMs = NOW_MS;
    let current = pair;
    const [first] = cookies.read(current, nowMs);
    for (; nowMs < NOW_MS + 23 * HOUR_MS; nowMs += HOUR_MS) {
      const [session] = cookies.read(current, nowMs);
      expect([session?.id, session?.startedAtMs]).toEqual([first?.id, NOW_MS]);
      if (session?.renew === true) current = cookies.renew(session, nowMs, false).header.split(';')[0] ?? '';
    }
    expect(cookies.read(current, NOW_MS + 24 * HOUR_MS - 1)[0]?.renew).toBe(false);
    expect(cookies.read(current, NOW_MS + 24 * HOUR_MS)).toEqual([]);
    const shorter = new SessionCookies('a secret', 'a token', { ...TIMES, sessionLifetimeMs: HOUR_MS });
    expect(shorter.read(pair, NOW_MS + HOUR_MS)).toEqual([]);
  });

  it('over TLS has the prefix that binds it to this host', () => {
    const { header } = cookies.issue(NOW_MS, true);
    expect(header).toMatch(
      /^__Host-holdfast_session=[^;]+; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure$/,
    );
    expect(cookies.read(header.split(';')[0], NOW_MS)).toHaveLength(1);
    expect(expiredCookie(true)).toMatch(/^__Host-holdfast_session=; Path=\/; Max-Age=0; .*Secure$/);
  });

  it('is out of reach of scripts and other sites', () => {
    expect(issued).toMatch(/; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/);
    expect(expiredCookie(false)).toMatch(
      /^holdfast_session=; Path=\/; Max-Age=0; HttpOnly; SameSite=Strict$/,
    );
  });

  it('a planted cookie before it does no harm', () => {
    expect(
      cookies.read(`${COOKIE_NAME}=v2.${'B'.repeat(22)}.1.9999999999.${'A'.repeat(43)}; ${pair}`, NOW_MS),
    ).toHaveLength(1);
  });

  it('is looked for among the first eight of a request', () => {
    const behind = (planted: number): string =>
      [...Array(planted).fill('holdfast_session=x'), pair].join('; ');
    expect([0, 7, 8, 80].map((planted) => cookies.read(behind(planted), NOW_MS).length)).toEqual([
      1, 1, 0, 0,
    ]);
  });

  it('ends with another secret, another token, or, without a secret, another process', () => {
    for (const other of [
      new SessionCookies('another secret', 'a token', TIMES),
      new SessionCookies('a secret', 'another token', TIMES),
      new SessionCookies(null, 'a token', TIMES),
    ]) {
      expect(other.read(pair, NOW_MS)).toEqual([]);
    }
  });

  it('no change of any character passes', () => {
    const value = pair.slice(COOKIE_NAME.length + 1);
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.= ';
    fc.assert(
      fc.property(fc.nat(value.length - 1), fc.constantFrom(...alphabet), (at, character) => {
        fc.pre(value[at] !== character);
        const forged = `${value.slice(0, at)}${character}${value.slice(at + 1)}`;
        expect(cookies.read(`${COOKIE_NAME}=${forged}`, NOW_MS)).toEqual([]);
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
          expect(cookies.read(header, NOW_MS)).toEqual([]);
        },
      ),
    );
    expect(cookies.read(undefined, NOW_MS)).toEqual([]);
  });
});
