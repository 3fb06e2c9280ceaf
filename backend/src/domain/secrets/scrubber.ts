/**
 * Takes secrets out of all that leaves this process or is kept: logs, events, black boxes, answers, pages, what commands
 * print. A secret is found by its shape (the tables of shapes.ts and assignments.ts) or because this process knows it.
 *
 * Every shape looks at the text as it was written and says from where to where a secret reaches; all of these are then
 * replaced at once. So no shape depends on another, and a second scrub changes nothing. The time is linear in the length:
 * every repetition in a pattern is bounded, or ends at a character that it can't contain.
 */
import { assigned, notated } from './assignments.js';
import { formsOf } from './known.js';
import { secretKindOf } from './names.js';
import { accounts, addresses, blocks, schemes, tokens } from './shapes.js';
import { REDACTED, type Span } from './values.js';

export { REDACTED } from './values.js';

/** What a text must contain for a shape to be worth a look. */
const NAMES =
  /pass|pwd|pw|secret|token|cred|cookie|auth|key|sid|sess|jwt|webhook|conn|dsn|pin|otp|cv[vc]|bearer|sig|[cx]srf|psw|identified| -[pauw]/i;
const TOKEN_SIGNS =
  /gh[pousr]_|github_|gl[a-z]{2,5}-|xox|xapp|[srp]k[_-]|whsec|A[A-Z]{3}[A-Z0-9]{4}|npm_|pypi|AIza|ya29|GOCSPX|hf_|do[opr]_|SG\.|key-|shp|hv[bsr]|dckr|sq0|PMAK|NRAK|lin_|fig[du]|rubygems|ATATT|AGE-|xkey|tskey|dapi|vercel|sbp_|SK[a-f0-9]{8}|:AA|[\w-]{20}\.[\w-]{6}\.|\.atlas|eyJ/;

interface Shape {
  readonly sign: RegExp;
  readonly find: (text: string) => Iterable<Span>;
}

const SHAPES: readonly Shape[] = [
  { sign: /-----|[A-Za-z0-9+/]{60}/, find: blocks },
  { sign: TOKEN_SIGNS, find: tokens },
  { sign: /bearer|basic|negotiate|ntlm/i, find: schemes },
  { sign: /:\/\/|[?&]/, find: addresses },
  { sign: /@/, find: accounts },
  { sign: NAMES, find: assigned },
  { sign: NAMES, find: notated },
];

/** A longer text is cut: it is no line, stack or report. */
const LONGEST_TEXT = 1024 * 1024;

/** What colours a terminal, as it is and as it is written in a text in quotes. */
const ESCAPES = ['\u001b', '\\\\u001b', '\\\\x1b', '\\\\e', '\\\\033'].join('|');
const COLOURS = new RegExp(`(?:${ESCAPES})\\[[\\d;]{0,20}[A-Za-z]`, 'gi');
const HAS_COLOURS = new RegExp(`(?:${ESCAPES})\\[`, 'i');

export class Scrubber {
  #forms: readonly string[];

  /** @param secrets that this process knows: they are replaced wherever they stand, also encoded. */
  constructor(secrets: readonly (string | null | undefined)[] = []) {
    this.#forms = formsOf(secrets.filter((secret) => typeof secret === 'string'));
  }

  /** Knows these as well from now on: a configuration was read anew. */
  learn(secrets: readonly (string | null | undefined)[]): void {
    const more = formsOf(secrets.filter((secret) => typeof secret === 'string'));
    this.#forms = [...new Set([...this.#forms, ...more])].toSorted((a, b) => b.length - a.length);
  }

  /** The text without secrets; the same text where there is none. */
  readonly text = (given: string): string => {
    const text = given.length <= LONGEST_TEXT ? given : cut(given);
    const unknown = this.#withoutKnown(text);
    if (unknown.length < SHORTEST_SUSPECT) return unknown;
    if (!HAS_COLOURS.test(unknown)) return scrubbed(unknown) ?? unknown;
    // Colours may stand between a name and its value, or in either: where there is a secret, the colours go as well.
    return scrubbed(unknown.replace(COLOURS, '')) ?? unknown;
  };

  /** Anything that JSON can carry, with its texts scrubbed; a text under a secret's name is replaced as a whole. */
  readonly json = (value: unknown): unknown => this.#json(value, 0);

  #json(value: unknown, depth: number): unknown {
    if (typeof value === 'string') return this.text(value);
    if (typeof value !== 'object' || value === null || depth > DEEPEST) return value;
    if (Array.isArray(value)) return value.map((item) => this.#json(item, depth + 1));
    if (typeof (value as { toJSON?: unknown }).toJSON === 'function') return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, child]) => [
        key,
        typeof child === 'string' && child !== '' && secretKindOf(key) !== null
          ? REDACTED
          : this.#json(child, depth + 1),
      ]),
    );
  }

  #withoutKnown(given: string): string {
    let text = given;
    for (const form of this.#forms) {
      if (text.includes(form)) text = text.replaceAll(form, REDACTED);
    }
    return text;
  }
}

const SHORTEST_SUSPECT = 6;
const DEEPEST = 64;

/**
 * That of this process: all that leaves it goes through this one. It learns the secrets of the configuration when that is
 * read (startProcess.ts, cli/context.ts).
 */
export const scrubber = new Scrubber();

/** For JSON.stringify: every text of an answer, however deep. */
export function withoutSecrets(key: string, value: unknown): unknown {
  if (typeof value !== 'string') return value;
  return value !== '' && secretKindOf(key) !== null ? REDACTED : scrubber.text(value);
}

/** null: there is no secret in it. */
function scrubbed(text: string): string | null {
  const spans: Span[] = [];
  for (const { sign, find } of SHAPES) {
    if (sign.test(text)) for (const span of find(text)) spans.push(span);
  }
  if (spans.length === 0) return null;
  spans.sort((a, b) => a[0] - b[0]);
  const pieces: string[] = [];
  let done = 0;
  for (let index = 0; index < spans.length;) {
    const [from, first] = spans[index] as Span;
    let to = first;
    for (index += 1; index < spans.length && (spans[index] as Span)[0] <= to; index += 1) {
      to = Math.max(to, (spans[index] as Span)[1]);
    }
    pieces.push(text.slice(done, from), REDACTED);
    done = to;
  }
  pieces.push(text.slice(done));
  return pieces.join('');
}

/** At a space: half a secret may have no shape. */
function cut(text: string): string {
  const kept = text.slice(0, LONGEST_TEXT);
  const space = Math.max(kept.lastIndexOf('\n'), kept.lastIndexOf(' '));
  return `${space === -1 ? '' : kept.slice(0, space)}… (${text.length} characters)`;
}
