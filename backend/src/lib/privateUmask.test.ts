import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { makeFilesPrivate, withInheritedUmask } from './privateUmask.js';

const before = process.umask();
const root = mkdtempSync(join(tmpdir(), 'holdfast-umask-'));
afterEach(() => {
  process.umask(before);
  rmSync(root, { recursive: true, force: true });
});

const modeOf = (name: string): string => (statSync(join(root, name)).mode & 0o777).toString(8);

it('makes files for this user alone, and leaves the umask of what is started for others', () => {
  process.umask(0);
  makeFilesPrivate();
  makeFilesPrivate();
  writeFileSync(join(root, 'file'), '');
  mkdirSync(join(root, 'folder'));
  withInheritedUmask(() => execFileSync('touch', [join(root, 'theirs')]));
  execFileSync('touch', [join(root, 'child')]);
  expect(['file', 'folder', 'theirs', 'child'].map(modeOf)).toEqual(['600', '700', '666', '600']);
});
