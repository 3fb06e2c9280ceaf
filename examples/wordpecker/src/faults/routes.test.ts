import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call } from '../../../../test/support/sample.js';
import { backend } from '../backendService.js';
import { startInProcess } from '../lib/testing/startInProcess.js';

let service: Awaited<ReturnType<typeof startInProcess>>;
beforeAll(async () => {
  service = await startInProcess(backend, { ENABLE_FAULTS: 'true' });
});
afterAll(() => service.stop());

const switchTo = (path: string, headers = {}) =>
  call('POST', `${service.url}/debug${path}`, undefined, headers);

describe('fault switches', () => {
  it.each([
    '/burn',
    '/burn?ms=x',
    '/burn?ms=-1',
    '/burn?ms=600001',
    '/burn?ms=1&percent=0',
    '/burn?ms=1&percent=101',
    '/burn?ms=1&ms=2',
    '/block',
    '/block?ms=1e3',
    '/leak',
    '/leak?mbPerSecond=1.5',
    '/exit?code=256',
    '/health',
    '/health?status=199',
    '/health?status=sick',
  ])('%s is refused with 400 and what is allowed', async (path) => {
    const answer = await switchTo(path);
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'fault.bad-parameter' } } });
    expect(answer.body.error.message).toMatch(/ (is missing|is ".*"|is \[.*\]): give .*whole number from/);
  });

  it('do not exist for a client elsewhere that a proxy here forwards', async () => {
    const stranger = { 'x-forwarded-for': '192.0.2.9' };
    expect((await switchTo('/health?status=500', stranger)).body.error.code).toBe('route.unknown');
    expect((await switchTo('/exit?code=1', stranger)).status).toBe(404);
    expect((await call('GET', `${service.url}/health`)).status).toBe(200);
  });

  it('change what /health answers, and only that', async () => {
    await switchTo('/health?status=503');
    expect((await call('GET', `${service.url}/health`)).status).toBe(503);
    expect((await call('GET', `${service.url}/healthz`)).status).toBe(200);
    expect((await call('GET', `${service.url}/api/lists`)).status).toBe(200);
    await switchTo('/health?status=wrong-body');
    const wrong = await call('GET', `${service.url}/health`);
    expect(wrong.status).toBe(200);
    expect(wrong.body).not.toMatch(/ok/);
    await switchTo('/health?status=200');
    expect((await call('GET', `${service.url}/health`)).body.status).toBe('ok');
  });

  it('let /health hang without keeping the rest from answering', async () => {
    await switchTo('/health?status=hang');
    const abort = new AbortController();
    let settled = false;
    const probe = fetch(`${service.url}/health`, { signal: abort.signal })
      .catch(() => null)
      .finally(() => (settled = true));
    for (let count = 0; count < 20; count += 1) await call('GET', `${service.url}/healthz`);
    expect(settled).toBe(false);
    abort.abort();
    await probe;
    await switchTo('/health?status=200');
    expect((await call('GET', `${service.url}/health`)).status).toBe(200);
  });

  it('burn until told to stop', async () => {
    expect((await switchTo('/burn?ms=60000&percent=20')).body).toMatchObject({ burning: true, percent: 20 });
    expect((await switchTo('/burn?ms=0')).body).toMatchObject({ burning: false });
  });

  it('answer slowly when asked to', async () => {
    expect((await call('GET', `${service.url}/debug/slow?ms=5`)).body).toEqual({ success: true, ms: 5 });
  });
});
