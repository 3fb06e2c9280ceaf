import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

// `unit` is pure or in-process. What drives real daemons, databases and processes comes after it: first `integration`,
// one file after another, because much of it uses all cores or measures; then `integration-waiting`, two at a time.
//
// Unit tests run on every core (vitest would leave one free, which is half of a machine with two), and the files of a
// worker share their modules: to load these anew for each of 200 files took as long as the tests themselves. So a unit
// test leaves nothing behind in the modules that it imports, and replaces none (`vi.mock`): what it wants to be another,
// such as the clock, is an argument.
/**
 * Files that wait most of their time, for a cooldown or a grace, and use half a core or less (measured per file). None of
 * them judges a time that a busy core would change. The longest come first, so that none is left to run alone at the end.
 */
const WAITING = [
  'hold.load',
  'hold.failures',
  'agent.stop',
  'agent.memory',
  'agent.supervisor',
  'blackBox',
  'pm2Daemon',
  'gateway.sources',
  'blackBox.hangs',
  'supervisor.exit',
  'secrets',
  'agent.stop.byHand',
  'agent.figures',
  'wordpecker.pm2',
  'gateway.faults',
  'wordpecker.mysql',
  'pm2.options',
  'gateway.ends',
  'agent.carried',
  'agent.lastWords',
].map((name) => `test/integration/${name}.test.ts`);

/** In the order of the list. Files that are not in it stay as vitest has them, before it. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number =>
      WAITING.findIndex((file) => moduleId.endsWith(`/${file}`));
    return (await super.sort(files)).sort((a, b) => place(a) - place(b));
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
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
          setupFiles: ['test/support/propertySeed.ts'],
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
          exclude: WAITING,
          globalSetup: ['test/integration/globalSetup.ts'],
          fileParallelism: false,
          // Of the tests of a file that say that they may run side by side, because they wait more than they work.
          maxConcurrency: 4,
          sequence: { groupOrder: 1 },
          testTimeout: 120_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'integration-waiting',
          include: WAITING,
          globalSetup: ['test/integration/globalSetup.ts'],
          maxWorkers: 2,
          maxConcurrency: 4,
          sequence: { groupOrder: 2 },
          testTimeout: 120_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});
