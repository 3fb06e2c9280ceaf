/** Nothing secret gets through, and what is left is still of use. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { scrubHeapProfile, scrubReport } from './scrub.js';

describe('a diagnostic report', () => {
  const report = {
    header: {
      event: 'hang',
      cwd: '/app',
      commandLine: ['node', 'app.js', '--password', 'hush'],
      host: 'hush',
      networkInterfaces: [{ address: 'hush' }],
    },
    javascriptStack: { message: 'password=hush', stack: ['at f (/app/a.js:1:1)'] },
    javascriptHeap: { usedMemory: 1 },
    libuv: [{ type: 'tcp', remoteEndpoint: { host: 'hush', port: 1 }, is_active: true }],
    workers: [{ environmentVariables: { A: 'hush' }, javascriptHeap: { usedMemory: 2 } }],
    environmentVariables: { DATABASE: 'hush' },
    sharedObjects: Array.from({ length: 300 }, (_, index) => `/lib/${index}.so`),
  };

  it('loses environment, command line, addresses and secrets at any depth, and keeps the rest', () => {
    const scrubbed = scrubReport(report);
    expect(JSON.stringify(scrubbed)).not.toContain('hush');
    expect(scrubbed).toMatchObject({
      header: { event: 'hang', cwd: '/app' },
      javascriptStack: { stack: ['at f (/app/a.js:1:1)'] },
      javascriptHeap: { usedMemory: 1 },
      libuv: [{ type: 'tcp', is_active: true }],
      workers: [{ javascriptHeap: { usedMemory: 2 } }],
      sharedObjects: report.sharedObjects,
    });
  });

  it('of this very process loses every value of its environment that is no commonplace', () => {
    process.env['HOLDFAST_TEST_HUSH'] = 'a-value-like-no-other';
    try {
      const own = process.report.getReport() as unknown as Record<string, unknown>;
      expect(JSON.stringify(own)).toContain('a-value-like-no-other');
      const scrubbed = scrubReport(own) as Record<string, unknown>;
      expect(JSON.stringify(scrubbed)).not.toContain('a-value-like-no-other');
      expect(scrubbed).not.toHaveProperty('environmentVariables');
      expect(scrubbed).toHaveProperty('javascriptHeap');
      expect(scrubbed).not.toHaveProperty('header.commandLine');
    } finally {
      delete process.env['HOLDFAST_TEST_HUSH'];
    }
  });

  it('may be anything: it never throws, and ends', () => {
    fc.assert(fc.property(fc.jsonValue({ maxDepth: 8 }), (value) => void scrubReport(value)));
    let deep: unknown = 1;
    for (let depth = 0; depth < 10_000; depth += 1) deep = { deep };
    expect(JSON.stringify(scrubReport(deep)).length).toBeLessThan(1_000);
  });
});

describe('a heap profile', () => {
  const frame = { functionName: 'f', scriptId: '7', url: 'file:///app/a.js', lineNumber: 1, columnNumber: 2 };
  const leaf = { callFrame: frame, selfSize: 10, id: 2, children: [] };
  const profile = {
    head: { callFrame: { ...frame, functionName: '(root)' }, selfSize: 0, id: 1, children: [leaf] },
    samples: [{ size: 10, nodeId: 2, ordinal: 1 }],
  };

  it('of the profiler itself passes unchanged', async () => {
    const { Session } = await import('node:inspector/promises');
    const session = new Session();
    session.connect();
    await session.post('HeapProfiler.startSampling', { samplingInterval: 1_024 });
    const kept = Array.from({ length: 1_000 }, (_, index) => ({ index, text: `text ${index}` }));
    const { profile: taken } = await session.post('HeapProfiler.stopSampling');
    session.disconnect();
    expect(kept).toHaveLength(1_000);
    expect(scrubHeapProfile(JSON.parse(JSON.stringify(taken)))).toEqual(taken);
  });

  it('has nothing in it that does not belong there', () => {
    const smuggled = {
      ...profile,
      secret: 'hush',
      head: {
        ...profile.head,
        env: 'hush',
        callFrame: { ...frame, functionName: '(root)', password: 'hush' },
      },
    };
    expect(scrubHeapProfile(smuggled)).toEqual(profile);
  });

  it.each([
    null,
    'x',
    {},
    { head: {} },
    { head: { ...leaf, children: 'x' } },
    { head: { ...leaf, selfSize: '1' } },
    { head: leaf, samples: [{}] },
  ])('is not %j', (value) => {
    expect(scrubHeapProfile(value)).toBeNull();
  });

  it('is refused when it is deeper than any stack', () => {
    let deep: Record<string, unknown> = leaf;
    for (let depth = 0; depth < 5_000; depth += 1) deep = { ...leaf, children: [deep] };
    expect(scrubHeapProfile({ head: deep, samples: [] })).toBeNull();
  });
});
