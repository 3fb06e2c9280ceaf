/**
 * Finding instances that live but that PM2 does not list.
 *
 * - A **ghost** is a child of the living daemon that fell out of its books: a restart that overlapped a delete.
 * - An **orphan** outlived its daemon: after `kill -9` of it, fork instances go on, and no new daemon adopts them.
 *
 * The only witness is the environment a process was started with (/proc/<pid>/environ): a cluster worker has PM2's
 * record of it in `pm2_env`, a fork instance has the record's fields as variables. A process that an instance
 * started itself inherits those fields, and is nobody's stray. What tells them apart:
 *   cluster  `pm2_env` is deleted by PM2 before the application runs, so only real workers have it
 *   fork     started detached and with a channel to the daemon: it leads its session and has NODE_CHANNEL_FD
 * and nothing below a listed process, and no PM2 daemon, is ever taken for a stray.
 *
 * A ghost must have been unlisted for a grace period: during `pm2 reload` the old worker is unlisted until the new one
 * listens and its own requests are finished. An orphan needs none, its daemon is gone.
 *
 * Linux only; elsewhere there is no /proc to look at and nothing is found.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { StrayProcess } from '../../domain/model.js';
import { readProcStat, type ProcStat } from '../../lib/processIdentity.js';
import { looksLikeDaemon, readDaemonPid } from './daemon.js';
import { applicationOf, type Application } from './identity.js';
import { isRecord } from './processRow.js';

export interface StrayFinderOptions {
  readonly pm2Home: string;
  /** Names of the services that are looked for. */
  readonly services: () => ReadonlySet<string>;
  /** Whether a process of that name is an instance of the service. */
  readonly owns: (service: string, application: Application) => Promise<boolean>;
  /** Pids that PM2 lists right now. */
  readonly listedPids: () => Promise<ReadonlySet<number>>;
  /** Monotonic, ms. */
  readonly nowMs: () => number;
  /** How long a child of the daemon must have been unlisted, by its service. */
  readonly graceMs: (service: string) => number;
}

interface Instance {
  readonly service: string;
  readonly application: Application;
  readonly port: number | null;
}

interface Candidate {
  readonly pid: number;
  readonly procStat: ProcStat;
  readonly instance: Instance;
}

/** Younger than this, a process may still show the environment of the one it was forked from. */
const SETTLED_AFTER_SECONDS = 5;
/** Unit of start times in /proc, the same on every Linux of today. */
const TICKS_PER_SECOND = 100;
/** Between two pauses: some milliseconds of looking, so that nothing else has to wait long. */
const PROCESSES_PER_TURN = 100;

export class StrayFinder {
  readonly #options: StrayFinderOptions;
  /** Processes known to be no instance, `pid:startTicks`; rebuilt by every scan. Makes the next one cheap. */
  #strangers: ReadonlySet<string> = new Set();
  #ghostsSince = new Map<string, number>();

  constructor(options: StrayFinderOptions) {
    this.#options = options;
  }

  /** Every stray of the services. Rejects only when PM2's list cannot be had. */
  async find(): Promise<readonly StrayProcess[]> {
    if (process.platform !== 'linux') return [];
    const listedBefore = await this.#options.listedPids();
    const candidates = await this.#scan(listedBefore);
    // Listed again: whatever was being launched during the scan is in the list by now.
    const listed = candidates.length === 0 ? listedBefore : await this.#options.listedPids();
    const daemons = daemonPids(this.#options.pm2Home, listed);
    const services = this.#options.services();
    const ghosts = new Map<string, number>();
    const found: StrayProcess[] = [];
    for (const { pid, procStat, instance } of candidates) {
      const { application, ...place } = instance;
      if (!services.has(place.service) || daemons.has(pid)) continue;
      if (!(await this.#options.owns(place.service, application))) continue;
      if (descendsFrom(listed, pid) || descendsFrom(new Set([pid]), process.pid)) continue;
      const kind = daemons.has(procStat.parentPid) ? 'ghost' : 'orphan';
      if (kind === 'ghost') {
        const key = `${pid}:${procStat.startTicks}`;
        const sinceMs = this.#ghostsSince.get(key) ?? this.#options.nowMs();
        ghosts.set(key, sinceMs);
        if (this.#options.nowMs() - sinceMs < this.#options.graceMs(instance.service)) continue;
      }
      found.push({ ...place, pid, pidStartTicks: procStat.startTicks, kind });
    }
    this.#ghostsSince = ghosts;
    return found;
  }

  async #scan(listed: ReadonlySet<number>): Promise<Candidate[]> {
    const strangers = new Set<string>();
    const candidates: Candidate[] = [];
    const settledTicks = (uptimeSeconds() - SETTLED_AFTER_SECONDS) * TICKS_PER_SECOND;
    const pids = readdirSync('/proc').map(Number).filter(Number.isInteger);
    for (const [index, pid] of pids.entries()) {
      if (index % PROCESSES_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
      if (pid === process.pid || listed.has(pid)) continue;
      const procStat = readProcStat(pid);
      if (procStat === null) continue;
      const key = `${pid}:${procStat.startTicks}`;
      const instance = this.#strangers.has(key) ? null : this.#instanceIn(pid, procStat);
      if (instance !== null) candidates.push({ pid, procStat, instance });
      else if (procStat.startTicks < settledTicks) strangers.add(key);
    }
    this.#strangers = strangers;
    return candidates;
  }

  #instanceIn(pid: number, procStat: ProcStat): Instance | null {
    if (!isOwn(pid)) return null;
    const environ = parseEnviron(readText(`/proc/${pid}/environ`));
    const instance = instanceOf(environ, procStat.sessionId === pid, this.#options.pm2Home);
    if (instance === null) return null;
    const commandLine = readText(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
    return looksLikeDaemon(commandLine) ? null : instance;
  }
}

/**
 * Pure: which instance of `pm2Home` a process with this starting environment is, if any.
 * @param leadsSession whether it was started detached, as PM2 starts fork instances.
 */
export function instanceOf(
  environ: Readonly<Record<string, string>>,
  leadsSession: boolean,
  pm2Home: string,
): Instance | null {
  const record = environ['pm2_env'] === undefined ? null : parseJson(environ['pm2_env']);
  if (record === null && !(leadsSession && environ['NODE_CHANNEL_FD'] !== undefined)) return null;
  const fields: Readonly<Record<string, unknown>> = record ?? environ;
  const { name, pm_id: pmId, pm_pid_path: pidPath, PM2_HOME: home, PORT: port } = fields;
  if (typeof name !== 'string' || pmId === undefined) return null;
  const pids = join(pm2Home, 'pids');
  const isOurs = home === pm2Home || (typeof pidPath === 'string' && pidPath.startsWith(`${pids}/`));
  if (!isOurs) return null;
  const portNumber = Number(port);
  return {
    service: name,
    application: applicationOf(fields),
    port: Number.isInteger(portNumber) && portNumber > 0 && portNumber <= 65_535 ? portNumber : null,
  };
}

/** The daemon by its pid file and, surer, by who started what it lists. */
function daemonPids(pm2Home: string, listed: ReadonlySet<number>): ReadonlySet<number> {
  const parents = [...listed].map((pid) => readProcStat(pid)?.parentPid);
  const pids = [readDaemonPid(pm2Home), ...parents].filter((pid) => typeof pid === 'number' && pid > 1);
  return new Set(pids as number[]);
}

/** Whether `pid` or one of its ancestors is in `pids`. */
function descendsFrom(pids: ReadonlySet<number>, pid: number): boolean {
  let current = pid;
  for (let depth = 0; depth < 64 && current > 1; depth += 1) {
    if (pids.has(current)) return true;
    const parent = readProcStat(current)?.parentPid;
    if (parent === undefined) return false;
    current = parent;
  }
  return false;
}

/** Whether it runs as our user; root looks after everybody's. */
function isOwn(pid: number): boolean {
  const ownUid = process.getuid?.();
  if (ownUid === 0) return true;
  try {
    return statSync(`/proc/${pid}`).uid === ownUid;
  } catch {
    return false;
  }
}

/** Empty when the process is gone or may not be looked at. */
function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function uptimeSeconds(): number {
  return Number(readText('/proc/uptime').split(' ')[0]);
}

function parseEnviron(raw: string): Record<string, string> {
  const environ: Record<string, string> = {};
  for (const line of raw.split('\0')) {
    const at = line.indexOf('=');
    if (at > 0) environ[line.slice(0, at)] = line.slice(at + 1);
  }
  return environ;
}

function parseJson(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : null;
  } catch {
    return null;
  }
}
