/**
 * What a service is started as: one application of an ecosystem file, resolved to what PM2's daemon needs to be
 * told. PM2 does this in its command line, not in its daemon, so who talks to the daemon has to do it as well.
 * Written after the documented options (https://pm2.keymetrics.io/docs/usage/application-declaration/) and what
 * PM2 7.0.4 was seen to do with them.
 */
import { accessSync, constants, existsSync, openSync, readSync, closeSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, extname, isAbsolute, join, resolve } from 'node:path';
import { HoldfastError } from '../../domain/errors.js';
import { isRecord } from './processRow.js';

export interface AppDefinition {
  readonly name: string;
  /** Absolute path of what is executed. */
  readonly script: string;
  readonly cwd: string;
  readonly args: readonly string[];
  readonly nodeArgs: readonly string[];
  /** `node`, another interpreter, or `none` for something that executes by itself. */
  readonly interpreter: string;
  readonly mode: 'fork' | 'cluster';
  /** As written: 0 or less counts from the number of cores. */
  readonly instances: number;
  /** `env` with `env_<name>` on top. */
  readonly env: Readonly<Record<string, string>>;
  /** `env.PORT`. */
  readonly port: number | null;
  readonly killTimeoutMs: number | null;
  readonly outFile: string;
  readonly errorFile: string;
  readonly pidFile: string;
  /** The variable that tells instances apart. Default NODE_APP_INSTANCE. */
  readonly instanceVar: string;
  /** Everything else, as PM2's daemon wants it: restart rules, log format, … */
  readonly options: Readonly<Record<string, unknown>>;
}

export interface DefinitionContext {
  /** Default working directory, and what relative paths count from: the folder of the file. */
  readonly folder: string;
  readonly pm2Home: string;
  /** `production` for `--env production`; null for none. */
  readonly envName: string | null;
}

type App = Readonly<Record<string, unknown>>;

/** Options that the daemon understands as they are. */
export const PASSED_ON = [
  'namespace',
  'autorestart',
  'stop_exit_codes',
  'max_restarts',
  'restart_delay',
  'exp_backoff_restart_delay',
  'wait_ready',
  'listen_timeout',
  'shutdown_with_message',
  'kill_retry_time',
  'treekill',
  'cron_restart',
  'increment_var',
  'log_date_format',
  'log_type',
  'disable_logs',
  'disable_source_map_support',
  'pmx',
  'automation',
  'trace',
  'windowsHide',
  'watch',
  'ignore_watch',
  'watch_options',
  'watch_delay',
  'uid',
  'gid',
] as const;

/** Names under which PM2 accepts an option besides its own and the camelCase form of that. */
const ALIASES: Readonly<Record<string, readonly string[]>> = {
  script: ['exec', 'cmd', 'command'],
  exec_interpreter: ['interpreter'],
  node_args: ['interpreterArgs', 'interpreter_args'],
  out_file: ['out', 'output', 'out_log'],
  error_file: ['error', 'err', 'err_file', 'err_log'],
  log_file: ['log'],
  pid_file: ['pid'],
  cron_restart: ['cron'],
  merge_logs: ['combine_logs'],
  uid: ['user'],
};

/** Resolves one application of an ecosystem file. Throws `ecosystem.invalid` naming the application and the key. */
export function resolveDefinition(app: unknown, context: DefinitionContext): AppDefinition {
  if (!isRecord(app)) throw invalid('an application', 'it must be an object');
  const name = nameOf(app, context);
  const cwd = resolve(context.folder, textOf(app, 'cwd', name) ?? '.');
  const script = resolveScript(textOf(app, 'script', name), cwd, name);
  const env = mergedEnv(app, name, context.envName);
  const interpreter = textOf(app, 'exec_interpreter', name) ?? interpreterFor(script);
  const instances = instancesOf(app, name);
  const mode = modeOf(app, name, instances ?? undefined, interpreter);
  const fileName = name.replaceAll(/[^a-zA-Z0-9.-]/g, '-');
  const logs = join(context.pm2Home, 'logs');
  const logFile = option(app, 'log_file');
  return {
    name,
    script,
    cwd,
    args: listOf(app, 'args', name),
    nodeArgs: listOf(app, 'node_args', name),
    interpreter,
    mode,
    instances: instances ?? 1,
    env,
    port: env['PORT'] === undefined ? null : Number(env['PORT']),
    killTimeoutMs: numberOf(app, 'kill_timeout', name, {}),
    outFile: pathOf(textOf(app, 'out_file', name), cwd) ?? join(logs, `${fileName}-out.log`),
    errorFile: pathOf(textOf(app, 'error_file', name), cwd) ?? join(logs, `${fileName}-error.log`),
    pidFile: pathOf(textOf(app, 'pid_file', name), cwd) ?? join(context.pm2Home, 'pids', `${fileName}.pid`),
    instanceVar: textOf(app, 'instance_var', name) ?? 'NODE_APP_INSTANCE',
    options: {
      ...passedOn(app, name),
      // As PM2: a single fork instance without an explicit wish writes one file.
      merge_logs: option(app, 'merge_logs') ?? (mode === 'fork' && !instances),
      ...(logFile === undefined || logFile === false
        ? {}
        : {
            pm_log_path:
              logFile === true ? join(logs, `${fileName}.log`) : pathOf(textOf(app, 'log_file', name), cwd),
          }),
      ...(option(app, 'time') === true ? { log_date_format: 'YYYY-MM-DDTHH:mm:ss' } : {}),
    },
  };
}

function passedOn(app: App, name: string): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  for (const key of PASSED_ON) {
    const value = option(app, key);
    if (value !== undefined) options[key] = value;
  }
  for (const key of ['uid', 'gid']) {
    if (key in options && typeof options[key] !== 'number') {
      throw invalid(name, `"${key}" must be a number here, not a name`);
    }
  }
  if (options['automation'] === false) options['pmx'] = false;
  const minUptimeMs = numberOf(app, 'min_uptime', name, { h: 3_600_000, m: 60_000, s: 1_000 });
  const memoryBytes = numberOf(app, 'max_memory_restart', name, { G: 2 ** 30, M: 2 ** 20, K: 2 ** 10 });
  if (minUptimeMs !== null) options['min_uptime'] = minUptimeMs;
  if (memoryBytes !== null) options['max_memory_restart'] = memoryBytes;
  return options;
}

function nameOf(app: App, { envName }: DefinitionContext): string {
  const script = option(app, 'script');
  const own = option(app, 'name') ?? (typeof script === 'string' ? baseName(script) : undefined);
  if (typeof own !== 'string' || own === '')
    throw invalid('an application', '"name" or "script" is required');
  const prefix = option(app, 'name_prefix');
  const named = typeof prefix === 'string' && !own.includes(prefix) ? `${prefix}:${own}` : own;
  return envName !== null && option(app, 'append_env_to_name') === true ? `${named}-${envName}` : named;
}

function baseName(script: string): string {
  const file = script.split(/[\\/]/).at(-1) ?? script;
  return file.lastIndexOf('.') > 0 ? file.slice(0, file.lastIndexOf('.')) : file;
}

/** The path, or that of a command in the PATH. It need not exist yet: what is missing is said at the start. */
function resolveScript(script: string | null, cwd: string, name: string): string {
  if (script === null) throw invalid(name, '"script" is required');
  const path = resolve(cwd, script);
  if (existsSync(path) || isAbsolute(script) || script.includes('/')) return path;
  return which(script) ?? path;
}

/** What runs the file: by its extension, as PM2 does; without one, node unless it is a binary or says otherwise. */
function interpreterFor(script: string): string {
  const byExtension: Readonly<Record<string, string>> = {
    '.js': 'node',
    '.mjs': 'node',
    '.cjs': 'node',
    '.ts': 'node',
    '.sh': 'bash',
    '.py': 'python3',
    '.rb': 'ruby',
    '.php': 'php',
    '.pl': 'perl',
  };
  const known = byExtension[extname(script)];
  if (known !== undefined) return known;
  if (!existsSync(script)) return 'node';
  const head = Buffer.alloc(512);
  const file = openSync(script, 'r');
  const length = readSync(file, head, 0, head.length, 0);
  closeSync(file);
  const text = head.toString('latin1', 0, length);
  const otherShebang = text.startsWith('#!') && !/^#!.*\bnode\b/.test(text);
  return text.includes('\0') || otherShebang ? 'none' : 'node';
}

function which(command: string): string | null {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, command);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not in this folder
    }
  }
  return null;
}

function instancesOf(app: App, name: string): number | null {
  const value = option(app, 'instances');
  if (value === undefined) return null;
  if (value === 'max') return 0;
  const count = Number(value);
  if (!Number.isInteger(count)) throw invalid(name, `"instances" must be a whole number or "max"`);
  return count;
}

function modeOf(
  app: App,
  name: string,
  instances: number | undefined,
  interpreter: string,
): 'fork' | 'cluster' {
  const mode = option(app, 'exec_mode');
  if (mode === undefined) {
    const wantsCluster = instances !== undefined && instances >= -1 && interpreter.endsWith('node');
    return wantsCluster ? 'cluster' : 'fork';
  }
  if (mode === 'cluster' || mode === 'cluster_mode') return 'cluster';
  if (mode === 'fork' || mode === 'fork_mode') return 'fork';
  throw invalid(name, `"exec_mode" must be "cluster" or "fork"`);
}

function mergedEnv(app: App, name: string, envName: string | null): Record<string, string> {
  const own = option(app, 'env') ?? {};
  const specific = envName === null ? {} : (app[`env_${envName}`] ?? {});
  if (!isRecord(own) || !isRecord(specific)) throw invalid(name, '"env" must be an object');
  const port = option(app, 'port');
  const merged = { ...own, ...(port === undefined ? {} : { PORT: port }), ...specific };
  const env: Record<string, string> = {};
  for (const [key, value] of Object.entries(merged)) {
    if (value === undefined || value === null) continue;
    env[key] = typeof value === 'object' ? JSON.stringify(value) : String(value);
  }
  return env;
}

/** An option under any of the names PM2 accepts. */
function option(app: App, key: string): unknown {
  const camelCase = key.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  for (const name of [key, camelCase, ...(ALIASES[key] ?? [])]) {
    if (app[name] !== undefined && app[name] !== null) return app[name];
  }
  return undefined;
}

function textOf(app: App, key: string, name: string): string | null {
  const value = option(app, key);
  if (value === undefined) return null;
  if (typeof value !== 'string' || value === '') throw invalid(name, `"${key}" must be a text`);
  return value;
}

/** A number, or text of digits with one of the given units: `"10s"`, `"300M"`. */
function numberOf(
  app: App,
  key: string,
  name: string,
  units: Readonly<Record<string, number>>,
): number | null {
  const value = option(app, key);
  if (value === undefined) return null;
  const match = /^(\d+(?:\.\d+)?)([a-zA-Z]?)$/.exec(String(value));
  const factor = match?.[2] === '' ? 1 : units[match?.[2] ?? ''];
  if (match === null || factor === undefined) {
    const allowed = Object.keys(units).map((unit) => `, or like "10${unit}"`);
    throw invalid(name, `"${key}" must be a number${allowed.join('')}; it is ${JSON.stringify(value)}`);
  }
  return Math.round(Number(match[1]) * factor);
}

/** A list, or text split at spaces with quotes respected. */
function listOf(app: App, key: string, name: string): string[] {
  const value = option(app, key);
  if (value === undefined) return [];
  if (Array.isArray(value)) return value.map(String);
  if (typeof value !== 'string') throw invalid(name, `"${key}" must be a list or a text`);
  const words = value.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g);
  return [...words].map((word) => word[1] ?? word[2] ?? word[3] ?? '');
}

function pathOf(path: string | null, cwd: string): string | null {
  if (path === null) return null;
  if (path === 'NULL' || path === '/dev/null') return '/dev/null';
  return resolve(cwd, path.startsWith('~') ? join(homedir(), path.slice(1)) : path);
}

function invalid(name: string, problem: string): HoldfastError {
  return new HoldfastError('ecosystem.invalid', `The ecosystem file's application "${name}": ${problem}.`);
}
