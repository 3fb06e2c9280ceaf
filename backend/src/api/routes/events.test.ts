import { beforeEach, expect, it } from 'vitest';
import { startHarness } from '../testing/harness.js';
import type { Harness } from '../testing/harness.js';

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness();
  return () => harness.close();
});

const seqs = async (query: string): Promise<number[]> => {
  const { json } = await harness.call('GET', `/api/ha/events${query}`);
  return json.data.events.map(({ seq }: { seq: number }) => seq);
};

it('gives the newest of the history, filtered', async () => {
  const { controlPlane } = harness;
  controlPlane.emit('service.reset', 'words', { service: 'words', by: 'test' });
  controlPlane.emit('service.reset', 'web', { service: 'web', by: 'test' });
  const third = controlPlane.emit('service.reset', 'words', { service: 'words', by: 'test' });
  expect(await seqs('')).toEqual([1, 2, 3]);
  expect(await seqs('?limit=2')).toEqual([2, 3]);
  expect(await seqs('?service=web')).toEqual([2]);
  const atMs = Date.parse(third.at);
  expect(await seqs(`?since=${atMs + 1}`)).toEqual([]);
  expect(await seqs(`?since=${encodeURIComponent(new Date(atMs + 1).toISOString())}`)).toEqual([]);
  expect(await seqs('?since=1970-01-01T02:00:00%2B02:00&limit=1000')).toEqual([1, 2, 3]);
});

it.each([
  ['limit=0', 'limit'],
  ['limit=1001', 'limit'],
  ['limit=ten', 'limit'],
  ['limit=1&limit=2', 'limit'],
  ['since=yesterday', 'since'],
  ['since=2026-01-02', 'since'],
  ['service=', 'service'],
  ['sevice=words', 'sevice'],
])('refuses ?%s', async (query, field) => {
  const { status, json } = await harness.call('GET', `/api/ha/events?${query}`);
  expect([status, json.error?.code]).toEqual([400, 'request.invalid']);
  expect(json.error?.details.problems[0].field).toBe(`query.${field}`);
});
