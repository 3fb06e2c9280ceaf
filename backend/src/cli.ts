/**
 * Entry of what scripts/*.sh and the npm scripts call. Each command is a file in cli/commands/; this one finds it,
 * and turns what went wrong into a message and an exit code: 0 as asked, 1 failed, 2 wrong usage.
 */
import { UsageError, type Command } from './cli/command.js';
import { deploy } from './cli/commands/deploy.js';
import { down } from './cli/commands/down.js';
import { health } from './cli/commands/health.js';
import { startHa } from './cli/commands/startHa.js';
import { status } from './cli/commands/status.js';
import { testHa } from './cli/commands/testHa.js';
import { up } from './cli/commands/up.js';
import { createContext } from './cli/context.js';
import { Terminal } from './cli/terminal.js';
import { HoldfastError } from './domain/errors.js';

const COMMANDS: Readonly<Record<string, Command>> = {
  up,
  down,
  status,
  health,
  'start-ha': startHa,
  'test-ha': testHa,
  deploy,
};

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
