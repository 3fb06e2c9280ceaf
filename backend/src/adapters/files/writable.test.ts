import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isFileError, plainReason, requireWritable } from './writable.js';

let base: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'holdfast-writable-'));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const check = (path: string): void =>
  requireWritable([{ what: 'data folder', path, setting: 'HA_DATA_DIR' }]);

describe('requireWritable', () => {
  it('makes what is missing', () => {
    check(join(base, 'a/b'));
    writeFileSync(join(base, 'a/b/file'), '');
  });

  it.each([
    [
      'a file where the folder should be',
      (path: string) => writeFileSync(path, ''),
      '',
      'a file, not a folder',
    ],
    ['a file in its path', (path: string) => writeFileSync(path, ''), 'deeper/data', 'a file, not a folder'],
  ])('%s', (_title, prepare, rest, reason) => {
    prepare(join(base, 'x'));
    const path = join(base, 'x', rest);
    expect(() => check(path)).toThrow(
      new RegExp(`^The data folder ${path} cannot be written: .*${reason}.*HA_DATA_DIR\\.$`),
    );
  });
});

it('tells a failure of the file system from a bug', () => {
  const error = Object.assign(new Error('EROFS: read-only file system, mkdir'), {
    code: 'EROFS',
    path: '/x',
    syscall: 'mkdir',
  });
  expect(isFileError(error)).toBe(true);
  expect(plainReason(error)).toBe('the file system is read-only');
  expect(isFileError(new TypeError('x is not a function'))).toBe(false);
});
