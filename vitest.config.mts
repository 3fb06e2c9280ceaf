import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig, type TestProjectConfiguration } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

// A project is a folder of tests, by what they need: `unit` and `simulation` need nothing, `gateway` runs the gateway inside
// the test, `processes` starts the built programs, `pm2` starts PM2 daemons, `agent` observes processes from inside,
// `databases` starts MariaDB and Redis, `browser` starts Chromium. `npm run test:fast` is the first three without the second.
//
// Unit tests run on every core (vitest would leave one free, which is half of a machine with two), and the files of a
// worker share their modules: to load these anew for each of 200 files took as long as the tests themselves. So a unit
// test leaves nothing behind in the modules that it imports, and replaces none (`vi.mock`): what it wants to be another,
// such as the clock, is an argument.
//
// What drives real programs comes after it, two files at a time: most of that time is spent waiting. `agent` is a group of
// its own, because the others would take the processor from what it observes. Last come the files that need the machine for
// themselves, one after the other, as projects of their own (`pm2-alone`), so `--project 'pm2*'`
// takes all of a folder.

/** Files that judge how long a process takes or how busy it is, or that keep every core busy. */
const ALONE: Readonly<Record<string, readonly string[]>> = {
  gateway: ['standstill'],
  processes: ['gateway.hostile', 'processMeter', 'wordpecker.faults'],
  pm2: ['attack', 'churn'],
  agent: ['blackBox', 'hang', 'harmless', 'workloads'],
};

/** The longest files come first, so that none is left to run at the end while the other core is idle. */
const LONGEST = [
  'pm2/cli.deployment',
  'pm2/instanceFailures',
  'pm2/autoscaling',
  'agent/stop',
  'pm2/ownApplication',
  'pm2/supervisorAndDaemonDeaths',
  'pm2/operator',
  'agent/supervisor',
  'pm2/gateway.deployment',
  'pm2/rollouts',
  'pm2/cli.commands',
  'processes/gateway.primary.alone',
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const at = LONGEST.findIndex((file) => moduleId.endsWith(`/${file}.test.ts`));
      return at < 0 ? LONGEST.length : at;
    };
    return (await super.sort(files)).sort((a, b) => place(a) - place(b));
  }
}

const unit = {
  isolate: false,
  setupFiles: ['test/support/propertySeed.ts'],
  maxWorkers: availableParallelism(),
  sequence: { groupOrder: 0 },
  // They wait for no wall clock: what takes a second here may take a minute on a busy machine.
  testTimeout: 120_000,
};

const integration = {
  globalSetup: ['test/integration/globalSetup.ts'],
  // Of the tests of a file that say that they may run side by side, because they wait more than they work.
  maxConcurrency: 4,
  testTimeout: 120_000,
  hookTimeout: 60_000,
};

function pathsOf(folder: string, names: readonly string[]): string[] {
  return names.map((name) => {
    const path = `test/integration/${folder}/${name}.test.ts`;
    if (!existsSync(fileURLToPath(new URL(path, import.meta.url)))) throw new Error(`${path} is not there`);
    return path;
  });
}

/** The projects of a folder of test/integration: its files two at a time, and those that run alone. */
function projectsOf(folder: string): TestProjectConfiguration[] {
  const alone = pathsOf(folder, ALONE[folder] ?? []);
  return [
    {
      test: {
        ...integration,
        name: folder,
        include: [`test/integration/${folder}/**/*.test.ts`],
        exclude: alone,
        maxWorkers: 2,
        sequence: { groupOrder: folder === 'agent' ? 2 : 1 },
      },
    },
    ...(alone.length === 0
      ? []
      : [
          {
            test: {
              ...integration,
              name: `${folder}-alone`,
              include: alone,
              fileParallelism: false,
              sequence: { groupOrder: 3 },
            },
          },
        ]),
  ];
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          ...unit,
          name: 'unit',
          include: [
            'backend/src/**/*.test.ts',
            'examples/*/src/**/*.test.ts',
            'test/house/**/*.test.ts',
            'test/simulation/**/*.test.ts',
          ],
          exclude: ['test/simulation/chaos.*.test.ts'],
        },
      },
      { test: { ...unit, name: 'simulation', include: ['test/simulation/chaos.*.test.ts'] } },
      ...['gateway', 'processes', 'pm2', 'agent', 'databases', 'browser'].flatMap(projectsOf),
    ],
  },
});
