import { appendFileSync, mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lastLines, LineFollower } from './logTail.js';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-tail-'));
  file = join(folder, 'x.log');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('lastLines', () => {
  it.each([
    ['', 3, []],
    ['a\n', 3, ['a']],
    ['a\nb\nc\nd\n', 3, ['b', 'c', 'd']],
    ['a\nb\nc\nd', 3, ['b', 'c', 'd']],
    ['\n\n', 2, ['', '']],
  ])('of %j, %i', async (text, count, lines) => {
    writeFileSync(file, text);
    expect(await lastLines(file, count)).toEqual(lines);
  });

  it('reads no more than it needs of a large file, and cuts no character', async () => {
    const line = 'ä'.repeat(40_000);
    writeFileSync(file, `${line}\n`.repeat(20));
    expect(await lastLines(file, 2)).toEqual([line, line]);
  });

  it('null when there is no such file', async () => {
    expect(await lastLines(file, 2)).toBeNull();
  });
});

describe('LineFollower', () => {
  it('gives what is added, over a rotation and an emptying, each line once', async () => {
    const lines: string[] = [];
    writeFileSync(file, 'before\n');
    const follower = new LineFollower(file, (more) => lines.push(...more));
    await follower.skipToEnd();
    appendFileSync(file, 'one\ntw');
    await follower.poll();
    expect(lines).toEqual(['one']);
    appendFileSync(file, 'o\n');
    renameSync(file, `${file}.1`);
    appendFileSync(`${file}.1`, 'late\n');
    writeFileSync(file, 'three\n');
    await follower.poll();
    expect(lines).toEqual(['one', 'two', 'late', 'three']);
    truncateSync(file);
    appendFileSync(file, '4\n');
    await follower.poll();
    expect(lines).toEqual(['one', 'two', 'late', 'three', '4']);
    await follower.close();
  });

  it('gives a line that came in pieces as one, and of a longer one than a mebibyte the beginning', async () => {
    const lines: string[] = [];
    writeFileSync(file, '');
    const follower = new LineFollower(file, (more) => lines.push(...more));
    for (const piece of ['pass', 'word=hun', 'ter22 x', '\n']) {
      appendFileSync(file, piece);
      await follower.poll();
    }
    expect(lines).toEqual(['password=hunter22 x']);
    for (let mebibyte = 0; mebibyte < 3; mebibyte += 1) {
      appendFileSync(file, 'x'.repeat(1024 * 1024));
      await follower.poll();
    }
    appendFileSync(file, 'end\nnext\n');
    await follower.poll();
    expect(lines.slice(1).map((line) => line.length)).toEqual([1024 * 1024, 4]);
    await follower.close();
  });

  it('waits for a file that is yet to come', async () => {
    const lines: string[] = [];
    const follower = new LineFollower(file, (more) => lines.push(...more));
    await follower.skipToEnd();
    await follower.poll();
    writeFileSync(file, 'first\n');
    await follower.poll();
    expect(lines).toEqual(['first']);
    await follower.close();
  });
});
