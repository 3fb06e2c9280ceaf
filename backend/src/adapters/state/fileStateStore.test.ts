import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { waitFor } from '../../../../test/support/waitFor.js';
import { writeSynced } from '../files/synced.js';
import { FileStateStore } from './fileStateStore.js';

let directory: string;
let file: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-state-'));
  file = join(directory, 'data', 'state.json');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const namesThere = (): string[] => readdirSync(join(directory, 'data')).sort();

function place(text: string): void {
  mkdirSync(join(directory, 'data'), { recursive: true });
  writeFileSync(file, text);
}

describe('FileStateStore', () => {
  it('has no state at first', async () => {
    expect(await new FileStateStore(file).load()).toEqual({ state: null });
  });

  it('gives back what was saved, to its owner only', async () => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), async (state) => {
        await new FileStateStore(file).save(state);
        expect(await new FileStateStore(file).load()).toEqual({ state: JSON.parse(JSON.stringify(state)) });
      }),
      { numRuns: 30 },
    );
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(namesThere()).toEqual(['state.json']);
  });

  it('saves one after the other, each as it was when it was asked for', async () => {
    const store = new FileStateStore(file);
    const state = { n: 0 };
    const seen: unknown[] = [];
    const saves = Array.from({ length: 20 }, (_, n) => {
      state.n = n;
      return store
        .save(state)
        .then(() => seen.push((JSON.parse(readFileSync(file, 'utf8')) as { state: { n: number } }).state.n));
    });
    state.n = -1;
    await Promise.all(saves);
    expect(seen).toEqual([...seen].sort((a, b) => Number(a) - Number(b)));
    expect((await store.load()).state).toEqual({ n: 19 });
  });

  it('sets aside on request what it can read but its owner cannot use', async () => {
    const store = new FileStateStore(file);
    await store.save({ from: 'another release' });
    const movedTo = await store.setAside();
    expect(readFileSync(movedTo, 'utf8')).toContain('another release');
    expect(await store.load()).toEqual({ state: null });
  });

  it('keeps a copy on request, which later saves do not change', async () => {
    const store = new FileStateStore(file);
    await store.save({ desired: -1 });
    const copy = await store.keepCopy();
    expect(copy).not.toBe(file);
    expect((await store.load()).state).toEqual({ desired: -1 });
    await store.save({ desired: 2 });
    expect(readFileSync(copy, 'utf8')).toContain('-1');
    expect((await store.load()).state).toEqual({ desired: 2 });
  });

  it.each(['"1"', 'null', '{}', 'true'])(
    'reads on when the version is %s, which says nothing',
    async (version) => {
      place(`{"version":${version},"state":{"desired":3}}`);
      expect((await new FileStateStore(file).load()).state).toEqual({ desired: 3 });
    },
  );

  it.each([
    ['', 'empty'],
    ['{"version":1,"state":{"a"', 'not JSON'],
    ['\u0000\u0000\u0000', 'not JSON'],
    ['[]', 'not a state file'],
    ['null', 'not a state file'],
    ['{"desired":3}', 'not a state file'],
    ['{"version":7,"state":{}}', 'version 7; this Holdfast reads version 1'],
  ])('sets %j aside and says why', async (text, problem) => {
    place(text);
    const store = new FileStateStore(file);
    const { state, damaged } = await store.load();
    expect(state).toBeNull();
    expect(damaged?.problem).toContain(problem);
    expect(damaged?.movedTo.startsWith(`${file}.damaged-`)).toBe(true);
    expect(readFileSync(damaged?.movedTo ?? '', 'utf8')).toBe(text);

    await store.save({ fresh: true });
    expect(await store.load()).toEqual({ state: { fresh: true } });
  });

  it('sets aside what is no file', async () => {
    mkdirSync(file, { recursive: true });
    const { damaged } = await new FileStateStore(file).load();
    expect(damaged?.problem).toContain('EISDIR');
    expect(namesThere()).toEqual([expect.stringMatching(/^state\.json\.damaged-/)]);
  });

  it('begins with nothing else where the file is there and cannot be read, and leaves it', async () => {
    mkdirSync(join(directory, 'data'));
    const server = createServer().listen(file);
    await once(server, 'listening');
    // ENXIO, where there might be EIO, ESTALE or EACCES.
    await expect(new FileStateStore(file).load()).rejects.toMatchObject({
      code: 'state.unreadable',
      retryable: true,
    });
    expect(namesThere()).toEqual(['state.json']);
    server.close();
  });

  it('keeps the newest few of the damaged ones', async () => {
    mkdirSync(join(directory, 'data'));
    for (let day = 10; day < 18; day += 1)
      writeFileSync(`${file}.damaged-2020-01-${day}T00-00-00.000Z`, String(day));
    place('garbage');
    const { damaged } = await new FileStateStore(file).load();
    const names = namesThere();
    expect(names).toHaveLength(5);
    expect(names[0]).toContain('2020-01-14');
    expect(damaged?.movedTo.endsWith(names[4] ?? '?')).toBe(true);
  });

  it('removes what predecessors left half-written', async () => {
    place('{"version":1,"state":"old"}');
    writeFileSync(`${file}.tmp-4711`, '{"versi');
    expect(await new FileStateStore(file).load()).toEqual({ state: 'old' });
    expect(namesThere()).toEqual(['state.json']);
  });

  it('rejects what it cannot write, and works again when it can', async () => {
    writeFileSync(join(directory, 'data'), 'a file where the directory should be');
    const store = new FileStateStore(file);
    await expect(store.save(1)).rejects.toMatchObject({ code: 'state.unwritable', retryable: true });
    rmSync(join(directory, 'data'));
    await store.save(2);
    expect((await store.load()).state).toBe(2);
  });
});

/** Opening a named pipe to write takes until another process or thread reads from it: a call that hangs, as on a dead disk. */
describe('a disk that hangs', () => {
  const hang = (attempt: number): string => {
    const pipe = `${file}.tmp-${process.pid}-${attempt}`;
    mkdirSync(join(directory, 'data'), { recursive: true });
    execFileSync('mkfifo', [pipe]);
    return pipe;
  };
  const readers: number[] = [];
  /** The call returns. */
  const goOn = (pipe: string): void => {
    readers.push(openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK));
  };
  // A call that hangs keeps a thread of the process, which later tests need.
  afterEach(async () => {
    for (const name of namesThere().filter((one) => one.includes('.tmp-')))
      goOn(join(directory, 'data', name));
    await waitFor(() => !namesThere().some((one) => one.includes('.tmp-')), { what: 'what hung to end' });
    for (const reader of readers.splice(0)) closeSync(reader);
  });
  // A disk that works may take its time; one that hangs is not waited for.
  const works = { patienceMs: 60_000, retryMs: 0 };
  const hangs = { patienceMs: 50, retryMs: 60_000 };
  const options: { patienceMs: number; retryMs: number; write?: typeof writeSynced } = { ...hangs };
  const now = (state: typeof works): void => void Object.assign(options, state);
  let store: FileStateStore;
  beforeEach(() => {
    Object.assign(options, hangs, { write: writeSynced });
    store = new FileStateStore(file, options);
  });

  it('is waited for and told by a load, which gives what is there when it goes on', async () => {
    mkdirSync(join(directory, 'data'));
    execFileSync('mkfifo', [file]);
    const told: number[] = [];
    const loaded = new FileStateStore(file, {
      patienceMs: 5,
      onWaiting: (waitedMs) => told.push(waitedMs),
    }).load();
    await waitFor(() => told.length > 1, { what: 'the second word of it' });
    expect(told[0]).toBeGreaterThanOrEqual(4);
    writeFileSync(file, '{"version":1,"state":{"desired":3}}');
    expect(await loaded).toEqual({ state: { desired: 3 } });
  });

  it('refuses the save in time, and those that follow at once; after a pause one is tried again', async () => {
    const pipe = hang(1);
    await expect(store.save({ n: 1 })).rejects.toThrow('the disk has not answered for 1 s');
    await expect(store.save({ n: 2 })).rejects.toThrow('the disk has not answered');
    expect(namesThere()).toHaveLength(1);
    now(works);
    await store.save({ n: 3 });
    // What hung comes back, and does not cover what is newer.
    goOn(pipe);
    await waitFor(() => namesThere().length === 1, { what: 'the end of what hung' });
    expect((await store.load()).state).toEqual({ n: 3 });
  });

  it('saves again as soon as it goes on, without what was refused', async () => {
    const pipe = hang(1);
    await expect(store.save({ n: 1 })).rejects.toThrow('the disk has not answered');
    goOn(pipe);
    await waitFor(() => namesThere().length === 0, { what: 'the end of what hung' });
    options.patienceMs = works.patienceMs;
    await store.save({ n: 2 });
    expect((await store.load()).state).toEqual({ n: 2 });
  });

  it('… though it had taken what was refused', async () => {
    let goesOn = (): void => undefined;
    const stuck = new Promise<void>((resolve) => (goesOn = resolve));
    const ended: string[] = [];
    const write = async (temporary: string, text: string): Promise<void> => {
      if (text.includes('"n":1')) await stuck;
      await writeSynced(temporary, text);
      ended.push(text);
    };
    store = new FileStateStore(file, Object.assign(options, { write }));
    await expect(store.save({ n: 1 })).rejects.toThrow('the disk has not answered');
    now(works);
    await store.save({ n: 2 });
    goesOn();
    await waitFor(() => ended.length === 2 && namesThere().length === 1, { what: 'the end of what hung' });
    expect((await store.load()).state).toEqual({ n: 2 });
  });

  it('gets no third save while two are stuck', async () => {
    const pipes = [hang(1), hang(2)];
    options.retryMs = 0;
    await expect(store.save({ n: 1 })).rejects.toThrow('the disk has not answered');
    await expect(store.save({ n: 2 })).rejects.toThrow('the disk has not answered');
    await expect(store.save({ n: 3 })).rejects.toThrow('the disk has not answered');
    expect(namesThere()).toHaveLength(2);
    pipes.forEach(goOn);
    await waitFor(() => namesThere().length === 0, { what: 'the end of what hung' });
    now(works);
    await store.save({ n: 4 });
    expect((await store.load()).state).toEqual({ n: 4 });
  });
});
