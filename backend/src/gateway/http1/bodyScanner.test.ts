import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BodyScanner } from './bodyScanner.js';
import { CHUNKED, UNTIL_CLOSE } from './framing.js';

/** Scans `text`, cut at `cuts`; what came behind the body is in `rest`. */
function scan(
  length: number,
  text: string,
  cuts: readonly number[] = [],
): { body: string; rest: string; done: boolean; problem: string } {
  let body = '';
  let rest = '';
  const scanner = new BodyScanner(length, (buffer, from, to) => {
    body += buffer.toString('latin1', from, to);
  });
  const edges = [0, ...cuts.map((cut) => cut % (text.length + 1)).toSorted((a, b) => a - b), text.length];
  for (let i = 1; i < edges.length; i += 1) {
    const piece = Buffer.from(text.slice(edges[i - 1], edges[i]), 'latin1');
    const end = scanner.scan(piece, 0);
    if (scanner.failed) break;
    rest += piece.toString('latin1', end);
  }
  return { body, rest, done: scanner.done, problem: scanner.problem };
}

describe('a chunked body', () => {
  it.each([
    ['a bare LF behind the size', '5\nhello\r\n0\r\n\r\n'],
    ['a bare CR behind the size', '5\rhello\r\n0\r\n\r\n'],
    ['a bare LF behind the data', '5\r\nhello\n0\r\n\r\n'],
    ['data longer than its size', '5\r\nhello!\r\n0\r\n\r\n'],
    ['no size', '\r\nhello\r\n0\r\n\r\n'],
    ['a size with a sign', '+5\r\nhello\r\n0\r\n\r\n'],
    ['a negative size', '-5\r\nhello\r\n0\r\n\r\n'],
    ['a size with a prefix', '0x5\r\nhello\r\n0\r\n\r\n'],
    ['a size with an underscore', '1_0\r\nhello\r\n0\r\n\r\n'],
    ['a space before the size', ' 5\r\nhello\r\n0\r\n\r\n'],
    ['a space behind the size', '5 \r\nhello\r\n0\r\n\r\n'],
    ['a size that overflows', 'ffffffffffffffff\r\nhello\r\n0\r\n\r\n'],
    ['a size that wraps', '10000000000000005\r\nhello\r\n0\r\n\r\n'],
    ['a size with a NUL', '5\x00\r\nhello\r\n0\r\n\r\n'],
    ['an extension without a name', '5;\r\nhello\r\n0\r\n\r\n'],
    ['an extension with a bare CR', '5;a\rb\r\nhello\r\n0\r\n\r\n'],
    ['an extension with a bare LF', '5;a\nhello\r\n0\r\n\r\n'],
    ['an extension with a NUL', '5;a=\x00\r\nhello\r\n0\r\n\r\n'],
    ['an open quotation', '5;a="b\r\nhello\r\n0\r\n\r\n'],
    ['an extension that never ends', `5;${'a'.repeat(5_000)}`],
    ['extensions without end', `1;${'a'.repeat(3_000)}\r\nx\r\n`.repeat(10)],
    ['a malformed trailer', '0\r\nX : y\r\n\r\n'],
    ['a folded trailer', '0\r\nX: y\r\n z\r\n\r\n'],
    ['a trailer with a bare LF', '0\r\nX: y\n\r\n'],
    ['a Content-Length in the trailer', '0\r\nContent-Length: 5\r\n\r\n'],
    ['a Transfer-Encoding in the trailer', '0\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['a Host in the trailer', '0\r\nHost: a\r\n\r\n'],
    ['only whitespace behind a size and an extension', '5;a \r\nhello\r\n0\r\n\r\n'],
    ['whitespace and no extension', '5 ;\r\nhello\r\n0\r\n\r\n'],
    ['whitespace and no name', '5 ; =b\r\nhello\r\n0\r\n\r\n'],
    ['whitespace within a token', '5;a b\r\nhello\r\n0\r\n\r\n'],
    ['trailers without end', `0\r\n${'X: y\r\n'.repeat(100)}`],
  ])('with %s fails, wherever it is cut', (_name, text) => {
    expect(scan(CHUNKED, text).problem).not.toBe('');
    for (let cut = 1; cut < Math.min(text.length, 60); cut += 1)
      expect(scan(CHUNKED, text, [cut]).problem).not.toBe('');
  });

  it.each([
    ['0\r\n\r\n', ''],
    ['000\r\n\r\n', ''],
    ['5\r\nhello\r\n0\r\n\r\n', 'hello'],
    ['A;a=b;c="d;\\"e";f\r\n0123456789\r\n00\r\nX-T: 1\r\nY:\r\n\r\n', '0123456789'],
    ['b\r\n5\r\nhello\r\n0\r\n0\r\n\r\n', '5\r\nhello\r\n0'],
  ])('%j is read as %j', (text, body) => {
    expect(scan(CHUNKED, `${text}GET /`)).toEqual({ body, rest: 'GET /', done: true, problem: '' });
  });

  it.each([
    ['5 ; a=b\r\nhello\r\n0\r\n\r\n', '5\r\nhello\r\n0\r\n\r\n'],
    ['5\t;\ta = "b;c"\t; d\r\nhello\r\n0 ;x\r\n\r\n', '5\r\nhello\r\n0\r\n\r\n'],
    ['5;a=b\r\nhello\r\n0\r\nX-T: 1\r\n\r\n', '5;a=b\r\nhello\r\n0\r\nX-T: 1\r\n\r\n'],
    [
      '0\r\nX-Forwarded-For: 1.2.3.4\r\nX-T: 1\r\nConnection: close\r\nX_Forwarded_For: 5\r\nContent_Length: 5\r\nX-U: 2\r\n\r\n',
      '0\r\nX-T: 1\r\nX-U: 2\r\n\r\n',
    ],
  ])('%j goes on as %j, wherever it is cut', (text, expected) => {
    for (let cut = 0; cut <= text.length; cut += 1) {
      const scanner = new BodyScanner(CHUNKED);
      let passed = '';
      for (const piece of [text.slice(0, cut), text.slice(cut)]) {
        const bytes = Buffer.from(piece, 'latin1');
        const end = scanner.scan(bytes, 0);
        passed += scanner.passedOn(bytes, 0, end).toString('latin1');
      }
      expect(passed).toBe(expected);
      expect(scanner.done).toBe(true);
    }
  });

  it('is found whole wherever it is cut', () => {
    const chunk = fc.record({
      data: fc
        .string({ unit: 'binary', minLength: 1, maxLength: 40 })
        .map((text) => Buffer.from(text).toString('latin1')),
      extension: fc.constantFrom('', ';a', ';a=b', ';q="x\\"y"'),
      upper: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.array(chunk, { maxLength: 6 }),
        fc.constantFrom('', 'X-Sum: 1\r\n', 'A: 1\r\nB: 2\r\n'),
        fc.string({ maxLength: 10 }),
        fc.array(fc.nat(), { maxLength: 8 }),
        (chunks, trailers, rest, cuts) => {
          const hex = (size: number, upper: boolean): string =>
            upper ? size.toString(16).toUpperCase() : size.toString(16);
          const text =
            chunks
              .map(({ data, extension, upper }) => `${hex(data.length, upper)}${extension}\r\n${data}\r\n`)
              .join('') + `0\r\n${trailers}\r\n`;
          const latinRest = Buffer.from(rest).toString('latin1');
          expect(scan(CHUNKED, text + latinRest, cuts)).toEqual({
            body: chunks.map(({ data }) => data).join(''),
            rest: latinRest,
            done: true,
            problem: '',
          });
        },
      ),
    );
  });
});

describe('other bodies', () => {
  it('of known length end there, wherever they are cut', () => {
    fc.assert(
      fc.property(fc.nat(50), fc.array(fc.nat(), { maxLength: 5 }), (length, cuts) => {
        const text = 'x'.repeat(length);
        expect(scan(length, `${text}next`, cuts)).toEqual({
          body: text,
          rest: 'next',
          done: true,
          problem: '',
        });
      }),
    );
  });

  it('that end with the connection go on until then', () => {
    expect(scan(UNTIL_CLOSE, 'all of it', [3])).toEqual({
      body: 'all of it',
      rest: '',
      done: false,
      problem: '',
    });
  });
});
