/** Secrets that stand behind their name: `password=x`, `"apiKey": "x"`, `Cookie: a=b`, `--token x`, `<secret>x</secret>`. */
import { countsThings, isSecretParameter, secretKindOf } from './names.js';
import { bareAt, fieldAt, quotedAt, valueAt, type Span } from './values.js';

/** `%3D` and `%3A` are = and : in a query within a query. */
const SEPARATOR = /:=|=>|->|→|={1,3}|:|%3[AaDd]|│/g;

const LONGEST_NAME = 64;
const MOST_BETWEEN = 8;
const NAME = /[\w.$-]/;
const KEY_OF_TWO_WORDS = /\b(?:api|access|private|secret|signing|encryption|account) $/i;
const BETWEEN = ' \t"\'`\\]';

/** Every name with its separator: what stands behind it is secret where the name says so. */
export function* assigned(text: string): Generator<Span> {
  SEPARATOR.lastIndex = 0;
  const separator = new RegExp(SEPARATOR);
  for (let found = separator.exec(text); found !== null; found = separator.exec(text)) {
    const span = assignedAt(text, found.index, separator.lastIndex);
    if (span === null) continue;
    yield span;
    // What lies in a value is no name.
    separator.lastIndex = Math.max(separator.lastIndex, span[1]);
  }
}

function assignedAt(text: string, separatorAt: number, from: number): Span | null {
  const [nameAt, nameEnd] = nameBefore(text, separatorAt);
  if (nameEnd === nameAt) return null;
  const name = text.slice(nameAt, nameEnd);
  const before = text[nameAt - 1] ?? ' ';
  const isParameter = before === '?' || before === '&';
  const kind = secretKindOf(name) ?? (isParameter && isSecretParameter(name) ? 'value' : null);
  if (kind === null) return null;
  // A place in a file that is called so: `token.js:10:5`, `secrets:3`.
  if (kind === 'value' && text[separatorAt] === ':' && /^\d{1,6}:\d{1,6}\b/.test(text.slice(from, from + 14)))
    return null;
  const rest = text.slice(from, from + 40);
  // Numbers: of a line in a method (`Token.destroy:374`), of a session that is counted (`Session: 305_426`).
  const isMethod = name.includes('.') && secretKindOf(name.slice(name.lastIndexOf('.') + 1)) === null;
  if (isMethod && /^\d{1,6}(?![\w.])/.test(rest)) return null;
  if (/^session$/i.test(name) && !isParameter && /^\s?[\d_]{1,32}(?![\w.-])/.test(rest)) return null;
  if (kind === 'field' && text[separatorAt] !== '=') return fieldAt(text, nameAt, from);
  const span = valueAt(text, from, countsThings(name));
  return kind === 'word' && !isRandom(span, text) && !/["'`]/.test(text[(span?.[0] ?? 0) - 1] ?? ' ')
    ? null
    : span;
}

function nameBefore(text: string, separatorAt: number): Span {
  let end = separatorAt;
  const nearest = Math.max(0, separatorAt - MOST_BETWEEN);
  while (end > nearest && BETWEEN.includes(text[end - 1] as string)) end -= 1;
  let start = end;
  const furthest = Math.max(0, end - LONGEST_NAME);
  while (start > furthest && NAME.test(text[start - 1] as string)) start -= 1;
  // Two words: `API key: x`.
  const words = /^key$/i.test(text.slice(start, end))
    ? KEY_OF_TWO_WORDS.exec(text.slice(Math.max(0, start - 16), start))
    : null;
  return [start - (words?.[0].length ?? 0), end];
}

/** A name, what stands between it and its value, and how the value is written. */
interface Notation {
  readonly pattern: RegExp;
  readonly value: (text: string, from: number) => Span | null;
  /** Beside what names say: whether it is that sure that a secret follows. */
  readonly isSure?: (name: string) => boolean;
}

const either = (text: string, from: number): Span | null => quotedAt(text, from) ?? bareAt(text, from, false);
/** A plain word is none. */
const isRandom = (span: Span | null, text: string): Span | null =>
  span !== null && /[\d\W_]|[a-z][A-Z]/.test(text.slice(...span)) && span[1] - span[0] >= 4 ? span : null;

const NOTATIONS: readonly Notation[] = [
  // --password x, `'--password', 'x'`
  {
    pattern: /(?<![\w-])--?([A-Za-z][\w-]{1,63})["'\\]{0,4}(?:\s{0,4},\s{1,4}|[ \t]{1,4}|,)(?!-)/g,
    value: either,
  },
  // 'Authorization', 'Bearer x': Node's rawHeaders.
  {
    pattern: /(?<![\w-])["']([\w-]{2,64})\\{0,4}["']\s{0,4},\s{1,4}(?=\\{0,4}["'])/g,
    value: (text, from) => quotedAt(text, from),
    isSure: (name) => secretKindOf(name) === 'field' || /^x-/i.test(name),
  },
  // ["password","x1"]: entries.
  {
    pattern: /(?<![\w-])["']([\w-]{2,64})\\{0,4}["']\s{0,4},\s{0,4}(?=\\{0,4}["'])/g,
    value: (text, from) => isRandom(quotedAt(text, from), text),
  },
  // { name: 'DB_PASSWORD', value: 'x' }
  {
    pattern:
      /\b(?:name|key|field|header)\\{0,4}["']?\s{0,4}[:=]\s{0,4}\\{0,4}["']([\w.-]{2,64})\\{0,4}["'],?\s{0,200}\\{0,4}["']?value\\{0,4}["']?\s{0,4}[:=]/gi,
    value: (text, from) => valueAt(text, from, false),
  },
  // <password>x</password>
  { pattern: /<(?:\w{1,20}:)?([\w.-]{2,64})(?:\s[^<>]{0,200})?>(?=[^<])/g, value: upToTag },
  // Content-Disposition: form-data; name="password" and, behind an empty line, the value.
  {
    pattern: /\bname="([\w.-]{2,64})"(?:(?:\r?\n){2}|(?:\\r)?\\n(?:\\r)?\\n)/g,
    value: (text, from) => bareAt(text, from, false),
  },
  // password is hunter2, password was set to hunter2
  {
    pattern:
      /\b(password|passphrase|passcode|secret|token|pin|api.?key)(?:\s{1,4}(?:for|of)\s{1,4}\S{1,40})?\s{1,4}(?:is|was|changed|set)\s{1,4}(?:set\s{1,4}to\s{1,4}|to\s{1,4}|now\s{1,4})?(?=\S)/gi,
    value: (text, from) => isRandom(either(text, from), text),
  },
  // token a1b2c3d4e5
  {
    pattern:
      /\b(password|passphrase|passwd|secret|token|api.?key)\s{1,4}(?=["']?[\w+/=-]{0,100}\d)(?=["']?[\w+/=-]{0,100}[A-Za-z])(?=["']?[\w+/=-]{8,100})/gi,
    value: either,
  },
  // machine x login y password z; IDENTIFIED BY 'x'; password 'x'
  { pattern: /\blogin\s{1,4}\S{1,64}\s{1,4}(password)\s{1,4}/gi, value: either },
  {
    pattern: /\bIDENTIFIED\s{1,4}(?:WITH\s{1,4}\S{1,40}\s{1,4})?(?:BY|AS)\s{1,4}(?:PASSWORD\s{1,4})?()/gi,
    value: (text, from) => quotedAt(text, from),
    isSure: () => true,
  },
  {
    pattern: /\b(password|passphrase|passwd|secret)\s{0,2}[ (]\s{0,2}(?=["'][^"'\s]{4})/gi,
    value: (text, from) => quotedAt(text, from),
  },
  { pattern: /^\s{0,20}(requirepass|masterauth)[ \t]{1,8}/gim, value: either },
  // How ioredis and Redis' MONITOR show it.
  {
    pattern:
      /(?:\bname: 'auth',\s{1,200}args: \[\s{0,200}|"AUTH"\s{1,4}|\bcommand AUTH\s{1,4}(?:args\s{1,4}\[\s{0,4})?)()/gi,
    value: (text, from) => allQuoted(text, from),
    isSure: () => true,
  },
  // Programs of which it is known what -p, -a, -w and -u mean.
  {
    pattern:
      /\b(?:mysql\w{0,20}|mariadb[\w-]{0,20}|sshpass|docker login|mongo\w{0,20}|htpasswd|ldap\w{1,20})\b[^\n|;]{0,200}?\s-[pw][ \t]{0,2}(?=[^\s-])()/g,
    value: either,
    isSure: () => true,
  },
  { pattern: /\bredis-cli\b[^\n|;]{0,200}?\s-a[ \t]{1,2}()/g, value: either, isSure: () => true },
  {
    pattern:
      /\b(?:curl|wget|http|https)\b[^\n|;]{0,400}?\s(?:-u[ \t]{0,2}|--user[ \t=]{1,2}|--proxy-user[ \t=]{1,2})["']?[\w.@-]{0,64}:()/g,
    value: bareUser,
    isSure: () => true,
  },
  {
    pattern: /\s-u[ \t]{0,2}[\w.-]{1,64}[ \t]{1,4}-p[ \t]{0,2}(?=[^\s-])()/g,
    value: either,
    isSure: () => true,
  },
];

/** Secrets whose name is not followed by a separator of the usual kind. */
export function* notated(text: string): Generator<Span> {
  for (const { pattern, value, isSure } of NOTATIONS) {
    for (const found of text.matchAll(pattern)) {
      const name = found[1] ?? '';
      if (!(isSure?.(name) ?? secretKindOf(name) !== null)) continue;
      const span = value(text, found.index + found[0].length);
      if (span !== null) yield span;
    }
  }
}

function upToTag(text: string, from: number): Span | null {
  const end = text.indexOf('<', from);
  const line = text.slice(from, end === -1 ? from + 4_096 : Math.min(end, from + 4_096));
  return line.trim() === '' ? null : [from, from + line.length];
}

/** All of `'user', 'x'` or `"user" "x"`. */
function allQuoted(text: string, from: number): Span | null {
  const first = quotedAt(text, from);
  if (first === null) return either(text, from);
  const second = /^["'][,\s]{1,4}/.exec(text.slice(first[1], first[1] + 6));
  const next = second === null ? null : quotedAt(text, first[1] + second[0].length);
  return next === null ? first : [first[0], next[1]];
}

function bareUser(text: string, from: number): Span | null {
  const quote = /["']/.exec(text.slice(from, from + 200));
  const span = bareAt(text, from, false);
  return span !== null && quote !== null && span[1] > from + quote.index ? [from, from + quote.index] : span;
}
