/**
 * Whatever a caller puts into a field, it is either within the field's rule or refused with 4xx and a code before
 * the control plane hears of it. Rules here are written out again, on purpose, instead of taken from the schemas.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startHarness } from './testing/harness.js';
import type { Harness } from './testing/harness.js';

let harness: Harness;
beforeAll(async () => {
  harness = await startHarness({ limits: { wrongTokenDelayMs: 1 } });
});
afterAll(() => harness.close());

async function isRefused(method: string, path: string, body?: unknown): Promise<void> {
  harness.controlPlane.calls.length = 0;
  const before = harness.controlPlane.events({ limit: 1000 }).length;
  const { status, json } = await harness.call(method, path, body === undefined ? {} : { body });
  expect(status).toBeGreaterThanOrEqual(400);
  expect(status).toBeLessThan(500);
  expect(json.success).toBe(false);
  expect(json.error?.code).toMatch(/^[a-z]+\.[a-z-]+$/);
  expect(json.error?.message.length).toBeLessThan(10_000);
  expect(harness.controlPlane.calls).toEqual([]);
  expect(harness.controlPlane.events({ limit: 1000 })).toHaveLength(before);
}

const isWholeIn = (low: number, high: number) => (value: unknown) =>
  typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high;
const isLine = (max: number) => (value: unknown) =>
  typeof value === 'string' && value.length <= max && value.trim().length > 0;

/** Anything JSON can say, and what is likely to be mistaken for right. */
const anything = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.double(),
  fc.string({ maxLength: 200 }),
  fc.constantFrom(
    '3',
    '',
    ' ',
    'words\n',
    'words\u0000',
    -0.5,
    1e21,
    -1,
    10_001,
    600_001,
    null,
    [],
    {},
    [3],
    true,
  ),
);

const fields = {
  targetInstances: isWholeIn(0, 10_000),
  timeoutMs: isWholeIn(1, 600_000),
  serviceName: isLine(128),
  reason: isLine(500),
} as const;

const calls: readonly (readonly [string, readonly (keyof typeof fields)[], object])[] = [
  ['/api/ha/scale-up', ['targetInstances', 'timeoutMs', 'serviceName'], {}],
  ['/api/ha/scale-down', ['targetInstances', 'timeoutMs', 'serviceName'], {}],
  ['/api/ha/failover', ['serviceName', 'reason', 'timeoutMs'], { serviceName: 'words' }],
  ['/api/ha/deploy', ['serviceName', 'timeoutMs'], { serviceName: 'words' }],
];

describe.each(calls)('POST %s', (path, names, valid) => {
  it.each([...names])('refuses every wrong %s', async (name) => {
    const wrong = anything.filter((value) => !fields[name](JSON.parse(JSON.stringify(value ?? null))));
    await fc.assert(
      fc.asyncProperty(wrong, (value) => isRefused('POST', path, { ...valid, [name]: value ?? null })),
      { numRuns: 60 },
    );
  });

  it('refuses every unknown field, by name', async () => {
    const unknown = fc.string({ minLength: 1, maxLength: 40 }).filter((key) => !(key in fields));
    await fc.assert(
      fc.asyncProperty(unknown, (key) =>
        // Written by hand: `__proto__` as an object literal's key would be no field at all.
        isRefused(
          'POST',
          path,
          `{${JSON.stringify(key)}:1,${JSON.stringify(valid).slice(1)}`.replace(',}', '}'),
        ),
      ),
      { numRuns: 60 },
    );
  });

  it('refuses every body that is no object', async () => {
    const none = fc.oneof(
      fc.string(),
      fc.double(),
      fc.boolean(),
      fc.constant(null),
      fc.array(fc.jsonValue()),
    );
    await fc.assert(
      fc.asyncProperty(none, (body) => isRefused('POST', path, JSON.stringify(body))),
      { numRuns: 40 },
    );
  });

  it('refuses every text that is no JSON', async () => {
    const garbage = fc.string({ minLength: 1 }).filter((text) => !isJson(text));
    await fc.assert(
      fc.asyncProperty(garbage, (text) => isRefused('POST', path, text)),
      { numRuns: 40 },
    );
  });
});

describe.each(['/api/ha/start', '/api/ha/stop', '/api/ha/reset-failure/words'])('POST %s', (path) => {
  it('takes no field at all', async () => {
    const fieldsOfAny = fc.dictionary(fc.string({ minLength: 1 }), fc.jsonValue(), {
      minKeys: 1,
      maxKeys: 3,
    });
    await fc.assert(
      fc.asyncProperty(fieldsOfAny, (body) => isRefused('POST', path, JSON.stringify(body))),
      { numRuns: 40 },
    );
  });
});

it('path: an unknown or impossible service name changes nothing', async () => {
  const name = fc
    .string({ minLength: 1, maxLength: 300, unit: 'binary' })
    .filter((text) => !/^\.{1,2}$/.test(text));
  await fc.assert(
    fc.asyncProperty(name, async (text) => {
      const { status, json } = await harness.call(
        'POST',
        `/api/ha/reset-failure/${encodeURIComponent(text)}`,
      );
      expect([400, 404]).toContain(status);
      expect(json.error?.code).toBeDefined();
    }),
    { numRuns: 100 },
  );
});

it('path: whatever is no id of a black box, or no file of one, is refused before anybody looks for it', async () => {
  const isId = (value: string) => /^[A-Za-z0-9][A-Za-z0-9._-]{0,149}$/.test(value);
  const files = [
    'summary.json',
    'stack.txt',
    'stderr.log',
    'figures.jsonl',
    'report.json',
    'heap.heapprofile',
  ];
  const text = fc.oneof(
    fc.string({ minLength: 1, maxLength: 200, unit: 'binary' }),
    fc.constantFrom('../x', '..\\x', '/etc/passwd', 'a/../../b', '-rf', '.new-a', 'a\u0000', 'x'.repeat(151)),
  );
  // A client resolves these before it sends them.
  const sendable = text.filter((value) => !/^\.{1,2}$/.test(value));
  await fc.assert(
    fc.asyncProperty(
      sendable.filter((value) => !isId(value)),
      (value) => isRefused('GET', `/api/ha/blackbox/${encodeURIComponent(value)}`),
    ),
    { numRuns: 150 },
  );
  await fc.assert(
    fc.asyncProperty(
      sendable.filter((value) => !files.includes(value)),
      (value) => isRefused('GET', `/api/ha/blackbox/words-1-x/${encodeURIComponent(value)}`),
    ),
    { numRuns: 150 },
  );
});

it('query: every wrong value of every parameter is refused', async () => {
  const text = fc.string({ maxLength: 40 });
  const isNumberOrTime = (value: string) => /^\d{1,15}$/.test(value) || /^\d{4}-\d\d-\d\dT/.test(value);
  const wrong = fc.oneof(
    text
      .filter((value) => !(/^\d{1,4}$/.test(value) && isWholeIn(1, 1000)(Number(value))))
      .map((v) => ['limit', v]),
    text.filter((value) => !isNumberOrTime(value)).map((value) => ['since', value]),
    fc.constantFrom('', ' ', '\n', 'a\u0007b', 'x'.repeat(129)).map((value) => ['service', value]),
    text.filter((key) => !['limit', 'since', 'service', ''].includes(key)).map((key) => [key, '1']),
  );
  await fc.assert(
    fc.asyncProperty(wrong, ([key = '', value = '']) =>
      isRefused('GET', `/api/ha/events?${encodeURIComponent(key)}=${encodeURIComponent(value)}`),
    ),
    { numRuns: 150 },
  );
});

it('session: whatever the token, no session without one being set', async () => {
  await fc.assert(
    fc.asyncProperty(anything, (token) => isRefused('POST', '/api/session', { token: token ?? null })),
    { numRuns: 60 },
  );
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return text.trim() === '';
  }
}
