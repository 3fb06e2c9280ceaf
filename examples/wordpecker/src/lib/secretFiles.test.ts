import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { withSecrets } from './secretFiles.js';

const CONTENT = 'written-by-hand-and-long-enough';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wordpecker-secrets-'));
  file = join(folder, 'secret');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe.each(['SESSION_SECRET', 'JWT_SECRET', 'MYSQL_PASSWORD', 'REDIS_CONN_STRING'])('%s', (name) => {
  const read = (env: Readonly<Record<string, string>>): { value: string | undefined; problems: string[] } => {
    const problems: string[] = [];
    return { value: withSecrets(env, problems)[name], problems };
  };

  it('is the content of the file that is named, without the final line break', () => {
    writeFileSync(file, `${CONTENT} \n`);
    expect(read({ [`${name}_FILE`]: file })).toEqual({ value: `${CONTENT} `, problems: [] });
    expect(read({ [name]: CONTENT, [`${name}_FILE`]: '' })).toEqual({ value: CONTENT, problems: [] });
  });

  it.each<[string, () => void, RegExp]>([
    ['is missing', () => undefined, /_FILE names .*secret, but it cannot be read \(ENOENT\)/],
    ['is empty', () => writeFileSync(file, '\n'), /it is empty/],
    ['is a folder', () => mkdirSync(file), /it is not a file/],
    ['is a named pipe', () => execFileSync('mkfifo', [file]), /it is not a file/],
    ['is too large', () => writeFileSync(file, CONTENT.repeat(4_000)), /larger/],
    [
      'may be written by others',
      () => (writeFileSync(file, CONTENT), chmodSync(file, 0o666)),
      /others may write/,
    ],
  ])('has a clear problem, without the content, when the file %s', (_what, prepare, problem) => {
    prepare();
    const { problems } = read({ [`${name}_FILE`]: file });
    expect(problems).toEqual([expect.stringMatching(problem)]);
    expect(problems[0]).not.toContain(CONTENT);
  });

  it('is not to be given twice', () => {
    writeFileSync(file, CONTENT);
    expect(read({ [name]: CONTENT, [`${name}_FILE`]: file }).problems).toEqual([
      `${name} and ${name}_FILE are both set: set one of the two`,
    ]);
  });
});
