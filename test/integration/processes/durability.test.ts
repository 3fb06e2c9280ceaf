/**
 * What is written must be whole, whatever happens to the writer (kill -9) or to the disk (full).
 * The full-disk tests need a small file system of their own, which only root may mount; elsewhere they are skipped.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { FileBlackBoxStore } from '../../../backend/src/adapters/blackBox/fileBlackBoxStore.js';
import { FileHistory } from '../../../backend/src/adapters/history/fileHistory.js';
import { createLogger } from '../../../backend/src/adapters/logging/logger.js';
import { FileStateStore } from '../../../backend/src/adapters/state/fileStateStore.js';
import type { EventRecord } from '../../../backend/src/domain/events.js';
import type { Logger } from '../../../backend/src/ports.js';
import { blackBoxSummary } from '../../support/blackBoxes.js';
import { waitFor } from '../../support/waitFor.js';

const compiled = (path: string): string => new URL(`../../../backend/dist/${path}`, import.meta.url).href;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-durability-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function runModule(source: string, ...args: string[]): ChildProcess {
  return spawn(process.execPath, ['--input-type=module', '-e', source, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

function remembering(): { readonly logger: Logger; readonly logged: string[] } {
  const logged: string[] = [];
  const note = (message: string): void => void logged.push(message);
  return { logger: { debug: note, info: note, warn: note, error: note }, logged };
}

describe('the state file', () => {
  /** Saves ever newer states of very different lengths and tells of each that is safe. */
  const WRITER = `
    import { FileStateStore } from '${compiled('adapters/state/fileStateStore.js')}';
    const [file, from] = process.argv.slice(1);
    const store = new FileStateStore(file);
    for (let n = Number(from); ; n += 1) {
      await store.save({ n, filler: String(n % 10).repeat((n * 7919) % 200_000) });
      process.stdout.write(n + '\\n');
    }`;

  it('is whole and not older than the last acknowledged save after kill -9 at any moment, 30 times', async () => {
    const file = join(directory, 'state.json');
    let known = 0;
    for (let round = 0; round < 30; round += 1) {
      const writer = runModule(WRITER, file, String(known + 1));
      const ended = once(writer, 'close');
      let acknowledged = 0;
      const lines = createInterface({ input: writer.stdout as NodeJS.ReadableStream });
      // Killed in the middle of whatever it does a random moment after its first few saves.
      const killAt = known + 2 + Math.floor(Math.random() * 20);
      lines.on('line', (line) => {
        acknowledged = Math.max(acknowledged, Number(line));
        if (acknowledged === killAt) setTimeout(() => writer.kill('SIGKILL'), Math.random() * 3);
      });
      await ended;

      const { state, damaged } = await new FileStateStore(file).load();
      expect(damaged).toBeUndefined();
      const { n, filler } = state as { n: number; filler: string };
      expect(n).toBeGreaterThanOrEqual(acknowledged);
      expect(filler).toBe(String(n % 10).repeat((n * 7919) % 200_000));
      expect(readdirSync(directory)).toEqual(['state.json']);
      known = n;
    }
    expect(known).toBeGreaterThan(60);
  });
});

describe('black boxes', () => {
  /** Writes entries, each in two steps, and tells of each that is safe. */
  const WRITER = `
    import { FileBlackBoxStore } from '${compiled('adapters/blackBox/fileBlackBoxStore.js')}';
    const [directory, template] = process.argv.slice(1);
    const none = () => {};
    const logger = { debug: none, info: none, warn: none, error: none };
    const store = await FileBlackBoxStore.open({ directory, mostEntries: 8, mostBytes: 4e6, logger });
    for (let n = Date.now(); ; n += 1) {
      const summary = { ...JSON.parse(template), id: 'api-1-' + n, at: new Date(n).toISOString() };
      await store.save(summary, { stack: 'at f', stderr: ('line ' + n + '\\n').repeat(n % 2_000) });
      process.stdout.write(n + '\\n');
      await store.save({ ...summary, ranMs: 2 }, { report: { filler: [String(n % 10).repeat((n * 7919) % 8_000)] } });
    }`;

  it('are whole entries of whole files after kill -9 at any moment, 20 times, and bounded', async () => {
    const place = join(directory, 'blackbox');
    const { logger, logged } = remembering();
    for (let round = 0; round < 20; round += 1) {
      const writer = runModule(WRITER, place, JSON.stringify(blackBoxSummary(0)));
      const ended = once(writer, 'close');
      const lines = createInterface({ input: writer.stdout as NodeJS.ReadableStream });
      let safe: string | null = null;
      let countdown = 1 + Math.floor(Math.random() * 8);
      lines.on('line', (line) => {
        safe = line;
        countdown -= 1;
        if (countdown === 0) setTimeout(() => writer.kill('SIGKILL'), Math.random() * 5);
      });
      await ended;

      const store = await FileBlackBoxStore.open({
        directory: place,
        mostEntries: 8,
        mostBytes: 4e6,
        logger,
      });
      const entries = await store.list();
      expect(readdirSync(place).sort()).toEqual(entries.map(({ id }) => id).sort());
      expect(entries.length).toBeLessThanOrEqual(8);
      expect(entries.map(({ id }) => id)).toContain(`api-1-${safe}`);
      for (const { id, files } of entries) {
        expect(readdirSync(join(place, id)).sort()).toEqual(files.map(({ name }) => name).sort());
        for (const { name, bytes } of files) {
          expect(bytes).toBeGreaterThan(0);
          const text = readFileSync(join(place, id, name), 'utf8');
          expect(text.endsWith('\n')).toBe(true);
          if (name.endsWith('.json')) JSON.parse(text);
        }
      }
    }
    expect(logged).toEqual([]);
  });
});

describe('the log', () => {
  it('has every line of a process that exits at once, and leaves a stdout that is no terminal alone', async () => {
    const file = join(directory, 'logs', 'x.log');
    const child = runModule(
      `import { createLogger } from '${compiled('adapters/logging/logger.js')}';
       const log = createLogger({ file: process.argv[1] });
       for (let n = 0; n < 500; n += 1) log.info('line', { n });
       process.exit(3);`,
      file,
    );
    let shown = '';
    child.stdout?.on('data', (chunk: Buffer) => (shown += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number];
    expect(code).toBe(3);
    expect(shown).toBe('');
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { n: number }).n)).toEqual(lines.map((_line, n) => n));
    expect(lines).toHaveLength(500);
  });
});

describe('a full disk', () => {
  let mountPoint: string;
  let ballast: string;
  const { logger, logged } = remembering();

  /** Leaves room for so many bytes, in pages of 4096. */
  function fillBut(roomBytes: number): void {
    rmSync(ballast, { force: true });
    const used = readdirSync(mountPoint, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .reduce((sum, entry) => sum + Math.ceil(statSync(join(entry.parentPath, entry.name)).size / 4096), 0);
    const pages = 128 - used - Math.ceil(roomBytes / 4096);
    writeFileSync(ballast, Buffer.alloc(pages * 4096, 'x'));
  }
  const makeRoom = (): void => rmSync(ballast);

  let mounted = false;
  beforeAll(() => {
    mountPoint = mkdtempSync(join(tmpdir(), 'holdfast-small-disk-'));
    ballast = join(mountPoint, 'ballast');
    const mount = ['-t', 'tmpfs', '-o', 'size=512k', 'holdfast-test', mountPoint];
    mounted = process.platform === 'linux' && spawnSync('mount', mount).status === 0;
  });
  afterAll(() => {
    if (mounted) spawnSync('umount', [mountPoint]);
    rmSync(mountPoint, { recursive: true, force: true });
  });
  beforeEach((test) => {
    test.skip(!mounted, 'only root may mount a file system');
    for (const name of readdirSync(mountPoint)) rmSync(join(mountPoint, name), { recursive: true });
    logged.length = 0;
  });

  it('leaves the old state whole, and is got over', async () => {
    const file = join(mountPoint, 'state.json');
    const store = new FileStateStore(file);
    await store.save({ old: true });
    fillBut(8_192);
    await expect(store.save({ big: 'x'.repeat(100_000) })).rejects.toMatchObject({
      code: 'state.unwritable',
      message: expect.stringContaining('ENOSPC'),
    });
    expect(await new FileStateStore(file).load()).toEqual({ state: { old: true } });
    expect(readdirSync(mountPoint).sort()).toEqual(['ballast', 'state.json']);
    makeRoom();
    await store.save({ big: 'x'.repeat(100_000) });
    expect((await store.load()).state).toEqual({ big: 'x'.repeat(100_000) });
  });

  it('tears no line of the log, which goes on by itself and says what is missing', async () => {
    const file = join(mountPoint, 'x.log');
    const log = createLogger({ file });
    fillBut(16_384);
    const filler = 'y'.repeat(1_000);
    for (let n = 0; n < 2_000; n += 1) log.info('line', { n, filler });
    await waitFor(() => log.dropped() > 0, { what: 'lines dropped' });
    makeRoom();
    // More waits than there is room for: what was queued takes the rest of the disk. Rotation is not what is tested.
    await log.close();

    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    const numbers = lines.map((line) => JSON.parse(line) as { n?: number }).flatMap(({ n }) => n ?? []);
    expect(numbers.length).toBeGreaterThan(0);
    expect(numbers).toEqual(numbers.map((_n, index) => index));
    expect(numbers.length + log.dropped()).toBeGreaterThanOrEqual(2_000);
  });

  it('costs the history nothing that memory can hold', async () => {
    const file = join(mountPoint, 'events.jsonl');
    const history = await FileHistory.open({ file, logger });
    const event = (seq: number): EventRecord => ({
      seq,
      type: 'service.reset',
      at: new Date(seq).toISOString(),
      service: 'shop',
      data: { service: 'shop', by: 'z'.repeat(500) },
    });
    fillBut(4_096);
    for (let seq = 0; seq < 200; seq += 1) history.append(event(seq));
    await waitFor(() => logged.some((line) => line.includes('cannot be written')), {
      what: 'the disk to be full',
    });
    expect(history.query({ limit: 1_000 })).toHaveLength(200);
    makeRoom();
    await waitFor(() => logged.some((line) => line.includes('written again')), { what: 'the recovery' });
    await history.close();
    expect(history.dropped()).toBe(0);

    const reopened = await FileHistory.open({ file, logger });
    expect(reopened.query({ limit: 1_000 }).map(({ seq }) => seq)).toEqual(
      Array.from({ length: 200 }, (_, seq) => seq),
    );
    await reopened.close();
  });

  it('leaves out of a black box what has no room, then the whole of it, and never half a file', async () => {
    const place = join(mountPoint, 'blackbox');
    const store = await FileBlackBoxStore.open({ directory: place, mostEntries: 9, mostBytes: 1e9, logger });
    const report = Array.from({ length: 30 }, () => 'x'.repeat(8_000));
    const pieces = { stack: 'at f (/app/a.js:1:1)', report };
    await store.save(blackBoxSummary(1), {});
    fillBut(100_000);
    const partial = blackBoxSummary(2);
    expect(await store.save(partial, pieces)).toBe(true);
    expect(readdirSync(join(place, partial.id)).sort()).toEqual(['stack.txt', 'summary.json']);
    const text = await store.read(partial.id, 'summary.json');
    expect(JSON.parse(text ?? '')).toMatchObject({
      omitted: [{ file: 'report.json', why: expect.stringContaining('ENOSPC') }],
    });
    expect(store.dropped()).toBe(1);

    fillBut(0);
    expect(await store.save(blackBoxSummary(3), pieces)).toBe(false);
    expect(await store.save({ ...partial, ranMs: 2 }, { report })).toBe(false);
    expect(store.dropped()).toBe(3);
    expect(readdirSync(place).sort()).toEqual([blackBoxSummary(1).id, partial.id].sort());
    expect(await store.read(partial.id, 'summary.json')).toBe(text);
    expect(logged).toEqual(['a black box cannot be written; others are tried, and counted']);

    makeRoom();
    expect(await store.save(blackBoxSummary(4), pieces)).toBe(true);
    expect((await store.list()).at(-1)?.files.map(({ name }) => name)).toEqual([
      'summary.json',
      'stack.txt',
      'report.json',
    ]);
  });
});
