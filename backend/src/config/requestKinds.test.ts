import { describe, expect, it } from 'vitest';

import { headerFields, hostField } from './requestKinds.js';

describe('a Host', () => {
  it.each(['shop.example', 'shop.example:8443', '10.0.0.1', '[::1]:80', 'my_shop', ' localhost\n'])(
    'can be %s',
    (value) => expect(hostField().schema.parse(value)).toBe(value.trim()),
  );

  it.each([
    'a b',
    'a\r\nX: 1',
    'http://a',
    'a/b',
    'a:0',
    'a:65536',
    'a:',
    '::1',
    'a,b',
    'é.example',
    7,
    ['a'],
  ])('can not be %j', (value) => expect(hostField().schema.safeParse(value).success).toBe(false));
});

describe('header fields', () => {
  const read = (value: unknown) => headerFields().schema.safeParse(value);

  it.each([
    [{ 'X-Health-Token': 'abc' }],
    ['{"X-Health-Token": "abc"}'],
    ['X-Health-Token: abc'],
    ['X-Health-Token:abc'],
  ])('can be written as %j', (value) => {
    expect(read(value).data).toEqual({ 'X-Health-Token': 'abc' });
  });

  it('keep what values may have in them', () => {
    const fields = { Accept: 'text/html;q=0.9, */*', Cookie: 'a=1; b="x:y"' };
    expect(read(fields).data).toEqual(fields);
    expect(read(headerFields().format(fields)).data).toEqual(fields);
    expect(read('Authorization: Basic dXNlcjpwYXNz').data).toEqual({ Authorization: 'Basic dXNlcjpwYXNz' });
  });

  it.each<[what: string, value: unknown]>([
    ['a new line', { A: 'b\r\nEvil: 1' }],
    ['a bare new line', 'A: b\nEvil: 1'],
    ['a NUL', { A: 'b\0' }],
    ['a value that is no ASCII', { A: 'ü' }],
    ['an empty value', { A: '' }],
    ['a space at an end', { A: ' b' }],
    ['a number, which YAML may have changed', { A: 123 }],
    ['a list', { A: ['b'] }],
    ['a name with a space', { 'A B': 'c' }],
    ['a name with a new line', { 'A\r\nB': 'c' }],
    ['a name with a colon', { 'A:': 'c' }],
    ['an empty name', { '': 'c' }],
    ['the same name twice', { A: '1', a: '2' }],
    ['none', {}],
    ['broken JSON', '{"A": '],
    ['JSON that is no map', '["A"]'],
    ['text without a colon', 'A'],
    ['a value that is too long', { A: 'x'.repeat(4_097) }],
    ['more than there may be', Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`A${i}`, 'b']))],
    ['more than there is room for', { A: 'x'.repeat(4_000), B: 'x'.repeat(4_000), C: 'x'.repeat(4_000) }],
    ...[
      ...[
        'Host',
        'connection',
        'Proxy-Connection',
        'Keep-Alive',
        'TE',
        'Trailer',
        'TRANSFER-ENCODING',
        'Upgrade',
      ],
      ...['Proxy-Authenticate', 'Proxy-Authorization', 'Content-Length', 'Expect'],
    ].map((name): [string, unknown] => [name, { [name]: 'x' }]),
  ])('can not have %s', (_what, value) => {
    expect(read(value).success).toBe(false);
  });
});
