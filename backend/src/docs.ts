/**
 * Keeps the documents that follow from code in step with it: `node backend/dist/docs.js --write` brings them up to
 * date, `--check` only says which are not (exit code 1). Each registry makes its own text; which page it belongs to
 * stands here.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { families } from './api/metrics/families.js';
import { ownFamilies } from './api/metrics/ownMetrics.js';
import { apiReference, errorCodeReference, eventReference } from './api/reference.js';
import { buildRoutes, type RouteDependencies } from './api/routes/index.js';
import { COMMANDS } from './cli/commands/index.js';
import { commandReference } from './cli/reference.js';
import { compatibilityReference } from './compatibility.js';
import { commentedConfig, configurationTable } from './config/table.js';
import { CODE_GROUPS } from './domain/errorCodes.js';
import { gatewayFamilies } from './gateway/pages/metrics.js';
import { insertGenerated } from './lib/markdown.js';
import { metricReference } from './lib/metricReference.js';

const USAGE = 'Usage: node backend/dist/docs.js --write | --check\n';
const root = fileURLToPath(new URL('../..', import.meta.url));

/** What goes between the markers of each page. */
const PARTS: Readonly<Record<string, () => string>> = {
  'docs/reference/settings.md': configurationTable,
  'docs/reference/api.md': () => apiReference(routes()),
  'docs/reference/events.md': () => eventReference(readIfAny(join(root, 'backend/src/domain/events.ts'))),
  'docs/reference/metrics.md': () =>
    [
      `## The supervisor\n\n${metricReference([...families, ...ownFamilies])}`,
      `## The gateway\n\n${metricReference(gatewayFamilies)}`,
    ].join('\n\n'),
  'docs/reference/error-codes.md': () => errorCodeReference(CODE_GROUPS),
  'docs/reference/command-line.md': () => commandReference(COMMANDS),
  'docs/reference/compatibility.md': compatibilityReference,
};

/** What each file should contain, in view of what it contains; null where it has no markers. */
const FILES: readonly (readonly [name: string, expected: (current: string) => string | null])[] = [
  ['config.example.yml', commentedConfig],
  ...Object.entries(PARTS).map(
    ([name, part]) => [name, (current: string) => insertGenerated(current, part())] as const,
  ),
];

/** The calls as they are declared. None is made, so nothing behind them is needed. */
function routes() {
  const exposition = { contentType: 'text/plain' };
  return buildRoutes({ exposition } as unknown as RouteDependencies);
}

function readIfAny(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

function run(write: boolean): number {
  let failed = 0;
  for (const [name, expectedOf] of FILES) {
    const file = join(root, name);
    const current = readIfAny(file);
    const expected = expectedOf(current);
    if (expected === null) {
      process.stderr.write(
        `${name}: has no line <!-- generated:start --> followed by <!-- generated:end -->; add both\n`,
      );
      failed += 1;
    } else if (expected !== current && write) {
      writeFileSync(file, expected);
      process.stdout.write(`${name}: written\n`);
    } else if (expected !== current) {
      process.stderr.write(`${name}: out of step with the code; run this with --write (npm run docs)\n`);
      failed += 1;
    }
  }
  return failed === 0 ? 0 : 1;
}

function main(): number {
  try {
    const { values } = parseArgs({ options: { write: { type: 'boolean' }, check: { type: 'boolean' } } });
    if (values.write !== values.check) return run(values.write === true);
  } catch (error) {
    process.stderr.write(`${String(error)}\n`);
  }
  process.stderr.write(USAGE);
  return 2;
}

process.exitCode = main();
