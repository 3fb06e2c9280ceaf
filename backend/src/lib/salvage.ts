/**
 * Reads what may be damaged, such as a state file, piece by piece: what its schema refuses is taken out and named, and
 * everything else stays. A field that is taken out gets the default of the schema. Where it has none, the object that it
 * belongs to means nothing without it and is taken out in its turn; a member of a list or of a record goes by itself.
 */
import type { z } from 'zod';

export interface Salvaged<T> {
  /** null: nothing of it is of use. */
  readonly value: T | null;
  /** What was taken out, a line each: where it was, and what is wrong with it. */
  readonly problems: readonly string[];
}

type Path = readonly PropertyKey[];

/** @param raw what JSON.parse gave; it is not changed. */
export function salvage<S extends z.ZodType>(schema: S, raw: unknown): Salvaged<z.output<S>> {
  const rest: unknown = structuredClone(raw);
  const problems = new Map<string, string>();
  for (;;) {
    const parsed = schema.safeParse(rest);
    if (parsed.success) return { value: parsed.data, problems: [...problems.values()] };
    const gone: Path[] = [];
    for (const { path, message } of parsed.error.issues.toSorted(laterFirst)) {
      if (gone.some((taken) => isWithin(path, taken))) continue;
      const place = path.map(String).join('.');
      // What is missing because it was taken out has been named.
      if (!problems.has(place)) problems.set(place, `${place || 'all of it'}: ${message}`);
      const taken = takeOut(rest, path);
      if (taken.length === 0) return { value: null, problems: [...problems.values()] };
      gone.push(taken);
    }
  }
}

function isWithin(path: Path, outer: Path): boolean {
  return outer.every((key, depth) => path[depth] === key);
}

/** Members of a list move up when one before them is taken out. */
function laterFirst({ path: a }: { path: Path }, { path: b }: { path: Path }): number {
  for (let depth = 0; depth < Math.min(a.length, b.length); depth += 1) {
    const [one, other] = [a[depth], b[depth]];
    if (typeof one === 'number' && typeof other === 'number' && one !== other) return other - one;
  }
  return b.length - a.length;
}

/** Takes out what is there, or, when nothing is, what it would belong to. @returns the path of what was taken out. */
function takeOut(root: unknown, path: Path): Path {
  const parent = path.slice(0, -1).reduce<unknown>((at, key) => memberOf(at, key), root);
  const key = path.at(-1);
  if (key === undefined) return [];
  if (Array.isArray(parent) && typeof key === 'number' && key in parent) {
    parent.splice(key, 1);
    return path;
  }
  if (typeof parent === 'object' && parent !== null && Object.hasOwn(parent, key)) {
    delete (parent as Record<PropertyKey, unknown>)[key];
    return path;
  }
  return takeOut(root, path.slice(0, -1));
}

function memberOf(parent: unknown, key: PropertyKey): unknown {
  return typeof parent === 'object' && parent !== null && Object.hasOwn(parent, key)
    ? (parent as Record<PropertyKey, unknown>)[key]
    : undefined;
}

const MOST_LISTED = 20;

/** Problems in one line. */
export function listed(problems: readonly string[]): string {
  const more = problems.length - MOST_LISTED;
  return `${problems.slice(0, MOST_LISTED).join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}
