/**
 * Starting what PM2 does not list yet. `pm2 start <file>` on an application that runs would restart all of its
 * instances with one and the same port.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { DATA_NAMES, DATABASE_NAMES, LOG_NAMES, PM2_NAMES } from '../adapters/files/ownNames.js';
import { requireWritable } from '../adapters/files/writable.js';
import { HoldfastError } from '../domain/errors.js';
import { nearest } from '../lib/editDistance.js';
import { writeOwn } from '../lib/ownFiles.js';
import type { CliContext } from './context.js';
import { isService, readEcosystem, type DefinedApp } from './ecosystemFile.js';
import { separate } from './ownApps.js';
import type { Pm2App } from './pm2Command.js';
import { markDeployed, placeOf } from './release.js';

const START_TIMEOUT_MS = 60_000;

/**
 * Splits the defined applications by what PM2 knows of them. What ended as intended is not started once more.
 * @param listed without other applications of the same names.
 */
export function compare(defined: readonly DefinedApp[], listed: readonly Pm2App[]) {
  const rowsOf = (app: DefinedApp): readonly Pm2App[] => listed.filter(({ name }) => name === app.name);
  const isDown = ({ status }: Pm2App): boolean => status === 'stopped' || status === 'errored';
  const hasRun = (app: DefinedApp): boolean => isService(app) && rowsOf(app).every(({ run }) => run !== null);
  const down = defined.filter((app) => rowsOf(app).length > 0 && rowsOf(app).every(isDown));
  return {
    missing: defined.filter((app) => rowsOf(app).length === 0),
    halted: down.filter((app) => !hasRun(app)),
    /** PM2 left them down as it was told. */
    ended: down.filter(hasRun),
  };
}

/** What is surely meant as a file: PM2 looks for all else on the PATH, too, or runs it through a shell. */
const IS_FILE = /^(?:\S*\/\S+|\S+\.[cm]?[jt]sx?)$/;

/** Why PM2 would refuse applications, a text for each, and where to correct it. */
export function refusals(ecosystemFile: string, apps: readonly DefinedApp[]): readonly string[] {
  return apps.flatMap((app) => {
    if (app.problem === null) return [];
    const problem = missingScript(ecosystemFile, app) ?? `PM2 cannot start ${app.name}: ${app.problem}.`;
    return [`${problem}\nCorrect it in ${ecosystemFile}.`];
  });
}

function missingScript(ecosystemFile: string, { name, script, cwd }: DefinedApp): string | null {
  if (script === null || !IS_FILE.test(script)) return null;
  const path = resolve(dirname(ecosystemFile), cwd ?? '.', script);
  if (existsSync(path)) return null;
  const beside = existsSync(dirname(path)) ? readdirSync(dirname(path)) : [];
  const meant = nearest(basename(path), beside, (candidate) => Math.ceil(candidate.length / 4));
  const advice = meant === null ? '' : ` Is ${join(dirname(path), meant)} meant?`;
  return `The script of ${name}, ${path}, is not there.${advice}`;
}

/**
 * Every folder that the deployment writes to. PM2 hangs where it can't make the folder of a log, and a supervisor that
 * can't write would only say so in a log.
 * @throws HoldfastError `folder.unwritable`.
 */
export function requireWritableFolders({ config }: CliContext): void {
  const dataNames = new RegExp(`${DATA_NAMES.source}|${DATABASE_NAMES.source}`);
  requireWritable([
    { what: 'data folder', path: config.dataDir, setting: 'HA_DATA_DIR', names: dataNames },
    { what: 'log folder', path: config.logDir, setting: 'HA_LOG_DIR', names: LOG_NAMES },
    { what: 'folder of PM2', path: config.pm2Home, setting: 'PM2_HOME', names: PM2_NAMES },
    { what: "folder of the agents' socket", path: dirname(config.agentSocket), setting: 'HA_AGENT_SOCKET' },
  ]);
}

/**
 * Starts applications that PM2 does not list, by their definition.
 * @throws HoldfastError `pm2.not-started` when PM2 does not list one of them afterwards, whatever it said.
 */
export async function startMissing(context: CliContext, apps: readonly DefinedApp[]): Promise<void> {
  if (apps.length === 0) return;
  const { ecosystemFile, ecosystemEnv } = context.config;
  requireWritableFolders(context);
  const defined = await readEcosystem(context.config);
  const { own } = await separate(await context.pm2.list(), defined);
  const isFirst = !own.some(({ pid }) => pid !== null);
  await context.pm2.ensureDaemon();
  const names = apps.map(({ name }) => name);
  const { args, remove } = await selection(ecosystemFile, names, defined);
  let said: string;
  try {
    // From the file's own folder, which is what the supervisor takes its relative paths from.
    const start = ['start', ...args, '--env', ecosystemEnv];
    // The file that was chosen here, by its name as it was given, is the one that the supervisor reads from then on.
    const env = { HA_ECOSYSTEM_FILE: ecosystemFile };
    said = await context.pm2.run(start, START_TIMEOUT_MS, dirname(ecosystemFile), env);
  } finally {
    remove();
  }
  const listed = await context.pm2.list();
  const absent = names.filter((name) => !listed.some((row) => row.name === name));
  if (absent.length > 0) {
    const message = `PM2 did not start ${absent.join(', ')}, which ${ecosystemFile} defines. It said:\n${said.trim()}`;
    throw new HoldfastError('pm2.not-started', message);
  }
  // Beside what ran before, the build that lies here is not yet all that runs: the next deploy has to see that.
  if (isFirst && apps.some(isService)) await markDeployed(placeOf(context.config));
  sayStarted(context, names, listed);
}

/** What became of a start is what PM2 lists afterwards. @param again ", which was stopped, again" */
export function sayStarted(
  { terminal }: Pick<CliContext, 'terminal'>,
  names: readonly string[],
  listed: readonly Pm2App[],
  again = '',
): void {
  const rowsOf = (name: string): readonly Pm2App[] => listed.filter((row) => row.name === name);
  const runs = (name: string): boolean =>
    rowsOf(name).some(({ pid, status }) => pid !== null && status !== 'stopped' && status !== 'errored');
  const running = names.filter(runs);
  if (running.length > 0) terminal.done(`Started ${running.join(', ')}${again}.`);
  for (const name of names.filter((one) => !runs(one))) {
    const ran = rowsOf(name).find(({ run }) => run !== null);
    const code = ran?.lastExitCode ?? null;
    if (ran?.run === 'finished' && code === null)
      terminal.done(`PM2 lists ${name}, which it was told not to start (autostart: false).`);
    else if (ran?.run === 'finished')
      terminal.done(`Started ${name}, which has finished (exit code ${code}).`);
    else if (ran !== undefined)
      terminal.problem(`${name} was started and has failed: exit code ${code ?? 'unknown'}.`);
    else terminal.problem(`${name} does not run: PM2 says ${rowsOf(name)[0]?.status ?? 'nothing of it'}.`);
  }
}

interface Selection {
  readonly args: readonly string[];
  remove(): void;
}

/** A name that `--only` takes: it splits at commas and spaces, and a dash begins an option. */
const FOR_ONLY = /^[^\s,-][^\s,]*$/;

/**
 * How PM2 is told to start only some applications of a file. Its --only splits names at commas and spaces, and starts none
 * at all when it refuses any of the file; for these a file is made for the moment, which takes the definitions from the
 * real one, as the PM2 that evaluates it reads that.
 */
async function selection(
  file: string,
  names: readonly string[],
  defined: readonly DefinedApp[],
): Promise<Selection> {
  const nothing = (): void => undefined;
  if (names.length === defined.length) return { args: [file], remove: nothing };
  const isPlain =
    names.every((name) => FOR_ONLY.test(name)) && defined.every(({ problem }) => problem === null);
  if (isPlain) return { args: [file, '--only', names.join(',')], remove: nothing };
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-start-'));
  const chosen = join(folder, 'selection.config.cjs');
  await writeOwn(
    chosen,
    `const Common = require.main.require('../lib/Common.js');\n` +
      `const file = ${JSON.stringify(file)};\n` +
      `const names = ${JSON.stringify(names)};\n` +
      `const config = Common.parseConfig(require('node:fs').readFileSync(file), file);\n` +
      `const apps = [config.apps ?? config.pm2 ?? config].flat();\n` +
      `apps.forEach(Common.renderApplicationName);\n` +
      `module.exports = { deploy: config.deploy, apps: apps.filter(({ name }) => names.includes(name)) };\n`,
  );
  return { args: [chosen], remove: () => rmSync(folder, { recursive: true, force: true }) };
}
