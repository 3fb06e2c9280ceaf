/**
 * Takes secrets out of texts. A secret is found by its shape (the tables of shapes.ts and assignments.ts), or because the
 * scrubber was told it.
 *
 * Every shape looks at the text as it was written and says from where to where a secret reaches; all of these are then
 * replaced at once. So no shape depends on another, and a second scrub changes nothing. The time is linear in the length:
 * every repetition in a pattern is bounded, or ends at a character that it can't contain.
 */
import { assigned, notated } from './assignments.js';
import { formsOf } from './known.js';
import { secretKindOf } from './names.js';
import { accounts, addresses, blocks, hasLongRun, schemes, tokens } from './shapes.js';
import { REDACTED, type Span } from './values.js';

export { REDACTED } from './values.js';

/** What a text must contain for a shape to be worth a look. */
const NAMES =
  /pass|pwd|pw|secret|token|cred|cookie|auth|key|sid|sess|jwt|webhook|conn|dsn|pin|otp|cv[vc]|bearer|sig|[cx]srf|psw|identified| -[pauw]/i;
const TOKEN_SIGNS =
  /(?<![A-Za-z0-9_])(?:gh[pousr]_|github_|gl[a-z]{2,5}-|xox|xapp|[srp]k[_-]|whsec|A[A-Z]{3}[A-Z0-9]{4}|npm_|pypi|AIza|ya29|GOCSPX|hf_|do[opr]_|SG\.|key-|shp|hv[bsr]|dckr|sq0|PMAK|NRAK|lin_|fig[du]|rubygems|ATATT|AGE-|xkey|tskey|dapi|vercel|sbp_|SK[a-f0-9]{8}|eyJ)|:AA|\.[\w-]{6}\.[\w-]{27}|\.atlas/;

interface Shape {
  readonly sign: { test(text: string): boolean };
  readonly find: (text: string) => Iterable<Span>;
}

const SHAPES: readonly Shape[] = [
  { sign: { test: (text) => text.includes('-----') || hasLongRun(text) }, find: blocks },
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

  /** @param secrets that are replaced wherever they stand, also encoded. */
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

  /**
   * Lines of one output, in which a secret may reach from one into the next. As many lines as were given.
   * @param before the lines that came just before, as they were: they say what the first ones belong to.
   */
  readonly lines = (given: readonly string[], before: readonly string[] = []): string[] => {
    const shown = given.map((line) => this.#withoutKnown(line.length <= LONGEST_TEXT ? line : cut(line)));
    const plain = [...before, ...shown].map((line) =>
      HAS_COLOURS.test(line) ? line.replace(COLOURS, '') : line,
    );
    const text = plain.join('\n');
    const spans = secretsIn(text);
    if (spans.length === 0) return shown;
    let next = 0;
    let start = 0;
    const all = plain.map((line, index) => {
      const [from, to] = [start, start + line.length];
      start = to + 1;
      while (next < spans.length && (spans[next] as Span)[1] <= from) next += 1;
      const own: Span[] = [];
      for (let at = next; at < spans.length && (spans[at] as Span)[0] < to; at += 1)
        own.push(spans[at] as Span);
      // Colours go only where there is a secret.
      return own.length === 0 ? shown[index - before.length] : withoutSpans(text, own, from, to);
    });
    return all.slice(before.length).filter((line) => line !== undefined);
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

/** null: there is no secret in it. */
function scrubbed(text: string): string | null {
  const spans = secretsIn(text);
  return spans.length === 0 ? null : withoutSpans(text, spans, 0, text.length);
}

/** Where secrets are, in their order, none touching another. */
function secretsIn(text: string): readonly Span[] {
  const found: Span[] = [];
  for (const { sign, find } of SHAPES) {
    if (sign.test(text)) for (const span of find(text)) found.push(span);
  }
  found.sort((a, b) => a[0] - b[0]);
  const merged: Span[] = [];
  for (const [from, to] of found) {
    const last = merged.at(-1);
    if (last !== undefined && from <= last[1]) merged[merged.length - 1] = [last[0], Math.max(last[1], to)];
    else merged.push([from, to]);
  }
  return merged;
}

/** The part of a text from `start` to `end`, without what these spans have of it. */
function withoutSpans(text: string, spans: readonly Span[], start: number, end: number): string {
  const pieces: string[] = [];
  let done = start;
  for (const [from, to] of spans) {
    pieces.push(text.slice(done, Math.max(from, start)), REDACTED);
    done = Math.min(to, end);
  }
  pieces.push(text.slice(done, end));
  return pieces.join('');
}

/** At a space: half a secret may have no shape. */
function cut(text: string): string {
  const kept = text.slice(0, LONGEST_TEXT);
  const space = Math.max(kept.lastIndexOf('\n'), kept.lastIndexOf(' '));
  return `${space === -1 ? '' : kept.slice(0, space)}… (${text.length} characters)`;
}
