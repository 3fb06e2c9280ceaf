/** The command that keeps documents in step with the code, in a copy of the project. */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const PAGE = '# Page\n\n<!-- generated:start -->\n<!-- generated:end -->\n';
const generated = (): string[] =>
  readdirSync(join(root, 'docs/reference')).filter((name) =>
    readFileSync(join(root, 'docs/reference', name), 'utf8').includes('<!-- generated:start -->'),
  );

let copy: string;
beforeEach(() => {
  copy = mkdtempSync(join(tmpdir(), 'holdfast-docs-'));
  mkdirSync(join(copy, 'docs/reference'), { recursive: true });
  mkdirSync(join(copy, 'backend/src/domain'), { recursive: true });
  const modules = readdirSync(join(root, 'backend')).filter((name) => name.endsWith('.cjs'));
  for (const path of [
    'backend/dist',
    'backend/package.json',
    'backend/src/domain/events.ts',
    ...modules.map((name) => `backend/${name}`),
  ])
    cpSync(join(root, path), join(copy, path), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  for (const name of generated()) writeFileSync(join(copy, 'docs/reference', name), PAGE);
});
afterEach(() => rmSync(copy, { recursive: true, force: true }));

const read = (name: string): string => readFileSync(join(copy, name), 'utf8');
const run = (...args: string[]) =>
  spawnSync(process.execPath, [join(copy, 'backend/dist/docs.js'), ...args], { encoding: 'utf8' });

it('writes what is out of step, and then finds nothing to say', () => {
  const before = run('--check');
  expect(before.status).toBe(1);
  expect(before.stderr).toMatch(/^config\.example\.yml: out of step/m);
  for (const name of generated()) expect(before.stderr).toContain(`docs/reference/${name}: out of step`);

  expect(run('--write').status).toBe(0);
  expect(read('config.example.yml')).toContain('#cpuThresholdHigh: 80');
  expect(read('docs/reference/settings.md')).toContain('`CPU_THRESHOLD_HIGH`');
  expect(read('docs/reference/api.md')).toContain('### `POST /api/ha/scale-up`');
  expect(read('docs/reference/events.md')).toContain('| `daemon.lost` | error | `problem` | PM2');
  expect(read('docs/reference/metrics.md')).toContain('`holdfast_gateway_answers_total` | counter | `class`');
  expect(read('docs/reference/command-line.md')).toContain('Usage: npm start [-- options]');
  expect(run('--check')).toMatchObject({ status: 0, stdout: '', stderr: '' });
});

it('says what is missing, and how it is called', () => {
  writeFileSync(join(copy, 'docs/reference/settings.md'), 'no markers');
  const result = run('--write');
  expect(result.status).toBe(1);
  expect(result.stderr).toMatch(/^docs\/reference\/settings\.md: has no line <!-- generated:start -->/m);
  expect(run('--write', '--check')).toMatchObject({ status: 2, stderr: expect.stringContaining('Usage:') });
});
