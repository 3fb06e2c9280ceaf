/**
 * What the documents promise exists: their links lead somewhere, and the calls, scripts and npm commands that they
 * name are there. Whether the prose is true only a reader can tell.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startHarness, type Harness } from '../../backend/src/api/testing/harness.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const markdownIn = (folder: string): string[] =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name));
const documents = ['.', 'docs', 'docs/decisions', 'docs/guides', 'docs/reference', 'bench'].flatMap(
  markdownIn,
);
const read = (name: string): string => readFileSync(join(root, name), 'utf8');
const all = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].map((match) => match[1] ?? '');

/** As GitHub makes anchors of headings. */
const anchorsOf = (name: string): string[] =>
  all(read(name), /^#+ (.+)$/gm).map((heading) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );

describe.each(documents)('%s', (name) => {
  it('links to what is there', () => {
    const links = all(read(name), /\]\(([^)]+)\)/g).filter((link) => !/^https?:/.test(link));
    const broken = links.filter((link) => {
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? name : join(dirname(name), path);
      if (!existsSync(join(root, target))) return true;
      return anchor !== undefined && !anchorsOf(target).includes(anchor);
    });
    expect(broken).toEqual([]);
  });

  it('names npm commands and scripts that are there', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const commands = all(read(name), /`?npm run ([a-z:]+)/g).filter((command) => !(command in scripts));
    const files = all(read(name), /(scripts\/[a-z-]+\.(?:sh|mjs))/g).filter(
      (file) => !existsSync(join(root, file)),
    );
    expect({ commands, files }).toEqual({ commands: [], files: [] });
  });
});

describe('the API', () => {
  let harness: Harness;
  let calls: string[] = [];
  beforeAll(async () => {
    harness = await startHarness();
    const { text } = await harness.call('GET', '/openapi.json');
    const { paths } = JSON.parse(text) as { paths: Record<string, Record<string, unknown>> };
    calls = Object.entries(paths).flatMap(([path, operations]) =>
      Object.keys(operations).map(
        (method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`,
      ),
    );
  });
  afterAll(() => harness.close());

  it.each(documents)('is called by %s as it is', (name) => {
    const named = all(read(name), /`((?:GET|POST|PUT|DELETE) \/[^\s`?{]*)/g);
    expect(named.filter((call) => !calls.includes(call))).toEqual([]);
  });

  it('is in its reference as a whole', () => {
    const reference = read('docs/reference/api.md');
    expect(calls.filter((call) => !reference.includes(`### \`${call}\``))).toEqual([]);
  });
});

describe('the reference', () => {
  it('says of every event what happened', () => {
    const rows = all(read('docs/reference/events.md'), /^\| (`.+) \|$/gm);
    expect(rows.length).toBeGreaterThan(30);
    expect(rows.filter((row) => row.endsWith('|'))).toEqual([]);
  });

  it('names every npm script', () => {
    const page = read('docs/reference/command-line.md');
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    expect(Object.keys(scripts).filter((name) => !page.includes(name))).toEqual([]);
  });
});

describe('plain English', () => {
  const pages = documents.filter(
    (name) =>
      name === 'README.md' ||
      /^docs\/(?:guides|reference)\/|^docs\/(?:README|troubleshooting|guarantees)\.md$/.test(name),
  );

  it.each(pages)('%s names the process, the request or the caller that it means', (name) => {
    // Titles of tests and links are quoted as they are.
    const prose = read(name).replaceAll(/"[^"\n]*"|\]\([^)]*\)|```[^]*?```/g, '');
    expect(prose.match(/\b(?:who|whoever|nobody|somebody|everybody)\b/gi) ?? []).toEqual([]);
  });
});

describe.each(['docs/guarantees.md', 'SECURITY.md'])('promises of %s', (name) => {
  const [, promises = read(name)] = /^## Promises$([^]*?)^## /m.exec(read(name)) ?? [];
  const rows = all(promises, /^\| (.*\S) +\|$/gm).filter((row) => !/^(promise +\||-)/.test(row));
  const PROOF = /\| \[`[\w.]+`\]\((?:\.\.\/)?((?:test|backend\/src)\/[\w/.]+\.test\.ts)\): "(.+)"$/;

  it('are many', () => expect(rows.length).toBeGreaterThan(15));

  it.each(rows)('names a test that is there: %s', (row) => {
    const [, file = '', title = ''] = PROOF.exec(row) ?? [];
    expect([row, file]).toEqual([row, expect.stringMatching(/./)]);
    const titles = all(read(file), /^[^'"`\n]*['"`](.*)/gm);
    expect(titles.filter((each) => each.startsWith(title))).not.toEqual([]);
  });
});
