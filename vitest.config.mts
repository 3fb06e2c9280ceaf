import { defineConfig } from 'vitest/config';

// Two kinds of test: `unit` is pure or in-process and runs in parallel; `integration` drives real
// daemons, databases and processes, so its files run one after another on the same two cores.
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
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          globalSetup: ['test/integration/globalSetup.ts'],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});
