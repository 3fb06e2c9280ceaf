import { describe, expect, it } from 'vitest';
import { fallback, formatFallback } from './fallbackKind.js';

const { schema, explain } = fallback();

describe('LB_FALLBACK', () => {
  it.each([
    ['page:sorry.html', { kind: 'page', file: 'sorry.html' }],
    ['page:/srv/sorry page.txt', { kind: 'page', file: '/srv/sorry page.txt' }],
    ['./public/sorry.html', { kind: 'page', file: './public/sorry.html' }],
    ['redirect:https://status.example.org/', { kind: 'redirect', location: 'https://status.example.org/' }],
    ['https://status.example.org/a?b', { kind: 'redirect', location: 'https://status.example.org/a?b' }],
    ['pool:My API', { kind: 'pool', pool: 'My API' }],
  ])('reads %s', (text, read) => {
    expect(schema.parse(text)).toEqual(read);
  });

  it.each(['pool:10.0.0.9:8080', '10.0.0.9:8080, [::1]:9000;weight=2'])('reads the upstreams %s', (text) => {
    const read = schema.parse(text);
    expect(read).toMatchObject({ kind: 'hosts' });
    expect(schema.parse(formatFallback(read))).toEqual(read);
  });

  it.each([
    ['', 'no text'],
    ['page:', 'names no file'],
    ['redirect:', 'http://'],
    ['redirect:ftp://a', 'http://'],
    ['redirect:https://a/\r\nSet-Cookie: x', 'http://'],
    ['redirect:https://a b', 'http://'],
    ['pool:', 'names none'],
    ['pool:host:99999', 'host:99999'],
    ['sorry', 'neither'],
    [42, 'no text'],
  ])('refuses %j', (value, why) => {
    expect(schema.safeParse(value).success).toBe(false);
    expect(explain?.(value)).toContain(why);
  });
});
