import { describe, expect, it } from 'vitest';
import { insertGenerated, markdownTable } from './markdown.js';

describe('a table', () => {
  it('keeps a cell in its cell: separators are escaped, line ends become spaces', () => {
    expect(markdownTable(['a', 'b'], [['x | y', 'one\n  two']])).toBe(
      '| a | b |\n| --- | --- |\n| x \\| y | one two |',
    );
  });
});

describe('the generated part of a page', () => {
  it('replaces what is between its markers, again and again, and nothing else', () => {
    const page = 'before\n<!-- generated:start -->\nSTALE\n<!-- generated:end -->\nafter\n';
    const once = insertGenerated(page, 'FRESH') ?? '';
    expect(once.startsWith('before\n<!-- generated:start -->\n')).toBe(true);
    expect(once.endsWith('<!-- generated:end -->\nafter\n')).toBe(true);
    expect(once).toContain('\nFRESH\n');
    expect(once).not.toContain('STALE');
    expect(insertGenerated(once, 'FRESH')).toBe(once);
  });

  it.each(['no markers', '<!-- generated:end --> <!-- generated:start -->', '<!-- generated:start -->'])(
    'has no place in %s',
    (page) => expect(insertGenerated(page, 'FRESH')).toBeNull(),
  );
});
