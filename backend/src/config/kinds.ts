/**
 * The kinds of value a setting can have. A value comes from YAML (typed) or from the environment (text), so every
 * kind reads both: 80 and "80", true and "true". A kind says in one phrase what it allows; that phrase is the error
 * message, and the documentation.
 */
import { z } from 'zod';

export interface Kind<T> {
  /** Reads a value of YAML or of the environment. */
  readonly schema: z.ZodType<T>;
  /** Completes "expected …". */
  readonly allowed: string;
  /** What is wrong with a value that was refused, where `allowed` would leave people searching in it. */
  readonly explain?: (value: unknown) => string | null;
  /** Completes the default in documentation ("80 %"), or null. */
  readonly unit: string | null;
  /** As one writes it in config.yml. */
  format(value: T): string;
}

const plain = (value: unknown): string => String(value);
/** Spaces around a value are nobody's intention. */
const trimmed = (value: unknown): unknown => (typeof value === 'string' ? value.trim() : value);

const DECIMAL = /^-?\d+(\.\d+)?$/;

function toNumber(value: unknown): unknown {
  const text = trimmed(value);
  return typeof text === 'string' && DECIMAL.test(text) ? Number(text) : text;
}

function number(min: number, max: number, unit: string | null, whole: boolean): Kind<number> {
  const range = z.number().min(min).max(max);
  return {
    schema: z.preprocess(toNumber, whole ? range.int() : range),
    allowed: `a ${whole ? 'whole ' : ''}number from ${min} to ${max}${unit === null ? '' : ` (${unit})`}`,
    unit,
    format: plain,
  };
}

export const count = (min: number, max: number): Kind<number> => number(min, max, null, true);
export const fraction = (): Kind<number> => number(0, 1, null, false);
export const percent = (): Kind<number> => number(0, 100, '%', false);
export const durationMs = (minMs: number, maxMs: number): Kind<number> => number(minMs, maxMs, 'ms', true);
export const days = (min: number, max: number): Kind<number> => number(min, max, 'days', true);
export const port = (): Kind<number> => number(1, 65_535, null, true);

/** A count, or `auto`. */
export function countOrAuto(min: number, max: number): Kind<number | 'auto'> {
  const whole = count(min, max);
  return {
    schema: z.preprocess(trimmed, z.union([z.literal('auto'), whole.schema])),
    allowed: `${whole.allowed}, or auto`,
    unit: null,
    format: plain,
  };
}

const SWITCH: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['yes', true],
  ['on', true],
  ['1', true],
  ['false', false],
  ['no', false],
  ['off', false],
  ['0', false],
]);

export function onOff(): Kind<boolean> {
  const read = (value: unknown): unknown => SWITCH.get(String(value).trim().toLowerCase());
  return { schema: z.preprocess(read, z.boolean()), allowed: 'true or false', unit: null, format: plain };
}

export function choice<const T extends string>(options: readonly [T, ...T[]]): Kind<T> {
  return {
    schema: z.preprocess(trimmed, z.enum(options)),
    allowed: options.length === 1 ? options[0] : `${options.slice(0, -1).join(', ')} or ${options.at(-1)}`,
    unit: null,
    format: plain,
  };
}

const CONTROL_CHARACTER = /\p{Cc}/u;

/** One line of text. Numbers in YAML are refused: 0123 would arrive as 123. */
export function text(allowed = 'text, in quotes where YAML would see a number'): Kind<string> {
  return matching(/^[^\n]+$/, allowed);
}

/** Text without control characters that matches `pattern` as a whole. */
export function matching(pattern: RegExp, allowed: string): Kind<string> {
  const line = z
    .string()
    .max(4_096)
    .refine((value) => pattern.test(value) && !CONTROL_CHARACTER.test(value));
  return {
    schema: z.preprocess(trimmed, line),
    allowed,
    unit: null,
    format: plain,
  };
}

/** A file or directory; a relative one is meant from the project root, `~` is the home directory. */
export function path(): Kind<string> {
  return text('a path; a relative one is meant from the project root');
}

const HOST_NAME = /^[A-Za-z0-9._-]+$/;

/** Host names, separated by commas. */
export function hostNames(): Kind<readonly string[]> {
  const read = (value: unknown): unknown =>
    typeof value === 'string' ? value.split(',').map((name) => name.trim()) : value;
  return {
    schema: z.preprocess(read, z.array(z.string().max(255).regex(HOST_NAME)).min(1).max(64)),
    allowed: 'host names without ports, separated by commas',
    unit: null,
    format: (names) => names.join(', '),
  };
}

export function httpUrl(): Kind<string> {
  const isHttp = (value: string): boolean => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol);
  const schema = z.preprocess(trimmed, z.string().max(4_096).refine(isHttp));
  return { schema, allowed: 'a URL that begins with http:// or https://', unit: null, format: plain };
}

/** An inclusive range of HTTP statuses, as "200-399" or "200". */
export interface StatusRange {
  readonly min: number;
  readonly max: number;
}

export function statusRange(): Kind<StatusRange> {
  const read = (value: unknown): unknown => {
    const match = /^(\d{3})(?:\s*-\s*(\d{3}))?$/.exec(String(value).trim());
    return match === null ? undefined : { min: Number(match[1]), max: Number(match[2] ?? match[1]) };
  };
  const status = z.number().min(100).max(599);
  const range = z.object({ min: status, max: status }).refine(({ min, max }) => min <= max);
  return {
    schema: z.preprocess(read, range),
    allowed: 'an HTTP status from 100 to 599, or a range of them such as 200-399',
    unit: null,
    format: ({ min, max }) => (min === max ? String(min) : `${min}-${max}`),
  };
}

const SIZE_UNITS: readonly (readonly [suffix: string, bytes: number])[] = [
  ['G', 1024 ** 3],
  ['M', 1024 ** 2],
  ['K', 1024],
];

/** A size in bytes, written as PM2 writes it: 512M (K, M, G: powers of 1024) or a plain number of bytes. */
export function bytes(min: number, max: number): Kind<number> {
  const read = (value: unknown): unknown => {
    const match = /^(\d+(?:\.\d+)?)\s*([KMG])?B?$/i.exec(String(value).trim());
    if (match === null) return undefined;
    const factor = SIZE_UNITS.find(([suffix]) => suffix === match[2]?.toUpperCase())?.[1] ?? 1;
    return Math.round(Number(match[1]) * factor);
  };
  return {
    schema: z.preprocess(read, z.number().int().min(min).max(max)),
    allowed: `a size from ${formatBytes(min)} to ${formatBytes(max)} such as 512M (K, M or G; plain numbers are bytes)`,
    unit: null,
    format: formatBytes,
  };
}

/** In the largest unit that divides it: 536870912 → "512M". */
export function formatBytes(value: number): string {
  for (const [suffix, factor] of SIZE_UNITS) {
    if (value >= factor && value % factor === 0) return `${value / factor}${suffix}`;
  }
  return String(value);
}
