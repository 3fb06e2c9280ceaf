import { describe, expect, it } from 'vitest';

import { createAccessRule, type Verdict, type Visitor } from './access.js';

const local: Visitor = {
  peerAddress: '127.0.0.1',
  host: 'localhost:13003',
  authorization: undefined,
  forwarded: false,
  change: null,
};
const remote: Visitor = {
  ...local,
  peerAddress: '203.0.113.9',
  host: 'shop.example.org',
};
const ruleFor = (token: string | null): ((visitor: Visitor) => Verdict) => createAccessRule({ token });
const basic = (pair: string): string => `Basic ${Buffer.from(pair).toString('base64')}`;

describe('without a token', () => {
  const rule = ruleFor(null);

  it.each(['127.0.0.1:13003', 'localhost', '[::1]:13003', '192.168.1.4', 'gw.localhost:80', 'LOCALHOST'])(
    'lets a client on this machine look, who calls it %s',
    (host) => {
      expect(rule({ ...local, host }).allowed).toBe(true);
    },
  );

  it.each<[string, Visitor]>([
    ['a client elsewhere', remote],
    ['a page that rebinds its name', { ...local, host: 'evil.example' }],
    ['a name that only begins like ours', { ...local, host: 'localhost.evil.example' }],
    ['a request without Host', { ...local, host: undefined }],
    ['somebody behind a proxy here', { ...local, forwarded: true }],
    ['a client elsewhere who says he is here', { ...remote, host: 'localhost' }],
    ['any token', { ...remote, authorization: 'Bearer x' }],
  ])('refuses %s', (_who, visitor) => {
    expect(rule(visitor)).toMatchObject({ allowed: false, status: 403 });
  });

  it('takes an empty token for none: it must not be one that everybody knows', () => {
    expect(ruleFor('')({ ...remote, authorization: basic(':') }).allowed).toBe(false);
  });
});

describe('with a token', () => {
  const rule = ruleFor('s3cret-t0ken');

  it.each([
    'Bearer s3cret-t0ken',
    'bearer  s3cret-t0ken',
    basic('anybody:s3cret-t0ken'),
    basic(':s3cret-t0ken'),
  ])('lets whoever shows it look from elsewhere: %s', (authorization) => {
    expect(rule({ ...remote, authorization }).allowed).toBe(true);
    expect(rule({ ...local, forwarded: true, authorization }).allowed).toBe(true);
  });

  it.each([
    undefined,
    '',
    'Bearer',
    'Bearer s3cret-t0keN',
    'Bearer s3cret-t0ken-and-more',
    'Digest s3cret-t0ken',
    basic('s3cret-t0ken'),
    basic('s3cret-t0ken:'),
    `Bearer ${'x'.repeat(5_000)}`,
  ])('refuses %s', (authorization) => {
    expect(rule({ ...remote, authorization })).toMatchObject({ allowed: false, status: 401 });
  });

  it('still lets clients on this machine look', () => {
    expect(rule(local).allowed).toBe(true);
  });
});

describe('a call that changes something', () => {
  const rule = ruleFor('right');
  const sent = (origin: string | null, fetchSite: string | null = null): Visitor => ({
    ...local,
    change: { origin, fetchSite },
  });

  it.each<[string, Visitor]>([
    ['a program', sent(null)],
    ['the page itself', sent('http://localhost:13003', 'same-origin')],
    ['the page itself, through TLS', { ...sent('https://localhost:13003'), host: 'LOCALHOST:13003' }],
    ['an address that was typed', sent(null, 'none')],
  ])('may come from %s', (_whose, visitor) => expect(rule(visitor).allowed).toBe(true));

  it.each<[string, Visitor]>([
    ['a page of another site', sent('https://evil.example', 'cross-site')],
    ['a page of another port', sent('http://localhost:3000', 'same-site')],
    ['a page that hides its origin', sent('null')],
    ['a page of another site in a browser that says no more', sent(null, 'cross-site')],
    ['a page whose origin only begins like ours', sent('http://localhost:13003.evil.example')],
    ['an origin with a scheme of its own', sent('file://localhost:13003')],
    [
      'a page of another site that has the password',
      { ...sent('https://evil.example'), authorization: basic('me:right') },
    ],
  ])('may not come from %s', (_whose, visitor) =>
    expect(rule(visitor)).toMatchObject({ allowed: false, status: 403, code: 'origin.foreign' }),
  );

  it('needs the token from elsewhere', () => {
    const elsewhere = { ...remote, change: { origin: null, fetchSite: null } };
    expect(rule(elsewhere)).toMatchObject({ allowed: false, status: 401 });
    expect(rule({ ...elsewhere, authorization: 'Bearer right' }).allowed).toBe(true);
  });
});

describe('with a token that clients on this machine need, too', () => {
  const rule = createAccessRule({ token: 's3cret-t0ken', tokenOnLoopback: true });

  it('refuses a local client without it', () => {
    expect(rule(local)).toMatchObject({ allowed: false, status: 401, code: 'auth.required' });
  });

  it('accepts it from both', () => {
    const authorization = 'Bearer s3cret-t0ken';
    expect(rule({ ...local, authorization }).allowed).toBe(true);
    expect(rule({ ...remote, authorization }).allowed).toBe(true);
  });
});
