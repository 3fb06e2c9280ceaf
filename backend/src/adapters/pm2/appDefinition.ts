/**
 * What a service is started as. `resolveApps.cjs` lets PM2 resolve an ecosystem file; this is what the rest of Holdfast
 * needs of that.
 */
import { cpus } from 'node:os';
import { HoldfastError } from '../../domain/errors.js';
import { isRecord, killTimeoutOf } from './processRow.js';

/** One application, resolved: what PM2's daemon is told to start an instance of it. */
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
  /** Everything else, as PM2's daemon wants it: user and group, restart rules, log format, … */
  readonly options: Readonly<Record<string, unknown>>;
}

/** One application as an ecosystem file defines it, usable or not. */
export interface DefinedApp {
  readonly name: string;
  /** As written: 0 or less counts from the number of cores. */
  readonly instances: number;
  /** First port of its instances; null where it listens on none that the file knows. */
  readonly port: number | null;
  /** Where the file says the port. */
  readonly portFrom: 'port' | 'env.PORT' | null;
  /** The variable that chooses the port, where the file names one for the commands. */
  readonly portVariable: string | null;
  /** Path of the page to open, and what is on it, where the file says so for the commands. */
  readonly page: string | null;
  readonly label: string | null;
  /** As it is written there; null where it is none. */
  readonly script: string | null;
  readonly cwd: string | null;
  /** Where the file names one. */
  readonly outFile: string | null;
  readonly errorFile: string | null;
  /** null where PM2 refuses the application. */
  readonly definition: AppDefinition | null;
  /** Why PM2 refuses it. */
  readonly problem: string | null;
}

/** Applications of Holdfast itself in the ecosystem file. */
export const SUPERVISOR_NAME = 'ha-supervisor';
export const GATEWAY_NAME = 'ha-gateway';

/** Whether it is one of those that Holdfast looks after, not one of Holdfast's own. */
export function isService({ name }: Pick<DefinedApp, 'name'>): boolean {
  return name !== SUPERVISOR_NAME && name !== GATEWAY_NAME;
}

/** How many PM2 starts: 0 or less counts from the cores of the machine, whatever share of them a container has. */
export function instancesStarted({ instances }: Pick<DefinedApp, 'instances'>): number {
  return instances > 0 ? instances : Math.max(1, cpus().length + instances);
}

/** Why an application of the file cannot be started. */
export function unusable({ name, problem }: DefinedApp, file: string): HoldfastError {
  return new HoldfastError(
    'ecosystem.invalid',
    `PM2 cannot start ${name} as ${file} defines it: ${problem ?? 'no reason given'}.`,
    { status: 409, details: { service: name } },
  );
}

/** Options of a record that stand in the definition's own fields, or are about one process and not about a service. */
const NOT_OPTIONS: ReadonlySet<string> = new Set(
  (
    'name script args node_args exec_interpreter exec_mode instances env pm_exec_path pm_cwd pm_out_log_path ' +
    'pm_err_log_path pm_pid_path kill_timeout instance_var autostart vizion username km_link'
  ).split(' '),
);

/** A record that PM2's own code made of an application; null when it lacks the essentials. */
export function definitionOfRecord(record: Readonly<Record<string, unknown>>): AppDefinition | null {
  const options = Object.entries(record).filter(([key]) => !NOT_OPTIONS.has(key) && !key.startsWith('env_'));
  return definitionFrom(record, textsOf(record['env']), Object.fromEntries(options));
}

/**
 * The fields that a definition and a record of a process have in common.
 * @returns null when the record lacks the essentials.
 */
export function definitionFrom(
  record: Readonly<Record<string, unknown>>,
  env: Readonly<Record<string, string>>,
  options: Readonly<Record<string, unknown>>,
): AppDefinition | null {
  const { name, pm_exec_path: script, pm_cwd: cwd, pm_out_log_path: outFile } = record;
  const { pm_err_log_path: errorFile, pm_pid_path: pidFile, instances } = record;
  if (typeof name !== 'string' || typeof script !== 'string' || typeof cwd !== 'string') return null;
  if (typeof outFile !== 'string' || typeof errorFile !== 'string' || typeof pidFile !== 'string')
    return null;
  const port = Number(env['PORT'] ?? Number.NaN);
  return {
    name,
    script,
    cwd,
    args: textList(record['args']),
    nodeArgs: textList(record['node_args']),
    interpreter: textOr(record['exec_interpreter'], 'node'),
    mode: record['exec_mode'] === 'cluster_mode' ? 'cluster' : 'fork',
    instances: typeof instances === 'number' ? instances : 1,
    env,
    port: Number.isInteger(port) && port >= 1 && port <= 65_535 ? port : null,
    killTimeoutMs: record['kill_timeout'] === undefined ? null : killTimeoutOf(record),
    outFile,
    errorFile,
    pidFile,
    instanceVar: textOr(record['instance_var'], 'NODE_APP_INSTANCE'),
    options,
  };
}

/** Variables as a process gets them. PM2 passes no objects on. */
export function textsOf(env: unknown): Record<string, string> {
  const texts = Object.entries(isRecord(env) ? env : {}).filter(
    ([, value]) => typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean',
  );
  return Object.fromEntries(texts.map(([name, value]) => [name, String(value)]));
}

function textOr(value: unknown, otherwise: string): string {
  return typeof value === 'string' && value !== '' ? value : otherwise;
}

function textList(value: unknown): string[] {
  if (typeof value === 'string') return value.split(' ');
  return Array.isArray(value) ? value.map(String) : [];
}
