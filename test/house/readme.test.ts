/**
 * The front door: README.md is short, its twin in Chinese says the same, and each of its commands is run by a test. The
 * commands themselves run where a deployment stands anyway (see `runners`).
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { blocksOf, commandsOf } from '../support/readme.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (name: string): string => readFileSync(`${root}${name}`, 'utf8');
const all = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].map((match) => match[1] ?? '');
const withoutBlocks = (text: string): string => text.replaceAll(/^```[^]*?^```$/gm, '');

describe('README.md', () => {
  it('is an introduction: at most 12 KB', () => {
    expect(Buffer.byteLength(read('README.md'))).toBeLessThanOrEqual(12 * 1024);
  });

  it('has no command that is not run: a test file takes those of each section, and counts what is left', () => {
    const sections = new Set(
      blocksOf('README.md')
        .filter(({ language }) => language === 'sh')
        .map(({ section }) => section),
    );
    expect(sections.size).toBeGreaterThan(1);
    const runners = readdirSync(`${root}test/integration`, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.test.ts'))
      .map((name) => read(`test/integration/${name}`))
      .filter((text) => text.includes('.left).toEqual([])'));
    const run = runners.flatMap((text) => all(text, /new ReadmeCommands\('([^']+)'\)/g));
    expect([...sections].filter((section) => !run.includes(section))).toEqual([]);
  });

  it('has commands that are plain shell, and nothing that looks like one in another kind of block', () => {
    for (const block of blocksOf('README.md')) {
      expect(['sh', 'text', 'js', 'yaml', 'json']).toContain(block.language);
      if (block.language === 'sh') expect(commandsOf(block)).not.toEqual([]);
      if (block.language === 'text') expect(block.text).not.toMatch(/^\$ /m);
    }
  });
});

describe('the licence of PM2', () => {
  const { packages } = JSON.parse(read('package-lock.json')) as {
    packages: Readonly<Record<string, { readonly license?: string }>>;
  };
  const licence = packages['node_modules/pm2']?.license ?? 'unknown';

  it.each(['README.md', 'README.zh-CN.md', 'docs/README.md'])(
    'is told in %s, as that of another program',
    (page) => {
      const line = read(page)
        .split(/\n(?=\n|- )/)
        .find((paragraph) => paragraph.includes(licence));
      expect(line).toMatch(/PM2/);
      expect(line).toMatch(/separate program|独立的程序/);
      expect(line).toContain('0001-own-pm2-client.md');
    },
  );
});

describe('README.zh-CN.md', () => {
  const [english, chinese] = [read('README.md'), read('README.zh-CN.md')];

  it('has the same code blocks', () => {
    const code = (page: string): string[] =>
      blocksOf(page).map(({ language, text }) => `${language}\n${text}`);
    expect(code('README.zh-CN.md')).toEqual(code('README.md'));
  });

  it('has the same sections, tables and lists', () => {
    const shape = (text: string): string[] => all(withoutBlocks(text), /^(#+|\||-|\*\*\d\.\*\*|!)/gm);
    expect(shape(chinese)).toEqual(shape(english));
  });

  it('leads to the same places, and each page to the other', () => {
    const links = (text: string): string[] =>
      all(withoutBlocks(text), /\]\(([^)]+)\)/g).filter((link) => !link.startsWith('README'));
    expect(links(chinese)).toEqual(links(english));
    expect(english).toContain('](README.zh-CN.md)');
    expect(chinese).toContain('](README.md)');
  });

  it('is Chinese', () => {
    const characters = withoutBlocks(chinese).match(/\p{Script=Han}/gu) ?? [];
    expect(characters.length).toBeGreaterThan(1_000);
  });
});
