/** Copies of the files that serve, on a real disk: what is kept, when, and what putting it back touches. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { DIFFICULT_NAMES } from '../../../../test/support/names.js';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FileBuildStore } from './fileBuildStore.js';

let root: string;
let store: FileBuildStore;
/** Later than everything that was written so far. */
const soon = (): number => Date.now() + 1_000;

const put = (path: string, text: string): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
};
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const script = (): string => join(root, 'api/dist/main.js');

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'holdfast-builds-'));
  store = new FileBuildStore(join(root, 'kept'));
  put('api/package.json', '{}');
  put('api/dist/main.js', 'good');
  put('api/dist/routes.json', '[]');
  put('api/db.json', 'data 1');
  put('api/node_modules/x/index.js', 'dependency');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

it('puts code back, keeps what lay there, and touches nothing that the application writes', async () => {
  expect(await store.keep('api', script(), soon())).toEqual({ ok: true });
  expect(await store.differences('api')).toEqual([]);
  put('api/dist/main.js', 'bad');
  put('api/db.json', 'data 2');
  put('api/node_modules/x/index.js', 'other');
  rmSync(join(root, 'api/dist/routes.json'));
  expect([...(await store.differences('api'))!].sort()).toEqual(
    ['dist/main.js', 'dist/routes.json'].map((path) => join(root, 'api', path)),
  );
  const done = await store.putBack('api');
  expect(read('api/dist/main.js')).toBe('good');
  expect(read('api/dist/routes.json')).toBe('[]');
  expect([read('api/db.json'), read('api/node_modules/x/index.js')]).toEqual(['data 2', 'other']);
  expect(readFileSync(join(done!.aside!, 'dist/main.js'), 'utf8')).toBe('bad');
  expect(await store.differences('api')).toEqual([]);
  expect(readdirSync(join(root, 'api/dist')).sort()).toEqual(['main.js', 'routes.json']);
});

it('keeps no files that are newer than the instances, and leaves the copy before alone', async () => {
  expect(await store.keep('api', script(), soon())).toEqual({ ok: true });
  put('api/dist/main.js', 'bad');
  const refused = await store.keep('api', script(), Date.now() - 60_000);
  expect(refused).toEqual({ ok: false, problem: expect.stringContaining('has changed since') });
  expect(await store.differences('api')).toEqual([script()]);
});

it('points a link to the release again that served', async () => {
  mkdirSync(join(root, 'releases'));
  renameSync(join(root, 'api'), join(root, 'releases/1'));
  symlinkSync('releases/1', join(root, 'current'));
  expect(await store.keep('api', join(root, 'current/dist/main.js'), soon())).toEqual({ ok: true });
  put('releases/2/package.json', '{}');
  put('releases/2/dist/main.js', 'bad');
  rmSync(join(root, 'current'));
  symlinkSync('releases/2', join(root, 'current'));
  expect(await store.putBack('api')).toEqual({ restored: [join(root, 'current')], aside: null });
  expect(readlinkSync(join(root, 'current'))).toBe('releases/1');
  expect(read('releases/2/dist/main.js')).toBe('bad');
});

it('keeps the newest three of what was put aside, and says when nothing is kept', async () => {
  expect(await store.putBack('other')).toBeNull();
  expect(await store.differences('other')).toBeNull();
  await store.keep('api', script(), soon());
  for (let round = 0; round < 5; round += 1) {
    put('api/dist/main.js', `bad ${round}`);
    await store.putBack('api');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  const asides = readdirSync(join(root, 'kept'))
    .filter((name) => name.includes('aside'))
    .sort();
  expect(asides).toHaveLength(3);
  expect(readFileSync(join(root, 'kept', asides.at(-1)!, 'dist/main.js'), 'utf8')).toBe('bad 4');
});

it('does not fail where the script is gone', async () => {
  expect(await store.keep('api', '/no/such/place/main.js', soon())).toMatchObject({ ok: false });
  expect(existsSync(join(root, 'kept/api.new'))).toBe(false);
});

it.each([...DIFFICULT_NAMES])('keeps what %s serves apart from all else', async (name) => {
  const before = readdirSync(root).sort();
  expect(await store.keep('web', script(), soon())).toEqual({ ok: true });
  expect(await store.keep(name, script(), soon())).toEqual({ ok: true });
  expect(readdirSync(join(root, 'kept')).sort()).toHaveLength(2);
  expect(readdirSync(root).sort()).toEqual([...new Set([...before, 'kept'])].sort());
  put('api/dist/main.js', 'bad');
  expect(await store.putBack(name)).toMatchObject({ restored: [script()] });
});
