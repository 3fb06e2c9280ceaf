/**
 * All that the product writes goes through lib/ownFiles, which follows no symbolic link. A call of the file system's own
 * writing functions elsewhere is found here.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const backend = fileURLToPath(new URL('../../backend', import.meta.url));

/** Where such a function is right, and why. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  'src/lib/ownFiles.ts': 'the one place',
  'src/lib/pidLock.ts': 'claims are made with wx: what is there is neither opened nor followed',
  'src/docs.ts': 'writes the documents of the repository, by hand',
  'src/cli/release.ts': 'copies package files of the project folder',
};

const WRITES = /^(?:write|append|copy)File(?:Sync)?$|^createWriteStream$|^cp(?:Sync)?$/;

/** Functions of a source that could write through a link. */
function writersIn(source: string): string[] {
  const imported = [...source.matchAll(/import \{([^}]*)\} from 'node:fs(?:\/promises)?';/g)].flatMap(
    ([, names = '']) => names.split(',').map((name) => name.trim().split(' as ')[0] ?? ''),
  );
  const called = [...source.matchAll(/\bfs\.(\w+)\(/g)].map(([, name = '']) => name);
  const found = [...imported, ...called].filter((name) => WRITES.test(name));
  const opens = source.match(/(?<![.\w#])(?:fs\.)?open(?:Sync)?\(/g)?.length ?? 0;
  const toRead = source.match(/(?<![.\w#])(?:fs\.)?open(?:Sync)?\([\w.#]+, 'r'\)/g)?.length ?? 0;
  const opensFiles = imported.some((name) => /^open(?:Sync)?$/.test(name)) || called.includes('openSync');
  return opensFiles && opens > toRead ? [...found, 'open'] : found;
}

const sources = readdirSync(join(backend, 'src'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !entry.name.endsWith('.test.ts'))
  .map((entry) => join(entry.parentPath, entry.name))
  .filter((file) => !/\/testing\//.test(file));

describe('files that are written', () => {
  it.each([
    [`import { writeFileSync } from 'node:fs';`, ['writeFileSync']],
    [`import { copyFile as copy, rm } from 'node:fs/promises';`, ['copyFile']],
    [`import fs from 'node:fs'; fs.appendFileSync(a, b);`, ['appendFileSync']],
    [`import { open } from 'node:fs/promises'; await open(file, 'w');`, ['open']],
    [`import { open } from 'node:fs/promises'; await open(file, 'r'); open(file, flags);`, ['open']],
    [`import { open } from 'node:fs/promises'; await open(file, 'r'); this.#open(x); stream.open(y);`, []],
    [`import { rename } from 'node:fs/promises'; handle.writeFile(text);`, []],
  ])('are seen in %s', (source, found) => {
    expect(writersIn(source)).toEqual(found);
  });

  it('are opened by lib/ownFiles alone', () => {
    const found = sources
      .map((file) => [relative(backend, file), writersIn(readFileSync(file, 'utf8'))] as const)
      .filter(([file, writers]) => writers.length > 0 && EXCEPTIONS[file] === undefined);
    expect(found).toEqual([]);
  });

  it('has no exception that is not needed', () => {
    const idle = Object.keys(EXCEPTIONS).filter(
      (file) => writersIn(readFileSync(join(backend, file), 'utf8')).length === 0,
    );
    expect(idle).toEqual([]);
  });

  it('are made by the ecosystem files under names that are new', () => {
    for (const file of readdirSync(backend).filter((name) => name.endsWith('.cjs'))) {
      const source = readFileSync(join(backend, file), 'utf8');
      const writes = source.match(/writeFileSync\([\s\S]*?\);/g) ?? [];
      expect(writes.filter((call) => !call.includes(`flag: 'wx'`))).toEqual([]);
    }
  });
});
