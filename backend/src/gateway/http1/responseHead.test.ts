import { describe, expect, it } from 'vitest';
import { CHUNKED, UNTIL_CLOSE } from './framing.js';
import { parseResponseHead, ResponseHead } from './responseHead.js';
import { LIMITS } from './testing/frame.js';

function parse(lines: readonly string[], toHead = false): ResponseHead | string {
  const head = new ResponseHead();
  const text = lines.map((line) => `${line}\r\n`).join('');
  return parseResponseHead(text, text.length, toHead, LIMITS, head) ?? head;
}

const OK = 'HTTP/1.1 200 OK';

describe('an answer that is not passed on', () => {
  it.each([
    [['HTTP/1.1 20 OK']],
    [['HTTP/1.1 2000 OK']],
    [['HTTP/1.1 abc OK']],
    [['HTTP/1.1  200 OK']],
    [['HTTP/2.0 200 OK']],
    [['http/1.1 200 OK']],
    [['HTTP/1.1 099 OK']],
    [['HTTP/1.1 200 O\x00K']],
    [['HTTP/1.1 200 O\nK']],
    [['ICY 200 OK']],
    [[OK, 'X : y']],
    [[OK, 'X: y', ' folded']],
    [[OK, 'X: a\nSet-Cookie: b']],
    [[OK, 'Content-Length: 1', 'Content-Length: 1']],
    [[OK, 'Content-Length: 1, 1']],
    [[OK, 'Content-Length: -1']],
    [[OK, 'Content-Length: 1', 'Transfer-Encoding: chunked']],
    [[OK, 'Transfer-Encoding: gzip, chunked']],
    [[OK, 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked']],
    [['HTTP/1.0 200 OK', 'Transfer-Encoding: chunked']],
    [[OK, 'Connection: content-length']],
    [[OK, ...Array.from({ length: 101 }, () => 'X: y')]],
  ])('%j', (lines) => {
    expect(parse(lines)).toEqual(expect.any(String));
  });
});

describe('where an answer ends', () => {
  it.each([
    [[OK, 'Content-Length: 5'], false, 5],
    [[OK, 'Transfer-Encoding: chunked'], false, CHUNKED],
    [[OK], false, UNTIL_CLOSE],
    [[OK, 'Content_Length: 5'], false, UNTIL_CLOSE],
    [[OK, 'Content_Length: 5', 'Content-Length: 7'], false, 7],
    [[OK, 'Transfer_Encoding: chunked', 'Content-Length: 7'], false, 7],
    [['HTTP/1.1 205 Reset Content', 'Content-Length: 5'], false, 0],
    [['HTTP/1.1 205 Reset Content', 'Transfer-Encoding: chunked'], false, 0],
    [['HTTP/1.1 205 Reset Content'], false, 0],
    [['HTTP/1.0 200 OK'], false, UNTIL_CLOSE],
    [[OK, 'Content-Length: 5'], true, 0],
    [[OK, 'Transfer-Encoding: chunked'], true, 0],
    [['HTTP/1.1 204 No Content'], false, 0],
    [['HTTP/1.1 304 Not Modified', 'Content-Length: 5'], false, 0],
    [['HTTP/1.1 100 Continue'], false, 0],
    [['HTTP/1.1 500'], false, UNTIL_CLOSE],
    [['HTTP/1.1 200 ', 'Content-Length: 0'], false, 0],
  ])('%j (to HEAD: %s): %i', (lines, toHead, bodyLength) => {
    expect(parse(lines, toHead)).toMatchObject({ bodyLength });
  });
});

describe('what of an answer goes on', () => {
  it('is everything but what is for one hop', () => {
    expect(
      parse([
        OK,
        'A: 1',
        'Connection: keep-alive, x-b',
        'X-B: 2',
        'Keep-Alive: timeout=5',
        'Content-Length: 0',
        'Set-Cookie: a',
        'Set-Cookie: b',
        'Upgrade: h2c',
        'Trailer: x',
      ]),
    ).toMatchObject({
      lines: 'A: 1\r\nContent-Length: 0\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n',
      persistent: true,
    });
  });

  it.each([
    ['100 Continue', 'A: 1\r\n'],
    ['103 Early Hints', 'A: 1\r\n'],
    ['101 Switching Protocols', 'A: 1\r\n'],
    ['204 No Content', 'A: 1\r\n'],
    ['205 Reset Content', 'A: 1\r\nContent-Length: 0\r\n'],
    ['304 Not Modified', 'Content-Length: 5\r\nA: 1\r\n'],
    ['200 OK', 'Content-Length: 5\r\nA: 1\r\n'],
  ])('a %s has the length that it may have', (status, lines) => {
    expect(parse([`HTTP/1.1 ${status}`, 'Content-Length: 5', 'A: 1'])).toMatchObject({ lines });
  });

  it('is not followed by another on its connection when it has a body that there must not be', () => {
    for (const status of [204, 205]) {
      expect(parse([`HTTP/1.1 ${status} X`, 'Content-Length: 5'])).toMatchObject({ persistent: false });
      expect(parse([`HTTP/1.1 ${status} X`, 'Transfer-Encoding: chunked'])).toMatchObject({
        persistent: false,
      });
      expect(parse([`HTTP/1.1 ${status} X`, 'Content-Length: 0'])).toMatchObject({ persistent: true });
    }
    expect(parse(['HTTP/1.1 204 X'])).toMatchObject({ persistent: true });
    expect(parse(['HTTP/1.1 205 X'])).toMatchObject({ persistent: false });
  });

  it('says whether the connection may be used again', () => {
    expect(parse([OK, 'Content-Length: 0', 'Connection: close'])).toMatchObject({ persistent: false });
    expect(parse(['HTTP/1.0 200 OK', 'Content-Length: 0'])).toMatchObject({ persistent: false });
    expect(parse(['HTTP/1.0 200 OK', 'Content-Length: 0', 'Connection: keep-alive'])).toMatchObject({
      persistent: true,
    });
    expect(parse([OK])).toMatchObject({ persistent: false });
  });
});
