import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';

import { waitFor } from '../../../test/support/waitFor.js';
import { FileWatcher, readFileIfAny, type FileContent, type FileWatcherOptions } from './fileWatcher.js';

let folder: string;
let watcher: FileWatcher | null;
let heard: (readonly FileContent[])[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-watcher-'));
  [watcher, heard] = [null, []];
});
afterEach(() => {
  watcher?.close();
  rmSync(folder, { recursive: true, force: true });
});

const at = (name: string): string => join(folder, name);

function watchFiles(names: readonly string[], options: Partial<FileWatcherOptions> = {}): void {
  watcher = new FileWatcher({
    files: names.map(at),
    onChange: (contents) => heard.push(contents),
    debounceMs: 10,
    pollMs: 40,
    missingMs: 50,
    ...options,
  });
}
const hears = (...contents: readonly FileContent[]): Promise<unknown> =>
  waitFor(() => JSON.stringify(heard.at(-1)) === JSON.stringify(contents), {
    what: JSON.stringify(contents),
  });

it('says what is there, and then every change once', async () => {
  writeFileSync(at('a'), '1');
  watchFiles(['a', 'b']);
  await hears('1', null);
  writeFileSync(at('b'), '2');
  await hears('1', '2');
  writeFileSync(at('new'), '3');
  renameSync(at('new'), at('a'));
  await hears('3', '2');
  rmSync(at('b'));
  await hears('3', null);
  expect(heard).toHaveLength(4);
});

it('does not take "delete, then write" for a file that is gone', async () => {
  writeFileSync(at('a'), '1');
  watchFiles(['a'], { missingMs: 10_000 });
  await hears('1');
  rmSync(at('a'));
  // Long enough for several polls to have seen it missing.
  const sinceMs = performance.now();
  await waitFor(() => performance.now() - sinceMs > 200, { what: 'some polls' });
  writeFileSync(at('a'), '2');
  await hears('2');
  expect(heard).toEqual([['1'], ['2']]);
});

it('says why a file cannot be read', async () => {
  mkdirSync(at('a'));
  watchFiles(['a']);
  await hears({ problem: 'EISDIR: illegal operation on a directory, read' });
  expect(() => readFileIfAny(at('a'))).toThrow('EISDIR');
  expect(readFileIfAny(at('none'))).toBeNull();
});

it('polls where the directory cannot be watched yet, and notices it when it comes', async () => {
  watcher = new FileWatcher({
    files: [join(folder, 'later', 'a')],
    onChange: (contents) => heard.push(contents),
    debounceMs: 10,
    pollMs: 20,
  });
  await hears(null);
  mkdirSync(at('later'));
  writeFileSync(join(folder, 'later', 'a'), '1');
  await hears('1');
});
