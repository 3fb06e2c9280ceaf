import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Config } from '../config/load.js';
import { holdfast } from './invocation.js';
import { quoted } from '../lib/words.js';

describe('quoted', () => {
  it.each(['plain', '/a/b-c_d.e', 'My API', `it's`, '$HOME', '', 'a;b', 'ü'])(
    '%j reaches a shell whole',
    (word) => {
      const { stdout } = spawnSync('sh', ['-c', `printf %s ${quoted(word)}`], { encoding: 'utf8' });
      expect(stdout).toBe(word);
    },
  );
});

describe('holdfast', () => {
  let root: string;
  beforeAll(() => {
    root = realpathSync(mkdtempSync(join(tmpdir(), 'hold fast-')));
    mkdirSync(join(root, 'docs'));
    for (const folder of ['backend', 'scripts']) mkdirSync(join(root, folder));
    writeFileSync(join(root, 'scripts/holdfast.sh'), '');
    for (const folder of [root, join(root, 'backend')]) writeFileSync(join(folder, 'package.json'), '{}');
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  // npx takes the nearest package's own command; in a package that has none it would ask the registry.
  it.each([
    ['', 'npx holdfast status'],
    ['docs', 'npx holdfast status'],
    ['backend', 'script'],
    ['..', 'script'],
  ])('as typed in the folder "%s"', (folder, expected) => {
    const typed = holdfast({ config: { root } as Config, env: { INIT_CWD: join(root, folder) } }, 'status');
    expect(typed).toBe(expected === 'script' ? `'${root}/scripts/holdfast.sh' status` : expected);
  });
});
