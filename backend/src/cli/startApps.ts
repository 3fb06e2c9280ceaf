/**
 * Starting what PM2 does not list yet. `pm2 start <file>` on an application that runs would restart all of its
 * instances with one and the same port.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { requireWritable } from '../adapters/files/writable.js';
import { HoldfastError } from '../domain/errors.js';
import { nearest } from '../lib/editDistance.js';
import type { CliContext } from './context.js';
import { isService, readEcosystem, type DefinedApp } from './ecosystemFile.js';
import type { Pm2App } from './pm2Command.js';
import { markDeployed } from './release.js';

const START_TIMEOUT_MS = 60_000;

/** Splits the defined applications by what PM2 knows of them. */
export function compare(defined: readonly DefinedApp[], listed: readonly Pm2App[]) {
  const rowsOf = (app: DefinedApp): readonly Pm2App[] => listed.filter(({ name }) => name === app.name);
  const isDown = ({ status }: Pm2App): boolean => status === 'stopped' || status === 'errored';
  return {
    missing: defined.filter((app) => rowsOf(app).length === 0),
    halted: defined.filter((app) => rowsOf(app).length > 0 && rowsOf(app).every(isDown)),
  };
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

/** What an earlier start, by another user, may have left behind. */
const DATA_NAMES =
  /^(session-secret|supervisor\.lock|gateway\.lock|.*-state\.json|gateway-.*\.json|events\.jsonl|deployed-build|wordpecker\.db|run)$/;
const LOG_NAMES = /^(ha|pm2|cluster)-.*\.log$|^(health-check\.log|blackbox)$/;
const PM2_NAMES = /^(pm2\.log|pm2\.pid|pids|logs|modules|rpc\.sock|pub\.sock)$/;

/**
 * Every folder that the deployment writes to. PM2 hangs where it can't make the folder of a log, and a supervisor that
 * can't write would only say so in a log.
 * @throws HoldfastError `folder.unwritable`.
 */
export function requireWritableFolders({ config }: CliContext): void {
  requireWritable([
    { what: 'data folder', path: config.dataDir, setting: 'HA_DATA_DIR', names: DATA_NAMES },
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
  const defined = readEcosystem(ecosystemFile);
  const isFirst = !runsAny(defined, await context.pm2.list());
  await context.pm2.ensureDaemon();
  const names = apps.map(({ name }) => name);
  const { args, remove } = selection(ecosystemFile, names, apps.length === defined.length);
  let said: string;
  try {
    // From the file's own folder, which is what the supervisor takes its relative paths from.
    const start = ['start', ...args, '--env', ecosystemEnv];
    said = await context.pm2.run(start, START_TIMEOUT_MS, dirname(ecosystemFile));
  } finally {
    remove();
  }
  const listed = new Set((await context.pm2.list()).map(({ name }) => name));
  const absent = names.filter((name) => !listed.has(name));
  if (absent.length > 0) {
    const message = `PM2 did not start ${absent.join(', ')}, which ${ecosystemFile} defines. It said:\n${said.trim()}`;
    throw new HoldfastError('pm2.not-started', message);
  }
  // Beside what ran before, the build that lies here is not yet all that runs: the next deploy has to see that.
  if (isFirst && apps.some(isService)) await markDeployed(context.config);
}

/** Whether anything of the deployment runs. */
function runsAny(defined: readonly DefinedApp[], listed: readonly Pm2App[]): boolean {
  const names = new Set(defined.map(({ name }) => name));
  return listed.some(({ name, pid }) => pid !== null && names.has(name));
}

interface Selection {
  readonly args: readonly string[];
  remove(): void;
}

/**
 * How PM2 is told to start only some applications of a file. Its --only splits names at commas and spaces; for a name
 * that has one, a file is made for the moment that takes the definitions from the real one.
 */
function selection(file: string, names: readonly string[], all: boolean): Selection {
  const nothing = (): void => undefined;
  if (all) return { args: [file], remove: nothing };
  if (!names.some((name) => /[, ]/.test(name))) {
    return { args: [file, '--only', names.join(',')], remove: nothing };
  }
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-start-'));
  const chosen = join(folder, 'selection.config.cjs');
  writeFileSync(
    chosen,
    `const { apps } = require(${JSON.stringify(file)});\n` +
      `const names = ${JSON.stringify(names)};\n` +
      `module.exports = { apps: apps.filter(({ name }) => names.includes(name)) };\n`,
  );
  return { args: [chosen], remove: () => rmSync(folder, { recursive: true, force: true }) };
}
