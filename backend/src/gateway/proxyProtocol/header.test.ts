import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_REST_BYTES, readProxyHeader } from './header.js';

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');

function version2(command: number, family: number, rest: Buffer): Buffer {
  const fixed = Buffer.from([command, family, rest.length >> 8, rest.length & 0xff]);
  return Buffer.concat([SIGNATURE, fixed, rest]);
}

const IPV4_REST = Buffer.from([192, 0, 2, 7, 198, 51, 100, 1, 0xc8, 0x22, 0x01, 0xbb]);
const IPV6_REST = Buffer.from(
  '20010db800000000000000000000000720010db8000000000000000000000001c82201bb',
  'hex',
);

describe('version 1', () => {
  it.each([
    ['PROXY TCP4 192.0.2.7 198.51.100.1 51234 443\r\n', { address: '192.0.2.7', port: 51234 }],
    ['PROXY TCP6 2001:DB8:0::7 2001:db8::1 51234 443\r\n', { address: '2001:db8::7', port: 51234 }],
    ['PROXY TCP6 ::ffff:192.0.2.7 ::1 0 0\r\n', { address: '192.0.2.7', port: 0 }],
    ['PROXY UNKNOWN\r\n', null],
    ['PROXY UNKNOWN ffff::1 ffff::2 1 2 whatever\r\n', null],
  ])('%j', (line, client) => {
    expect(readProxyHeader(Buffer.from(`${line}GET / HTTP/1.1\r\n`))).toEqual({
      kind: 'complete',
      length: line.length,
      client,
    });
  });

  it.each([
    'GET / HTTP/1.1\r\n\r\n',
    'PROXY  TCP4 192.0.2.7 198.51.100.1 51234 443\r\n',
    'PROXY TCP4 192.0.2.7 198.51.100.1 51234\r\n',
    'PROXY TCP4 192.0.2.7 198.51.100.1 51234 443 \r\n',
    'PROXY TCP4 192.0.2.7 198.51.100.1 051234 443\r\n',
    'PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n',
    'PROXY TCP4 192.0.2.7 198.51.100.1 -1 443\r\n',
    'PROXY TCP4 192.0.2.007 198.51.100.1 51234 443\r\n',
    'PROXY TCP4 192.0.2.256 198.51.100.1 51234 443\r\n',
    'PROXY TCP4 2001:db8::7 2001:db8::1 51234 443\r\n',
    'PROXY TCP6 192.0.2.7 198.51.100.1 51234 443\r\n',
    'PROXY TCP6 fe80::1%eth0 ::1 51234 443\r\n',
    'PROXY tcp4 192.0.2.7 198.51.100.1 51234 443\r\n',
    'proxy TCP4 192.0.2.7 198.51.100.1 51234 443\r\n',
    `PROXY UNKNOWN ${'x'.repeat(100)}\r\n`,
    `PROXY ${'x'.repeat(200)}`,
  ])('refuses %j', (line) => {
    expect(readProxyHeader(Buffer.from(line)).kind).toBe('invalid');
  });

  it('a line of exactly 107 bytes is the longest', () => {
    const line = (length: number): Buffer => Buffer.from(`${'PROXY UNKNOWN '.padEnd(length - 2, 'x')}\r\n`);
    expect(readProxyHeader(line(107)).kind).toBe('complete');
    expect(readProxyHeader(line(108)).kind).toBe('invalid');
  });
});

describe('version 2', () => {
  it.each([
    ['IPv4', version2(0x21, 0x11, IPV4_REST), { address: '192.0.2.7', port: 51234 }],
    ['IPv6', version2(0x21, 0x21, IPV6_REST), { address: '2001:db8::7', port: 51234 }],
    [
      'TLVs behind',
      version2(0x21, 0x11, Buffer.concat([IPV4_REST, Buffer.alloc(300, 4)])),
      { address: '192.0.2.7', port: 51234 },
    ],
    ['LOCAL', version2(0x20, 0x00, Buffer.alloc(0)), null],
    ['LOCAL with addresses, which mean nothing', version2(0x20, 0x11, IPV4_REST), null],
    ['unspecified', version2(0x21, 0x00, Buffer.alloc(8)), null],
    ['UNIX', version2(0x21, 0x31, Buffer.alloc(216)), null],
    ['a datagram', version2(0x21, 0x12, IPV4_REST), null],
  ])('%s', (_name, header, client) => {
    const bytes = Buffer.concat([header, Buffer.from('GET / HTTP/1.1\r\n')]);
    expect(readProxyHeader(bytes)).toEqual({ kind: 'complete', length: header.length, client });
  });

  it.each([
    ['version 1 in binary', version2(0x11, 0x11, IPV4_REST)],
    ['version 3', version2(0x31, 0x11, IPV4_REST)],
    ['an unknown command', version2(0x22, 0x11, IPV4_REST)],
    ['an unknown family', version2(0x21, 0x41, IPV4_REST)],
    ['an unknown transport', version2(0x21, 0x13, IPV4_REST)],
    ['too short for IPv4', version2(0x21, 0x11, Buffer.alloc(11))],
    ['too short for IPv6', version2(0x21, 0x21, Buffer.alloc(35))],
    ['more TLVs than anybody has', version2(0x21, 0x11, Buffer.alloc(MAX_REST_BYTES + 1))],
    ['a signature with one byte changed', Buffer.from('0d0a0d0a000d0a515549540b21110000', 'hex')],
  ])('refuses %s', (_name, bytes) => {
    expect(readProxyHeader(bytes).kind).toBe('invalid');
  });
});

const octets = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255)).map((parts) => parts.join('.'));
const header = fc.oneof(
  fc
    .tuple(octets, octets, fc.nat(65_535), fc.nat(65_535))
    .map(([from, to, fromPort, toPort]) => Buffer.from(`PROXY TCP4 ${from} ${to} ${fromPort} ${toPort}\r\n`)),
  fc
    .tuple(fc.uint8Array({ minLength: 12, maxLength: 12 }), fc.uint8Array({ maxLength: 200 }))
    .map(([addresses, more]) => version2(0x21, 0x11, Buffer.concat([addresses, more]))),
  fc
    .tuple(fc.uint8Array({ minLength: 36, maxLength: 36 }), fc.uint8Array({ maxLength: 200 }))
    .map(([addresses, more]) => version2(0x21, 0x21, Buffer.concat([addresses, more]))),
);

describe('any header', () => {
  it('is incomplete when it is cut, and then read as the same', () => {
    fc.assert(
      fc.property(header, fc.uint8Array({ maxLength: 40 }), (bytes, behind) => {
        const whole = readProxyHeader(bytes);
        expect(whole).toMatchObject({ kind: 'complete', length: bytes.length });
        for (let cut = 0; cut < bytes.length; cut += 1) {
          expect(readProxyHeader(bytes.subarray(0, cut))).toEqual({ kind: 'incomplete' });
        }
        expect(readProxyHeader(Buffer.concat([bytes, behind]))).toEqual(whole);
      }),
      { numRuns: 200 },
    );
  });

  it('of random bytes never throws, and waits only for what may still become a header', () => {
    const any = fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      fc.uint8Array({ maxLength: 5_000 }).map((bytes) => Buffer.concat([SIGNATURE, bytes])),
      fc.string({ maxLength: 200 }).map((text) => Buffer.from(`PROXY ${text}`)),
    );
    fc.assert(
      fc.property(any, (bytes) => {
        const read = readProxyHeader(bytes);
        if (read.kind === 'complete') expect(read.length).toBeLessThanOrEqual(bytes.length);
        if (read.kind === 'incomplete') expect(bytes.length).toBeLessThan(16 + MAX_REST_BYTES);
      }),
      { numRuns: 2_000 },
    );
  });
});
