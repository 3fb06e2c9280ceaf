/**
 * Keeps what is written about the settings in step with the registry: `node backend/dist/config/docs.js --write`
 * brings config.yml and the tables between the config markers of README.md and docs/configuration.md up to date,
 * `--check` only says which are not (exit code 1).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { commentedConfig, insertTable } from './table.js';

const USAGE = 'Usage: node backend/dist/config/docs.js --write | --check\n';
const root = fileURLToPath(new URL('../../..', import.meta.url));

/** What each file should contain, in view of what it contains; null where it has no markers. */
const FILES: Readonly<Record<string, (current: string) => string | null>> = {
  'config.yml': commentedConfig,
  'README.md': insertTable,
  'docs/configuration.md': insertTable,
};

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
  for (const [name, expectedOf] of Object.entries(FILES)) {
    const file = join(root, name);
    const current = readIfAny(file);
    const expected = expectedOf(current);
    if (expected === null) {
      process.stderr.write(
        `${name}: has no line <!-- config:start --> followed by <!-- config:end -->; add both\n`,
      );
      failed += 1;
    } else if (expected !== current && write) {
      writeFileSync(file, expected);
      process.stdout.write(`${name}: written\n`);
    } else if (expected !== current) {
      process.stderr.write(`${name}: out of step with backend/src/config/schema.ts; run this with --write\n`);
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
