/** What a client sends in a path, a host, a referring page or a user agent is logged without secrets. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { secrets, SECRET_SHAPES, shows } from '../../../../test/support/secretShapes.js';
import { REDACTED } from '../../lib/secrets/ofProcess.js';
import type { RequestRecord } from '../shared/requestRecord.js';
import { FORMATTERS } from './lines.js';
import { scrubbedLine } from './scrubbedLine.js';

const AT_MS = Date.UTC(2026, 4, 4, 9, 5, 7, 250);
const JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqb2UifQ.c2lnbmF0dXJlMTIz';

const record = (more: Partial<RequestRecord>): RequestRecord => ({
  method: 'GET',
  target: '/api/lists/7?page=2',
  version: '1.1',
  host: 'shop.example.org',
  lines:
    'User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\r\nReferer: https://shop.example.org/lists\r\n',
  clientAddress: '203.0.113.9',
  requestId: '0f3c',
  status: 200,
  bodyBytes: 512,
  durationMs: 12.3456,
  upstream: '127.0.0.1:13004',
  attempts: 1,
  code: '',
  ...more,
});

/** A line of the combined form in its parts. */
const PARTS =
  /^(\S+) - - \[([^\]]+)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)" (\S+) ([\d.]+)$/;

describe.each(['json', 'combined'] as const)('%s', (format) => {
  const lineOf = (more: Partial<RequestRecord>): string =>
    scrubbedLine(FORMATTERS[format](record(more), AT_MS));
  /** Throws when it can't be taken apart. */
  const fieldsOf = (line: string): unknown =>
    format === 'json' ? JSON.parse(line) : PARTS.exec(line)!.slice(1);

  it('leaves an ordinary line as it is', () => {
    expect(lineOf({})).toBe(FORMATTERS[format](record({}), AT_MS));
  });

  it.each<[string, string, Partial<RequestRecord>]>([
    ['a JWT in the path', JWT, { target: `/verify/${JWT}` }],
    ['a session in the path', 'k3jx92ld01', { target: '/shop;jsessionid=k3jx92ld01/cart' }],
    ['a token of GitHub in the path', 'ghp_abcdefgh12345678', { target: '/hook/ghp_abcdefgh12345678' }],
    ['a user agent', 'hunter22', { lines: 'User-Agent: app/1 (password=hunter22)\r\n' }],
    ['a user agent that ends in a field', 'hunter22', { lines: 'User-Agent: x Cookie: sid="hunter22\r\n' }],
    ['a user agent that quotes', 'hunter22', { lines: 'User-Agent: {"token":"a\\"hunter22"}\r\n' }],
    ['a referring page', JWT, { lines: `Referer: https://shop.example.org/reset/${JWT}\r\n` }],
    [
      'a host',
      'k3jx92ld01',
      { host: 'token=k3jx92ld01.example.org', lines: 'User-Agent: token=k3jx92ld01\r\n' },
    ],
    ['a request id', 'hunter22', { requestId: 'password=hunter22' }],
  ])('takes out %s, and can still be taken apart', (_where, secret, more) => {
    const line = lineOf(more);
    expect(line).not.toContain(secret);
    expect(line).toContain(REDACTED);
    expect(Object.keys(fieldsOf(line) as object)).toHaveLength(
      Object.keys(fieldsOf(FORMATTERS[format](record(more), AT_MS)) as object).length,
    );
  });

  it('takes out every shape of one line, generated', () => {
    const shapes = SECRET_SHAPES.filter(({ write }) => /^[\x20-\x7e]*$/.test(write('x')));
    expect(shapes.length).toBeGreaterThan(30);
    fc.assert(
      fc.property(fc.constantFrom(...shapes), secrets(true), ({ write }, secret) => {
        const line = lineOf({ lines: `User-Agent: ${write(secret)}\r\n` });
        expect(shows(line, secret), line).toBe(false);
        fieldsOf(line);
      }),
    );
  });

  it('can be taken apart whatever the client sent', () => {
    const text = fc.array(
      fc.oneof(
        fc.constantFrom('password=', 'Cookie: ', '"', '\\', "'", 'token', ':', '=', ' ', '{', '[', 'a1', ';'),
        fc.string({ maxLength: 3 }),
      ),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(text, (words) => {
        const value = words.join('').replace(/[\r\n\0]/g, '');
        fieldsOf(lineOf({ lines: `User-Agent: ${value}\r\n`, requestId: value }));
      }),
      { numRuns: 1_000 },
    );
  });
});
