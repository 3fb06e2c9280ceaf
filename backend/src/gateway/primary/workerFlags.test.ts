import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { acceptedFlags, WORKER_FLAGS } from './workerFlags.js';

it('are taken by this node, and then the young space is 16 MB from the beginning', () => {
  const flags = acceptedFlags(WORKER_FLAGS);
  expect(flags).toEqual(WORKER_FLAGS);
  const young = `v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space').space_size`;
  const { stdout } = spawnSync(process.execPath, [...flags, '--print', young], { encoding: 'utf8' });
  expect(Number(stdout)).toBe(16 * 2 ** 20);
});

it('are left away where one of them is unknown, because node would not start', () => {
  expect(acceptedFlags([...WORKER_FLAGS, '--no-longer-a-flag'])).toEqual([]);
  expect(acceptedFlags(WORKER_FLAGS, '/nowhere/node')).toEqual([]);
});
