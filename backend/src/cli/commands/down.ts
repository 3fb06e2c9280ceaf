/**
 * `npm stop`: what this project runs under PM2, by the ecosystem file that is configured now and by the one that it was
 * started with. Nothing of another project is touched. PM2's daemon is ended only when nothing at all is left in its list.
 * What runs here without PM2 (`npm run balancer`, `npm run cluster`) is found by its lock in the data folder.
 */
import { parse, type Command } from '../command.js';
import type { CliContext } from '../context.js';
import {
  definedApps,
  GATEWAY_NAME,
  isService,
  SUPERVISOR_NAME,
  undefinedApp,
  type DefinedApp,
} from '../ecosystemFile.js';
import { holdfastOf } from '../invocation.js';
import { endManual, manualProcesses } from '../manual.js';
import { describeOther, separate, supervised, type Supervised } from '../ownApps.js';
import type { Pm2App } from '../pm2Command.js';
import { findRunning, isSamePath, projectOf } from '../running.js';
import { STOP_TIMEOUT_MS, stopApps } from '../stopApps.js';

export const down: Command = {
  summary: 'stop the supervisor, the gateway, then the services (npm stop)',
  usage: `Usage: npm stop
       npx holdfast down

Stops the supervisor first, then the gateway and the services, and removes them from PM2's list: those of the ecosystem file
that is configured, and those of the one that Holdfast was started with, where that is another one. Other applications of
the same PM2 are left alone; its daemon is ended only when its list is empty afterwards. \`npm run balancer\` and
\`npm run cluster\` that run here without PM2 are ended, too.

  --help   this text`,
  toleratesMistakes: true,

  async run(args, context) {
    parse(args, {});
    const rows = await context.pm2.list();
    const known = await supervised(context);
    const apps = await appsToStop(context, rows, known);
    const { own, others } = await separate(rows, apps, known);
    const running = own.filter((row) => {
      const project = projectOf(row);
      return project === null || isSamePath(project, context.config.root);
    });
    await stopApps(context, running);
    const code = running.length === 0 ? 0 : await finish(context, running);
    const ended = await endManualProcesses(context);
    if (running.length === 0 && ended === 0) {
      warnOfOthers(context, others);
      return nothingRuns(
        context,
        rows,
        apps.map(({ name }) => name),
      );
    }
    if (running.length > 0) warnOfStrangers(context, rows);
    warnOfOthers(context, others);
    return ended === null ? 1 : code;
  },
};

const OWN = [SUPERVISOR_NAME, GATEWAY_NAME];

/** Of the configured ecosystem file, and of the one that the supervisor or the gateway was started with. */
async function appsToStop(
  context: CliContext,
  rows: readonly Pm2App[],
  known: Supervised,
): Promise<readonly DefinedApp[]> {
  const { terminal, config } = context;
  const apps = [...(await definedApps(context, config.ecosystemFile))];
  const others = new Set(
    rows.flatMap(({ name, holdfast: { HA_ECOSYSTEM_FILE: file, HA_ROOT: root } }) => {
      const isOther =
        OWN.includes(name) && root !== undefined && file !== undefined && isSamePath(root, config.root);
      return isOther && !isSamePath(file, config.ecosystemFile) ? [file] : [];
    }),
  );
  for (const file of others) {
    terminal.line(`What runs was started with ${file}; its applications are stopped, too.`);
    apps.push(...(await definedApps(context, file)));
  }
  // Without a file that can be read: what the supervisor of this project looks after, but for what it only adopted.
  const isOurs = rows.some(
    (row) => row.name === SUPERVISOR_NAME && isSamePath(projectOf(row) ?? '', config.root),
  );
  const guessed =
    apps.length > 0 || !isOurs ? [] : [...known.keys()].filter((name) => !config.services.has(name));
  return [...apps, ...[...OWN, ...guessed].map(undefinedApp)];
}

/** Nothing of this project; whether that is all there is. @returns the exit code. */
async function nothingRuns(
  context: CliContext,
  rows: readonly Pm2App[],
  names: readonly string[],
): Promise<number> {
  const running = await findRunning(context, rows, names);
  if (running.kind === 'foreign') {
    context.terminal.problem(
      `Nothing of this project runs. What PM2 (${context.config.pm2Home}) runs belongs to ${running.root}; stop it there: ${holdfastOf(running.root, 'down')}`,
    );
    return 1;
  }
  if (running.kind === 'elsewhere') {
    context.terminal.problem(
      `Nothing of this project runs under this PM2 (${context.config.pm2Home}), but a supervisor answers at ${context.api.url}: ${running.holder}. Stop it where it was started, or set PM2_HOME to its PM2.`,
    );
    return 1;
  }
  context.terminal.done('Nothing of Holdfast is running.');
  return 0;
}

/** They have a name of ours, and are other services. */
function warnOfOthers({ terminal }: CliContext, others: readonly Pm2App[]): void {
  for (const other of others.filter(isService))
    terminal.warning(`${describeOther(other)} is not what the ecosystem file starts, and goes on.`);
}

/** A Holdfast of another project under the same PM2 goes on. */
function warnOfStrangers({ terminal, config }: CliContext, rows: readonly Pm2App[]): void {
  const roots = rows.map(projectOf).filter((root) => root !== null && !isSamePath(root, config.root));
  for (const root of new Set(roots)) terminal.warning(`The Holdfast of ${root} goes on.`);
}

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

async function finish({ terminal, pm2 }: CliContext, stopped: readonly Pm2App[]): Promise<number> {
  const left = await pm2.list();
  const still = left.filter(({ pmId }) => stopped.some((row) => row.pmId === pmId));
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
