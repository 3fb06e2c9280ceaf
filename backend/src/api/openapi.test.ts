import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { failureSchema } from './envelope.js';
import { BLACK_BOX } from './testing/memoryViews.js';
import { startHarness } from './testing/harness.js';
import type { CallOptions, Harness } from './testing/harness.js';

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly parameters: readonly { name: string; in: string; required: boolean; schema: object }[];
  readonly requestBody?: { readonly required: boolean; readonly content: Record<string, { schema: object }> };
  readonly responses: Readonly<Record<string, object>>;
}

interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
}

let harness: Harness;
let document: Document;
beforeAll(async () => {
  harness = await startHarness();
  const { text, headers } = await harness.call('GET', '/openapi.json');
  expect(headers['content-type']).toBe('application/json; charset=utf-8');
  document = JSON.parse(text) as Document;
});
afterAll(() => harness.close());

const documented = () =>
  Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({ path, method, operation })),
  );

describe('the document', () => {
  it('has exactly the calls that Express answers', () => {
    const live = harness.api.app.router.stack.flatMap((layer) => {
      const { route } = layer;
      if (route === undefined) return [];
      const methods = new Set(
        route.stack.map((each) => each.method).filter((method) => method !== undefined),
      );
      return [...methods].map((method) => `${method} ${String(route.path).replace(/:(\w+)/g, '{$1}')}`);
    });
    expect(live.length).toBeGreaterThanOrEqual(20);
    expect(
      documented()
        .map(({ method, path }) => `${method} ${path}`)
        .sort(),
    ).toEqual(live.sort());
  });

  it('has every call that was promised', () => {
    const promised = [
      ...['start', 'stop', 'scale-up', 'scale-down', 'failover', 'deploy', 'reset-failure/{serviceName}'].map(
        (call) => `post /api/ha/${call}`,
      ),
      ...[
        'status',
        'health',
        'metrics',
        'load-balancer',
        'failover-manager',
        'events',
        'stream',
        'blackbox',
      ].map((call) => `get /api/ha/${call}`),
      ...['/api/health', '/healthz', '/readyz', '/api/status', '/metrics', '/openapi.json', '/'].map(
        (path) => `get ${path}`,
      ),
    ];
    const names = documented().map(({ method, path }) => `${method} ${path}`);
    expect(names).toEqual(expect.arrayContaining(promised));
  });

  it('is 3.1, and every reference in it leads somewhere', () => {
    expect(document.openapi).toBe('3.1.0');
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, to]) => to ?? '');
    expect(references.length).toBeGreaterThan(50);
    for (const to of references) {
      expect(document.components.schemas).toHaveProperty([to.replace('#/components/schemas/', '')]);
    }
    const ids = documented().map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('describes paths, queries and bodies', () => {
    const reset = document.paths['/api/ha/reset-failure/{serviceName}']?.['post'];
    expect(reset?.parameters).toMatchObject([{ name: 'serviceName', in: 'path', required: true }]);
    const events = document.paths['/api/ha/events']?.['get'];
    expect(events?.parameters.map(({ name, required }) => [name, required])).toEqual([
      ['since', false],
      ['service', false],
      ['limit', false],
    ]);
    const scale = document.paths['/api/ha/scale-up']?.['post'];
    expect(scale?.requestBody).toMatchObject({
      required: false,
      content: {
        'application/json': {
          schema: {
            additionalProperties: false,
            properties: {
              targetInstances: { type: 'integer', minimum: 0, maximum: 10_000 },
              timeoutMs: { type: 'integer', minimum: 1, maximum: 600_000, default: 120_000 },
            },
          },
        },
      },
    });
    expect(Object.keys(scale?.responses ?? {})).toEqual(expect.arrayContaining(['200', '202', '409', '422']));
    expect(document.paths['/api/ha/failover']?.['post']?.requestBody?.required).toBe(true);
  });
});

describe('real answers', () => {
  const body = { serviceName: 'words' };
  const calls: readonly [string, string, CallOptions][] = [
    ['POST', '/api/ha/stop', {}],
    ['POST', '/api/ha/start', {}],
    ['POST', '/api/ha/scale-up', { body }],
    ['POST', '/api/ha/scale-down', { body }],
    ['POST', '/api/ha/failover', { body }],
    ['POST', '/api/ha/deploy', { body }],
    ['POST', '/api/ha/reset-failure/words', {}],
    ['POST', '/api/ha/release/words', {}],
    ['POST', '/api/ha/adopt/words', {}],
    [
      'POST',
      '/api/ha/gateway/report',
      { body: { gateway: 'box:1', workers: 1, leaving: false, upstreams: [] } },
    ],
    ['DELETE', '/api/session', {}],
    ['GET', '/api/ha/status', {}],
    ['GET', '/api/ha/health', {}],
    ['GET', '/api/ha/metrics', {}],
    ['GET', '/api/ha/load-balancer', {}],
    ['GET', '/api/ha/failover-manager', {}],
    ['GET', '/api/ha/events', {}],
    ['GET', '/api/ha/blackbox', {}],
    ['GET', `/api/ha/blackbox/${BLACK_BOX.entry.id}`, {}],
    ['GET', '/api/health', {}],
    ['GET', '/healthz', {}],
    ['GET', '/readyz', {}],
    ['GET', '/api/status', {}],
  ];

  it.each(calls)('%s %s is what its schema says, no field more', async (method, path, options) => {
    const { status, json } = await harness.call(method, path, options);
    const route = harness.api.routes.find(
      (each) =>
        each.method === method.toLowerCase() &&
        new RegExp(`^${each.path.replace(/:\w+/g, '[^/]+')}$`).test(path),
    );
    const doc = route?.answers[status];
    if (doc === undefined || !('data' in doc)) throw new Error(`${status} of ${path} is not documented`);
    expect(doc.data.parse(json.data)).toEqual(json.data);
    expect(Object.keys(json).sort()).toEqual(['data', 'success', 'timestamp']);
  });

  it('every documented JSON answer is among those calls', () => {
    const enveloped = harness.api.routes.filter((each) => 'data' in (each.answers[200] ?? {}));
    // Logging in needs a token to be set; its answer is checked with the authenticator.
    expect(enveloped.length - 1).toBe(calls.length);
  });

  it.each([
    ['GET', '/nope', undefined, 404],
    ['POST', '/api/ha/scale-up', { body: { targetInstances: 99 } }, 422],
    ['POST', '/api/ha/scale-up', { body: { targetInstances: 'x' } }, 400],
    ['POST', '/api/session', { body: { token: 'x' } }, 409],
    ['POST', '/api/ha/failover', { body: { serviceName: 'nope' } }, 404],
  ] as const)('%s %s %j is refused as documented', async (method, path, options, expected) => {
    const { status, json } = await harness.call(method, path, options);
    expect(status).toBe(expected);
    expect(failureSchema.parse(json)).toEqual(json);
    const responses = document.paths[path]?.[method.toLowerCase()]?.responses;
    if (responses !== undefined) expect(responses).toHaveProperty([String(status)]);
  });
});

it('every event has a schema that takes it', async () => {
  const { eventRecord } = await import('./schemas/events.js');
  const event = harness.controlPlane.emit('instance.exited', 'words', {
    service: 'words',
    instance: { pmId: 1, pid: null, port: 13004 },
    exitCode: null,
    signal: 'SIGKILL',
    charged: true,
    ranMs: 12.5,
  });
  expect(eventRecord.parse(event)).toEqual(event);
  expect(eventRecord.safeParse({ ...event, data: { service: 'words' } }).success).toBe(false);
  expect(z.toJSONSchema(eventRecord)).toHaveProperty('oneOf');
});
