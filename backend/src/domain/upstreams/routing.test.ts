import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RouteSnapshot } from './pool.js';
import { compileRoutes, normaliseHost, normalisePath, routeProblems } from './routing.js';

const route = (host: string | null, pathPrefix: string, pool: string): RouteSnapshot => ({
  host,
  pathPrefix,
  pool,
});

const table = compileRoutes([
  route(null, '/', 'default'),
  route(null, '/api', 'api'),
  route(null, '/api/v2/', 'api2'),
  route('shop.example.org', '/', 'shop'),
  route('shop.example.org', '/admin', 'shop-admin'),
  route('*.example.org', '/api', 'wild'),
  route('*.eu.example.org', '/', 'europe'),
]);

describe('by path', () => {
  it.each([
    ['/', 'default'],
    ['/api', 'api'],
    ['/api/', 'api'],
    ['/api?x=/api/v2', 'api'],
    ['/api/v1/words', 'api'],
    ['/apis', 'default'],
    ['/api-v2', 'default'],
    ['/API', 'default'],
    ['/api/v2', 'api2'],
    ['/api/v2/', 'api2'],
    ['/api/v2/x/y/z', 'api2'],
    ['/api/v22', 'api'],
    ['*', 'default'],
    ['', 'default'],
  ])('%s', (path, pool) => {
    expect(table.match('other.test', path)).toBe(pool);
  });
});

describe('by what a path means, not by how it is spelt', () => {
  it.each([
    ['/%61pi', 'api'],
    ['/%61%70%69/v2', 'api2'],
    ['//api', 'api'],
    ['/api//v2', 'api2'],
    ['/./api', 'api'],
    ['/x/../api', 'api'],
    ['/x/%2e%2e/api', 'api'],
    ['/x/%2E%2e/api/./v2', 'api2'],
    ['/api/v2/..', 'api'],
    ['/api/v2/../..', 'default'],
    ['/../../../api', 'api'],
    ['/api/%2e%2e/x', 'default'],
    ['/...', 'default'],
    // Data, not separators; and an escape that is none.
    ['/api%2Fv2', 'default'],
    ['/x%2F..%2Fapi', 'default'],
    ['/x\\..\\api', 'default'],
    ['/api%', 'default'],
    ['/api/%zz', 'api'],
    ['/api/%', 'api'],
    // Decoded once only.
    ['/%2561pi', 'default'],
    ['/x/%252e%252e/api', 'default'],
  ])('%s', (path, pool) => {
    expect(table.match('other.test', path)).toBe(pool);
  });

  /** Ways to write a segment that mean the same. */
  const spelt = (segment: string): fc.Arbitrary<string> =>
    fc
      .array(fc.boolean(), { minLength: segment.length, maxLength: segment.length })
      .map((escaped) =>
        [...segment]
          .map((character, at) => (escaped[at] ? `%${character.charCodeAt(0).toString(16)}` : character))
          .join(''),
      );
  const filler = fc.constantFrom('', '', './', '/', 'x/../', '%2e/', 'y/%2E%2e/', '//x/y/../.././');

  it('holds for any mixture of escapes, dots and slashes', () => {
    const spelling = fc.tuple(filler, spelt('api'), filler, spelt('v2'), filler);
    fc.assert(
      fc.property(spelling, ([a, api, b, v2, c]) => {
        expect(table.match('other.test', `/${a}${api}/${b}${v2}/${c}`)).toBe('api2');
      }),
    );
  });

  it('agrees with the URL parser, slashes and escapes aside, and is settled after one round', () => {
    const segment = fc.constantFrom('a', '..', '.', 'b%2Fc', '%2e', '%2e%2E', 'ö'.normalize(), '~', '...');
    fc.assert(
      fc.property(fc.array(segment, { minLength: 1, maxLength: 8 }), (segments) => {
        const path = `/${segments.join('/')}`;
        const once = normalisePath(path);
        expect(normalisePath(once)).toBe(once);
        const reference = new URL(`http://host${path}`).pathname;
        expect(decodeURI(once)).toBe(decodeURI(reference));
      }),
    );
  });

  it('never throws and always answers, whatever the target', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (host, target) => {
        expect(table.match(host, target)).not.toBeNull();
        expect(table.match(host, `/${target}`)).not.toBeNull();
      }),
    );
  });
});

describe('by host', () => {
  it.each([
    ['shop.example.org', '/', 'shop'],
    ['SHOP.Example.ORG', '/', 'shop'],
    ['shop.example.org:13003', '/', 'shop'],
    ['shop.example.org.', '/', 'shop'],
    ['shop.example.org.:80', '/admin/x', 'shop-admin'],
    ['notshop.example.org', '/', 'default'],
    ['notshop.example.org', '/api/x', 'wild'],
    ['a.b.example.org', '/api', 'wild'],
    ['a.eu.example.org', '/api', 'europe'],
    ['a.b.eu.example.org', '/', 'europe'],
    ['example.org', '/api', 'api'],
    ['.example.org', '/api', 'wild'],
    ['xexample.org', '/api', 'api'],
    ['', '/api', 'api'],
    ['[::1]:8080', '/api', 'api'],
  ])('%s%s', (host, path, pool) => {
    expect(table.match(host, path)).toBe(pool);
  });

  it('falls back to less specific hosts only where the path does not match, and to nothing', () => {
    const partial = compileRoutes([
      route('a.test', '/x', 'x'),
      route('*.test', '/y', 'y'),
      route(null, '/z', 'z'),
    ]);
    expect(['/x', '/y', '/z', '/w'].map((path) => partial.match('a.test', path))).toEqual([
      'x',
      'y',
      'z',
      null,
    ]);
    expect(compileRoutes([]).match('a.test', '/')).toBeNull();
    expect(compileRoutes([route('a.test', '/', 'a')]).match('b.test', '/')).toBeNull();
  });

  it('reads a Host field', () => {
    expect(['A.b:1', 'a.b.', '[FE80::1]:443', '[::1]', '10.0.0.1:80', 'a:'].map(normaliseHost)).toEqual([
      'a.b',
      'a.b',
      '[fe80::1]',
      '[::1]',
      '10.0.0.1',
      'a',
    ]);
  });
});

describe('a large table', () => {
  it('finds the longest prefix as a plain search does', () => {
    const segment = fc.constantFrom('a', 'b', 'ab', 'c');
    const path = fc.array(segment, { maxLength: 4 }).map((segments) => `/${segments.join('/')}`);
    fc.assert(
      fc.property(fc.uniqueArray(path, { maxLength: 12 }), path, (prefixes, asked) => {
        const compiled = compileRoutes(prefixes.map((prefix) => route(null, prefix, prefix)));
        const expected = prefixes
          .filter((prefix) => prefix === '/' || asked === prefix || asked.startsWith(`${prefix}/`))
          .toSorted((a, b) => b.length - a.length)[0];
        expect(compiled.match('h', asked)).toBe(expected ?? null);
      }),
    );
  });
});

describe('routeProblems', () => {
  const pools = new Set(['p']);

  it('finds nothing wrong with good ones', () => {
    const good = [
      route(null, '/', 'p'),
      route('a.test', '/x', 'p'),
      route('*.a.test', '/x', 'p'),
      route('[::1]', '/', 'p'),
    ];
    expect(routeProblems(good, pools)).toEqual([]);
  });

  it('names all that is wrong', () => {
    const bad = [
      route('a.test:80', '/', 'p'),
      route('a.*.test', '/', 'p'),
      route(null, 'api', 'p'),
      route(null, '/a?b', 'p'),
      route('A.test', '/x/', 'p'),
      route('a.test.', '/x', 'nowhere'),
    ];
    expect(routeProblems(bad, pools)).toEqual([
      expect.stringContaining('route a.test:80/: the host must be'),
      expect.stringContaining('route a.*.test/: the host must be'),
      expect.stringContaining('route api: the path must begin with /'),
      expect.stringContaining('route /a?b: the path must begin with /'),
      expect.stringContaining('route a.test./x: the host must be'),
      'route a.test./x: there is no pool nowhere',
      'route a.test./x: is there twice',
    ]);
  });
});
