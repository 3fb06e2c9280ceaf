import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { appendOwnSync, copyOwn, openOwn, readOwn, writeOwn } from './ownFiles.js';

const IS_ROOT = process.getuid?.() === 0;
const STRANGER = 65_534;

let folder: string;
let path: string;
let precious: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-own-'));
  [path, precious] = [join(folder, 'file'), join(folder, 'precious')];
  writeFileSync(precious, 'precious');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const modeOf = (file: string): string => (statSync(file).mode & 0o777).toString(8);

async function append(mode?: number): Promise<void> {
  const handle = await openOwn(path, 'append', mode);
  await handle.write('more');
  await handle.close();
}

describe('a symbolic link in the place of a file', () => {
  it.each<[string, () => Promise<unknown> | unknown]>([
    ['appended to', () => append()],
    ['appended to at the end', () => appendOwnSync(path, 'more', 0o600)],
    ['written', () => writeOwn(path, 'other')],
    ['read', () => readOwn(path)],
  ])('is not followed when it is %s', async (_how, act) => {
    symlinkSync(precious, path);
    await expect((async () => act())()).rejects.toThrow(/file is a symbolic link, and Holdfast follows none/);
    expect(readFileSync(precious, 'utf8')).toBe('precious');
  });

  it('… nor where it leads to nothing yet', async () => {
    symlinkSync(join(folder, 'new'), path);
    await expect(writeOwn(path, 'x')).rejects.toThrow('is a symbolic link');
    expect(() => statSync(join(folder, 'new'))).toThrow('ENOENT');
  });

  it('is replaced by a copy', async () => {
    writeFileSync(join(folder, 'source'), 'source');
    symlinkSync(precious, path);
    await copyOwn(join(folder, 'source'), path);
    expect([readFileSync(path, 'utf8'), readFileSync(precious, 'utf8')]).toEqual(['source', 'precious']);
  });

  it('may be a folder on the way', async () => {
    mkdirSync(join(folder, 'real'));
    symlinkSync('real', join(folder, 'link'));
    await writeOwn(join(folder, 'link/file'), 'text');
    expect(await readOwn(join(folder, 'real/file'))).toBe('text');
  });
});

describe('permissions', () => {
  it('are those of this user alone, also of a file that had others', async () => {
    writeFileSync(path, 'a longer text');
    chmodSync(path, 0o666);
    await writeOwn(path, 'short');
    expect([modeOf(path), readFileSync(path, 'utf8')]).toEqual(['600', 'short']);
    chmodSync(path, 0o666);
    await append(0o640);
    expect([modeOf(path), readFileSync(path, 'utf8')]).toEqual(['640', 'shortmore']);
    chmodSync(path, 0o666);
    appendOwnSync(path, '!', 0o600);
    expect([modeOf(path), readFileSync(path, 'utf8')]).toEqual(['600', 'shortmore!']);
  });

  it.skipIf(!IS_ROOT)("of another user's file stay, and it is not replaced (needs root)", async () => {
    writeFileSync(path, 'theirs');
    chmodSync(path, 0o666);
    chownSync(path, STRANGER, STRANGER);
    await expect(writeOwn(path, 'ours')).rejects.toThrow(`belongs to uid ${STRANGER}`);
    await append();
    expect([modeOf(path), readFileSync(path, 'utf8')]).toEqual(['666', 'theirsmore']);
  });

  it('of a device are left alone', async () => {
    const before = modeOf('/dev/full');
    const handle = await openOwn('/dev/full', 'append');
    await expect(handle.write('x')).rejects.toThrow('ENOSPC');
    await handle.close();
    expect(modeOf('/dev/full')).toBe(before);
  });
});

it('keeps the other names of a file that it copies over', async () => {
  linkSync(precious, path);
  writeFileSync(join(folder, 'source'), 'source');
  await copyOwn(join(folder, 'source'), path);
  expect(readFileSync(precious, 'utf8')).toBe('precious');
});
