import { expect, it } from 'vitest';
import { LogPaths } from './logFiles.js';
import type { ProcessRow } from './processRow.js';

const row = (service: string, pmId: number, record: Record<string, unknown>): ProcessRow =>
  ({ process: { service, pmId }, record }) as unknown as ProcessRow;
const id = (service: string, pmId: number) => ({ service, pmId, startedAtMs: 0 });

it('knows where an instance wrote, also when PM2 has dropped it from its list', () => {
  const paths = new LogPaths();
  paths.see([
    row('shop', 1, { pm_err_log_path: '/l/1-err', pm_out_log_path: '/l/1-out' }),
    row('shop', 2, { pm_err_log_path: '/dev/null', pm_out_log_path: '/l/2-out' }),
  ]);
  paths.see([row('shop', 2, { pm_err_log_path: '/l/2-err', pm_out_log_path: '/l/2-out' })]);
  expect([paths.errorLogOf(id('shop', 1)), paths.outputLogOf(id('shop', 1))]).toEqual([
    '/l/1-err',
    '/l/1-out',
  ]);
  expect(paths.errorLogOf(id('shop', 2))).toBe('/l/2-err');
  expect(paths.errorLogOf(id('web', 1))).toBeNull();
});

it('forgets those that have been gone for longest, and none that is listed', () => {
  const paths = new LogPaths();
  const listed = row('shop', 0, { pm_err_log_path: '/l/0' });
  for (let pmId = 1; pmId <= 2_000; pmId += 1)
    paths.see([listed, row('shop', pmId, { pm_err_log_path: `/l/${pmId}` })]);
  expect(paths.errorLogOf(id('shop', 0))).toBe('/l/0');
  expect(paths.errorLogOf(id('shop', 1_500))).toBe('/l/1500');
  expect(paths.errorLogOf(id('shop', 500))).toBeNull();
});
