import { beforeEach, expect, it } from 'vitest';
import { startHarness } from '../testing/harness.js';
import type { Harness } from '../testing/harness.js';

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness();
  return () => harness.close();
});

const get = (path: string, headers: Record<string, string> = {}) => harness.call('GET', path, { headers });

it.each([
  ['/api/ha/status', (plane: Harness['controlPlane']) => plane.status()],
  ['/api/ha/load-balancer', (plane: Harness['controlPlane']) => plane.loadBalancer()],
  ['/api/ha/failover-manager', (plane: Harness['controlPlane']) => plane.failoverManager()],
  ['/api/ha/metrics', (plane: Harness['controlPlane']) => plane.metrics()],
  ['/api/ha/health', (plane: Harness['controlPlane']) => plane.health()],
])('%s shows what the control plane shows', async (path, view) => {
  const { status, json } = await get(path);
  expect([status, json.success]).toEqual([200, true]);
  expect(json.data).toEqual(await view(harness.controlPlane));
  expect(Math.abs(Date.parse(json.timestamp) - Date.now())).toBeLessThan(60_000);
});

it('health answers 503 with every check when a service serves nothing', async () => {
  const [words] = harness.controlPlane.services;
  if (words !== undefined) words.serving = 0;
  const { status, json } = await get('/api/ha/health');
  expect([status, json.success, json.data.status]).toEqual([503, true, 'unhealthy']);
  expect(json.data).toEqual(await harness.controlPlane.health());
});

it('callers that come while a check runs share it', async () => {
  let open = (): void => undefined;
  const gate = new Promise<void>((resolve) => (open = resolve));
  let checks = 0;
  const check = harness.controlPlane.health.bind(harness.controlPlane);
  harness.controlPlane.health = async () => {
    checks += 1;
    await gate;
    return check();
  };
  const both = [get('/api/ha/health'), get('/api/ha/health')];
  // A third call on its way through the same server says that the first two have arrived.
  await get('/healthz');
  open();
  expect((await Promise.all(both)).map(({ status }) => status)).toEqual([200, 200]);
  expect(checks).toBe(1);
  await get('/api/ha/health');
  expect(checks).toBe(2);
});

it('the whole: healthy, degraded without daemon, unhealthy when nothing serves', async () => {
  const whole = async () => {
    const { status, json } = await get('/api/health');
    return [status, json.data.status];
  };
  expect(await whole()).toEqual([200, 'healthy']);
  harness.controlPlane.daemon = 'unresponsive';
  expect(await whole()).toEqual([200, 'degraded']);
  const [words] = harness.controlPlane.services;
  if (words !== undefined) words.serving = 0;
  expect(await whole()).toEqual([503, 'unhealthy']);
});

it('short answers for other machines', async () => {
  expect((await get('/healthz')).json.data).toEqual({ alive: true });
  expect((await get('/api/status')).json).toMatchObject({
    success: true,
    data: { services: { total: 2, healthy: 2 }, instances: { desired: 3, serving: 3 } },
  });
  expect((await get('/readyz')).json.data).toEqual({ ready: true, reason: 'first observation made' });
  harness.readiness = { ready: false, reason: 'PM2 was not reached yet' };
  const { status, json } = await get('/readyz');
  expect([status, json.error?.code, json.error?.message]).toEqual([
    503,
    'supervisor.not-ready',
    'PM2 was not reached yet',
  ]);
});

it('the index is HTML for browsers and JSON for the rest', async () => {
  const page = await get('/', { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' });
  expect(page.headers['content-type']).toBe('text/html; charset=utf-8');
  for (const { path } of harness.api.routes) expect(page.text).toContain(path);
  const list = await get('/', { accept: '*/*' });
  expect(list.json.data.calls).toHaveLength(harness.api.routes.length);
});

it('HEAD answers like GET, without a body', async () => {
  for (const path of ['/api/ha/status', '/healthz', '/metrics', '/api/ha/stream']) {
    const { status, text } = await harness.call('HEAD', path);
    expect([path, status, text]).toEqual([path, 200, '']);
  }
  expect(harness.controlPlane.listeners).toBe(0);
});
