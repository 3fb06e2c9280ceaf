/** Entries on a real disk: whole or not there, bounded, private, and found again by a successor. */
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { waitFor } from '../../../../test/support/waitFor.js';
import { blackBoxSummary } from '../../../../test/support/blackBoxes.js';
import type { BlackBoxSummary } from '../../domain/blackBox/blackBox.js';
import type { Logger } from '../../ports.js';
import { FileBlackBoxStore } from './fileBlackBoxStore.js';

let parent: string;
let directory: string;
const logged: string[] = [];
const note = (message: string): void => void logged.push(message);
const logger: Logger = { debug: note, info: note, warn: note, error: note };

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'holdfast-blackbox-'));
  directory = join(parent, 'logs', 'blackbox');
  logged.length = 0;
});
afterEach(() => rm(parent, { recursive: true, force: true }));

const open = (mostEntries = 50, mostBytes = 100e6): Promise<FileBlackBoxStore> =>
  FileBlackBoxStore.open({ directory, mostEntries, mostBytes, logger });

const figures = [
  { at: '2026-01-02T03:04:05.678Z', from: 'supervisor', cpuPercent: 12, memoryBytes: 5e7 },
] as const;

const read = async (id: string, file: string): Promise<string> => readFile(join(directory, id, file), 'utf8');
const summaryOf = async (id: string): Promise<BlackBoxSummary> =>
  JSON.parse(await read(id, 'summary.json')) as BlackBoxSummary;

it('a disk that takes too long keeps no caller waiting: told once, counted, and tried again', async () => {
  const options = { directory, mostEntries: 50, mostBytes: 100e6, logger, patienceMs: 60_000 };
  const store = await FileBlackBoxStore.open(options);
  options.patienceMs = 0;
  expect(await store.save(blackBoxSummary(1), { stack: 'x' })).toBe(false);
  expect(await store.save(blackBoxSummary(2), { stack: 'x' })).toBe(false);
  expect(store.dropped()).toBe(2);
  expect(logged).toEqual(['a black box cannot be written; others are tried, and counted']);
  await waitFor(async () => (await store.list()).length === 1, { what: 'the first one' });
  void store.save(blackBoxSummary(3), { stack: 'x' });
  await waitFor(async () => (await store.list()).length === 2, { what: 'another one' });
});

it('a disk that takes too long holds no start up: that is told, and what is there is known later', async () => {
  const before = await open();
  for (let number = 1; number <= 20; number += 1) await before.save(blackBoxSummary(number), { stack: 'x' });
  const options = { directory, mostEntries: 50, mostBytes: 100e6, logger, patienceMs: 0 };
  const store = await FileBlackBoxStore.open(options);
  expect(logged).toEqual(['the folder of black boxes cannot be read']);
  await waitFor(async () => (await store.list()).length === 20, { what: 'what is there' });
});

describe('an entry', () => {
  it('is a folder of its owner, with a file for every piece that has something to say, and none of no bytes', async () => {
    const store = await open();
    const summary = blackBoxSummary(1);
    expect(await store.save(summary, { stack: 'at f', stderr: '', figures, report: { a: 1 } })).toBe(true);
    expect(await readdir(directory)).toEqual([summary.id]);
    expect((await readdir(join(directory, summary.id))).sort()).toEqual([
      'figures.jsonl',
      'report.json',
      'stack.txt',
      'summary.json',
    ]);
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    expect((await stat(join(directory, summary.id))).mode & 0o777).toBe(0o700);
    expect((await stat(join(directory, summary.id, 'report.json'))).mode & 0o777).toBe(0o600);
    expect(await read(summary.id, 'stack.txt')).toBe('at f\n');
    expect(await read(summary.id, 'figures.jsonl')).toBe(`${JSON.stringify(figures[0])}\n`);
    expect(await summaryOf(summary.id)).toEqual(summary);
  });

  it('is completed: what is new is added, what was there stays', async () => {
    const store = await open();
    const summary = blackBoxSummary(1);
    await store.save(summary, { stack: 'at f' });
    const outcome = { kind: 'restarted', servingAfterMs: 120 } as const;
    await store.save({ ...summary, outcome }, { report: { a: 1 } });
    expect(await summaryOf(summary.id)).toMatchObject({ outcome });
    expect(await read(summary.id, 'stack.txt')).toBe('at f\n');
    const [entry] = await store.list();
    expect(entry).toMatchObject({ id: summary.id, outcome: 'restarted', cause: 'crashed' });
    expect(entry?.files.map(({ name }) => name)).toEqual(['summary.json', 'stack.txt', 'report.json']);
    for (const { name, bytes } of entry?.files ?? []) {
      expect((await stat(join(directory, summary.id, name))).size).toBe(bytes);
    }
  });

  it('of several begun at once is written one after the other', async () => {
    const store = await open();
    const saved = await Promise.all(
      Array.from({ length: 10 }, (_, second) => store.save(blackBoxSummary(second), { stack: 'x' })),
    );
    expect(saved).toEqual(Array(10).fill(true));
    expect(await store.list()).toHaveLength(10);
  });

  it('has no secret of what was handed over', async () => {
    const store = await open();
    const summary = blackBoxSummary(1, { detail: 'GET http://x.example/?token=hush failed' });
    await store.save(summary, {
      stack: 'password=hush',
      stderr: 'DB at mysql://root:hush@db/x',
      report: { environmentVariables: { A: 'hush' }, header: { commandLine: ['hush'] }, kept: 1 },
    });
    for (const file of await readdir(join(directory, summary.id))) {
      expect(await read(summary.id, file)).not.toContain('hush');
    }
    expect(JSON.parse(await read(summary.id, 'report.json'))).toEqual({ header: {}, kept: 1 });
  });

  it('says what was left out, and why', async () => {
    const store = await open();
    const summary = blackBoxSummary(1);
    await store.save(summary, {
      report: Array(1_000).fill('x'.repeat(8_000)),
      heapProfile: { no: 'profile' },
    });
    expect((await summaryOf(summary.id)).omitted).toEqual([
      {
        file: 'report.json',
        why: expect.stringMatching(/^it has \d+ bytes, more than the \d+ that are kept$/),
      },
      { file: 'heap.heapprofile', why: 'what the agent sent is no heap profile' },
    ]);
    expect(store.dropped()).toBe(2);
  });
});

describe('reading', () => {
  it('gives files of entries that are there, and nothing else', async () => {
    const store = await open();
    const { id } = blackBoxSummary(1);
    await store.save(blackBoxSummary(1), { stack: 'at f' });
    await writeFile(join(parent, 'logs', 'stack.txt'), 'not yours');
    expect(await store.read(id, 'stack.txt')).toBe('at f\n');
    expect(await store.read(id, 'report.json')).toBeNull();
    expect(await store.read('..', 'stack.txt')).toBeNull();
    expect(await store.read(`${id}/..`, 'stack.txt')).toBeNull();
    expect(await store.read('nobody', 'stack.txt')).toBeNull();
  });

  it('forgets what a person removed', async () => {
    const store = await open();
    await store.save(blackBoxSummary(1), { stack: 'at f' });
    await store.save(blackBoxSummary(2), {});
    await rm(join(directory, blackBoxSummary(1).id), { recursive: true });
    expect(await store.save(blackBoxSummary(1), { report: { a: 1 } })).toBe(true);
    expect(await store.read(blackBoxSummary(1).id, 'stack.txt')).toBeNull();
    expect(store.dropped()).toBe(0);
    expect((await store.list()).map(({ id }) => id)).toEqual([blackBoxSummary(2).id]);
  });

  it('forgets nothing while the folder cannot be read, and says that once', async () => {
    const store = await open();
    const { id } = blackBoxSummary(1);
    await store.save(blackBoxSummary(1), { stack: 'at f' });
    await rename(directory, `${directory}-aside`);
    await writeFile(directory, 'a file where the folder should be');
    expect((await store.list()).map((entry) => entry.id)).toEqual([id]);
    expect(await store.list()).toHaveLength(1);
    expect(logged).toEqual(['the folder of black boxes cannot be read']);
    // Nor does one that is to be completed: it was not removed by a person, nobody can look.
    await store.save(blackBoxSummary(1), { stack: 'at g' });
    await rm(directory);
    await rename(`${directory}-aside`, directory);
    expect(await store.list()).toHaveLength(1);
    expect(await store.read(id, 'stack.txt')).toBe('at f\n');
  });

  it('a folder that is gone holds none', async () => {
    const store = await open();
    await store.save(blackBoxSummary(1), {});
    await rm(directory, { recursive: true });
    expect(await store.list()).toEqual([]);
    expect(logged).toEqual([]);
  });
});

describe('limits', () => {
  it('of number: a crash loop keeps what is newest of it, and leaves others alone', async () => {
    const store = await open(5);
    await store.save(blackBoxSummary(0, { cause: 'hung' }), {});
    for (let second = 1; second <= 10; second += 1) await store.save(blackBoxSummary(second), {});
    expect(await readdir(directory)).toHaveLength(5);
    expect((await store.list()).map(({ at, cause }) => `${cause} ${at.slice(17, 19)}`)).toEqual([
      'hung 05',
      'crashed 12',
      'crashed 13',
      'crashed 14',
      'crashed 15',
    ]);
  });

  it('of size: hold for what is on the disk', async () => {
    const store = await open(50, 100_000);
    for (let second = 1; second <= 10; second += 1) {
      await store.save(blackBoxSummary(second), { stderr: 'x'.repeat(5_000).concat('\n').repeat(5) });
    }
    const entries = await store.list();
    expect(entries.length).toBe(3);
    expect(entries.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(100_000);
    expect((await readdir(directory)).length).toBe(3);
  });

  it('hold for what a predecessor left', async () => {
    const before = await open();
    for (let second = 1; second <= 6; second += 1) await before.save(blackBoxSummary(second), {});
    const store = await open(2);
    expect(await readdir(directory)).toHaveLength(2);
    expect((await store.list()).map(({ id }) => id)).toEqual(
      [5, 6].map((second) => blackBoxSummary(second).id),
    );
  });

  it('do not bring back half of what made room while it was open', async () => {
    const store = await open(1);
    await store.save(blackBoxSummary(1), { stack: 'x' });
    await store.save(blackBoxSummary(2), { stack: 'x' });
    expect(await store.save(blackBoxSummary(1), { report: {} })).toBe(false);
    expect(await readdir(directory)).toEqual([blackBoxSummary(2).id]);
  });
});

describe('a successor', () => {
  it('finds the entries, goes on with them, and clears away what was never finished', async () => {
    const before = await open();
    await before.save(blackBoxSummary(1), { stack: 'at f' });
    await mkdir(join(directory, '.new-api-1-x'));
    await mkdir(join(directory, '.gone-api-1-x'));
    const store = await open();
    expect(await readdir(directory)).toEqual([blackBoxSummary(1).id]);
    expect(await store.list()).toEqual(await before.list());
    await store.save(blackBoxSummary(1), { report: { a: 1 } });
    expect((await store.list())[0]?.files).toHaveLength(3);
    expect(logged).toEqual([]);
  });

  it('leaves alone what is no entry, and says so once', async () => {
    await mkdir(join(directory, 'holiday'), { recursive: true });
    await mkdir(join(directory, 'api-1-x'));
    await writeFile(join(directory, 'api-1-x', 'summary.json'), '{"id":"other"}');
    await mkdir(join(directory, 'api-2-x'));
    await writeFile(join(directory, 'api-2-x', 'summary.json'), '{');
    const store = await open(1);
    await store.save(blackBoxSummary(1), {});
    expect(await store.list()).toHaveLength(1);
    expect((await readdir(directory)).sort()).toEqual(
      ['api-1-x', 'api-2-x', blackBoxSummary(1).id, 'holiday'].sort(),
    );
    expect(logged).toEqual(['some of what lies among the black boxes is none']);
  });
});

describe('a disk that refuses', () => {
  it('costs the entry, is told once, counted, and got over', async () => {
    await mkdir(join(parent, 'logs'));
    await writeFile(directory, 'a file where the folder should be');
    const store = await open();
    expect(await store.save(blackBoxSummary(1), {})).toBe(false);
    expect(await store.save(blackBoxSummary(2), {})).toBe(false);
    expect(store.dropped()).toBe(2);
    expect(await store.list()).toEqual([]);
    await rm(directory);
    expect(await store.save(blackBoxSummary(3), {})).toBe(true);
    expect(logged).toEqual([
      'the folder of black boxes cannot be read',
      'a black box cannot be written; others are tried, and counted',
      'black boxes are written again',
    ]);
  });
});
