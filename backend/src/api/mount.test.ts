import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, it } from 'vitest';
import { startHarness } from './testing/harness.js';
import type { Harness } from './testing/harness.js';

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness();
  return () => harness.close();
});

const refusalOf = async (...args: Parameters<Harness['call']>) => {
  const { status, json } = await harness.call(...args);
  expect(json.success).toBe(false);
  expect(Date.parse(json.timestamp)).not.toBeNaN();
  return [status, json.error?.code];
};

describe('what is no call', () => {
  it.each([
    '/nope',
    '/api/ha',
    '/api/ha/statuss',
    '/api/ha/reset-failure/',
    '/../etc/passwd',
    '//',
    '/healthz/',
    '/API/ha/status',
  ])('%s is unknown', async (path) => {
    expect(await refusalOf('GET', path)).toEqual([404, 'route.unknown']);
  });

  it('a wrong method is told the right ones', async () => {
    expect(await refusalOf('GET', '/api/ha/start')).toEqual([405, 'route.method-not-allowed']);
    const { status, headers } = await harness.call('DELETE', '/api/ha/status');
    expect([status, headers.allow]).toEqual([405, 'GET, HEAD, OPTIONS']);
    expect((await harness.call('PUT', '/api/session')).headers.allow).toBe('POST, DELETE, OPTIONS');
  });

  it('OPTIONS lists methods', async () => {
    const { status, headers } = await harness.call('OPTIONS', '/api/ha/start');
    expect([status, headers.allow]).toEqual([204, 'POST, OPTIONS']);
  });

  it.each(['/api/ha/reset-failure/%', '/api/ha/reset-failure/%zz', '/api/ha/events?service=%ff'])(
    '%s is badly encoded',
    async (path) => {
      const method = path.includes('reset') ? 'POST' : 'GET';
      expect(await refusalOf(method, path)).toEqual([400, 'request.bad-encoding']);
    },
  );
});

describe('bodies', () => {
  const path = '/api/ha/scale-up';

  it.each(['{', '', ' ', '"text"', 'null', '3', '{"a":1}}', '\u0000'])(
    '%j is no JSON object',
    async (body) => {
      const status = body === '' ? 200 : 400;
      expect((await harness.call('POST', path, { body })).status).toBe(status);
    },
  );

  it('an array is no object', async () => {
    expect(await refusalOf('POST', path, { body: [] })).toEqual([400, 'request.invalid']);
  });

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'nonsense'])(
    '%s is not JSON',
    async (type) => {
      const headers = { 'content-type': type };
      expect(await refusalOf('POST', path, { body: '{}', headers })).toEqual([415, 'request.not-json']);
    },
  );

  it('neither another charset nor compression is taken', async () => {
    const latin1 = { 'content-type': 'application/json; charset=iso-8859-1' };
    expect(await refusalOf('POST', path, { body: '{}', headers: latin1 })).toEqual([415, 'request.not-json']);
    const options = { body: gzipSync('{}'), headers: { 'content-encoding': 'gzip' } };
    expect(await refusalOf('POST', path, options)).toEqual([415, 'request.not-json']);
  });

  it('16 KB is the limit, announced or not', async () => {
    const body = JSON.stringify({ serviceName: 'x'.repeat(16 * 1024) });
    expect(await refusalOf('POST', path, { body })).toEqual([413, 'request.too-large']);
    const chunked = { body, headers: { 'transfer-encoding': 'chunked' } };
    expect(await refusalOf('POST', path, chunked)).toEqual([413, 'request.too-large']);
    const fits = JSON.stringify({ serviceName: 'x'.repeat(15 * 1024) });
    expect(await refusalOf('POST', path, { body: fits })).toEqual([400, 'request.invalid']);
  });

  it('calls without a body take none', async () => {
    expect(await refusalOf('POST', '/api/ha/stop', { body: { force: true } })).toEqual([
      400,
      'request.invalid',
    ]);
    expect(await refusalOf('POST', '/api/ha/start?now=1')).toEqual([400, 'request.invalid']);
  });

  it('fields named like prototypes are unknown fields', async () => {
    for (const body of ['{"__proto__":{"targetInstances":3}}', '{"constructor":{}}', '{"toString":1}']) {
      expect(await refusalOf('POST', path, { body })).toEqual([400, 'request.invalid']);
    }
    expect(harness.controlPlane.calls).toEqual([]);
  });
});

describe('every answer', () => {
  it.each([
    ['GET', '/api/ha/status'],
    ['GET', '/nope'],
    ['GET', '/metrics'],
    ['GET', '/'],
    ['POST', '/api/ha/failover'],
  ])('%s %s can be neither cached, framed, sniffed nor embedded', async (method, path) => {
    const { headers } = await harness.call(method, path);
    expect(headers).toMatchObject({
      'cache-control': 'no-store',
      'content-security-policy': expect.stringContaining("default-src 'none'"),
      'cross-origin-resource-policy': 'same-origin',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    });
    expect(headers['x-powered-by']).toBeUndefined();
    expect(headers['access-control-allow-origin']).toBeUndefined();
  });

  it('carries a request id: the given one when it is sane', async () => {
    const idFor = async (offered: string) =>
      (await harness.call('GET', '/healthz', { headers: { 'x-request-id': offered } })).headers[
        'x-request-id'
      ];
    expect(await idFor('trace-1:2')).toBe('trace-1:2');
    expect(await idFor('a b')).toMatch(/^[0-9a-f-]{36}$/);
    expect(await idFor('x'.repeat(65))).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('is logged at debug, without query, body or token', async () => {
    await harness.call('POST', '/api/session?secret=1', {
      body: { token: 'secret' },
      headers: { authorization: 'Bearer secret', 'x-request-id': 'the-one' },
    });
    const lines = harness.log.filter(({ fields }) => fields['requestId'] === 'the-one');
    expect(lines).toMatchObject([
      { level: 'debug', fields: { method: 'POST', path: '/api/session', status: 400 } },
    ]);
    expect(JSON.stringify(harness.log)).not.toContain('secret');
  });
});
