import { defineConfig } from 'vitest/config';

// Not among the projects of the repository's configuration: these tests install packages and take minutes.
export default defineConfig({
  test: {
    include: ['test/nightly/**/*.test.ts'],
    globalSetup: ['test/integration/globalSetup.ts'],
    fileParallelism: false,
    testTimeout: 900_000,
    hookTimeout: 120_000,
  },
});
