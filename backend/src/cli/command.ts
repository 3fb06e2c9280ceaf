/** What a command is, and how its arguments are read. */
import { parseArgs, type ParseArgsConfig } from 'node:util';
import type { CliContext } from './context.js';

export interface Command {
  /** One line for the list of commands. */
  readonly summary: string;
  /** The whole of `--help`. */
  readonly usage: string;
  /**
   * @returns the exit code: 0 as asked, 1 failed.
   * @throws UsageError for arguments that make no sense (exit code 2).
   */
  run(args: readonly string[], context: CliContext): Promise<number>;
}

/** The arguments are wrong; the message says how. */
export class UsageError extends Error {}

/** node:util's parseArgs, strict and without positionals, with its complaints as UsageError. */
export function parse<T extends NonNullable<ParseArgsConfig['options']>>(
  args: readonly string[],
  options: T,
) {
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(error.message);
    throw error;
  }
}

/** @throws UsageError unless `text` is a whole number of seconds, 1 to 3600. */
export function seconds(option: string, text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= 3_600) return value;
  throw new UsageError(`--${option} is "${text}"; it must be a whole number of seconds, 1 to 3600.`);
}
