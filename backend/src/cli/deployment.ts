/**
 * Bringing a deployment up, and waiting for it: what `up`, `start-ha` and `deploy` share.
 *
 * Only what PM2 does not list yet is started. `pm2 start <file>` on an application that runs would restart all of
 * its instances with one and the same port.
 */
import { accessSync, constants, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { HoldfastError, messageOf } from '../domain/errors.js';
import { nearest } from '../lib/editDistance.js';
import { describePortHolder } from '../adapters/net/portHolder.js';
import type { CliContext } from './context.js';
import { GATEWAY_NAME, isService, readEcosystem, SUPERVISOR_NAME, type DefinedApp } from './ecosystemFile.js';
import { manualProcesses } from './manual.js';
import { isPortFree } from './portCheck.js';
import type { Pm2App } from './pm2Command.js';
import { markDeployed } from './release.js';

const POLL_MS = 250;
const START_TIMEOUT_MS = 60_000;
/** A supervisor that PM2 restarted this often within the wait will not come up. */
const HOPELESS_RESTARTS = 3;
const LOG_TAIL_LINES = 15;
const LOG_TAIL_BYTES = 16_384;

/** Splits the defined applications by what PM2 knows of them. */
export function compare(defined: readonly DefinedApp[], listed: readonly Pm2App[]) {
  const rowsOf = (app: DefinedApp): readonly Pm2App[] => listed.filter(({ name }) => name === app.name);
  const isDown = ({ status }: Pm2App): boolean => status === 'stopped' || status === 'errored';
  return {
    missing: defined.filter((app) => rowsOf(app).length === 0),
    halted: defined.filter((app) => rowsOf(app).length > 0 && rowsOf(app).every(isDown)),
  };
}

/**
 * The ports that `apps` will listen on.
 * @throws HoldfastError `port.taken` naming every taken one and, where known, its holder.
 */
export async function requireFreePorts(context: CliContext, apps: readonly DefinedApp[]): Promise<void> {
  const wanted = apps.flatMap(({ name, port: first, instances }) => {
    if (name === SUPERVISOR_NAME) return [{ name, port: context.config.port }];
    if (name === GATEWAY_NAME) return [{ name, port: context.config.gateway.port }];
    return first === null
      ? []
      : Array.from({ length: instances }, (_, index) => ({ name, port: first + index }));
  });
  const taken: string[] = [];
  for (const { name, port } of wanted) {
    if (await isPortFree(port)) continue;
    const holder = await describePortHolder(port);
    taken.push(`Port ${port}, which ${name} needs, is taken${holder === null ? '' : ` by ${holder}`}.`);
  }
  if (taken.length === 0) return;
  const byHand = manualProcesses(context.config.dataDir).map(
    ({ command, identity }) => `\`${command}\` runs here (pid ${identity.pid}): npm stop ends it.`,
  );
  const advice =
    'End what holds it, or choose others: HA_PORT, BALANCER_PORT, START_PORT, FRONTEND_START_PORT.';
  throw new HoldfastError('port.taken', [...taken, ...byHand, advice].join('\n'));
}

/** What is surely meant as a file: PM2 looks for all else on the PATH, too, or runs it through a shell. */
const IS_FILE = /^(?:\S*\/\S+|\S+\.[cm]?[jt]sx?)$/;

/** @throws HoldfastError `script.missing` naming every application whose script is not there. */
export function requireScripts(ecosystemFile: string, apps: readonly DefinedApp[]): void {
  const missing = apps.flatMap(({ name, script, cwd }) => {
    if (script === null || !IS_FILE.test(script)) return [];
    const path = resolve(dirname(ecosystemFile), cwd ?? '.', script);
    if (existsSync(path)) return [];
    const beside = existsSync(dirname(path)) ? readdirSync(dirname(path)) : [];
    const meant = nearest(basename(path), beside, (candidate) => Math.ceil(candidate.length / 4));
    const advice = meant === null ? '' : ` Is ${join(dirname(path), meant)} meant?`;
    return [`The script of ${name}, ${path}, is not there.${advice}`];
  });
  if (missing.length === 0) return;
  throw new HoldfastError('script.missing', [...missing, `Correct it in ${ecosystemFile}.`].join('\n'));
}

/** PM2 hangs where it cannot make the folder of a log. @throws HoldfastError `folder.unwritable`. */
function requireWritableLogs({ config: { logDir } }: CliContext): void {
  try {
    mkdirSync(logDir, { recursive: true });
    accessSync(logDir, constants.W_OK);
  } catch (error) {
    const advice = 'Correct its owner or permissions, or choose another with HA_LOG_DIR.';
    throw new HoldfastError(
      'folder.unwritable',
      `The log folder ${logDir} cannot be written: ${messageOf(error)}. ${advice}`,
      { cause: error },
    );
  }
}

/** Starts applications that PM2 does not list, by their definition. */
export async function startMissing(context: CliContext, apps: readonly DefinedApp[]): Promise<void> {
  if (apps.length === 0) return;
  const { ecosystemFile, ecosystemEnv } = context.config;
  requireWritableLogs(context);
  const isFirst = !(await runsAny(context));
  await context.pm2.ensureDaemon();
  const only = apps.map(({ name }) => name).join(',');
  const start = ['start', ecosystemFile, '--env', ecosystemEnv, '--only', only];
  // From the file's own folder, which is what the supervisor takes its relative paths from.
  await context.pm2.run(start, START_TIMEOUT_MS, dirname(ecosystemFile));
  // Beside what ran before, the build that lies here is not yet all that runs: the next deploy has to see that.
  if (isFirst && apps.some(isService)) await markDeployed(context.config.root);
}

/** Whether anything of the deployment runs. */
async function runsAny({ config, pm2 }: CliContext): Promise<boolean> {
  const names = new Set(readEcosystem(config.ecosystemFile).map(({ name }) => name));
  return (await pm2.list()).some(({ name, pid }) => pid !== null && names.has(name));
}

/** Waits until the API answers. @throws HoldfastError `supervisor.not-starting` with the end of its error log. */
export async function awaitSupervisor(context: CliContext, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  const restartsBefore = (await supervisorRow(context))?.restarts ?? 0;
  for (let round = 0; ; round += 1) {
    if (await context.api.isUp()) return;
    // PM2's list costs a process: every two seconds is enough.
    const row = round % 8 === 7 ? await supervisorRow(context) : undefined;
    // "stopped" is what PM2 makes of an exit that says that restarting won't help.
    const hasLeft = row?.status === 'stopped';
    const isLooping =
      row !== undefined && (row.status === 'errored' || row.restarts - restartsBefore >= HOPELESS_RESTARTS);
    if (hasLeft || isLooping || performance.now() > deadline) {
      const problem = hasLeft
        ? 'has left'
        : isLooping
          ? 'exits again and again'
          : `does not answer within ${timeoutMs / 1_000} s`;
      throw new HoldfastError(
        'supervisor.not-starting',
        `The supervisor ${problem} (${context.api.url}).\n${await supervisorLog(context)}`,
      );
    }
    context.terminal.progress(`waiting for the supervisor at ${context.api.url}`);
    await pause(POLL_MS);
  }
}

async function supervisorRow(context: CliContext): Promise<Pm2App | undefined> {
  return (await context.pm2.list()).find(({ name }) => name === SUPERVISOR_NAME);
}

/** The end of what the supervisor wrote on stderr, or where to look. */
async function supervisorLog(context: CliContext): Promise<string> {
  const file =
    readEcosystem(context.config.ecosystemFile).find(({ name }) => name === SUPERVISOR_NAME)?.errorFile ??
    null;
  const tail = file === null ? '' : await tailOf(file);
  if (tail === '')
    return `Look into ${context.config.logDir}/ha-supervisor.log and \`pm2 logs ${SUPERVISOR_NAME}\`.`;
  return `The end of ${file ?? ''}:\n\n${tail}`;
}

async function tailOf(file: string): Promise<string> {
  if (!existsSync(file)) return '';
  try {
    const handle = await open(file, 'r');
    try {
      const { size } = await handle.stat();
      const length = Math.min(size, LOG_TAIL_BYTES);
      const { buffer } = await handle.read(Buffer.alloc(length), 0, length, size - length);
      return buffer.toString('utf8').trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
    } finally {
      await handle.close();
    }
  } catch (error) {
    return `(${messageOf(error)})`;
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
