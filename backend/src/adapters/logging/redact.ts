/**
 * Makes anything loggable: plain JSON, bounded in depth, width and length, without secrets. What is under a secret's name
 * is hidden, and every text is scrubbed (lib/secrets).
 */
import { secretKindOf } from '../../lib/secrets/names.js';
import { REDACTED, scrubber } from '../../lib/secrets/ofProcess.js';

/** A whole environment is full of secrets. `ecosystemEnv: 'production'` is none. */
const ENVIRONMENT_KEY = /^(?:.*_)?env(?:ironment)?$/i;
const DEEPEST = 6;
const MOST_ENTRIES = 100;
const LONGEST_TEXT = 8_192;

/** Text without secrets, shortened to 8192 characters: in this order, for half a secret may have no shape. */
export function redactText(text: string): string {
  const shown = scrubber.text(text);
  return shown.length <= LONGEST_TEXT
    ? shown
    : `${shown.slice(0, LONGEST_TEXT)}… (${text.length} characters)`;
}

/** Whether what stands under that name is a secret, or full of them. */
export function isSecretKey(key: string): boolean {
  return secretKindOf(key) !== null || ENVIRONMENT_KEY.test(key);
}

/** The fields of a log line. */
export function redactFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return redactObject(fields, [], 0);
}

function redactObject(
  value: Readonly<Record<string, unknown>>,
  parents: readonly object[],
  depth: number,
): Record<string, unknown> {
  const plain: [string, unknown][] = [];
  for (const key of Object.keys(value).slice(0, MOST_ENTRIES)) {
    plain.push([
      key,
      isSecretKey(key) ? hide(value[key]) : redactValue(value[key], [...parents, value], depth + 1),
    ]);
  }
  return Object.fromEntries(plain);
}

/** That a secret is missing may be told. */
function hide(value: unknown): unknown {
  return value === undefined || value === null || typeof value === 'boolean' ? value : REDACTED;
}

function redactValue(value: unknown, parents: readonly object[], depth: number): unknown {
  switch (typeof value) {
    case 'string':
      return redactText(value);
    case 'bigint':
    case 'symbol':
      return String(value);
    case 'function':
      return `[function ${value.name}]`;
    case 'object':
      return value === null ? null : redactReference(value, parents, depth);
    default:
      return value;
  }
}

function redactReference(value: object, parents: readonly object[], depth: number): unknown {
  if (parents.includes(value)) return '[circular]';
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'invalid date' : value.toISOString();
  if (value instanceof Error) return redactError(value, parents, depth);
  if (depth >= DEEPEST) return '[deep]';
  const entered = [...parents, value];
  if (Array.isArray(value) || value instanceof Set) {
    return [...value].slice(0, MOST_ENTRIES).map((item) => redactValue(item, entered, depth + 1));
  }
  if (value instanceof Map)
    return redactObject(Object.fromEntries(value) as Record<string, unknown>, entered, depth);
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  return redactObject(value as Record<string, unknown>, parents, depth);
}

function redactError(error: Error, parents: readonly object[], depth: number): Record<string, unknown> {
  const { code } = error as NodeJS.ErrnoException;
  return {
    name: error.name,
    message: redactText(error.message),
    ...(code === undefined ? {} : { code: String(code) }),
    ...(error.stack === undefined ? {} : { stack: redactText(error.stack) }),
    ...(error.cause === undefined || depth >= DEEPEST
      ? {}
      : { cause: redactValue(error.cause, [...parents, error], depth + 1) }),
  };
}
