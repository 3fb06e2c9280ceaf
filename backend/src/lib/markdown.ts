/** Markdown that is made from data, and the place in a page where it goes. */

/** A table; cells may be Markdown, but for the column separator and line ends, which are made harmless. */
export function markdownTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(tableCell).join(' | ')} |`;
  return [line(headings), `|${' --- |'.repeat(headings.length)}`, ...rows.map(line)].join('\n');
}

function tableCell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll(/\s*\n\s*/g, ' ');
}

const START = '<!-- generated:start -->';
const END = '<!-- generated:end -->';

/**
 * `page` with `text` between its two markers; null where it does not have them, in this order. The formatter is told
 * to leave that part alone.
 */
export function insertGenerated(page: string, text: string): string | null {
  const start = page.indexOf(START);
  const end = page.indexOf(END);
  if (start < 0 || end < start) return null;
  const before = page.slice(0, start + START.length);
  return `${before}\n\n<!-- prettier-ignore-start -->\n\n${text}\n\n<!-- prettier-ignore-end -->\n\n${page.slice(end)}`;
}
