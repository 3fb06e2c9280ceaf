/** PM2's list (`getMonitorData`), validated: what comes out of here can be trusted to have the shape it says. */
import type { EndRules } from '../../domain/model.js';
import type { ManagedProcess, ProcessStatus } from '../../domain/model.js';
import { badAnswer } from './rpcClient.js';

export interface ProcessRow {
  readonly process: ManagedProcess;
  /** PM2's complete record of the process, its environment included: never log it. */
  readonly record: Readonly<Record<string, unknown>>;
}

const STATUSES: ReadonlySet<string> = new Set<ProcessStatus>([
  'launching',
  'online',
  'stopping',
  'stopped',
  'errored',
  'waiting restart',
  'one-launch-status',
]);

/** In these states PM2 may still show the pid of the process that ended. */
const WITHOUT_PROCESS: ReadonlySet<ProcessStatus> = new Set(['stopped', 'errored', 'waiting restart']);

/**
 * Reads PM2's list. A row that has no name, number or record cannot be an instance of anything and is left out;
 * an answer that is no list at all throws `pm2.bad-answer`.
 */
export function parseList(answer: unknown): ProcessRow[] {
  if (!Array.isArray(answer)) throw badAnswer('PM2 answered the list of processes with something else.');
  return answer.map(parseRow).filter((row) => row !== null);
}

/** One row of the list, or null when it is not one. */
export function parseRow(row: unknown): ProcessRow | null {
  if (!isRecord(row) || !isRecord(row['pm2_env'])) return null;
  const record = row['pm2_env'];
  const service = record['name'] ?? row['name'];
  const pmId = record['pm_id'] ?? row['pm_id'];
  if (typeof service !== 'string' || !Number.isInteger(pmId)) return null;
  const pid = integerOf(row['pid']);
  const status = parseStatus(record['status'], pid);
  const lastExitCode = integerOf(record['exit_code']);
  const startedAtMs = integerOf(record['pm_uptime']) ?? 0;
  const instanceNumber = instanceNumberOf(record);
  return {
    record,
    process: {
      service,
      pmId: pmId as number,
      startedAtMs,
      pid: pid === null || pid === 0 || WITHOUT_PROCESS.has(status) ? null : pid,
      port: portOf(record),
      status,
      mode: record['exec_mode'] === 'cluster_mode' ? 'cluster' : 'fork',
      restarts: integerOf(record['restart_time']) ?? 0,
      createdAtMs: integerOf(record['created_at']) ?? startedAtMs,
      killTimeoutMs: killTimeoutOf(record),
      endRules: endRulesOf(record),
      ...(instanceNumber === null ? {} : { instanceNumber }),
      ...(lastExitCode === null ? {} : { lastExitCode }),
    },
  };
}

/** Its time from SIGINT to SIGKILL, or PM2's default. */
export function killTimeoutOf(record: Readonly<Record<string, unknown>>): number {
  return integerOf(record['kill_timeout']) ?? 1_600;
}

/** What its instance variable (NODE_APP_INSTANCE by default) says. */
function instanceNumberOf(record: Readonly<Record<string, unknown>>): number | null {
  const name = record['instance_var'];
  return integerOf(record[typeof name === 'string' ? name : 'NODE_APP_INSTANCE']);
}

/** Ports that the listed instances have, also the stopped ones: they may be resumed. */
export function portsOf(rows: readonly ProcessRow[]): ReadonlySet<number> {
  return new Set(rows.map((row) => row.process.port).filter((port) => port !== null));
}

/** Pids of the listed processes. */
export function pidsOf(rows: readonly ProcessRow[]): ReadonlySet<number> {
  return new Set(rows.map((row) => row.process.pid).filter((pid) => pid !== null));
}

/**
 * The instance number for one more. A replacement has that of the one which it replaces, unless another instance has it
 * already; every other start has the lowest that is free.
 */
export function instanceNumberFor(
  rows: readonly ProcessRow[],
  service: string,
  replaces: number | null,
): number {
  const own = rows.filter(({ process }) => process.service === service);
  const numbersOf = (some: readonly ProcessRow[]) =>
    some.map(({ process }) => process.instanceNumber ?? null);
  const used = new Set(numbersOf(own.filter(({ process }) => process.pmId !== replaces)));
  const [inherited = null] = numbersOf(own.filter(({ process }) => process.pmId === replaces));
  if (inherited !== null && !used.has(inherited)) return inherited;
  let number = 0;
  while (used.has(number)) number += 1;
  return number;
}

/**
 * PM2 says `waiting restart` of every process that ends and has a `restart_delay`, also of one that it leaves down. That
 * one has the pid 0; one that does wait keeps the pid of the process that ended.
 */
function parseStatus(status: unknown, pid: number | null): ProcessStatus {
  if (typeof status !== 'string' || !STATUSES.has(status)) return 'errored';
  return status === 'waiting restart' && pid === 0 ? 'stopped' : (status as ProcessStatus);
}

/** As PM2's daemon reads them: numbers may be text, and one code needs no list. */
export function endRulesOf(record: Readonly<Record<string, unknown>>): EndRules {
  const { autorestart, autostart, stop_exit_codes: codes, cron_restart: schedule } = record;
  return {
    autorestart: autorestart !== false && autorestart !== 'false',
    stopExitCodes: [codes ?? []].flat().flatMap((code) => integerOf(code) ?? []),
    schedule: typeof schedule === 'string' && schedule !== '' && schedule !== '0' ? schedule : null,
    ...(autostart === false || autostart === 'false' ? { autostart: false } : {}),
  };
}

function portOf(record: Readonly<Record<string, unknown>>): number | null {
  const env = record['env'];
  const port = integerOf(record['PORT'] ?? (isRecord(env) ? env['PORT'] : null));
  return port !== null && port >= 1 && port <= 65_535 ? port : null;
}

/** PM2 keeps the same figure now as a number, now as text. */
function integerOf(value: unknown): number | null {
  if (typeof value === 'number') return Number.isFinite(value) ? Math.trunc(value) : null;
  if (typeof value === 'string' && /^\d+$/.test(value)) return Number(value);
  return null;
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
