import { fork } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sessionSecretIn } from './sessionSecret.js';

const library = fileURLToPath(new URL('../../../sessionSecret.cjs', import.meta.url));

let folder = '';
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'holdfast-secret-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the secret of the data directory', () => {
  it('is made once, for its owner only, and stays', () => {
    const dataDir = join(folder, 'not/there/yet');
    const secret = sessionSecretIn(dataDir);
    expect(secret).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(sessionSecretIn(dataDir)).toBe(secret);
    expect(statSync(join(dataDir, 'session-secret')).mode & 0o777).toBe(0o600);
    expect(readdirSync(dataDir)).toEqual(['session-secret']);
  });

  it('is one secret for processes that start at the same time', async () => {
    const program = join(folder, 'program.cjs');
    writeFileSync(
      program,
      `const { keptSecret } = require(${JSON.stringify(library)});
       process.once('message', (file) => process.send(keptSecret(file), () => process.disconnect()));
       process.send('ready');`,
    );
    const processes = Array.from({ length: 6 }, () => fork(program));
    await Promise.all(processes.map((process) => once(process, 'message')));
    const secrets = await Promise.all(
      processes.map(async (process) => {
        const answer = once(process, 'message');
        process.send(join(folder, 'session-secret'));
        return ((await answer) as [string])[0];
      }),
    );
    expect(new Set(secrets)).toEqual(new Set([readFileSync(join(folder, 'session-secret'), 'utf8')]));
    expect(readdirSync(folder).sort()).toEqual(['program.cjs', 'session-secret']);
  });

  it.each([
    ['is empty', (file: string) => writeFileSync(file, ''), /holds 0 characters.*Remove it/],
    ['was cut short', (file: string) => writeFileSync(file, 'abc\n'), /holds 3 characters/],
    [
      'is a folder',
      (file: string) => mkdirSync(file),
      /can't be kept in .*, because it is a folder.*or set SESSION_SECRET/,
    ],
    [
      'is a link',
      (file: string) => symlinkSync(library, file),
      /can't be kept in .*, because it is a symbolic link/,
    ],
    [
      'may be written by others',
      (file: string) => (writeFileSync(file, 'x'.repeat(43)), chmodSync(file, 0o606)),
      /can't be kept in .*, because others may write to it, so it is not believed; run: chmod go-w/,
    ],
  ])('says what is wrong where the file %s, and leaves it', (_, damage, problem) => {
    damage(join(folder, 'session-secret'));
    expect(() => sessionSecretIn(folder)).toThrow(problem);
    expect(readdirSync(folder)).toEqual(['session-secret']);
  });

  it.skipIf(process.getuid?.() !== 0)("is not believed where the file is another user's (needs root)", () => {
    const file = join(folder, 'session-secret');
    writeFileSync(file, 'x'.repeat(43), { mode: 0o600 });
    chownSync(file, 65_534, 65_534);
    expect(() => sessionSecretIn(folder)).toThrow(/it belongs to uid 65534, .*; run: chown 0 /);
  });

  it('says what is wrong where the folder is none', () => {
    writeFileSync(join(folder, 'file'), '');
    expect(() => sessionSecretIn(join(folder, 'file'))).toThrow(
      /can't be kept in .*(?:ENOTDIR|EEXIST|no such file)/,
    );
  });
});
