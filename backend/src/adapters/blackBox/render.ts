/** The pieces of a black box as texts of files: scrubbed, bounded, and in the order in which they are written. */
import { BLACK_BOX_FILES } from '../../domain/blackBox/blackBox.js';
import type { BlackBoxFile, BlackBoxSummary } from '../../domain/blackBox/blackBox.js';
import type { BlackBoxPieces } from '../../ports.js';
import { shownText } from '../../lib/secrets/ofProcess.js';
import { visibleJson } from '../../lib/visible.js';
import { scrubHeapProfile, scrubReport } from './scrub.js';

const KIBIBYTE = 1024;
const MEBIBYTE = 1024 * KIBIBYTE;

/** Longest text of each file: all together 10 MiB and a little. */
const MOST_BYTES: Readonly<Record<BlackBoxFile, number>> = {
  'summary.json': 512 * KIBIBYTE,
  'stack.txt': 128 * KIBIBYTE,
  'stderr.log': 128 * KIBIBYTE,
  'figures.jsonl': MEBIBYTE,
  'report.json': 4 * MEBIBYTE,
  'heap.heapprofile': 4 * MEBIBYTE,
};

export interface Rendered {
  readonly file: BlackBoxFile;
  readonly text: string;
}

export interface Omitted {
  readonly file: BlackBoxFile;
  readonly why: string;
}

/** Everything but the summary, which is written last and says what was left out. Empty pieces make no file. */
export function renderPieces(pieces: BlackBoxPieces): {
  readonly files: readonly Rendered[];
  readonly omitted: readonly Omitted[];
} {
  const files: Rendered[] = [];
  const omitted: Omitted[] = [];
  for (const file of BLACK_BOX_FILES) {
    const text = textOf(file, pieces);
    if (text === null || text.trim() === '') continue;
    const bytes = Buffer.byteLength(text);
    if (bytes <= MOST_BYTES[file]) files.push({ file, text });
    else
      omitted.push({ file, why: `it has ${bytes} bytes, more than the ${MOST_BYTES[file]} that are kept` });
  }
  if (pieces.heapProfile !== undefined && !mentions(files, omitted, 'heap.heapprofile')) {
    omitted.push({ file: 'heap.heapprofile', why: 'what the agent sent is no heap profile' });
  }
  return { files, omitted };
}

export function renderSummary(summary: BlackBoxSummary, omitted: readonly Omitted[]): string {
  const text = json({ ...(scrubReport(summary) as object), omitted });
  if (Buffer.byteLength(text) <= MOST_BYTES['summary.json']) return text;
  return json({ ...(scrubReport({ ...summary, before: [], after: [] }) as object), omitted });
}

function textOf(file: BlackBoxFile, pieces: BlackBoxPieces): string | null {
  const { stack, stderr, figures, report, heapProfile } = pieces;
  switch (file) {
    case 'summary.json':
      return null;
    case 'stack.txt':
      return stack === undefined ? null : endingInNewline(shownText(stack));
    case 'stderr.log':
      return stderr === undefined ? null : endingInNewline(shownText(stderr));
    case 'figures.jsonl':
      return figures === undefined ? null : figures.map((line) => `${JSON.stringify(line)}\n`).join('');
    case 'report.json':
      return report === undefined ? null : json(scrubReport(report));
    case 'heap.heapprofile': {
      const profile = scrubHeapProfile(heapProfile);
      return profile === null ? null : visibleJson(JSON.stringify(profile));
    }
  }
}

function json(value: unknown): string {
  return `${visibleJson(JSON.stringify(value, null, 2))}\n`;
}

function endingInNewline(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`;
}

function mentions(files: readonly Rendered[], omitted: readonly Omitted[], file: BlackBoxFile): boolean {
  return files.some((each) => each.file === file) || omitted.some((each) => each.file === file);
}
