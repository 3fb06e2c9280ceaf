import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

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

  it.each([
    ['', 'empty'],
    ['{"version":1,"state":{"a"', 'not JSON'],
    ['\u0000\u0000\u0000', 'not JSON'],
    ['[]', 'not a state file'],
    ['null', 'not a state file'],
    ['{"desired":3}', 'not a state file'],
    ['{"version":7,"state":{}}', 'version 7; this Holdfast reads version 1'],
    ['{"version":"1","state":{}}', 'version "1"'],
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

  it('sets aside what cannot even be read', async () => {
    mkdirSync(file, { recursive: true });
    const { damaged } = await new FileStateStore(file).load();
    expect(damaged?.problem).toContain('EISDIR');
    expect(namesThere()).toEqual([expect.stringMatching(/^state\.json\.damaged-/)]);
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
