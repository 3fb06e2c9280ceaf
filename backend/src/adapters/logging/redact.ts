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
/** Stands for a value that throws when it is looked at: a getter, a revoked proxy, an object without `toString`. */
const UNREADABLE = '[unreadable]';

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
      readable(() =>
        isSecretKey(key) ? hide(value[key]) : redactValue(value[key], [...parents, value], depth + 1),
      ),
    ]);
  }
  return Object.fromEntries(plain);
}

/** That a secret is missing may be told. */
function hide(value: unknown): unknown {
  return value === undefined || value === null || typeof value === 'boolean' ? value : REDACTED;
}

/** What `read` returns. A log line is written even if one of its values throws. */
function readable(read: () => unknown): unknown {
  try {
    return read();
  } catch {
    return UNREADABLE;
  }
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
    return [...value]
      .slice(0, MOST_ENTRIES)
      .map((item) => readable(() => redactValue(item, entered, depth + 1)));
  }
  if (value instanceof Map) {
    const entries = [...value].map(([key, item]): [string, unknown] => [
      String(readable(() => String(key))),
      item,
    ]);
    return redactObject(Object.fromEntries(entries), entered, depth);
  }
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  return redactObject(value as Record<string, unknown>, parents, depth);
}

function redactError(error: Error, parents: readonly object[], depth: number): Record<string, unknown> {
  const { name, message, stack, cause, code } = error as NodeJS.ErrnoException;
  const entered = [...parents, error];
  return {
    name: redactValue(name, entered, depth + 1),
    message: redactValue(message, entered, depth + 1),
    ...(code === undefined ? {} : { code: readable(() => String(code)) }),
    ...(stack === undefined ? {} : { stack: redactValue(stack, entered, depth + 1) }),
    ...(cause === undefined || depth >= DEEPEST ? {} : { cause: redactValue(cause, entered, depth + 1) }),
  };
}
