/**
 * Lines of one output that come piece by piece. A secret may reach over several lines (a key in a PEM block, a value that
 * stands under its name), and these may come at different times, so the lines before are remembered, within bounds.
 */
import { scrubber } from './ofProcess.js';

/** Lines before a line that can say that it is a secret. A PEM block of 4096 bits has 52. */
export const LINES_BEFORE = 64;
const CHARACTERS_BEFORE = 16 * 1024;
/** Looked at in one go. */
const LINES_AT_ONCE = 512;

export class OutputLines {
  #before: readonly string[] = [];

  /** The next lines without secrets: as many as were given. */
  next(lines: readonly string[]): string[] {
    const shown: string[] = [];
    for (let from = 0; from < lines.length; from += LINES_AT_ONCE) {
      const some = lines.slice(from, from + LINES_AT_ONCE);
      shown.push(...scrubber.lines(some, this.#before));
      this.#before = lastOf([...this.#before, ...some]);
    }
    return shown;
  }
}

function lastOf(lines: readonly string[]): readonly string[] {
  let first = lines.length;
  let characters = 0;
  while (first > Math.max(0, lines.length - LINES_BEFORE)) {
    characters += (lines[first - 1] as string).length;
    if (characters > CHARACTERS_BEFORE) break;
    first -= 1;
  }
  return lines.slice(first);
}
