/** Finds the error that ended an application in what it wrote last. */
import type { FatalError } from './facts.js';

/** `TypeError: x`, `Error [ERR_MODULE_NOT_FOUND]: x`, `Uncaught: x`; some loggers put a prefix in front. */
const HEADLINE = /(?:^|[\s"'(])((?:[A-Z]\w*)?(?:Error|Exception)(?: \[[A-Z_0-9]+\])?: \S.*)$/;
/** A line of a stack: `    at Object.<anonymous> (/srv/app/server.js:10:5)`. */
const FRAME = /^\s+at (?:.*\()?(?:async )?((?:file:\/\/)?\/[^\s()]+:\d+(?::\d+)?)\)?(?: \{)?$/;
/** The line above the code of a syntax error: `/srv/app/server.js:10`. */
const PLACE = /^((?:file:\/\/)?\/[^\s()]+:\d+)$/;
/** Not what a person can mend. */
const FOREIGN = /\/node_modules\//;
const LONGEST = 300;

/** The last error among these lines; null where there is none. */
export function fatalErrorIn(lines: readonly string[]): FatalError | null {
  for (let at = lines.length - 1; at >= 0; at -= 1) {
    const headline = HEADLINE.exec(lines[at] ?? '')?.[1];
    if (headline === undefined) continue;
    // "Require stack:" and the like stand between an error and its frames; "[cause]:" follows and is not what ended it.
    const outer = causedBy(lines, at);
    return errorAt(lines, outer ?? at);
  }
  return null;
}

/** So many lines of a log that say most: from its last error on, else its end. */
export function tellingLines(lines: readonly string[], most: number): readonly string[] {
  const headline = fatalErrorIn(lines)?.headline;
  const at = headline === undefined ? -1 : lines.findLastIndex((line) => line.includes(headline));
  return at < 0 ? lines.slice(-most) : lines.slice(at, at + most);
}

/** Of an error that is a `[cause]`, the line of the error around it. */
function causedBy(lines: readonly string[], at: number): number | null {
  if (!/\[cause\]:/.test(lines[at] ?? '')) return null;
  for (let above = at - 1; above >= 0; above -= 1) {
    const line = lines[above] ?? '';
    if (HEADLINE.test(line) && !line.includes('[cause]:')) return above;
  }
  return null;
}

function errorAt(lines: readonly string[], at: number): FatalError {
  const headline = HEADLINE.exec(lines[at] ?? '')?.[1] ?? '';
  return { headline: cut(headline), at: placeBelow(lines, at) ?? placeAbove(lines, at) };
}

function placeBelow(lines: readonly string[], at: number): string | null {
  for (const line of lines.slice(at + 1)) {
    if (HEADLINE.test(line)) return null;
    const place = FRAME.exec(line)?.[1];
    if (place !== undefined && !FOREIGN.test(place)) return plain(place);
  }
  return null;
}

/** Node shows the place of a syntax error, and the code, above the error. */
function placeAbove(lines: readonly string[], at: number): string | null {
  for (let above = at - 1; above >= Math.max(0, at - 5); above -= 1) {
    const place = PLACE.exec((lines[above] ?? '').trim())?.[1];
    if (place !== undefined && !FOREIGN.test(place)) return plain(place);
  }
  return null;
}

function plain(place: string): string {
  return place.replace(/^file:\/\//, '');
}

function cut(text: string): string {
  return text.length <= LONGEST ? text : `${text.slice(0, LONGEST - 1)}…`;
}
