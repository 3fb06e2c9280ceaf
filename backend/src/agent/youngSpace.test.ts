import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { youngSpaceBytes } from './youngSpace.js';

const MEGABYTE = 1_048_576;

it.each([
  ['20.20.2', [], 48],
  ['22.23.3', ['--max-old-space-size=512'], 48],
  ['24.21.0', [], 192],
  ['26.1.0', ['--inspect'], 192],
  ['24.21.0', ['--max-semi-space-size=1'], 3],
  ['20.20.2', ['--max_semi_space_size=32'], 96],
  ['20.20.2', ['--max-semi-space-size', '8'], 24],
  ['20.20.2', ['--max-semi-space-size=8', '--max-semi-space-size=2'], 6],
  // Not what it seems, or "as you like".
  ['20.20.2', ['--min-semi-space-size=8', '--max-semi-space-size=0'], 48],
] as const)('Node %s with %j: %i MB', (version, flags, megabytes) => {
  expect(youngSpaceBytes(version, flags)).toBe(megabytes * MEGABYTE);
});

it.each([
  ['by default', []],
  ['with small semi-spaces', ['--max-semi-space-size=2']],
])('is what this very Node adds to the limit of old objects, %s', (_how, flags) => {
  const program = 'process.stdout.write(String(require("v8").getHeapStatistics().heap_size_limit))';
  const { stdout } = spawnSync(process.execPath, ['--max-old-space-size=256', ...flags, '-e', program], {
    encoding: 'utf8',
    env: {},
  });
  expect(Number(stdout) - youngSpaceBytes(process.versions.node, flags)).toBe(256 * MEGABYTE);
});
