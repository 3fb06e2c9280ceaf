import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { lastLines } from './lastLines.js';

let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-lines-'));
  file = join(folder, 'out.log');
});
afterEach(() => rmSync(folder, { recursive: true }));

it('gives the whole lines at the end, and none of a file that is not there or was written before', async () => {
  expect(await lastLines(file, 100)).toEqual([]);
  writeFileSync(file, 'first line\n\nsecond\nthird\n');
  expect(await lastLines(file, 100)).toEqual(['first line', 'second', 'third']);
  expect(await lastLines(file, 16)).toEqual(['second', 'third']);
  utimesSync(file, 1_000, 1_000);
  expect(await lastLines(file, 100, 1_000_001)).toEqual([]);
  expect(await lastLines(file, 100, 1_000_000)).toHaveLength(3);
});
