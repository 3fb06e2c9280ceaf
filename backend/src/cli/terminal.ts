/**
 * What people see. On a terminal: colours, and a progress line that rewrites itself. Anywhere else (cron, a pipe, a
 * log): plain lines, each said once. `NO_COLOR` turns colours off, as https://no-color.org asks.
 */
// What is printed may come from an application or a stranger.
import { shownJson, shownText as shown } from '../lib/secrets/ofProcess.js';

type Colour = 'green' | 'yellow' | 'red' | 'cyan' | 'dim' | 'bold';

const CODES: Readonly<Record<Colour, readonly [open: number, close: number]>> = {
  green: [32, 39],
  yellow: [33, 39],
  red: [31, 39],
  cyan: [36, 39],
  dim: [2, 22],
  bold: [1, 22],
};

export interface TerminalStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

export class Terminal {
  readonly #out: TerminalStream;
  readonly #err: TerminalStream;
  /** People look at it, not a program or a file. */
  readonly isInteractive: boolean;
  readonly hasColours: boolean;
  #progress = '';

  constructor(out: TerminalStream, err: TerminalStream, env: Readonly<Record<string, string | undefined>>) {
    this.#out = out;
    this.#err = err;
    this.isInteractive = out.isTTY === true && env['TERM'] !== 'dumb';
    this.hasColours = this.isInteractive && (env['NO_COLOR'] ?? '') === '';
  }

  /** One line on stdout. A progress line that stands there gives way. */
  line(text = ''): void {
    this.#clearProgress();
    this.#out.write(`${shown(text)}\n`);
  }

  /** For machines, on stdout. @param indent 2 for a document, 0 for a line. */
  json(value: unknown, indent = 2): void {
    this.#clearProgress();
    this.#out.write(`${shownJson(value, indent)}\n`);
  }

  /** One line on stderr. */
  problem(text: string): void {
    this.#clearProgress();
    this.#err.write(`${this.paint('red', '✗')} ${shown(text)}\n`);
  }

  /** One more line of a problem, on stderr. */
  detail(text: string): void {
    this.#err.write(`  ${shown(text)}\n`);
  }

  done(text: string): void {
    this.line(`${this.paint('green', '✓')} ${text}`);
  }

  /** One line on stderr: `--json` promises stdout to machines. */
  warning(text: string): void {
    this.#clearProgress();
    this.#err.write(`${this.paint('yellow', '!')} ${shown(text)}\n`);
  }

  /** What is being waited for. Replaces the progress before it; off a terminal, each new text is a line. */
  progress(text: string): void {
    if (text === this.#progress) return;
    if (this.isInteractive) this.#out.write(`\r\u001b[K${this.paint('cyan', '…')} ${shown(text)}`);
    else this.#out.write(`… ${shown(text)}\n`);
    this.#progress = text;
  }

  paint(colour: Colour, text: string): string {
    if (!this.hasColours) return text;
    const [open, close] = CODES[colour];
    return `\u001b[${open}m${text}\u001b[${close}m`;
  }

  #clearProgress(): void {
    if (this.isInteractive && this.#progress !== '') this.#out.write('\r\u001b[K');
    this.#progress = '';
  }
}

/** Rows under their headings, columns aligned, two spaces apart. Widths are those of the plain text. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  return [headings, ...rows].map((row) =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}

/** 950 → "950 ms", 12 300 → "12.3 s", 200 000 → "3 min 20 s". */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  const totalSeconds = Math.round(ms / 1_000);
  const [hours, minutes, seconds] = [
    Math.floor(totalSeconds / 3_600),
    Math.floor(totalSeconds / 60) % 60,
    totalSeconds % 60,
  ];
  if (hours >= 48) return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min ${seconds} s`;
}

/** Mebibytes without decimals, "–" where it was not measured. */
export function megabytes(bytes: number | null): string {
  return bytes === null ? '–' : `${Math.round(bytes / 1024 ** 2)} MB`;
}

export function percent(value: number | null): string {
  return value === null ? '–' : `${Math.round(value)} %`;
}
