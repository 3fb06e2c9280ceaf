/**
 * Text of strangers as it may be shown: names, reasons, lines of logs. A control character steers a terminal; one that turns
 * the direction of writing, or that cannot be seen, makes a text read as another one.
 */

/** Format characters (bidirectional marks, zero-width ones, tags), line and paragraph separators, halves of a pair. */
const INVISIBLE = /[\p{Cf}\p{Zl}\p{Zp}\p{Cs}\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0]/gu;

const codeOf = (character: string): string =>
  (character.codePointAt(0) as number).toString(16).toUpperCase().padStart(4, '0');

/** The same text with what is invisible written out, `<U+202E>`. */
export function visible(text: string): string {
  return text.replace(INVISIBLE, (character) => `<U+${codeOf(character)}>`);
}

/** The same JSON with what is invisible in its texts escaped. */
export function visibleJson(json: string): string {
  return json.replace(INVISIBLE, (character) =>
    Array.from(
      { length: character.length },
      (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`,
    ).join(''),
  );
}
