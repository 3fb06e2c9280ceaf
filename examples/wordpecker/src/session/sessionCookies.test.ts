import fc from 'fast-check';
import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { EnvReader } from '../lib/env.js';
import { recordingLog } from '../lib/testing/recordingLog.js';
import { readSessionSecret, SESSION_TTL_MS, SessionCookies } from './sessionCookies.js';

const SECRET = 'a secret of enough letters';

function request(cookie?: string, proto?: string, remoteAddress = '127.0.0.1'): IncomingMessage {
  const headers = { ...(cookie && { cookie }), ...(proto && { 'x-forwarded-proto': proto }) };
  return { headers, socket: { remoteAddress } } as unknown as IncomingMessage;
}

const issued = (sessions: SessionCookies, user: string): string =>
  sessions.issue(user, request()).split(';')[0] ?? '';

describe('SessionCookies', () => {
  it('any instance with the secret reads what another issued, whatever the name', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, unit: 'binary' }), (user) => {
        const cookie = issued(new SessionCookies(SECRET), user);
        expect(new SessionCookies(SECRET).user(request(`other=1; ${cookie}; last=2`))).toBe(user);
        expect(new SessionCookies(`${SECRET}!`).user(request(cookie))).toBeNull();
      }),
    );
  });

  it('believes nothing that was changed, cut or made up', () => {
    const sessions = new SessionCookies(SECRET);
    const cookie = issued(sessions, 'ana');
    const value = cookie.slice(cookie.indexOf('=') + 1);
    fc.assert(
      fc.property(fc.nat(value.length - 1), fc.constantFrom(...'aB3-_.='), (at, letter) => {
        fc.pre(value[at] !== letter);
        const forged = value.slice(0, at) + letter + value.slice(at + 1);
        // The last character of base64url carries bits that decode to nothing; it is compared all the same.
        expect(sessions.user(request(`wordpecker_session=${forged}`))).toBeNull();
        expect(sessions.user(request(`wordpecker_session=${value.slice(0, at)}`))).toBeNull();
      }),
    );
    for (const text of ['', '.', '..', 'a.b', 'a.b.c']) {
      expect(sessions.user(request(`wordpecker_session=${text}`))).toBeNull();
    }
    expect(sessions.user(request())).toBeNull();
  });

  it('ends after seven days', () => {
    let nowMs = 1_000_000;
    const sessions = new SessionCookies(SECRET, () => nowMs);
    const cookie = issued(sessions, 'ana');
    nowMs += SESSION_TTL_MS - 1;
    expect(sessions.user(request(cookie))).toBe('ana');
    nowMs += 1;
    expect(sessions.user(request(cookie))).toBeNull();
  });

  it('sets every attribute, Secure only behind a local proxy that had TLS', () => {
    const sessions = new SessionCookies(SECRET);
    const plain = sessions.issue('ana', request());
    expect(plain).toMatch(/; Path=\/; Max-Age=604800; HttpOnly; SameSite=Lax$/);
    expect(sessions.issue('ana', request(undefined, 'https'))).toMatch(/; Secure$/);
    expect(sessions.issue('ana', request(undefined, 'https', '192.0.2.7'))).not.toMatch(/Secure/);
    expect(sessions.clear(request())).toMatch(/^wordpecker_session=; .*Max-Age=0;/);
  });
});

describe('readSessionSecret', () => {
  const read = (env: Record<string, string>, log = recordingLog()): string => {
    const reader = new EnvReader(env);
    const secret = readSessionSecret(reader, log);
    reader.finish();
    return secret;
  };

  it('is required in production, and nowhere too short', () => {
    const log = recordingLog();
    expect(() => read({ NODE_ENV: 'production' }, log)).toThrow(/SESSION_SECRET is not set/);
    expect(() => read({ SESSION_SECRET: 'short' }, log)).toThrow(/shorter than 16/);
    expect(read({ NODE_ENV: 'production', SESSION_SECRET: SECRET }, log)).toBe(SECRET);
    expect(log.lines).toEqual([]);
  });

  it('may be called JWT_SECRET, which goes before the one that all processes of a deployment have', () => {
    const log = recordingLog();
    expect(read({ NODE_ENV: 'production', JWT_SECRET: SECRET }, log)).toBe(SECRET);
    expect(read({ JWT_SECRET: SECRET, SESSION_SECRET: `${SECRET} of another` }, log)).toBe(SECRET);
    expect(read({ JWT_SECRET: '', SESSION_SECRET: SECRET }, log)).toBe(SECRET);
    expect(() => read({ JWT_SECRET: 'short', SESSION_SECRET: SECRET }, log)).toThrow(
      /JWT_SECRET is shorter than 16/,
    );
    expect(log.lines).toEqual([]);
  });

  it('is the same for every instance in development, with a warning', () => {
    const log = recordingLog();
    expect(read({}, log)).toBe(read({}, log));
    expect(log.lines.map(({ level }) => level)).toEqual(['warn', 'warn']);
  });
});
