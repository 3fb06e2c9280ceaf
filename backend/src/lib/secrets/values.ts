/** How far a value reaches that stands behind a secret's name, in whatever notation it is written. */

/** From and to, as in `slice`; null: there is no value that could be secret. */
export type Span = readonly [from: number, to: number];

export const REDACTED = '[redacted]';

/** No value is longer. What is, is taken for secret up to here and looked at again from there. */
const LONGEST_VALUE = 16_384;
const LONGEST_GROUP = 4_096;

/** Values that say that there is none, or which kind. */
const NO_SECRET =
  /^(?:true|false|null|undefined|none|nil|nan|unset|yes|no|on|off|optional|required|missing|invalid|string|number|boolean|object|array|function|\*+|\.+|…|[-–]+|\(hidden\)|\(none\)|\(empty\)|\(set\)|\$\{?\w*\}?)$/i;

const QUOTES = '"\'`';

const isSpace = (code: number): boolean => code === 32 || code === 9;
/** Of the text's end `charCodeAt` gives NaN. */
const isBreak = (code: number): boolean => code === 10 || code === 13 || Number.isNaN(code);

/** The value that begins at `from`, behind the name and its separator. */
export function valueAt(text: string, from: number, isCount: boolean): Span | null {
  let start = skipSpaces(text, from);
  if (isBreak(text.charCodeAt(start))) {
    // `inspect` puts long values on a line of their own, YAML's blocks begin there: a quoted one, or behind | and >.
    const next = nextLine(text, start);
    if (next === null || !QUOTES.includes(text[next] ?? ' ')) return null;
    start = next;
  }
  const block = /^[|>][+-]?\r?\n[ \t]*/.exec(text.slice(start, start + 64));
  if (block !== null) start += block[0].length;
  const quoted = quotedAt(text, start);
  if (quoted !== null) return quoted;
  const group = text.startsWith(REDACTED, start) ? null : groupAt(text, start);
  if (group !== null) return group;
  return bareAt(text, start, isCount);
}

/** The rest of a header field: to the end of its line, of the text in quotes that it stands in, or of a fold. */
export function fieldAt(text: string, nameAt: number, from: number): Span | null {
  const start = skipSpaces(text, from);
  const opening = openingQuote(text, start);
  if (opening !== null || '[{'.includes(text[start] ?? ' ') || isBreak(text.charCodeAt(start)))
    return valueAt(text, from, false);
  if (text.startsWith(REDACTED, start)) return [start, start + REDACTED.length];
  const around = QUOTES.includes(text[nameAt - 1] ?? ' ') ? text[nameAt - 1] : undefined;
  const end = endOfField(text, start, around);
  return end > start && !NO_SECRET.test(text.slice(start, end)) ? [start, end] : null;
}

function endOfField(text: string, start: number, around: string | undefined): number {
  const limit = Math.min(text.length, start + LONGEST_VALUE);
  let inner = '';
  for (let at = start; at < limit; at += 1) {
    const character = text[at] as string;
    if (character === '\n' || character === '\r') return isFold(text, at) ? foldEnd(text, at, limit) : at;
    if (isEscapedBreak(text, at)) return at;
    if (!QUOTES.includes(character)) continue;
    if (character === inner) inner = '';
    else if (character === around) return beforeBackslashes(text, at, start);
    else if (inner === '' && text[at - 1] === '=') inner = character;
    else if (inner === '' && endsText(text, at)) return beforeBackslashes(text, at, start);
  }
  return limit;
}

/** A header field goes on in a line that begins with a space. Only where the first line says that it does. */
const isFold = (text: string, at: number): boolean =>
  /[;,]\s?$/.test(text.slice(Math.max(0, at - 2), at)) && /^\r?\n[ \t]/.test(text.slice(at, at + 3));

function foldEnd(text: string, at: number, limit: number): number {
  const next = text.indexOf('\n', at + 2);
  return next === -1 ? limit : Math.min(next, limit);
}

/** `\r\n` as two letters each, in a text that was itself quoted. */
const isEscapedBreak = (text: string, at: number): boolean =>
  text[at] === '\\' && (text[at + 1] === 'r' || text[at + 1] === 'n');

/** Whether a quote there closes what it stands in: something follows that can't belong to a value. */
const endsText = (text: string, at: number): boolean =>
  at + 1 >= text.length || /[\s,:;)}\]]/.test(text[at + 1] as string);

function beforeBackslashes(text: string, at: number, start: number): number {
  let end = at;
  while (end > start && text[end - 1] === '\\') end -= 1;
  return end;
}

function skipSpaces(text: string, from: number): number {
  let at = from;
  while (isSpace(text.charCodeAt(at))) at += 1;
  return at;
}

/** The first character of the next line that is no space; null where there is none. */
function nextLine(text: string, at: number): number | null {
  const lineEnd = text.startsWith('\r\n', at) ? at + 2 : at + 1;
  const next = skipSpaces(text, lineEnd);
  return next >= text.length || isBreak(text.charCodeAt(next)) ? null : next;
}

interface Opening {
  readonly quote: string;
  readonly backslashes: number;
  /** Where what is quoted begins. */
  readonly at: number;
}

/** A quote, with the backslashes of texts in texts before it, and the letter of Python's literals. */
function openingQuote(text: string, from: number): Opening | null {
  let at = from;
  if (/^[bBuUrRfF]["']/.test(text.slice(at, at + 2))) at += 1;
  let backslashes = 0;
  while (text[at] === '\\' && backslashes < 64) {
    backslashes += 1;
    at += 1;
  }
  const quote = text[at] ?? ' ';
  return QUOTES.includes(quote) ? { quote, backslashes, at: at + 1 } : null;
}

/** What is quoted there, to the quote that closes it, or to the end of the line where none does. */
export function quotedAt(text: string, from: number): Span | null {
  const opening = openingQuote(text, from);
  if (opening === null) return null;
  const { quote, backslashes } = opening;
  let [end, after] = closingOf(text, opening.at, quote, backslashes);
  // 'one part' +
  //   'and the next': as `inspect` writes long texts.
  for (;;) {
    const joint = /^\s{0,4}\+\s{0,200}/.exec(text.slice(after, after + 204));
    const next = joint === null ? null : openingQuote(text, after + joint[0].length);
    if (next === null) break;
    [end, after] = closingOf(text, next.at, next.quote, next.backslashes);
  }
  const value = text.slice(opening.at, end);
  return value === '' || NO_SECRET.test(value) ? null : [opening.at, end];
}

/**
 * In a text that was quoted n times over, a quote has 2ⁿ − 1 backslashes before it where it closes, and more where it
 * belongs to the text.
 * @returns where what is quoted ends, and where one can go on.
 */
function closingOf(text: string, from: number, quote: string, backslashes: number): Span {
  const limit = Math.min(text.length, from + LONGEST_VALUE);
  let run = 0;
  for (let at = from; at < limit; at += 1) {
    const character = text[at];
    if (character === '\\') {
      run += 1;
      continue;
    }
    if (character === quote && run % (2 * (backslashes + 1)) === backslashes)
      return [at - backslashes, at + 1];
    // A backtick's text may have several lines, others not.
    if (character === '\n' && quote !== '`') return [at, at];
    run = 0;
  }
  return [limit, limit];
}

/** `[ 'a=b; Path=/', 'c' ]`, `{ value: 'x' }`, `<Buffer 68 75>`: up to what closes it. */
function groupAt(text: string, from: number): Span | null {
  const intro = /^(?:[A-Z]\w{0,30}(?:\(\d+\))?\s)?([[{<])/.exec(text.slice(from, from + 48));
  if (intro === null) return null;
  const open = intro[1] as string;
  if (open === '<' && !text.startsWith('<Buffer', from)) return null;
  const close = { '[': ']', '{': '}', '<': '>' }[open] as string;
  const limit = Math.min(text.length, from + LONGEST_GROUP);
  let depth = 0;
  for (let at = from + intro[0].length - 1; at < limit; at += 1) {
    const character = text[at] as string;
    if (QUOTES.includes(character) && !isApostrophe(text, at)) {
      const quoted = openingQuote(text, at) as Opening;
      const [, after] = closingOf(text, quoted.at, quoted.quote, 0);
      at = Math.max(at, after - 1);
    } else if (character === open) depth += 1;
    else if (character === close) {
      depth -= 1;
      if (depth === 0) return at - from < 3 && /^..?$/.test(text.slice(from, at + 1)) ? null : [from, at + 1];
    }
  }
  const lineEnd = text.indexOf('\n', from);
  return [from, lineEnd === -1 ? limit : Math.min(lineEnd, limit)];
}

const isApostrophe = (text: string, at: number): boolean =>
  /\w/.test(text[at - 1] ?? ' ') && /\w/.test(text[at + 1] ?? ' ');

/** What begins another name and value: `&b=`, `, "b":`, `; c=`. */
const NEXT_NAME = /["'\\]{0,4}[A-Za-z_][\w.-]{0,60}["'\\]{0,4}[:=]/y;

/** A value without quotes: up to a space, or to what can't belong to it. */
export function bareAt(text: string, start: number, isCount: boolean): Span | null {
  if (text.startsWith(REDACTED, start)) return [start, start + REDACTED.length];
  const limit = Math.min(text.length, start + LONGEST_VALUE);
  let end = start;
  while (end < limit && !stopsAt(text, end, start)) end += 1;
  end = withoutClosers(text, start, end);
  const value = text.slice(start, end);
  if (value === '' || NO_SECRET.test(value) || (isCount && /^[\d.,]+$/.test(value))) return null;
  return [start, end];
}

function stopsAt(text: string, at: number, start: number): boolean {
  const character = text[at] as string;
  switch (character) {
    case ' ':
    case '\t':
    case '\n':
    case '\r':
    case '<':
    case '│':
      return true;
    case ',':
    case ';':
    case '&':
      NEXT_NAME.lastIndex = skipSpaces(text, at + 1);
      return NEXT_NAME.test(text);
    case '"':
    case "'":
    case '`':
      return endsText(text, at);
    case '\\':
      return /^\\(?:[nrt]|\\{0,8}["'`](?:[\s,:;)}\]]|$))/.test(text.slice(at, at + 11));
    case '%':
      // Where what stands before the value is encoded as well.
      return (
        at > start &&
        /^%(?:26|22|20|0[aAdD])/.test(text.slice(at, at + 3)) &&
        /%3[AaDd]$/.test(text.slice(Math.max(0, start - 3), start))
      );
    default:
      return false;
  }
}

/** `(password=abc)` and `{token:abc},` without what closes the text around them. */
function withoutClosers(text: string, start: number, given: number): number {
  let end = given;
  while (end > start && ')}],;.'.includes(text[end - 1] as string)) end -= 1;
  return end;
}
