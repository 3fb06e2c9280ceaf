/** What a command is, and how its arguments are read. */
import { parseArgs, type ParseArgsConfig } from 'node:util';
import type { CliContext } from './context.js';

export interface Command {
  /** One line for the list of commands. */
  readonly summary: string;
  /** The whole of `--help`. */
  readonly usage: string;
  /**
   * It starts nothing: it looks, stops, or asks the supervisor that runs. A mistake in the configuration is then a
   * warning, and the command goes on with the rest. Default: the mistakes are reported and nothing is done.
   */
  readonly toleratesMistakes?: true;
  /**
   * @returns the exit code: 0 as asked, 1 failed.
   * @throws UsageError for arguments that make no sense (exit code 2).
   */
  run(args: readonly string[], context: CliContext): Promise<number>;
}

/** The arguments are wrong; the message says how. */
export class UsageError extends Error {}

type Options = NonNullable<ParseArgsConfig['options']>;

/** node:util's parseArgs, strict and without positionals, with its complaints as UsageError. */
export function parse<T extends Options>(args: readonly string[], options: T) {
  return parseAll(args, options, false).values;
}

/**
 * As `parse`, with words that stand for themselves: `expected` names them as the usage does, `[NAME]` for one that may
 * be missing. A number such as -1 is a word, not an option; so is whatever stands behind `--`.
 * @returns the options and, by position, the words.
 */
export function parseWords<T extends Options>(
  args: readonly string[],
  options: T,
  expected: readonly string[],
) {
  // What stands behind `--` is no option, whatever it looks like.
  const end = args.includes('--') ? args.indexOf('--') : args.length;
  const before = args.slice(0, end);
  const others = before.filter((word) => !isNegativeNumber(word));
  const plain = [...args.slice(end + 1), ...before.filter(isNegativeNumber)];
  const { values, positionals } = parseAll([...others, '--', ...plain], options, true);
  const missing = expected.find((name, index) => !name.startsWith('[') && positionals[index] === undefined);
  if (missing !== undefined) throw new UsageError(`${missing} is missing.`);
  const surplus = positionals[expected.length];
  if (surplus !== undefined) {
    throw new UsageError(`"${surplus}" is one word too many; a name with spaces needs quotes.`);
  }
  return { values, words: positionals };
}

const isNegativeNumber = (word: string): boolean => /^-\d+$/.test(word);

function parseAll<T extends Options>(args: readonly string[], options: T, allowPositionals: boolean) {
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals });
  } catch (error) {
    if (error instanceof TypeError && allowPositionals)
      throw new UsageError(`${error.message}\nA name that begins with a dash goes last, behind \`--\`.`);
    if (error instanceof TypeError) throw new UsageError(error.message);
    throw error;
  }
}

/** @throws UsageError unless `text` is a whole number of seconds, 1 to 3600. */
export function seconds(option: string, text: string): number {
  return wholeNumber(option, text, 3_600, 'a whole number of seconds');
}

/** @throws UsageError unless `text` is a whole number from 1 to `most`. */
export function wholeNumber(option: string, text: string, most: number, what = 'a whole number'): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= most) return value;
  throw new UsageError(`--${option} is "${text}"; it must be ${what}, 1 to ${most}.`);
}
