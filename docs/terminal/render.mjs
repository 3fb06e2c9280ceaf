/**
 * Turns what a terminal was sent into an SVG picture that reads well on light and dark pages. From a real run:
 *
 *     script -qec "scripts/health-check.sh --status" capture.txt
 *     node docs/terminal/render.mjs '$ scripts/health-check.sh --status' < capture.txt > docs/terminal/status.svg
 *
 * Understands what Holdfast prints: colours (SGR), and "return to the start of the line and clear it". What `script`
 * and npm say themselves is left out. Lines longer than the picture are cut with an ellipsis.
 */
import { readFileSync } from 'node:fs';

const COLUMNS = 118;
const CELL = { width: 7.8, height: 19, font: 13 };
const MARGIN = { side: 18, top: 46, bottom: 16 };
const BACKGROUND = '#1b2028';
const COLOURS = {
  plain: '#d5dae3',
  green: '#7fd18b',
  yellow: '#e9c46a',
  red: '#f0787a',
  cyan: '#6cc7d9',
  dim: '#8b95a5',
};
const CODES = { 31: 'red', 32: 'green', 33: 'yellow', 36: 'cyan', 2: 'dim', 39: 'plain', 22: 'plain' };
const NOT_OURS = /^(Script (started|done)|npm warn|> )/;
const ESCAPE = '\u001b';
const SGR = new RegExp(`${ESCAPE}\\[([0-9;]*)m`);

/** What stands on the screen in the end: cleared lines are gone. */
function screenLines(text) {
  return text
    .replaceAll('\r\n', '\n')
    .split('\n')
    .map((line) => line.slice(line.lastIndexOf(`${ESCAPE}[K`) + 1).replace(/^\[K/, ''))
    .filter((line) => !NOT_OURS.test(plain(line)) && !plain(line).includes(ESCAPE));
}

function plain(line) {
  return line.replaceAll(new RegExp(SGR, 'g'), '');
}

/** A line as runs of one style each, cut to the width of the picture. */
function runsOf(line) {
  const runs = [];
  let style = { colour: 'plain', bold: false };
  let column = 0;
  line.split(new RegExp(`(${ESCAPE}\\[[0-9;]*m)`)).forEach((part) => {
    const code = SGR.exec(part)?.[1];
    if (code !== undefined) {
      style =
        code === '1'
          ? { ...style, bold: true }
          : { colour: CODES[code] ?? 'plain', bold: code !== '22' && style.bold };
      return;
    }
    const room = COLUMNS - column;
    if (part === '' || room <= 0) return;
    const text = part.length > room ? `${part.slice(0, room - 1)}…` : part;
    runs.push({ ...style, text, column });
    column += part.length;
  });
  return runs;
}

function escape(text) {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll(' ', '\u00a0');
}

/** Every run has its own place and length, so that columns line up in any font. */
function drawRun({ text, column, colour, bold }, y) {
  const x = (MARGIN.side + column * CELL.width).toFixed(1);
  const length = (text.length * CELL.width).toFixed(1);
  const weight = bold ? ' font-weight="700"' : '';
  return `<text x="${x}" y="${y}" textLength="${length}" fill="${COLOURS[colour]}"${weight}>${escape(text)}</text>`;
}

function picture(title, lines) {
  const width = MARGIN.side * 2 + COLUMNS * CELL.width;
  const height = MARGIN.top + lines.length * CELL.height + MARGIN.bottom;
  const rows = lines.flatMap((line, index) =>
    runsOf(line)
      .filter(({ text }) => text.trim() !== '')
      .map((run) => drawRun(run, MARGIN.top + index * CELL.height + CELL.font)),
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width.toFixed(0)} ${height}" role="img" aria-label="${escape(title)}">`,
    `<rect width="100%" height="100%" rx="8" fill="${BACKGROUND}" stroke="#3a4250"/>`,
    `<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="${CELL.font}">`,
    `<text x="${MARGIN.side}" y="28" fill="${COLOURS.plain}" font-weight="700">${escape(title)}</text>`,
    ...rows,
    '</g>',
    '</svg>',
    '',
  ].join('\n');
}

const lines = screenLines(readFileSync(0, 'utf8'));
while (lines.at(0)?.trim() === '') lines.shift();
while (lines.at(-1)?.trim() === '') lines.pop();
process.stdout.write(picture(process.argv[2] ?? '', lines));
