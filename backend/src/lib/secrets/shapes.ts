/** Secrets that are known by what they look like: tokens of known makers, JWTs, PEM blocks, URLs with a password in them. */
import { isSecretParameter } from './names.js';
import { REDACTED, type Span } from './values.js';

/** One who follows these prefixes made them to be found. */
const TOKENS: readonly RegExp[] = [
  /gh[pousr]_[A-Za-z0-9]{8,255}/,
  /github_pat_\w{8,255}/,
  /gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat)-[\w-]{8,255}/,
  /xox[a-z]-[\w-]{8,255}/,
  /xapp-[\w-]{8,255}/,
  /(?:sk|rk|pk)_(?:live|test|prod)_\w{8,255}/,
  /whsec_[\w+/=]{8,255}/,
  /(?:AKIA|ASIA|AROA|AIDA|ABIA|ACCA|AGPA|ANPA|ANVA)[A-Z0-9]{12,128}/,
  /npm_[A-Za-z0-9]{20,255}/,
  /pypi-[\w-]{16,255}/,
  /AIza[\w-]{20,255}/,
  /ya29\.[\w.-]{8,255}/,
  /GOCSPX-[\w-]{8,255}/,
  /sk-(?:proj-|ant-|svcacct-|admin-|or-)[\w-]{8,255}/,
  /sk-(?=[A-Za-z]{0,100}\d)[A-Za-z0-9]{20,255}/,
  /hf_[A-Za-z0-9]{20,255}/,
  /do[opr]_v1_[a-f0-9]{16,255}/,
  /SG\.[\w-]{8,255}\.[\w-]{8,255}/,
  /key-[a-f0-9]{32}/,
  /shp(?:at|ss|ca|pa|tk)_[A-Fa-f0-9]{16,255}/,
  /hv[bsr]\.[\w-]{16,255}/,
  /dckr_(?:pat|oat)_[\w-]{8,255}/,
  /sq0[a-z]{3}-[\w-]{16,255}/,
  /PMAK-[\w-]{16,255}/,
  /NRAK-[A-Z0-9]{16,255}/,
  /lin_(?:api|oauth)_\w{16,255}/,
  /fig[du]_[\w-]{16,255}/,
  /rubygems_[a-f0-9]{16,255}/,
  /ATATT3[\w=-]{16,255}/,
  /AGE-SECRET-KEY-1[A-Z0-9]{8,255}/,
  /xkeysib-[\w-]{16,255}/,
  /tskey-[\w-]{8,255}/,
  /dapi[a-f0-9]{32}/,
  /vercel_[A-Za-z0-9]{16,255}/,
  /sbp_[a-f0-9]{16,255}/,
  /glsa_[A-Za-z0-9_]{16,255}/,
  /SK[a-f0-9]{32}/,
  /\d{8,10}:AA[\w-]{30,64}/,
  /[MNO][\w-]{22,28}\.[\w-]{6}\.[\w-]{27,64}/,
  /[\w-]{14}\.atlasv1\.[\w-]{16,255}/,
  // JSON in base64url: the head of a JWT, alone where the rest was cut off.
  /eyJ[\w-]{5,}(?:\.[\w-]*){1,4}/,
  /eyJ[\w-]{14,}/,
];
const TOKEN = new RegExp(`(?<![A-Za-z0-9_])(?:${TOKENS.map(({ source }) => source).join('|')})`, 'g');

/** Words that people put behind Bearer and Basic when they speak of them. */
const NO_CREDENTIALS =
  /^(?:tokens?|auth\w*|scheme|realm\S*|error\S*|is|was|and|or|of|header|format|credentials?|required|missing|invalid|must|not|in|for|the|a|an|with|type|prefix|value|schema|strategy|security|access|only|from|to|usage|http|https|setup|info|example|support|plan|tests?|check)[.,:;)'"]*$/i;

export function* tokens(text: string): Generator<Span> {
  for (const { index, 0: found } of text.matchAll(TOKEN)) yield [index, index + found.length];
}

export function* schemes(text: string): Generator<Span> {
  for (const found of text.matchAll(
    /\b(bearer|basic|negotiate|ntlm)(?:\s{1,4}|%20|\+)["']?([\w.~+/=:-]{4,})/gi,
  )) {
    const [whole, scheme = '', value = ''] = found;
    const isBearer = /^bearer$/i.test(scheme);
    // `Basic` and the others are words as well: what follows must look like base64.
    if (
      NO_CREDENTIALS.test(value) ||
      (!isBearer && !/^(?=[^=]{6})[\w+/-]*(?:\d|[a-z][A-Z]|=)[\w+/=-]*$/.test(value))
    )
      continue;
    const from = found.index + whole.length - value.length;
    yield [from, from + value.length];
  }
}

const LONGEST_SCHEME = 31;
const SCHEME_END = /[A-Za-z][A-Za-z0-9+.-]*$/;
/** What no URL has in it, as it is written in a text. */
const URL_END = /[\s"'`<>│\\]/;
const LONGEST_URL = 2_048;

/** In URLs: user and password, the way of a webhook, parameters of the query. */
export function* addresses(text: string): Generator<Span> {
  for (let at = text.indexOf('://'), from = at; at !== -1; at = text.indexOf('://', from)) {
    from = at + 3;
    const scheme = SCHEME_END.exec(text.slice(Math.max(0, at - LONGEST_SCHEME), at))?.[0];
    if (scheme === undefined) continue;
    const near = text.slice(from, from + LONGEST_URL);
    const end = from + (URL_END.exec(near)?.index ?? near.length);
    const address = text.slice(from, end);
    const hasUser = address.includes('@') || address.includes(':');
    const hostAt = hasUser ? afterUser(text, from, end, /^(?:https?|wss?|file)/i.test(scheme)) : null;
    if (hostAt !== null) yield [from, hostAt - 1];
    if (/hook|telegram/i.test(address)) yield* webhook(text, hostAt ?? from, end);
    from = hostAt ?? from;
  }
  if (/[?&]/.test(text)) yield* parameters(text);
}

/** Names of users that say nothing. */
const PLAIN_USER = /^(?:[A-Za-z]{1,40}|\[redacted\])@$/;

/**
 * Behind the @ that ends user and password. A password may have an @, a / or a ? in it, against the rules; a path may have
 * an @, within them. null: there is no user.
 */
function afterUser(text: string, from: number, end: number, isOfWeb: boolean): number | null {
  const rest = text.slice(from, end);
  const authority = /^[^/?#]*/.exec(rest)?.[0] ?? '';
  const at = authority.lastIndexOf('@');
  const colon = authority.indexOf(':');
  const isPort = /^(?:\d{0,5}[,;.)\]}]*)$/.test(authority.slice(colon + 1));
  if (at === -1) {
    if (colon === -1 || isPort || authority.startsWith('[')) return null;
    const later = rest.lastIndexOf('@');
    if (later !== -1) return from + later + 1;
    // Cut off before its end. In quotes it may be whole, with a word for its port.
    const next = text.slice(end, end + 1);
    const password = authority.slice(colon + 1);
    const isRandom = /\d/.test(password) && /[A-Za-z]/.test(password);
    const isCut = authority.length === rest.length && (isRandom ? /^[\r\n…"'`]?$/ : /^[\r\n…]?$/).test(next);
    return isCut ? end + 1 : null;
  }
  const last = isPassword(rest, authority, at, isOfWeb) ? rest.lastIndexOf('@') : at;
  if (PLAIN_USER.test(rest.slice(0, last + 1))) return null;
  return from + last + 1;
}

/** Whether what follows the @ that should be the last one belongs to the password as well. Paths on the web have an @ now and then. */
function isPassword(rest: string, authority: string, at: number, isOfWeb: boolean): boolean {
  const later = rest.lastIndexOf('@');
  if (later <= at || !authority.slice(0, at).includes(':')) return false;
  const hasHost = at + 1 < authority.length;
  return (
    !isOfWeb || !hasHost || rest[authority.length] !== '/' || /^[\w.-]+:\d+\b/.test(rest.slice(later + 1))
  );
}

/** More parts of a path are not looked at. */
const MOST_PARTS = 12;

/** The address of a webhook is a secret as a whole: what stands behind the part of its path that says what it is. */
function* webhook(text: string, from: number, end: number): Generator<Span> {
  const [host = '', ...path] = text.slice(from, end).split('/', MOST_PARTS);
  const secretFrom = firstSecretPart(host, path);
  if (secretFrom === null) return;
  const at = from + [host, ...path.slice(0, secretFrom)].join('/').length + 1;
  if (at < end) yield [at, end];
}

function firstSecretPart(host: string, path: readonly string[]): number | null {
  const named = path.findIndex((part) => /^(?:web)?hooks?$/i.test(part));
  if (/^api\.telegram\.org$/i.test(host)) return 0;
  if (/^hooks?\.|webhook/i.test(host)) return path[0] === 'services' || path[0] === 'hooks' ? 1 : 0;
  if (named === -1) return null;
  const rest = path.slice(named + 1).join('/');
  const looksRandom =
    rest.length >= 8 && /\d/.test(rest) && /[A-Za-z]/.test(rest) && !/\.[a-z]{1,4}(?:[?#]|$)/.test(rest);
  return looksRandom || /discord/i.test(host) ? named + 1 : null;
}

/** `?sid=…&key=…`, also in a path without a host. */
function* parameters(text: string): Generator<Span> {
  for (const found of text.matchAll(/[?&](?:amp;)?([\w.[\]%~-]{1,64})=([^&\s"'`<>│#]{1,4096})/g)) {
    const [whole, name = '', value = ''] = found;
    const looksRandom =
      value.length >= 24 && /\d/.test(value) && /[A-Za-z]/.test(value) && /^[\w%~+/=-]+$/.test(value);
    if (!isSecretParameter(name) && !looksRandom) continue;
    const to = found.index + whole.length;
    const from = to - value.length;
    yield [
      from,
      value.startsWith(REDACTED)
        ? from + REDACTED.length
        : from + (value.replace(/[).,;:\]]+$/, '').length || value.length),
    ];
  }
}

/** `user:password@tcp(host:3306)/db`, `user:password@host:3306`: without a scheme. */
export function* accounts(text: string): Generator<Span> {
  for (const found of text.matchAll(
    /(?<![\w/@.-])[\w.-]{1,64}:(?!\/\/)([^\s:/@"'`]{1,256}(?:@[^\s:/@"'`]{1,256})?)@(?=(?:tcp|unix)\(|[A-Za-z][\w.-]{0,253}:\d{2,5}\b)/g,
  )) {
    const password = found[1] as string;
    const to = found.index + found[0].length - 1;
    // `worker:joe@host:9000`: a word before a host is more often a user, or the name of a thread.
    if (/^\w{2,20}\(/.test(text.slice(to + 1, to + 24)) || /[\d\W_]|[a-z][A-Z]/.test(password))
      yield [to - password.length, to];
  }
}

const BEGIN = /-----BEGIN [A-Z0-9 ]{1,40}-----/g;
const END = /-----END [A-Z0-9 ]{1,40}-----/g;
const LONGEST_BLOCK = 65_536;
/** A line of nothing but base64, maybe behind what a program put before it. */
const BASE64_LINE = /(?:^|[\s|:"'])[A-Za-z0-9+/]{24,200}={0,2}(?:\\n|["',\s])*$/;
const SHORT_LINE = /^[A-Za-z0-9+/]{1,76}={0,2}$/;
const SHORT_END = /(?:^|[\s|:"'])[A-Za-z0-9+/]{1,76}={0,2}$/;
/** What may stand in a block before its base64. */
const HEAD_LINE = /^(?:Proc-Type|DEK-Info|Comment|Version): |^$/;
const LONGEST_LINE = 256;
/** A block that was put into one line. */
const IN_LINE = /[A-Za-z0-9+/=\\]*/y;
/** A whole line of a block whose beginning and end are not in the text, or one in quotes. */
const WHOLE_LINE = /(?<![^\s|:"'])([A-Za-z0-9+/]{60,76}={0,2})(?:\r?$|(?=["']))/gm;

const LAST_LINE = /^([A-Za-z0-9+/]{2,76}={0,2})(?:\r?\n|$)/;

const LONG_RUN = 60;

/** Whether there is a row of so many characters of base64. Looked for at its end first, so that few are looked at. */
export function hasLongRun(text: string): boolean {
  let end = LONG_RUN - 1;
  while (end < text.length) {
    let at = end;
    while (at > end - LONG_RUN && isBase64(text.charCodeAt(at))) at -= 1;
    if (at === end - LONG_RUN) return true;
    end = at + LONG_RUN;
  }
  return false;
}

const isBase64 = (code: number): boolean =>
  (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || (code >= 47 && code <= 57) || code === 43;

/** PEM blocks: between their lines, or what is left of one that was cut. */
export function* blocks(text: string): Generator<Span> {
  if (text.includes('-----')) yield* markedBlocks(text);
  if (text.length < 60) return;
  for (const { index, 0: line, 1: base64 = '' } of text.matchAll(WHOLE_LINE)) {
    const isPath = base64.startsWith('/') && /["']/.test(text[index + line.length] ?? ' ');
    if (!isMixed(base64) || isPath) continue;
    yield [index, index + base64.length];
    // The last line of a block is shorter; what ends the block may come later.
    const nextAt = index + line.length + 1;
    const next = LAST_LINE.exec(text.slice(nextAt, nextAt + LONGEST_LINE))?.[1] ?? '';
    if (next.endsWith('=') || isMixed(next)) yield [nextAt, nextAt + next.length];
  }
}

function* markedBlocks(text: string): Generator<Span> {
  const ends = [...text.matchAll(END)].map(({ index }) => index);
  let nextEnd = 0;
  let done = 0;
  for (const found of text.matchAll(BEGIN)) {
    if (found.index < done) continue;
    const from = found.index + found[0].length;
    while (nextEnd < ends.length && (ends[nextEnd] as number) < from) nextEnd += 1;
    const end = ends[nextEnd];
    done = end !== undefined && end - from <= LONGEST_BLOCK ? end : cutBlockEnd(text, from);
    if (done > from) yield [from, done];
  }
  let before = 0;
  for (const end of ends) {
    const from = cutBlockStart(text, end, before);
    if (end > from) yield [from, end];
    before = end;
  }
}

const isMixed = (base64: string): boolean =>
  /[a-z]/.test(base64) && /[A-Z]/.test(base64) && /\d/.test(base64);

/** From BEGIN on, as long as lines are base64. */
function cutBlockEnd(text: string, from: number): number {
  IN_LINE.lastIndex = from;
  let end = from + (IN_LINE.exec(text)?.[0].length ?? 0);
  for (;;) {
    const lineStart = text.startsWith('\r\n', end) ? end + 2 : end + 1;
    if (text[lineStart - 1] !== '\n' || lineStart - from > LONGEST_BLOCK) return end;
    const next = text.indexOf('\n', lineStart);
    const line = text.slice(lineStart, next === -1 ? text.length : next).trimEnd();
    const isBody =
      SHORT_LINE.test(line) || BASE64_LINE.test(line.slice(-LONGEST_LINE)) || HEAD_LINE.test(line);
    if (!isBody) return end;
    end = lineStart + line.length;
    if (next === -1) return end;
  }
}

/** Back from END, as long as lines are base64; the last one may be short. */
function cutBlockStart(text: string, end: number, before: number): number {
  const furthest = Math.max(before, end - LONGEST_BLOCK);
  let start = end;
  while (start > furthest && /[A-Za-z0-9+/=\\]/.test(text[start - 1] as string)) start -= 1;
  for (let isLast = true; start > furthest && text[start - 1] === '\n'; isLast = false) {
    const lineStart = Math.max(furthest, text.lastIndexOf('\n', start - 2) + 1);
    const line = text.slice(lineStart, start - 1).trimEnd();
    if (
      !BASE64_LINE.test(line.slice(-LONGEST_LINE)) &&
      !(isLast && SHORT_END.test(line.slice(-LONGEST_LINE)))
    )
      break;
    start = lineStart;
  }
  return start;
}
