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
import { PASSED_ON, type AppDefinition } from './appDefinition.js';
import { isRecord, killTimeoutOf } from './processRow.js';

export interface LaunchOptions {
  readonly pm2Home: string;
  /** Overrides the definition's PORT; null leaves it alone. */
  readonly port: number | null;
  /** Value of the instance variable. */
  readonly instanceNumber: number;
  /** From SIGINT to SIGKILL; the longer of this and the definition's own counts. */
  readonly killTimeoutMs: number;
}

const BASE_NAMES = new Set(['PATH', 'HOME', 'USER', 'LOGNAME', 'LANG', 'LANGUAGE', 'TZ', 'SHELL', 'TMPDIR']);

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

/** Settings of a record that say what to run; everything else is about one particular process. */
const TEMPLATE_KEYS = [
  ...PASSED_ON,
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
  const { name, pm_exec_path: script, pm_cwd: cwd, pm_out_log_path: out, pm_err_log_path: error } = record;
  const pidFile = record['pm_pid_path'];
  if (typeof name !== 'string' || typeof script !== 'string' || typeof cwd !== 'string') return null;
  if (typeof out !== 'string' || typeof error !== 'string' || typeof pidFile !== 'string') return null;
  const instanceVar = textOr(record['instance_var'], 'NODE_APP_INSTANCE');
  const env = isRecord(record['env']) ? record['env'] : {};
  const port = Number(env['PORT']);
  const kept = Object.entries(env).filter(
    ([key, value]) =>
      !PM2_LEFTOVERS.has(key) &&
      !key.startsWith('axm_') &&
      key !== instanceVar &&
      key !== name &&
      (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'),
  );
  const options: Record<string, unknown> = {};
  for (const key of TEMPLATE_KEYS) if (record[key] !== undefined) options[key] = record[key];
  return {
    name,
    script,
    cwd,
    args: textList(record['args']),
    nodeArgs: textList(record['node_args']),
    interpreter: textOr(record['exec_interpreter'], 'node'),
    mode: record['exec_mode'] === 'cluster_mode' ? 'cluster' : 'fork',
    instances: 1,
    env: Object.fromEntries(kept.map(([key, value]) => [key, String(value)])),
    port: Number.isInteger(port) ? port : null,
    killTimeoutMs: killTimeoutOf(record),
    outFile: out,
    errorFile: error,
    pidFile,
    instanceVar,
    options,
  };
}

function textOr(value: unknown, otherwise: string): string {
  return typeof value === 'string' && value !== '' ? value : otherwise;
}

function textList(value: unknown): string[] {
  if (typeof value === 'string') return value.split(' ');
  return Array.isArray(value) ? value.map(String) : [];
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return process.env['USER'] ?? ''; // a container's uid without a passwd entry
  }
}
