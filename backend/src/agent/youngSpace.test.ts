import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { youngSpaceBytes } from './youngSpace.js';

const MEGABYTE = 1_048_576;

/**
 * Limits that these versions told on machines of that much memory (with `/proc/meminfo` replaced). By default V8 takes
 * half of the memory for old objects, at least 256 MB and at most 2 GB, or 4 GB on a machine with 16 GB.
 */
it.each([
  ['20.20.2', '256 MB', 259, 256],
  ['20.20.2', '768 MB', 396, 384],
  ['22.23.3', '1 GB', 524, 512],
  ['22.23.3', '2 GB', 1048, 1024],
  ['20.20.2', '3000 MB', 1548, 1500],
  ['22.23.3', '8 GB', 2096, 2048],
  ['20.20.2', '24 GB', 4144, 4096],
  ['24.21.0', '512 MB', 259, 256],
  ['24.21.0', '768 MB', 432, 384],
  ['24.21.0', '1 GB', 560, 512],
  ['25.9.0', '2 GB', 1120, 1024],
  ['24.21.0', '3000 MB', 1692, 1500],
  ['24.21.0', '4 GB', 2240, 2048],
  ['25.9.0', '16 GB', 4288, 4096],
  ['26.10.0', '256 MB', 262, 256],
  ['26.10.0', '512 MB', 268, 256],
  ['26.10.0', '768 MB', 408, 384],
  ['26.0.0', '1 GB', 536, 512],
  ['26.10.0', '2 GB', 1072, 1024],
  ['26.10.0', '3000 MB', 1596, 1500],
  ['26.10.0', '8 GB', 2144, 2048],
  ['26.0.0', '16 GB', 4192, 4096],
] as const)(
  'Node %s on a machine of %s: of %i MB, %i are for old objects',
  (version, _memory, limitMb, oldMb) => {
    expect(limitMb - youngSpaceBytes(limitMb * MEGABYTE, [], version) / MEGABYTE).toBe(oldMb);
  },
);

it.each([
  ['the limit of old objects', ['--max-old-space-size=512'], 560, 48],
  ['… of a version to come', ['--max-old-space-size=512'], 521, 9],
  ['the limit of old objects, written with underscores', ['--max_old_space_size=512'], 608, 96],
  ['the semi-spaces', ['--max-semi-space-size=1'], 4099, 3],
  ['the semi-spaces, written with underscores', ['--max_semi_space_size=32'], 4192, 96],
  ['the semi-spaces, in two words', ['--max-semi-space-size', '8'], 4120, 24],
  ['the semi-spaces twice: the last counts', ['--max-semi-space-size=8', '--max-semi-space-size=2'], 4102, 6],
  ['semi-spaces that are no power of two', ['--max-semi-space-size=3', '--max-old-space-size=100'], 112, 12],
  [
    'the semi-spaces as V8 likes, and their beginning',
    ['--min-semi-space-size=8', '--max-semi-space-size=0'],
    4144,
    48,
  ],
  ['both as V8 likes', ['--max-semi-space-size=0', '--max-old-space-size=0'], 4144, 48],
] as const)('flags that name %s', (_what, flags, limitMb, youngMb) => {
  expect(youngSpaceBytes(limitMb * MEGABYTE, flags, '22.23.3')).toBe(youngMb * MEGABYTE);
});

it.each([
  ['with a limit', ['--max-old-space-size=256'], 256],
  ['with a limit and small semi-spaces', ['--max-old-space-size=256', '--max-semi-space-size=2'], 256],
  ['with semi-spaces of 3 MB', ['--max-semi-space-size=3', '--max-old-space-size=100'], 100],
  ['with semi-spaces that begin large', ['--min-semi-space-size=16', '--max-old-space-size=300'], 300],
])('leaves what this very Node has for old objects, %s', (_how, flags, oldMb) => {
  const limitBytes = Number(printedBy(flags, 'require("v8").getHeapStatistics().heap_size_limit'));
  expect((limitBytes - youngSpaceBytes(limitBytes, flags, process.versions.node)) / MEGABYTE).toBe(oldMb);
});

it('is by default what this very Node gives its threads by default', () => {
  // A thread is told its limits, which V8 derives from the memory of the machine as it does those of the process.
  const limits = `new (require("worker_threads").Worker)(
    "const { parentPort, resourceLimits } = require('worker_threads'); parentPort.postMessage(resourceLimits)",
    { eval: true },
  ).on("message", ({ maxYoungGenerationSizeMb: young }) => {
    console.log(JSON.stringify([young, require("v8").getHeapStatistics().heap_size_limit]));
  }), ""`;
  const [youngMb, limitBytes] = JSON.parse(printedBy([], limits)) as [number, number];
  expect(youngSpaceBytes(limitBytes, [], process.versions.node) / MEGABYTE).toBe(youngMb);
});

function printedBy(flags: readonly string[], expression: string): string {
  const { stdout } = spawnSync(process.execPath, [...flags, '--print', expression], {
    encoding: 'utf8',
    env: {},
  });
  return stdout.trim();
}
