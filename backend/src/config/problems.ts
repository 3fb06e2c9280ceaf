/** What is wrong with a configuration, for people and for the API's events. */
import type { Setting } from './setting.js';
import { nearest } from '../lib/editDistance.js';

export interface Problem {
  /** Where it was read: `config.yml line 12`, `.env`, `environment`. */
  readonly source: string;
  /** As written there: `services.shop.maxInstances`, `MAX_INSTANCES`; empty when it is about the whole file. */
  readonly key: string;
  /** As written there, shortened; secrets are hidden; null when it is not about a value. */
  readonly value: string | null;
  /** What would be right, one phrase. */
  readonly allowed: string;
}

const SHOWN_CHARACTERS = 80;

/** A value as people wrote it, short enough for a line; never a secret. */
export function showValue(value: unknown, secret: boolean): string {
  if (secret) return '(hidden)';
  const shown = typeof value === 'string' ? JSON.stringify(value) : (JSON.stringify(value) ?? String(value));
  return shown.length <= SHOWN_CHARACTERS ? shown : `${shown.slice(0, SHOWN_CHARACTERS - 1)}…`;
}

/** What would be right; where the value is long, also what is wrong with it. Never of a secret. */
export function explainRefusal({ kind, secret }: Setting<unknown>, value: unknown): string {
  const explanation = secret ? null : (kind.explain?.(value) ?? null);
  return explanation === null ? kind.allowed : `${kind.allowed} (${explanation})`;
}

/** One line: `config.yml line 3: maxInstances = "many", expected a whole number from 1 to 512, or auto`. */
export function formatProblem({ source, key, value, allowed }: Problem): string {
  if (key === '') return `${source}: ${allowed}`;
  return value === null
    ? `${source}: ${key}: ${allowed}`
    : `${source}: ${key} = ${value}, expected ${allowed}`;
}

/** All of them, a line each, under a headline. */
export function formatProblems(problems: readonly Problem[]): string {
  const headline =
    problems.length === 1
      ? 'The configuration has a problem:'
      : `The configuration has ${problems.length} problems:`;
  return [headline, ...problems.map((problem) => `  ${formatProblem(problem)}`)].join('\n');
}

/** Well-known names that come close to ours. */
const OF_OTHER_PROGRAMS: ReadonlySet<string> = new Set(['SSL_CERT_DIR', 'SSL_CERT_FILE']);

/** Without case and separators. */
export const normalised = (name: string): string => name.replace(/[-_\s]/g, '').toLowerCase();

/**
 * The known key that was probably meant by an unknown one in a configuration file, or null. Spelling, case and
 * separators are forgiven (`CPU_TRESHOLD_HIGH` means `cpuThresholdHigh`).
 */
export function meantKey(unknown: string, known: readonly string[]): string | null {
  const byNormalised = new Map(known.map((key) => [normalised(key), key]));
  const found = nearest(normalised(unknown), byNormalised.keys(), (key) =>
    Math.max(2, Math.floor(key.length / 3)),
  );
  return found === null ? null : (byNormalised.get(found) ?? null);
}

/**
 * The known variable that was probably meant by an unknown one in the environment, or null. The environment is full
 * of other programs' names, so short names must match more closely: DB_HOST is not a misspelt HA_HOST.
 */
export function meantVariable(unknown: string, known: readonly string[]): string | null {
  if (OF_OTHER_PROGRAMS.has(unknown)) return null;
  return nearest(unknown, known, (name) => Math.min(2, Math.floor(name.length / 4)));
}
