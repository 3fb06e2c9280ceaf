import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { waitFor } from '../../../../test/support/waitFor.js';
import { messageOf } from '../../domain/errors.js';
import { RotatingFile, type RotatingFileOptions } from './rotatingFile.js';

let directory: string;
let path: string;
const opened: RotatingFile[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-rotating-'));
  path = join(directory, 'logs', 'x.log');
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((file) => file.close()));
  rmSync(directory, { recursive: true, force: true });
});

function openFile(options: Partial<RotatingFileOptions> = {}): RotatingFile {
  const file = new RotatingFile({ path, maxBytes: 1_000_000, maxFiles: 3, ...options });
  opened.push(file);
  return file;
}

const linesOf = (file: string): string[] => readFileSync(file, 'utf8').split('\n').slice(0, -1);
/** Until the last line of the live file is this one. */
const written = (last: string): Promise<unknown> =>
  waitFor(() => linesOf(path).at(-1) === last, { intervalMs: 1, what: `"${last}" to be written` });
const filesThere = (): string[] => readdirSync(join(directory, 'logs')).sort();

describe('RotatingFile', () => {
  it('appends lines in order, in a directory that it makes, for this user alone', async () => {
    const file = openFile();
    for (let i = 0; i < 1_000; i += 1) file.write(`line ${i}`);
    await written('line 999');
    file.write('and one more');
    await file.close();
    expect(linesOf(path)).toEqual([...Array.from({ length: 1_000 }, (_, i) => `line ${i}`), 'and one more']);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(file.dropped()).toBe(0);
  });

  it('never lets a file outgrow its limit or the files their number, and loses only the oldest', async () => {
    const lineLists = fc.array(fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 40 }), {
      maxLength: 120,
    });
    await fc.assert(
      fc.asyncProperty(lineLists, fc.integer({ min: 1, max: 4 }), async (lines, maxFiles) => {
        rmSync(join(directory, 'logs'), { recursive: true, force: true });
        const file = new RotatingFile({ path, maxBytes: 100, maxFiles });
        for (const line of lines) file.write(line);
        await file.close();

        const found = lines.length === 0 ? [] : filesThere();
        const numbered = found.map((name) => Number(name.slice('x.log.'.length) || 0)).sort((a, b) => b - a);
        expect(Math.max(0, ...numbered)).toBeLessThanOrEqual(maxFiles);
        const kept = numbered.flatMap((n) => {
          const name = n === 0 ? path : `${path}.${n}`;
          expect(statSync(name).size).toBeLessThanOrEqual(100);
          return linesOf(name);
        });
        expect(kept).toEqual(lines.slice(lines.length - kept.length));
        if (lines.join('\n').length < 100) expect(kept).toHaveLength(lines.length);
      }),
      { numRuns: 40 },
    );
  });

  it('goes on in the file of its predecessor, after ending a line that was torn', async () => {
    mkdirSync(join(directory, 'logs'));
    writeFileSync(path, '{"whole":1}\n{"to');
    const file = openFile();
    file.write('{"next":2}');
    await file.close();
    expect(linesOf(path)).toEqual(['{"whole":1}', '{"to', '{"next":2}']);
  });

  it('deletes rotated files that are too old or too many, and nothing else', async () => {
    const logs = join(directory, 'logs');
    mkdirSync(logs);
    for (const name of ['x.log.1', 'x.log.2', 'x.log.9', 'x.log.old', 'y.log.1'])
      writeFileSync(join(logs, name), '.\n');
    const longAgo = new Date(Date.now() - 3_600_000);
    utimesSync(join(logs, 'x.log.2'), longAgo, longAgo);
    utimesSync(join(logs, 'y.log.1'), longAgo, longAgo);
    const file = openFile({ maxAgeMs: 60_000 });
    file.write('line');
    await file.close();
    expect(filesThere()).toEqual(['x.log', 'x.log.1', 'x.log.old', 'y.log.1']);
  });

  it('rotates a live file that was begun too long ago', async () => {
    let nowMs = Date.now();
    const file = openFile({ maxAgeMs: 60_000, wallMs: () => nowMs });
    file.write('old');
    await written('old');
    nowMs += 61_000;
    const lastWrite = new Date(nowMs - 20_000);
    utimesSync(path, lastWrite, lastWrite);
    file.write('new');
    await file.close();
    expect(linesOf(path)).toEqual(['new']);
    expect(linesOf(`${path}.1`)).toEqual(['old']);
  });

  it('begins a new file when somebody else moved the live one away', async () => {
    let nowMs = Date.now();
    const file = openFile({ wallMs: () => nowMs });
    file.write('before');
    await written('before');
    renameSync(path, join(directory, 'moved'));
    nowMs += 10_000;
    file.write('after');
    await file.close();
    expect(linesOf(path)).toEqual(['after']);
    expect(linesOf(join(directory, 'moved'))).toEqual(['before']);
  });

  it('keeps lines while the place is unusable, says so once, and recovers without a loss', async () => {
    writeFileSync(join(directory, 'logs'), 'a file where the directory should be');
    const told: string[] = [];
    let lostWhileFailing = -1;
    const file = openFile({
      retryBaseMs: 5,
      onFailing: (error) => told.push(messageOf(error)),
      onRecovered: (dropped) => (lostWhileFailing = dropped),
    });
    file.write('first');
    await waitFor(() => told.length > 0, { what: 'the failure' });
    file.write('second');
    rmSync(join(directory, 'logs'));
    await waitFor(() => lostWhileFailing === 0, { what: 'the recovery' });
    await written('second');
    expect(linesOf(path)).toEqual(['first', 'second']);
    expect(told).toEqual([expect.stringMatching(/EEXIST|ENOTDIR/)]);
  });

  it('bounds what waits, counts what it drops, and gives up on close', async () => {
    const told: string[] = [];
    const onFailing = (error: unknown): void => void told.push(messageOf(error));
    const file = openFile({ path: '/dev/full', maxPendingBytes: 50, onFailing });
    for (let i = 0; i < 20; i += 1) file.write('123456789');
    await waitFor(() => told[0]?.includes('ENOSPC'), { what: 'the failure' });
    expect(file.dropped()).toBe(15);
    await file.close();
    expect(file.dropped()).toBe(20);
    file.write('too late');
    expect(file.dropped()).toBe(21);
  });

  it('leaves no listener on the process behind', async () => {
    const before = process.listenerCount('exit');
    await openFile().close();
    expect(process.listenerCount('exit')).toBe(before);
  });
});

/** A named pipe that is full takes no more until it is read: a write that hangs, as on a dead disk. */
describe('a disk that hangs', () => {
  const LINES = 3_000;
  let told: string[];
  let recovered: number[];
  let file: RotatingFile;

  beforeEach(async () => {
    mkdirSync(join(directory, 'logs'));
    execFileSync('mkfifo', [path]);
    [told, recovered] = [[], []];
    file = openFile({
      patienceMs: 50,
      onFailing: (error) => told.push(messageOf(error)),
      onRecovered: (dropped) => recovered.push(dropped),
    });
    for (let i = 0; i < LINES; i += 1) file.write(`line ${i} ${'x'.repeat(100)}`);
    await waitFor(() => told.length > 0, { what: 'the disk to be told of' });
  });

  /** A write that hangs keeps a thread of the process, which later tests need: it goes on until the file is let go of. */
  afterEach(async () => {
    await Promise.all(opened.map((one) => one.close()));
    const pipe = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const chunk = Buffer.alloc(65_536);
    await waitFor(() => readSync(pipe, chunk) === 0, {
      intervalMs: 1,
      what: 'the writers to let go of the pipe',
    });
    closeSync(pipe);
  });

  /** Takes out what was written, until `line` comes. */
  async function goOn(line: string): Promise<string> {
    const pipe = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const chunk = Buffer.alloc(65_536);
    let text = '';
    const more = (): boolean => {
      text += chunk.toString('latin1', 0, readSync(pipe, chunk));
      return text.includes(line);
    };
    await waitFor(more, { intervalMs: 1, what: line });
    closeSync(pipe);
    return text;
  }

  it('is told once, and every line comes, once, when it goes on', async () => {
    file.write('the last one');
    const lines = (await goOn('the last one\n')).split('\n').slice(0, -1);
    expect(lines).toHaveLength(LINES + 1);
    expect(new Set(lines).size).toBe(LINES + 1);
    await waitFor(() => recovered.length > 0, { what: 'its end to be told' });
    expect(told).toEqual(['the disk has not answered for 1 s']);
  });

  it('does not keep the end of the process waiting', async () => {
    await file.close();
    expect(file.dropped()).toBe(LINES);
    await goOn('line 2');
  });

  it('does not either when that shows at the end only', async () => {
    const late = openFile({ patienceMs: 50, onFailing: (error) => told.push(messageOf(error)) });
    late.write('x'.repeat(10_000));
    await late.close();
    expect(late.dropped()).toBe(1);
    expect(told).toHaveLength(2);
    await goOn('line 2');
  });
});
