/** `logs`: what the instances of a service wrote, and with --follow what they write. */
import { messageOf } from '../../domain/errors.js';
import { readable } from '../../adapters/logging/logger.js';
import { LINES_BEFORE, OutputLines } from '../../lib/secrets/outputLines.js';
import { parseWords, wholeNumber, type Command } from '../command.js';
import { pause } from '../deployment.js';
import { labelOf, logSources, newSources, type LogSource } from '../logFiles.js';
import { lastLines, LineFollower } from '../logTail.js';
import type { Terminal } from '../terminal.js';

const MOST_LINES = 100_000;
const POLL_MS = 250;
/** Files of new instances are looked for with every so many polls. */
const POLLS_PER_LOOK = 8;

export const logs: Command = {
  summary: 'what the instances of a service wrote, and with --follow what they write',
  usage: `Usage: npx holdfast logs SERVICE [--lines N] [--follow] [--json]

The last lines that all instances of the service wrote, from PM2's log files and, where these are short, from the rotated
ones before them. SERVICE is also ha-supervisor or ha-gateway. Works without a supervisor.

    npx holdfast logs my-api --lines 50
    npx holdfast logs my-api --follow

  --lines N, -n N  so many lines of each file (default 20)
  --follow, -f     go on with what is written from now on, until Ctrl-C
  --json           one JSON object a line, for machines
  --help           this text`,
  toleratesMistakes: true,

  async run(args, context) {
    const { values, words } = parseWords(
      args,
      {
        lines: { type: 'string', short: 'n', default: '20' },
        follow: { type: 'boolean', short: 'f', default: false },
        json: { type: 'boolean', default: false },
      },
      ['SERVICE'],
    );
    const service = words[0] ?? '';
    const count = wholeNumber('lines', values.lines, MOST_LINES);
    const sources = await logSources(context, service);
    const output = new Output(context.terminal, service, values.json, sources.length > 1);
    const followers = values.follow ? await Promise.all(sources.map((source) => begin(source, output))) : [];
    const code = await showEnd(context.terminal, output, sources, count);
    if (values.follow) await follow(sources, followers, output);
    return code;
  },
};

/** How a line is shown. */
class Output {
  readonly #terminal: Terminal;
  readonly #service: string;
  readonly #json: boolean;
  readonly #isLabelled: boolean;
  /** By the file's path: what came before may say what is secret in a line. */
  readonly #lines = new Map<string, OutputLines>();

  constructor(terminal: Terminal, service: string, json: boolean, isLabelled: boolean) {
    this.#terminal = terminal;
    this.#service = service;
    this.#json = json;
    this.#isLabelled = isLabelled;
  }

  heading(source: LogSource): void {
    if (this.#json) return;
    this.#terminal.line(this.#terminal.paint('dim', `── ${labelOf(source)}: ${source.path}`));
  }

  /** @param shownCount the last so many are shown; those before only say what these belong to. */
  lines(source: LogSource, texts: readonly string[], isLive: boolean, shownCount = texts.length): void {
    const lines = this.#lines.get(source.path) ?? new OutputLines();
    this.#lines.set(source.path, lines);
    const shown = lines.next(texts);
    for (const text of shown.slice(Math.max(0, shown.length - shownCount))) this.#line(source, text, isLive);
  }

  #line(source: LogSource, text: string, isLive: boolean): void {
    if (this.#json) {
      const { stream, pmId, path } = source;
      this.#terminal.json({ service: this.#service, stream, pmId, path, line: text }, 0);
      return;
    }
    const shown = this.#terminal.isInteractive ? (readable(text, this.#terminal.hasColours) ?? text) : text;
    const label = isLive && this.#isLabelled ? `${this.#terminal.paint('dim', `${labelOf(source)} |`)} ` : '';
    this.#terminal.line(`${label}${shown}`);
  }
}

/** @returns the exit code: 1 when a file is there and can't be read. */
async function showEnd(
  terminal: Terminal,
  output: Output,
  sources: readonly LogSource[],
  count: number,
): Promise<number> {
  let code = 0;
  let shown = 0;
  for (const source of sources) {
    try {
      const lines = count === 0 ? [] : ((await lastLines(source.path, count + LINES_BEFORE)) ?? []);
      if (lines.length > 0) output.heading(source);
      output.lines(source, lines, false, count);
      shown += lines.length;
    } catch (error) {
      terminal.problem(`${source.path} cannot be read: ${messageOf(error)}`);
      code = 1;
    }
  }
  if (shown === 0 && code === 0) {
    const where = sources.map(({ path }) => path).join(', ');
    terminal.warning(where === '' ? 'It has no log files yet.' : `Nothing is written yet in ${where}.`);
  }
  return code;
}

async function begin(source: LogSource, output: Output, fromStart = false): Promise<LineFollower> {
  const follower = new LineFollower(source.path, (lines) => output.lines(source, lines, true));
  if (!fromStart) await follower.skipToEnd().catch(() => undefined);
  return follower;
}

/** Until the process is ended. */
async function follow(
  first: readonly LogSource[],
  followers: LineFollower[],
  output: Output,
): Promise<never> {
  const sources = [...first];
  for (let round = 1; ; round += 1) {
    // A file that can't be read just now may be readable later.
    for (const follower of followers) await follower.poll().catch(() => undefined);
    if (round % POLLS_PER_LOOK === 0) {
      for (const source of await newSources(sources)) {
        sources.push(source);
        followers.push(await begin(source, output, true));
      }
    }
    await pause(POLL_MS);
  }
}
