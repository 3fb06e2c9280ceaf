import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { RequestRecord } from '../shared/requestRecord.js';
import { FORMATTERS } from './lines.js';

const AT_MS = Date.UTC(2026, 4, 4, 9, 5, 7, 250);

const record = (more: Partial<RequestRecord> = {}): RequestRecord => ({
  method: 'GET',
  target: '/api/lists/7?token=very-secret&q=embarrassing',
  version: '1.1',
  host: 'shop.example.org',
  lines:
    'User-Agent: curl/8.5\r\nReferer: https://me:pass@shop.example.org/search?q=embarrassing#x\r\nAuthorization: Bearer very-secret\r\nCookie: sid=very-secret\r\n',
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

describe('the JSON form', () => {
  it('has what one looks for, and nothing that was empty', () => {
    expect(JSON.parse(FORMATTERS.json(record(), AT_MS))).toEqual({
      time: '2026-05-04T09:05:07.250Z',
      requestId: '0f3c',
      client: '203.0.113.9',
      method: 'GET',
      host: 'shop.example.org',
      path: '/api/lists/7',
      protocol: 'HTTP/1.1',
      status: 200,
      bytes: 512,
      durationMs: 12.35,
      upstream: '127.0.0.1:13004',
      attempts: 1,
      referer: 'https://shop.example.org/search',
      userAgent: 'curl/8.5',
    });
  });

  it('says what went wrong', () => {
    const line = FORMATTERS.json(record({ status: 502, code: 'upstream.refused', upstream: null }), AT_MS);
    expect(JSON.parse(line)).toMatchObject({ status: 502, code: 'upstream.refused', upstream: null });
  });
});

describe('the combined form', () => {
  it('is that of Apache and nginx, with request id, upstream and seconds behind', () => {
    expect(FORMATTERS.combined(record(), AT_MS)).toBe(
      '203.0.113.9 - - [04/May/2026:09:05:07 +0000] "GET /api/lists/7 HTTP/1.1" 200 512 ' +
        '"https://shop.example.org/search" "curl/8.5" "0f3c" 127.0.0.1:13004 0.012',
    );
  });

  it('has 499 for a client that left, and dashes for what is missing', () => {
    const line = FORMATTERS.combined(record({ status: 0, upstream: null, lines: '', version: '1.0' }), AT_MS);
    expect(line).toContain('HTTP/1.0" 499 512 "-" "-" "0f3c" - 0.012');
  });

  it('can be taken apart again whatever the client sent', () => {
    const PARTS =
      /^(\S+) - - \[([^\]]+)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)" (\S+) ([\d.]+)$/;
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string(), (agent, path) => {
        const value = agent.replace(/[\r\n\0]/g, '');
        const line = FORMATTERS.combined(
          record({ lines: `user-agent: ${value}\r\n`, target: `/${path.replace(/[\s?]/g, '')}` }),
          AT_MS,
        );
        expect(line).toMatch(PARTS);
      }),
    );
  });
});

describe.each(['json', 'combined'] as const)('%s', (format) => {
  it('never holds a query, a password, a cookie or a token', () => {
    const line = FORMATTERS[format](record(), AT_MS);
    expect(line).not.toMatch(/very-secret|embarrassing|me:pass/);
  });

  it('is one line of bounded length whatever the client sent', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 3_000 }), (text) => {
        const line = FORMATTERS[format](
          record({ lines: `Referer: ${text}\r\nUser-Agent: ${text}\r\n`, requestId: text.slice(0, 64) }),
          AT_MS,
        );
        expect(line).not.toMatch(/[\r\n]/);
        expect(line.length).toBeLessThan(9_000);
      }),
    );
  });
});
