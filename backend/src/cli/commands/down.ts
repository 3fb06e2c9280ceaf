/**
 * `npm stop`: the supervisor first, or it would replace what is being stopped; then the gateway, which finishes what
 * clients have under way while the services still answer; then the services. Only applications
 * that the ecosystem file defines are touched. PM2's daemon is ended only when nothing at all is left in its list. What
 * runs here without PM2 (`npm run balancer`, `npm run cluster`) is found by its lock in the data folder.
 */
import { parse, type Command } from '../command.js';
import type { CliContext } from '../context.js';
import { GATEWAY_NAME, readEcosystem, SUPERVISOR_NAME } from '../ecosystemFile.js';
import { endManual, manualProcesses } from '../manual.js';
import type { Pm2App } from '../pm2Command.js';

/** Every instance may take its whole kill time-out, one after the other. */
const STOP_TIMEOUT_MS = 300_000;

export const down: Command = {
  summary: 'stop the supervisor, the gateway, then the services (npm stop)',
  usage: `Usage: npm stop
       npx holdfast down

Stops the supervisor first, then the gateway and the services it looks after, and removes them from PM2's list. Other applications
of the same PM2 are left alone; its daemon is ended only when its list is empty afterwards. \`npm run balancer\` and
\`npm run cluster\` that run here without PM2 are ended, too.

  --help   this text`,
  toleratesMistakes: true,

  async run(args, context) {
    parse(args, {});
    const { terminal, pm2 } = context;
    const ours = new Set(readEcosystem(context.config.ecosystemFile).map(({ name }) => name));
    const running = (await pm2.list()).filter(({ name }) => ours.has(name));
    if (running.length === 0) {
      const ended = await endManualProcesses(context);
      if (ended === 0) terminal.done('Nothing of Holdfast is running.');
      return ended === null ? 1 : 0;
    }
    const names = [...new Set(running.map(({ name }) => name))];
    const services = names.filter((name) => name !== SUPERVISOR_NAME && name !== GATEWAY_NAME);
    for (const own of [SUPERVISOR_NAME, GATEWAY_NAME]) {
      if (names.includes(own)) await remove(context, [own], running);
    }
    if (services.length > 0) await remove(context, services, running);
    const code = await finish(context, ours);
    return (await endManualProcesses(context)) === null ? 1 : code;
  },
};

/** What was started by hand: `npm run balancer`, then `npm run cluster`. @returns how many; null: one goes on. */
async function endManualProcesses({ terminal, config }: CliContext): Promise<number | null> {
  const running = manualProcesses(config.dataDir);
  for (const one of running) {
    const label = `${one.command} (pid ${one.identity.pid})`;
    terminal.progress(`stopping ${label}; requests in flight are finished first`);
    if (!(await endManual(one, STOP_TIMEOUT_MS))) {
      terminal.problem(`${label} has not ended within ${STOP_TIMEOUT_MS / 1_000} s.`);
      return null;
    }
    terminal.done(`Stopped ${label}.`);
  }
  return running.length;
}

async function remove(
  { terminal, pm2 }: CliContext,
  names: readonly string[],
  rows: readonly Pm2App[],
): Promise<void> {
  const label = names.join(', ');
  const count = rows.filter(({ name }) => names.includes(name)).length;
  terminal.progress(`stopping ${label}; requests in flight are finished first`);
  await pm2.run(['delete', ...names], STOP_TIMEOUT_MS);
  terminal.done(`Stopped ${label} (${count} ${count === 1 ? 'process' : 'processes'}).`);
}

async function finish({ terminal, pm2 }: CliContext, ours: ReadonlySet<string>): Promise<number> {
  const left = await pm2.list();
  const still = left.filter(({ name }) => ours.has(name));
  if (still.length > 0) {
    terminal.problem(
      `PM2 still lists ${still.map(({ name, pmId }) => `${name}#${pmId}`).join(', ')}; run it again.`,
    );
    return 1;
  }
  if (left.length === 0) {
    await pm2.run(['kill']);
    terminal.done("PM2's list is empty; its daemon was ended, too.");
  } else {
    const others = [...new Set(left.map(({ name }) => name))].join(', ');
    terminal.done(`PM2's other applications go on: ${others}.`);
  }
  return 0;
}
