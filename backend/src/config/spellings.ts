/** Names and values as people write them elsewhere, brought to ours: files and settings of balancers differ in little else. */
import { z } from 'zod';

import type { Kind } from './kinds.js';
import { normalised } from './problems.js';

/** Our names, each with others for the same thing. Case, hyphens, underscores and spaces make no difference. */
export type Spellings = Readonly<Record<string, readonly string[]>>;

/** What an object says, by our names; each value with the key as it was written. */
export type Fields = ReadonlyMap<string, { readonly key: string; readonly value: unknown }>;

/** Ours for each spelling, normalised. */
function lookup(spellings: Spellings): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(spellings).flatMap(([own, others]) =>
      [own, ...others].map((spelling) => [normalised(spelling), own] as const),
    ),
  );
}

/** JSON has no comments, so people write them as keys. */
const COMMENT = /^(\/\/|#|_|\$schema$)|^(comments?|description|notes?|version)$/i;

/**
 * @param onUnknown told of each key that is not known.
 * @param onTwice told of two keys that say the same thing.
 */
export function readFields(
  value: object,
  spellings: Spellings,
  onUnknown: (key: string) => void,
  onTwice: (key: string, other: string) => void,
): Fields {
  const known = lookup(spellings);
  const fields = new Map<string, { readonly key: string; readonly value: unknown }>();
  for (const [key, content] of Object.entries(value)) {
    const own = known.get(normalised(key));
    const before = own === undefined ? undefined : fields.get(own);
    if (own === undefined) {
      if (!COMMENT.test(key)) onUnknown(key);
    } else if (before !== undefined) onTwice(key, before.key);
    else if (content !== null) fields.set(own, { key, value: content });
  }
  return fields;
}

/** `kind`, whose values may also be spelt otherwise. */
export function spelt<T extends string>(kind: Kind<T>, spellings: Spellings): Kind<T> {
  const known = lookup(spellings);
  const read = (value: unknown): unknown =>
    typeof value === 'string' ? (known.get(normalised(value)) ?? value) : value;
  return { ...kind, schema: z.preprocess(read, kind.schema) as z.ZodType<T> };
}

const UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  sec: 1_000,
  secs: 1_000,
  second: 1_000,
  seconds: 1_000,
  m: 60_000,
  min: 60_000,
  minute: 60_000,
  minutes: 60_000,
  h: 3_600_000,
};

/** A duration in milliseconds, which may also be text with a unit: "30s", "500 ms", "1.5m". */
export function withUnits(kind: Kind<number>): Kind<number> {
  const read = (value: unknown): unknown => {
    const [, amount = '', unit = ''] =
      typeof value === 'string' ? (/^\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*$/i.exec(value) ?? []) : [];
    const factor = UNITS_MS[unit.toLowerCase()];
    return factor === undefined ? value : Math.round(Number(amount) * factor);
  };
  return {
    ...kind,
    schema: z.preprocess(read, kind.schema) as z.ZodType<number>,
    allowed: `${kind.allowed}, or text with a unit such as "30s"`,
  };
}

/**
 * JSON as people edit it: comments of both kinds and a comma before a closing bracket are no mistakes.
 * @throws SyntaxError where it is no JSON for another reason.
 */
export function parseRelaxedJson(text: string): unknown {
  // Whole strings are matched first, so that nothing inside them is taken for a comment. What is left out keeps its
  // line breaks, for the positions in messages.
  const withoutComments = text
    .replace(/^\uFEFF/, '')
    .replaceAll(/"(?:\\.|[^"\\])*"|\/\/[^\n]*|\/\*[\s\S]*?\*\//g, (part) =>
      part.startsWith('"') ? part : part.replaceAll(/[^\n]/g, ' '),
    );
  return JSON.parse(
    withoutComments.replaceAll(/"(?:\\.|[^"\\])*"|,(?=\s*[}\]])/g, (part) => (part === ',' ? ' ' : part)),
  );
}
