/**
 * Entry of what scripts/*.sh and the npm scripts call. Each command is a file in cli/commands/; this one finds it,
 * and turns what went wrong into a message and an exit code: 0 as asked, 1 failed, 2 wrong usage.
 */
import { UsageError } from './cli/command.js';
import { COMMANDS } from './cli/commands/index.js';
import { createContext } from './cli/context.js';
import { Terminal } from './cli/terminal.js';
import { HoldfastError } from './domain/errors.js';

const USAGE = [
  'Usage: scripts/holdfast.sh COMMAND [options]',
  '',
  ...Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(10)} ${summary}`),
  '',
  '`COMMAND --help` says more. Exit codes: 0 as asked, 1 failed, 2 wrong usage.',
].join('\n');

async function main(argv: readonly string[], terminal: Terminal): Promise<number> {
  const [name = '', ...args] = argv;
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    if (name === '--help' || name === 'help') {
      terminal.line(USAGE);
      return 0;
    }
    terminal.problem(
      `${name === '' ? 'A command is missing.' : `There is no command "${name}".`}\n\n${USAGE}`,
    );
    return 2;
  }
  if (args.includes('--help')) {
    terminal.line(command.usage);
    return 0;
  }
  try {
    return await command.run(args, createContext(process.env, terminal));
  } catch (error) {
    if (error instanceof UsageError) {
      terminal.problem(`${error.message}\n\n${command.usage}`);
      return 2;
    }
    if (!(error instanceof HoldfastError)) throw error;
    terminal.problem(error.message);
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
