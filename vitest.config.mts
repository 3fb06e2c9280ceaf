import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

// Two kinds of test: `unit` is pure or in-process; `integration` drives real daemons, databases and processes, so its
// files run one after another, and after those of `unit`.
//
// Unit tests run on every core (vitest would leave one free, which is half of a machine with two), and the files of a
// worker share their modules: to load these anew for each of 200 files took as long as the tests themselves. So a unit
// test leaves nothing behind in the modules that it imports, and replaces none (`vi.mock`): what it wants to be another,
// such as the clock, is an argument.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: [
            'backend/src/**/*.test.ts',
            'examples/*/src/**/*.test.ts',
            'test/simulation/**/*.test.ts',
            'test/house/**/*.test.ts',
          ],
          isolate: false,
          maxWorkers: availableParallelism(),
          sequence: { groupOrder: 0 },
          // They wait for no wall clock: what takes a second here may take a minute on a busy machine.
          testTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          globalSetup: ['test/integration/globalSetup.ts'],
          fileParallelism: false,
          // Of the tests of a file that say that they may run side by side, because they wait more than they work.
          maxConcurrency: 4,
          sequence: { groupOrder: 1 },
          testTimeout: 120_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});
