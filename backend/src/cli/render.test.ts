import { expect, test } from 'vitest';
import { viewOf } from '../api/testing/memoryViews.js';
import { instanceLines } from './render.js';

const service = viewOf({
  name: 'api',
  min: 1,
  max: 4,
  pmIds: [0, 1],
  serving: 2,
  attempts: 0,
  quarantined: false,
  busy: false,
  brokenBuild: false,
});

test('an instance whose memory leads to its limit shows when it will be there; others do not', () => {
  const [leaking, steady] = service.instances;
  const instances = [leaking!, { ...steady!, memoryTrend: { kind: 'steady' } as const }];
  const [heading, first, second] = instanceLines([{ ...service, instances }], steady!.startedAtMs + 1_000);
  expect(heading).toContain('MEMORY');
  expect(first).toMatch(/48 MB, limit in 5 min 0 s/);
  expect(second).toMatch(/48 MB +\S/);
  expect(second).not.toContain('limit');
});
