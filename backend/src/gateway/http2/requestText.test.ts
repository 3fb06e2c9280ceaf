import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CHUNKED } from '../http1/framing.js';
import { parseRequestHead, RequestHead } from '../http1/requestHead.js';
import type { Refusal } from '../http1/refusal.js';
import { DEFAULT_LIMITS } from '../shared/limits.js';
import { requestText, type RequestText } from './requestText.js';

type Field = readonly [string, string];

const PSEUDO: readonly Field[] = [
  [':method', 'GET'],
  [':scheme', 'https'],
  [':authority', 'a.example'],
  [':path', '/'],
];

function translate(fields: readonly Field[], isWhole = true): RequestText | Refusal {
  return requestText(fields.flat(), isWhole, 100, () => 'dGhlIHNhbXBsZSBub25jZQ==');
}

/** With pseudo-headers replaced by name. */
function headOf(changes: Readonly<Record<string, string>>, ...more: Field[]): Field[] {
  return [...PSEUDO.map(([name, value]): Field => [name, changes[name] ?? value]), ...more];
}

const text = (result: RequestText | Refusal): string => ('text' in result ? result.text : result.code);

describe('a head', () => {
  it('is the HTTP/1.1 head that it stands for', () => {
    const fields = headOf(
      { ':path': '/a?b' },
      ['accept', '*/*'],
      ['cookie', 'a=1'],
      ['x', '1'],
      ['cookie', 'b=2'],
    );
    expect(text(translate(fields))).toBe(
      'GET /a?b HTTP/1.1\r\nHost: a.example\r\naccept: */*\r\nx: 1\r\ncookie: a=1; b=2\r\n\r\n',
    );
  });

  it('takes its host from the Host header where there is no :authority', () => {
    const fields = [...PSEUDO.filter(([name]) => name !== ':authority'), ['host', 'b.example'] as const];
    expect(text(translate(fields))).toContain('Host: b.example\r\n');
    expect(text(translate(headOf({}, ['host', 'A.example'])))).toContain('Host: a.example\r\n');
  });

  it.each([
    ['nothing follows', [], true, 0, 'Host: a.example\r\n\r\n'],
    ['something follows', [], false, CHUNKED, 'Transfer-Encoding: chunked\r\n\r\n'],
    ['so much follows', [['content-length', '7']], false, 7, 'Content-Length: 7\r\n\r\n'],
    ['nothing follows, as announced', [['content-length', '0']], true, 0, 'Content-Length: 0\r\n\r\n'],
  ] as [string, Field[], boolean, number, string][])('%s', (_name, more, isWhole, bodyLength, end) => {
    const result = translate(headOf({}, ...more), isWhole);
    expect(result).toMatchObject({ bodyLength });
    expect(text(result).endsWith(end)).toBe(true);
  });

  it.each(['trailers', 'Trailers', 'TRAILERS'])('may say TE: %s', (value) => {
    expect(text(translate(headOf({}, ['te', value])))).toContain(`te: ${value}\r\n`);
  });

  it('of a WebSocket is the handshake that it stands for', () => {
    const fields = headOf(
      { ':method': 'CONNECT', ':path': '/ws' },
      [':protocol', 'websocket'],
      ['sec-websocket-version', '13'],
    );
    const result = translate(fields, false);
    const head = new RequestHead();
    expect(parseRequestHead(text(result).slice(0, -2), DEFAULT_LIMITS, head)).toBe(null);
    expect(head).toMatchObject({ method: 'GET', target: '/ws', webSocket: true, bodyLength: 0 });
  });
});

describe('refused', () => {
  it.each([
    ['a line break in the path', headOf({ ':path': '/ HTTP/1.1\r\nX: y' })],
    ['a space in the path', headOf({ ':path': '/ HTTP/1.1' })],
    ['no path', headOf({ ':path': '' })],
    ['a space in the method', headOf({ ':method': 'GET /' })],
    ['no method', PSEUDO.slice(1)],
    ['a pseudo-header that is none', headOf({}, [':status', '200'])],
    ['two paths', headOf({}, [':path', '/b'])],
    ['a line break in the authority', headOf({ ':authority': 'a\r\nX: y' })],
    ['a line break in a value', headOf({}, ['x', 'a\r\nTransfer-Encoding: chunked'])],
    ['a bare line feed in a value', headOf({}, ['x', 'a\nb'])],
    ['NUL in a value', headOf({}, ['x', 'a\0b'])],
    ['a line break in a cookie', headOf({}, ['cookie', 'a\r\nb: c'])],
    ['a line break in a name', headOf({}, ['x: y\r\nz', '1'])],
    ['a colon in a name', headOf({}, ['x:y', '1'])],
    ['an upper-case name', headOf({}, ['X-Upper', '1'])],
    ['an empty name', headOf({}, ['', '1'])],
    ['a character beyond latin1', headOf({}, ['x', '\u0100'])],
    ['Connection', headOf({}, ['connection', 'close'])],
    ['Transfer-Encoding', headOf({}, ['transfer-encoding', 'chunked'])],
    ['Upgrade', headOf({}, ['upgrade', 'h2c'])],
    ['Keep-Alive', headOf({}, ['keep-alive', 'timeout=5'])],
    ['TE that is not "trailers"', headOf({}, ['te', 'gzip'])],
    ['two lengths', headOf({}, ['content-length', '1'], ['content-length', '1'])],
    ['a length that is none', headOf({}, ['content-length', '+1'])],
    ['a length, but no body', headOf({}, ['content-length', '1'])],
    ['two hosts', headOf({}, ['host', 'a.example'], ['host', 'a.example'])],
    ['another host', headOf({}, ['host', 'b.example'])],
    ['CONNECT', headOf({ ':method': 'CONNECT' })],
    ['another protocol', headOf({ ':method': 'CONNECT' }, [':protocol', 'chat'])],
    ['a protocol without CONNECT', headOf({}, [':protocol', 'websocket'])],
    [
      'a WebSocket with a length',
      headOf({ ':method': 'CONNECT' }, [':protocol', 'websocket'], ['content-length', '1']),
    ],
  ] as [string, readonly Field[]][])('%s', (_name, fields) => {
    const result = translate(fields);
    expect(result).toHaveProperty('status');
  });
});

describe('whatever a client sends', () => {
  const hostile = fc.string({
    unit: fc.constantFrom('a', 'B', '1', ' ', '\t', '\r', '\n', ':', '\0', ',', '/', '\u00e9', '\u0100'),
  });
  const value = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom('1', 'a b', '', 'caf\u00e9') },
    fc.string(),
    hostile,
    fc.constantFrom('chunked', 'a\r\n\r\nGET / HTTP/1.1', '5'),
  );
  const name = fc.oneof(
    hostile,
    { weight: 4, arbitrary: fc.constantFrom('x', 'y-z', 'cookie', 'x-forwarded-for') },
    fc.constantFrom(
      'x',
      'cookie',
      'te',
      'host',
      'content-length',
      'transfer-encoding',
      'connection',
      'expect',
      'x-forwarded-for',
    ),
  );
  const pseudo = fc.record({
    ':method': fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom('GET', 'POST', 'DELETE') },
      fc.constantFrom('CONNECT', 'OPTIONS'),
      hostile,
    ),
    ':authority': fc.oneof({ weight: 4, arbitrary: fc.constant('a.example') }, hostile),
    ':path': fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom('/', '/a?b', '/c') },
      hostile.map((path) => `/${path}`),
    ),
  });

  it('becomes exactly one request head with what was said, or none', () => {
    let accepted = 0;
    fc.assert(
      fc.property(
        pseudo,
        fc.array(fc.tuple(name, value), { maxLength: 6 }),
        fc.boolean(),
        (own, more, isWhole) => {
          const result = translate(headOf(own, ...more), isWhole);
          if (!('text' in result)) return;
          // The only empty line is the last one, and every line is one that we wrote for one field.
          expect(result.text.indexOf('\r\n\r\n')).toBe(result.text.length - 4);
          expect(result.text).not.toMatch(/[^\r]\n|\r[^\n]|\0/);
          const cookies = more.filter(([each]) => each === 'cookie').length;
          const hosts = more.filter(([each]) => each === 'host').length;
          const framed = result.bodyLength === CHUNKED ? 1 : 0;
          const lines = result.text.split('\r\n').length - 2;
          const expected = 2 + more.length - hosts - Math.max(0, cookies - 1) + framed;
          // Empty cookies leave no line behind.
          expect(lines).toBeGreaterThanOrEqual(expected - 1);
          expect(lines).toBeLessThanOrEqual(expected);
          const head = new RequestHead();
          if (parseRequestHead(result.text.slice(0, -2), DEFAULT_LIMITS, head) !== null) return;
          accepted += 1;
          expect(head).toMatchObject({
            method: own[':method'],
            target: own[':path'],
            bodyLength: result.bodyLength,
          });
        },
      ),
      { numRuns: 5_000 },
    );
    expect(accepted).toBeGreaterThan(200);
  });
});
