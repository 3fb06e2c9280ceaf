import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readSecretFile } from './secretFiles.js';

const { keepSecret } = createRequire(import.meta.url)('../../secretFiles.cjs') as {
  keepSecret(folder: string, name: string, value: string): string;
};

const IS_ROOT = process.getuid?.() === 0;
const STRANGER = 65_534;
const CONTENT = 'hunter2-hunter2-hunter2';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-secrets-'));
  file = join(folder, 'token');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const write = (text: string, mode = 0o600): void => {
  writeFileSync(file, text);
  chmodSync(file, mode);
};

describe('the content of a file', () => {
  it.each([
    [CONTENT, CONTENT],
    [`${CONTENT}\n`, CONTENT],
    [`${CONTENT}\r\n`, CONTENT],
    [`${CONTENT}\n\n`, `${CONTENT}\n`],
    [`  ${CONTENT} \t\n`, `  ${CONTENT} \t`],
    ['pässword\n', 'pässword'],
  ])('is the secret, without the final line break: %j', (text, secret) => {
    write(text);
    expect(readSecretFile(file)).toBe(secret);
  });

  it.each([0o400, 0o440, 0o444, 0o600, 0o644])('is believed with the permissions %o', (mode) => {
    write(CONTENT, mode);
    expect(readSecretFile(file)).toBe(CONTENT);
  });

  it('is that of the file that links lead to, as Kubernetes mounts it; in a folder of ours it is not', () => {
    write(CONTENT);
    symlinkSync('token', join(folder, 'link'));
    expect(readSecretFile(join(folder, 'link'))).toBe(CONTENT);
    expect(() => readSecretFile(join(folder, 'link'), { isOurs: true })).toThrow('it is a symbolic link');
    expect(readSecretFile(file, { isOurs: true })).toBe(CONTENT);
  });
});

describe('a file that is not believed', () => {
  it.each<[string, () => void, string]>([
    ['is missing', () => undefined, 'there is no such file'],
    ['has a file in its path', () => [write(CONTENT), (file = join(file, 'x'))], 'there is no such file'],
    ['is empty', () => write(''), 'it is empty'],
    ['has a line break alone', () => write('\n'), 'it is empty'],
    ['is too large', () => write(CONTENT.repeat(4_000)), 'it is larger than 64 KiB'],
    ['is a folder', () => mkdirSync(file), 'it is a folder'],
    ['is a named pipe', () => execFileSync('mkfifo', [file]), 'it is a pipe, a socket or a device'],
    ['is a device', () => void (file = '/dev/null'), 'it is a pipe, a socket or a device'],
    ['leads nowhere', () => symlinkSync('nowhere', file), 'there is no such file'],
    ['leads to itself', () => symlinkSync('token', file), 'it is a symbolic link'],
    ['may be written by its group', () => write(CONTENT, 0o660), 'others may write to it'],
    ['may be written by others', () => write(CONTENT, 0o602), 'others may write to it'],
  ])('says why, and not what is in it, when it %s', (_what, prepare, problem) => {
    prepare();
    const read = (): string => readSecretFile(file);
    expect(read).toThrow(problem);
    expect(read).not.toThrow(CONTENT);
  });

  it.skipIf(!IS_ROOT)("… is another user's (needs root)", () => {
    write(CONTENT);
    chownSync(file, STRANGER, STRANGER);
    expect(() => readSecretFile(file)).toThrow(`it belongs to uid ${STRANGER}`);
  });

  it.skipIf(!IS_ROOT)('… may not be read by this user (needs root)', () => {
    write(CONTENT);
    chmodSync(folder, 0o755);
    const library = new URL('../../secretFiles.cjs', import.meta.url).pathname;
    const code = `try { require(${JSON.stringify(library)}).readSecretFile(${JSON.stringify(file)}) } catch (e) { console.log(e.message) }`;
    const said = execFileSync(
      'setpriv',
      [`--reuid=${STRANGER}`, `--regid=${STRANGER}`, '--clear-groups', process.execPath, '-e', code],
      { cwd: '/', encoding: 'utf8' },
    );
    expect(said.trim()).toBe('this user may not read it');
  });
});

describe('a secret that is kept', () => {
  it('is for this user alone, written only when it is another, and nothing else is left', () => {
    const place = join(folder, 'secrets/environment');
    const before = process.umask(0);
    try {
      file = keepSecret(place, 'HA_API_TOKEN', CONTENT);
    } finally {
      process.umask(before);
    }
    const { ino } = statSync(file);
    expect([statSync(place).mode & 0o777, statSync(file).mode & 0o777]).toEqual([0o700, 0o600]);
    keepSecret(place, 'HA_API_TOKEN', CONTENT);
    expect(statSync(file).ino).toBe(ino);
    keepSecret(place, 'HA_API_TOKEN', 'another');
    expect(readSecretFile(file, { isOurs: true })).toBe('another');
    expect(readdirSync(place)).toEqual(['HA_API_TOKEN']);
  });

  it.each(['line\n', 'a\r\n', ' ', 'ü'])('comes back as it was: %j', (value) => {
    expect(readSecretFile(keepSecret(folder, 'NAME', value))).toBe(value);
  });

  it('takes the place of a link, and not of what that leads to', () => {
    write('precious');
    symlinkSync(file, join(folder, 'NAME'));
    keepSecret(folder, 'NAME', CONTENT);
    expect([readSecretFile(file), readSecretFile(join(folder, 'NAME'))]).toEqual(['precious', CONTENT]);
  });

  it('says where it could not be kept, and not what it is', () => {
    write('');
    const keep = (): string => keepSecret(join(file, 'x'), 'NAME', CONTENT);
    expect(keep).toThrow(/NAME can't be kept in .*NAME_FILE/);
    expect(keep).not.toThrow(CONTENT);
  });
});
