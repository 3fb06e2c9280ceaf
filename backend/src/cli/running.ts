/**
 * What runs here already, beside what the configuration asks for. One PM2 has one `ha-supervisor`: it belongs to one
 * project folder and one ecosystem file, which PM2 keeps with the process. Another PM2 may have one that holds our port.
 */
import { existsSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { describePortHolder, listeningPorts } from '../adapters/net/portHolder.js';
import { HoldfastError } from '../domain/errors.js';
import type { StatusView } from '../domain/views/controlPlane.js';
import { lockHolders } from '../lib/pidLock.js';
import type { CliContext } from './context.js';
import { GATEWAY_NAME, readEcosystem, SUPERVISOR_NAME } from './ecosystemFile.js';
import { holdfast, holdfastOf } from './invocation.js';
import { quoted } from '../lib/words.js';
import type { Pm2App } from './pm2Command.js';
import { freePortFrom } from './portCheck.js';

export interface Difference {
  /** "ecosystem file" */
  readonly what: string;
  readonly runs: string;
  readonly wanted: string;
}

export type Running =
  /** Neither a supervisor nor a gateway. */
  | { readonly kind: 'nothing' }
  | { readonly kind: 'ours' }
  /** Of this project folder, started with something else. */
  | { readonly kind: 'changed'; readonly file: string | null; readonly differences: readonly Difference[] }
  /** Of another project folder, in the same PM2. */
  | { readonly kind: 'foreign'; readonly root: string }
  /** A supervisor that this PM2 does not run answers on our port. */
  | { readonly kind: 'elsewhere'; readonly holder: string };

/** A supervisor that PM2 is just exchanging answers with the former pid. */
const SECOND_LOOK_MS = 1_500;

/**
 * Looks; changes nothing.
 * @param names of the applications that the configuration asks for.
 */
export async function findRunning(
  context: CliContext,
  rows: readonly Pm2App[],
  names: readonly string[],
): Promise<Running> {
  const { config } = context;
  const supervisor = rows.find(({ name }) => name === SUPERVISOR_NAME);
  const row = supervisor ?? rows.find(({ name }) => name === GATEWAY_NAME);
  const foreign = rows
    .filter(({ name }) => names.includes(name))
    .map(projectOf)
    .find((root) => root !== null && !isSamePath(root, config.root));
  if (foreign !== undefined && foreign !== null) return { kind: 'foreign', root: foreign };
  const answering = await answeringPid(context);
  if (answering !== null && answering !== supervisor?.pid) {
    await new Promise((resolve) => setTimeout(resolve, SECOND_LOOK_MS));
    const again = await answeringPid(context);
    const listed = (await context.pm2.list()).find(({ name }) => name === SUPERVISOR_NAME);
    if (again !== null && again !== listed?.pid) {
      return { kind: 'elsewhere', holder: (await describePortHolder(config.port)) ?? `pid ${again}` };
    }
  }
  if (row === undefined) return { kind: 'nothing' };
  const differences = await differencesOf(context, row, answering);
  if (differences.length === 0) return { kind: 'ours' };
  return { kind: 'changed', file: row.holdfast['HA_ECOSYSTEM_FILE'] ?? null, differences };
}

/** The project folder of a Holdfast that this process belongs to; null for any other program. */
export function projectOf({ holdfast: { HA_ROOT: root }, script }: Pm2App): string | null {
  if (root !== undefined) return root;
  for (let folder = dirname(script ?? '/'); folder !== dirname(folder); folder = dirname(folder)) {
    if (existsSync(join(folder, 'backend/ecosystem.cjs')) && existsSync(join(folder, 'scripts/holdfast.sh')))
      return folder;
  }
  return null;
}

/** Also where one of them leads through symbolic links. */
export function isSamePath(a: string, b: string): boolean {
  const real = (path: string): string => {
    try {
      return realpathSync(path);
    } catch {
      return path;
    }
  };
  return a === b || real(a) === real(b);
}

async function answeringPid({ api }: CliContext): Promise<number | null> {
  return api
    .get<StatusView>('/api/ha/status', { timeoutMs: 3_000 })
    .then(({ data }) => data.node.pid)
    .catch(() => null);
}

async function differencesOf(
  { config }: CliContext,
  row: Pm2App,
  answering: number | null,
): Promise<readonly Difference[]> {
  const found: Difference[] = [];
  const file = row.holdfast['HA_ECOSYSTEM_FILE'];
  if (file !== undefined && !isSamePath(file, config.ecosystemFile)) {
    found.push({ what: 'ecosystem file', runs: file, wanted: config.ecosystemFile });
  }
  if (row.name !== SUPERVISOR_NAME || row.pid === null) return found;
  if (answering === row.pid) {
    // It holds a lock in its data folder.
    const holders = lockHolders(join(config.dataDir, 'supervisor.lock'));
    if (!holders.some(({ pid }) => pid === row.pid)) {
      found.push({ what: 'data folder', runs: 'another one', wanted: config.dataDir });
    }
  } else if (answering === null) {
    const ports = [...(await listeningPorts(row.pid))];
    if (ports.length > 0 && !ports.includes(config.port)) {
      found.push({ what: "supervisor's port", runs: ports.join(', '), wanted: String(config.port) });
    }
  }
  return found;
}

/**
 * For a command that would start something beside it, or act on it as if it were its own.
 * @param command what to type to have it anyway: `up --replace`.
 * @throws HoldfastError `deployment.other` that says what runs, and what to do.
 */
export async function requireOwn(context: CliContext, running: Running, command: string): Promise<void> {
  if (running.kind === 'nothing' || running.kind === 'ours') return;
  throw new HoldfastError('deployment.other', await describe(context, running, command));
}

async function describe(
  context: CliContext,
  running: Exclude<Running, { readonly kind: 'nothing' | 'ours' }>,
  command: string,
): Promise<string> {
  const { config } = context;
  switch (running.kind) {
    case 'changed':
      return [
        'Holdfast runs here already, but not with what is asked for:',
        ...running.differences.flatMap(({ what, runs, wanted }) => [
          `  ${what} that runs:  ${runs}`,
          `  ${what} asked for:  ${wanted}`,
        ]),
        'Nothing was started or stopped. To stop what runs and start what is asked for:',
        `    ${chosenFile(context)}${holdfast(context, command)}`,
        'To run both together, define all applications in one ecosystem file.',
      ].join('\n');
    case 'foreign':
      return [
        `PM2 (${config.pm2Home}) runs a Holdfast of another project folder already: ${running.root}.`,
        'Nothing was started or stopped. Stop that one first:',
        `    ${holdfastOf(running.root, 'down')}`,
        ...(await beside(context)),
      ].join('\n');
    case 'elsewhere':
      return [
        `A supervisor that this PM2 (${config.pm2Home}) does not run answers at ${context.api.url}: ${running.holder}.`,
        'It belongs to another PM2. Nothing was started or stopped. Stop it where it was started,',
        ...(await beside(context)),
      ].join('\n');
  }
}

/** The variable that chose the ecosystem file, where the shell set it. */
function chosenFile({ env, config }: CliContext): string {
  return env['HA_ECOSYSTEM_FILE'] ? `HA_ECOSYSTEM_FILE=${quoted(config.ecosystemFile)} ` : '';
}

/** Settings with which this deployment runs beside another one. */
async function beside({ config, env }: CliContext): Promise<readonly string[]> {
  const home = env['HOME'] || homedir();
  const services: string[] = [];
  for (const { port, portVariable } of await readEcosystem(config).catch(() => [])) {
    if (port !== null && portVariable !== null)
      services.push(`    ${portVariable}=${await freePortFrom(port + 1_000)}`);
  }
  return [
    `or run this one beside it, with a PM2 and ports of its own, by these lines in ${join(config.root, '.env')}:`,
    `    PM2_HOME=${join(home, `.pm2-${basename(config.root)}`)}`,
    `    HA_PORT=${await freePortFrom(config.port + 1)}`,
    `    BALANCER_PORT=${await freePortFrom(config.gateway.port + 1_000)}`,
    ...services,
  ];
}
