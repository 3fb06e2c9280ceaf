/**
 * From a definition to what PM2's daemon is told to start one instance (`prepare`), and from a running instance
 * back to a definition for services that no ecosystem file describes.
 *
 * The daemon copies `env` over the record's top level and that into the process's environment; in cluster mode the
 * daemon's own environment lies below it. Whatever this process has in its environment (tokens, its PORT, the
 * NODE_APP_INSTANCE that PM2 gave it) is not in there unless the definition says so.
 */
import { homedir, userInfo } from 'node:os';
import { delimiter, dirname } from 'node:path';
import { definitionFrom, textsOf, type AppDefinition } from './appDefinition.js';
import { isRecord } from './processRow.js';

export interface LaunchOptions {
  readonly pm2Home: string;
  /** Overrides the definition's PORT; null leaves it alone. */
  readonly port: number | null;
  /** Value of the instance variable. */
  readonly instanceNumber: number;
  /** From SIGINT to SIGKILL; the longer of this and the definition's own counts. */
  readonly killTimeoutMs: number;
}

const BASE_NAMES = new Set([
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'LANG',
  'LANGUAGE',
  'TZ',
  'SHELL',
  'TMPDIR',
  'NVM_DIR',
]);

/**
 * What every process needs, and nothing that belongs to this one. Our own node is in the PATH, at its end where it
 * was not: a service manager often starts things without, and PM2 and its scripts look for `node` there.
 */
export function baseEnvironment(source: Readonly<NodeJS.ProcessEnv> = process.env): Record<string, string> {
  const env: Record<string, string> = { HOME: homedir() };
  for (const [name, value] of Object.entries(source)) {
    if (value !== undefined && (BASE_NAMES.has(name) || name.startsWith('LC_'))) env[name] = value;
  }
  const folders = (env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  const ownNode = dirname(process.execPath);
  return { ...env, PATH: (folders.includes(ownNode) ? folders : [...folders, ownNode]).join(delimiter) };
}

/** The record for `prepare`. Without `instances`, so that the daemon starts exactly one and renumbers nothing. */
export function launchRecord(definition: AppDefinition, options: LaunchOptions): Record<string, unknown> {
  const { args, nodeArgs } = definition;
  return {
    namespace: 'default',
    autorestart: true,
    treekill: true,
    windowsHide: true,
    pmx: true,
    automation: true,
    kill_retry_time: 100,
    ...definition.options,
    name: definition.name,
    pm_exec_path: definition.script,
    pm_cwd: definition.cwd,
    exec_interpreter: definition.interpreter,
    exec_mode: `${definition.mode}_mode`,
    node_args: [...nodeArgs],
    ...(args.length === 0 ? {} : { args: [...args] }),
    pm_out_log_path: definition.outFile,
    pm_err_log_path: definition.errorFile,
    pm_pid_path: definition.pidFile,
    kill_timeout: Math.max(options.killTimeoutMs, definition.killTimeoutMs ?? 0),
    username: userName(),
    autostart: true, // without it the daemon only lists it
    vizion: false, // no look at the source repository
    instance_var: definition.instanceVar,
    [definition.instanceVar]: options.instanceNumber,
    env: {
      ...baseEnvironment(),
      ...definition.env,
      PM2_HOME: options.pm2Home,
      ...(options.port === null ? {} : { PORT: String(options.port) }),
    },
  };
}

/** With `wait_ready` PM2 answers only when the application says so, or after its own `listen_timeout`. */
export function startTimeout({ options }: AppDefinition, callTimeoutMs: number): number {
  if (options['wait_ready'] !== true) return callTimeoutMs;
  const listenTimeoutMs = Number(options['listen_timeout']);
  return callTimeoutMs + (Number.isFinite(listenTimeoutMs) ? listenTimeoutMs : 3_000);
}

/** Options of a running instance's record that say what to run; everything else is about that one process. */
const TEMPLATE_KEYS = [
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
  'min_uptime',
  'max_memory_restart',
  'merge_logs',
  'pm_log_path',
] as const;

/** Left in an environment by PM2 (or by a PM2 around the shell it was started from): not the application's. */
const PM2_LEFTOVERS = new Set(
  (
    'unique_id PORT NODE_APP_INSTANCE PM2_USAGE PM2_JSON_PROCESSING PM2_INTERACTOR_PROCESSING PM2_PROGRAMMATIC ' +
    'PM2_HOME name namespace pm_id status pm_uptime created_at restart_time unstable_restarts prev_restart_delay ' +
    'exit_code exec_mode exec_interpreter instances instance_var increment_var node_args args pm_exec_path pm_cwd ' +
    'pm_out_log_path pm_err_log_path pm_log_path pm_pid_path kill_timeout kill_retry_time merge_logs vizion ' +
    'vizion_running autostart autorestart automation pmx treekill windowsHide username watch km_link version ' +
    'versioning node_version _pm2_version NODE_UNIQUE_ID NODE_CHANNEL_FD NODE_CHANNEL_SERIALIZATION_MODE ' +
    'HA_API_TOKEN _ SHLVL OLDPWD PWD'
  ).split(' '),
);

/** What a running instance was started as, without all that is its own; null when PM2's record lacks the essentials. */
export function definitionFromRecord(record: Readonly<Record<string, unknown>>): AppDefinition | null {
  const own = new Set([record['name'], record['instance_var'] ?? 'NODE_APP_INSTANCE']);
  const env = Object.entries(textsOf(record['env'])).filter(
    ([name]) => !PM2_LEFTOVERS.has(name) && !name.startsWith('axm_') && !own.has(name),
  );
  const options = TEMPLATE_KEYS.filter((key) => record[key] !== undefined).map((key) => [key, record[key]]);
  const definition = definitionFrom(
    { ...record, instances: 1 },
    Object.fromEntries(env),
    Object.fromEntries(options) as Record<string, unknown>,
  );
  const port = Number(isRecord(record['env']) ? record['env']['PORT'] : Number.NaN);
  return definition === null ? null : { ...definition, port: Number.isInteger(port) ? port : null };
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return process.env['USER'] ?? ''; // a container's uid without a passwd entry
  }
}
