/** The command that keeps what is written about the settings in step, in a copy of the project. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const MARKERS = '# Page\n\n<!-- config:start -->\n<!-- config:end -->\n';

let copy: string;
beforeEach(() => {
  copy = mkdtempSync(join(tmpdir(), 'holdfast-docs-'));
  mkdirSync(join(copy, 'docs'));
  cpSync(join(root, 'backend/dist'), join(copy, 'backend/dist'), { recursive: true });
  cpSync(join(root, 'backend/package.json'), join(copy, 'backend/package.json'));
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
});
afterEach(() => rmSync(copy, { recursive: true, force: true }));

const read = (name: string): string => readFileSync(join(copy, name), 'utf8');
const run = (...args: string[]) =>
  spawnSync(process.execPath, [join(copy, 'backend/dist/config/docs.js'), ...args], { encoding: 'utf8' });

it('writes what is out of step, and then finds nothing to say', () => {
  writeFileSync(join(copy, 'README.md'), MARKERS);
  writeFileSync(join(copy, 'docs/configuration.md'), MARKERS);
  const before = run('--check');
  expect(before.status).toBe(1);
  expect(before.stderr).toMatch(
    /config\.yml: out of step.*\nREADME\.md: out of step.*\ndocs\/configuration\.md: out/,
  );

  expect(run('--write').status).toBe(0);
  expect(read('config.yml')).toContain('#cpuThresholdHigh: 80');
  expect(read('README.md')).toContain('`CPU_THRESHOLD_HIGH`');
  expect(read('docs/configuration.md')).toBe(read('README.md'));
  expect(run('--check')).toMatchObject({ status: 0, stdout: '', stderr: '' });
});

it('says what is missing, and how it is called', () => {
  writeFileSync(join(copy, 'README.md'), 'no markers');
  writeFileSync(join(copy, 'docs/configuration.md'), MARKERS);
  const result = run('--write');
  expect(result.status).toBe(1);
  expect(result.stderr).toMatch(/^README\.md: has no line <!-- config:start -->/);
  for (const args of [[], ['--write', '--check'], ['--wrong']]) {
    expect(run(...args)).toMatchObject({ status: 2, stderr: expect.stringContaining('Usage:') });
  }
});
