import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startHarness } from '../testing/harness.js';
import type { Harness } from '../testing/harness.js';
import { MemoryControlPlane } from '../testing/memoryControlPlane.js';

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness();
  return () => harness.close();
});

const post = (path: string, body?: unknown) => harness.call('POST', path, body === undefined ? {} : { body });

describe('management', () => {
  it('switches on and off, idempotently, and without any body', async () => {
    const off = await post('/api/ha/stop');
    expect([off.status, off.json.data]).toEqual([200, { running: false, changed: true }]);
    expect((await post('/api/ha/stop', {})).json.data).toEqual({ running: false, changed: false });
    expect((await post('/api/ha/start')).json.data).toEqual({ running: true, changed: true });
    const [stopped] = harness.controlPlane.events({ limit: 10 });
    expect(stopped).toMatchObject({ type: 'management.stopped', data: { by: 'api:127.0.0.1' } });
  });
});

describe('scaling', () => {
  it('grows by one by default and names what it started', async () => {
    const { status, json } = await post('/api/ha/scale-up');
    expect(status).toBe(200);
    expect(json.success).toBe(true);
    expect(json.data).toMatchObject({ done: true, serviceName: 'words', fromInstances: 2, toInstances: 3 });
    expect(json.data.started).toHaveLength(1);
  });

  it('grows and shrinks to a target, of a named service', async () => {
    const up = await post('/api/ha/scale-up', { serviceName: 'web', targetInstances: 2, timeoutMs: 1000 });
    expect(up.json.data).toMatchObject({ serviceName: 'web', toInstances: 2 });
    const down = await post('/api/ha/scale-down', { serviceName: 'web', targetInstances: 1 });
    expect(down.json.data).toMatchObject({ serviceName: 'web', toInstances: 1 });
    expect(down.json.data.stopped).toHaveLength(1);
  });

  it.each([
    ['up', { targetInstances: 1 }, 409, 'scale.not-above-current'],
    ['up', { targetInstances: 5 }, 422, 'scale.above-max'],
    ['up', { targetInstances: 0 }, 422, 'scale.below-min'],
    ['up', { serviceName: 'nope' }, 404, 'service.unknown'],
    ['down', { targetInstances: 0 }, 422, 'scale.below-min'],
    ['down', { targetInstances: 5 }, 422, 'scale.above-max'],
    ['down', { targetInstances: 3 }, 409, 'scale.not-below-current'],
    ['down', { serviceName: 'nope', targetInstances: 1 }, 404, 'service.unknown'],
  ])('scale-%s %j is refused with %i %s', async (direction, body, status, code) => {
    const answer = await post(`/api/ha/scale-${direction}`, body);
    expect([answer.status, answer.json.success, answer.json.error?.code]).toEqual([status, false, code]);
  });

  it.each(['up', 'down'])(
    'scale-%s to the number there is answers 200 and changes nothing',
    async (direction) => {
      const { status, json } = await post(`/api/ha/scale-${direction}`, { targetInstances: 2 });
      expect([status, json.success]).toEqual([200, true]);
      expect(json.data).toMatchObject({ changed: false, done: true, fromInstances: 2, toInstances: 2 });
      expect((await post(`/api/ha/scale-up`, {})).json.data).toMatchObject({ changed: true, toInstances: 3 });
    },
  );

  it.each(['3', 2.5, 1e9, -1, null, [3], true, { $gt: 0 }])(
    'targetInstances %j is no count',
    async (target) => {
      const { status, json } = await post('/api/ha/scale-up', { targetInstances: target });
      expect([status, json.error?.code]).toEqual([400, 'request.invalid']);
      expect(json.error?.message).toContain('body.targetInstances must be an integer from 0 to 10000');
      expect(harness.controlPlane.calls).toEqual([]);
    },
  );

  it('names every problem at once, unknown fields with what is known', async () => {
    const { json } = await post('/api/ha/scale-up', { targetInstance: 3, serviceName: 7, timeoutMs: 0 });
    expect(json.error?.details.problems.map(({ field }: { field: string }) => field).sort()).toEqual([
      'body.serviceName',
      'body.targetInstance',
      'body.timeoutMs',
    ]);
    expect(json.error?.message).toContain('known are targetInstances, serviceName, timeoutMs');
  });

  it('answers 202 with what is under way when the time runs out, and the operation goes on', async () => {
    let open = (): void => undefined;
    harness.controlPlane.gate = new Promise((resolve) => (open = resolve));
    const { status, json } = await post('/api/ha/scale-up', { timeoutMs: 1 });
    expect([status, json.success, json.data.done]).toEqual([202, true, false]);
    expect(json.data.pending).toEqual(['waiting for PM2']);
    const second = await post('/api/ha/failover', { serviceName: 'words' });
    expect([second.status, second.json.error?.code]).toEqual([409, 'operation.conflict']);
    open();
  });
});

describe('failover, deploy, reset-failure', () => {
  it('replaces every instance', async () => {
    const { status, json } = await post('/api/ha/failover', { serviceName: 'words', reason: 'it smells' });
    expect(status).toBe(200);
    expect([json.data.started.length, json.data.stopped.length]).toEqual([2, 2]);
  });

  it('deploys, and says 424 when the canary failed', async () => {
    expect((await post('/api/ha/deploy', { serviceName: 'web' })).json.data.kind).toBe('deploy');
    const web = harness.controlPlane.services[1];
    if (web !== undefined) web.brokenBuild = true;
    const { status, json } = await post('/api/ha/deploy', { serviceName: 'web' });
    expect([status, json.error?.code]).toEqual([424, 'deploy.canary-failed']);
    expect(json.error?.message).toContain('answered 500');
  });

  it('refuses to fail over or to grow what is quarantined', async () => {
    const [words] = harness.controlPlane.services;
    if (words !== undefined) words.quarantined = true;
    for (const path of ['/api/ha/failover', '/api/ha/scale-up']) {
      const { status, json } = await post(path, { serviceName: 'words' });
      expect([status, json.error?.code]).toEqual([409, 'service.quarantined']);
    }
  });

  it.each(['/api/ha/failover', '/api/ha/deploy'])('%s needs a service, a known one', async (path) => {
    for (const body of [undefined, {}]) {
      const { status, json } = await post(path, body);
      expect([status, json.error?.code]).toEqual([400, 'request.invalid']);
    }
    expect(harness.controlPlane.calls).toEqual([]);
    expect((await post(path, { serviceName: 'nope' })).status).toBe(404);
  });

  it('resets, also a name that needs escaping, and refuses names that are none', async () => {
    const { json } = await post('/api/ha/reset-failure/words');
    expect(json.data).toEqual({ serviceName: 'words', cleared: { attempts: 2, quarantined: false } });
    expect((await post('/api/ha/reset-failure/a%2Fb%20c')).status).toBe(404);
    harness.controlPlane.calls.length = 0;
    for (const name of ['%00', '%20', '%e2%80%a8', 'x'.repeat(129)]) {
      expect((await post(`/api/ha/reset-failure/${name}`)).status).toBe(400);
    }
    expect(harness.controlPlane.calls).toEqual([]);
  });
});

describe('an unexpected error', () => {
  const broken = new MemoryControlPlane();
  let other: Harness;
  beforeAll(async () => {
    broken.failover = () => Promise.reject(new Error('secret detail at /srv/app.js'));
    other = await startHarness({ controlPlane: broken });
  });
  afterAll(() => other.close());

  it('is told as a request id only; the log has the rest', async () => {
    const answer = await other.call('POST', '/api/ha/failover', {
      body: { serviceName: 'words' },
      headers: { 'x-request-id': 'abc-1' },
    });
    expect([answer.status, answer.json.error?.code]).toEqual([500, 'internal.error']);
    expect(answer.text).not.toMatch(/secret|srv|at /);
    expect(answer.json.error?.message).toContain('abc-1');
    expect(other.log.find(({ level }) => level === 'error')?.fields).toMatchObject({
      requestId: 'abc-1',
      error: expect.stringContaining('secret detail'),
    });
  });
});
