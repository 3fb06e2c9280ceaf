/**
 * Entry of `holdfast`: what `npx holdfast`, scripts/*.sh and the npm scripts call. Each command is a file in
 * cli/commands/; this one finds it, and turns what went wrong into a message and an exit code: 0 as asked, 1 failed,
 * 2 wrong usage.
 */
import { isFileError, plainReason } from './adapters/files/writable.js';
import { packageVersion } from './adapters/packageVersion.js';
import { UsageError, type Command } from './cli/command.js';
import { COMMANDS } from './cli/commands/index.js';
import { createContext, type CliContext } from './cli/context.js';
import { startAdvice } from './cli/invocation.js';
import { meant } from './cli/services.js';
import { Terminal } from './cli/terminal.js';
import { HoldfastError } from './domain/errors.js';
import { isPackage, packageFolder } from './installation.js';
import { refuseSelfConnections } from './lib/selfConnection.js';

const USAGE = [
  'Usage: npx holdfast COMMAND [options]',
  '',
  ...Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(10)} ${summary}`),
  '',
  isPackage
    ? 'In the folder of your project, which has the ecosystem file, or with HA_ROOT=/path/to/project.'
    : 'In the folder of the project; anywhere else: /path/to/project/scripts/holdfast.sh COMMAND [options]',
  '`COMMAND --help` says more. `--version` names the version. Exit codes: 0 as asked, 1 failed, 2 wrong usage.',
].join('\n');

const isHelp = (word: string): boolean => word === '--help' || word === '-h';

async function main(argv: readonly string[], terminal: Terminal): Promise<number> {
  const [first = '', ...rest] = argv;
  // `help scale` is `scale --help`.
  const [name = '', ...args] = first === 'help' && rest[0] !== undefined ? [rest[0], '--help'] : argv;
  if (isHelp(name) || name === 'help') {
    terminal.line(USAGE);
    return 0;
  }
  if (name === '--version') {
    terminal.line(packageVersion(packageFolder));
    return 0;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    const problem =
      name === ''
        ? 'A command is missing.'
        : `There is no command "${name}".${meant(name, Object.keys(COMMANDS))}`;
    terminal.problem(`${problem}\n\n${USAGE}`);
    return 2;
  }
  if (args.some(isHelp)) {
    terminal.line(command.usage);
    return 0;
  }
  return run(command, args, terminal);
}

refuseSelfConnections();

async function run(command: Command, args: readonly string[], terminal: Terminal): Promise<number> {
  let context: CliContext | null = null;
  try {
    context = createContext(process.env, terminal, command.toleratesMistakes === true);
    return await command.run(args, context);
  } catch (error) {
    if (error instanceof UsageError) {
      terminal.problem(`${error.message}\n\n${command.usage}`);
      return 2;
    }
    if (!(error instanceof HoldfastError)) {
      // A bug shows its stack; a file that can't be read or written is none.
      if (!isFileError(error)) throw error;
      terminal.problem(`${error.path} cannot be used: ${plainReason(error)}.`);
      return 1;
    }
    const isAway = context !== null && error.code === 'supervisor.unreachable';
    terminal.problem(isAway ? `${error.message}\n${startAdvice(context as CliContext)}` : error.message);
    return 1;
  }
}

// A reader that went away (`… | head`) is no reason to complain.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
process.exitCode = await main(
  process.argv.slice(2),
  new Terminal(process.stdout, process.stderr, process.env),
);
