import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { acceptedFlags, WORKER_FLAGS } from './workerFlags.js';

it('are taken by this node, and then the young space is 16 MB from the beginning', () => {
  const flags = acceptedFlags(WORKER_FLAGS);
  expect(flags).toEqual(WORKER_FLAGS);
  expect(youngMegabytes(flags)).toBeGreaterThan(15.5);
  expect(youngMegabytes(flags)).toBeLessThanOrEqual(16);
  expect(youngMegabytes([])).toBeLessThanOrEqual(1);
});

it('are left away where one of them is unknown, because node would not start', () => {
  expect(acceptedFlags([...WORKER_FLAGS, '--no-longer-a-flag'])).toEqual([]);
  expect(acceptedFlags(WORKER_FLAGS, '/nowhere/node')).toEqual([]);
});

/** How much a process that was started with `flags` can allocate until the first collection. */
function youngMegabytes(flags: readonly string[]): number {
  // Not `space_size`: from Node 26 on that is what was touched, and a page of the young space is taken when it is needed.
  const young = `const { space_used_size, space_available_size } =
    v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
    space_used_size + space_available_size`;
  const { stdout } = spawnSync(process.execPath, [...flags, '--print', young], { encoding: 'utf8' });
  return Number(stdout) / 2 ** 20;
}
