/** docs/reference/pm2.md says what Holdfast does with each option that PM2 knows. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { expect, it } from 'vitest';

const page = new URL('../../docs/reference/pm2.md', import.meta.url);
const text = readFileSync(page, 'utf8');
const rows = text
  .split('\n')
  .filter((line) => line.startsWith('| ') && !/^\| (?:option|-+) /.test(line))
  .map((line) => line.split(' | '));

/** PM2's own list of its options: each with its other names. */
const schema = createRequire(import.meta.url)('pm2/lib/API/schema.json') as Readonly<
  Record<string, { readonly alias?: string | readonly string[] }>
>;
const options = Object.entries(schema).flatMap(([name, { alias = [] }]) => [name, ...[alias].flat()]);
/** The only one whose name is a pattern. */
const shown = (option: string): string => (option.startsWith('^env_') ? 'env_<name>' : option);

it('reads the schema of PM2', () => {
  expect(options.length).toBeGreaterThan(70);
});

it.each(options)('says what Holdfast does with %s', (option) => {
  const named = rows.filter(([first = '']) => {
    const names = [...first.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name.replace(/:.*/, ''));
    return names.includes(shown(option));
  });
  expect(named).toHaveLength(1);
});

it('names a test that is there in each row', () => {
  for (const row of rows) {
    const [option = '', , tests = ''] = row;
    const files = [...tests.matchAll(/\]\(([^)]+)\)/g)].map(([, file = '']) => new URL(file, page));
    expect({ option, has: files.length > 0 && files.every((file) => existsSync(file)) }).toEqual({
      option,
      has: true,
    });
  }
});
