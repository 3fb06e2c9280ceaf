/**
 * PM2's command line, as a separate program: the commands start and stop applications with it, as their users would
 * by hand. Every run has a time-out. A `pm2` that finds no daemon starts one, with whatever environment it was
 * called with; so a daemon is started first, with a plain environment, and asked for nothing else.
 */
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { SET_BY_PM2 } from '../adapters/pm2/ecosystem.js';
import { applicationOf, type Application } from '../adapters/pm2/identity.js';
import { parseRow } from '../adapters/pm2/processRow.js';
import { judgeStopped, RESTARTED } from '../domain/failures/endRules.js';
import type { RunEnd } from '../domain/model.js';
import { HoldfastError } from '../domain/errors.js';

/** One process in PM2's list, as far as the commands look at it. */
export interface Pm2App {
  readonly name: string;
  readonly pmId: number;
  readonly pid: number | null;
  readonly status: string;
  readonly port: number | null;
  readonly restarts: number;
  /** How its last process ended, where PM2 leaves it down as it was told; null: it runs, or should. */
  readonly run: RunEnd | null;
  /** Of the last process under this number that ended; null: none has. */
  readonly lastExitCode: number | null;
  readonly outFile: string | null;
  readonly errorFile: string | null;
  /** The program's path. */
  readonly script: string | null;
  /** What tells it from other applications of its name. */
  readonly application: Application;
  /** HA_ROOT, HA_ECOSYSTEM_FILE, …: what a process of Holdfast was started with. Nothing else of its environment. */
  readonly holdfast: Readonly<Record<string, string>>;
}

export interface Pm2Options {
  readonly root: string;
  readonly home: string;
  /** The configured command; null: the one installed with Holdfast, else the one on PATH. */
  readonly bin: string | null;
  readonly env: NodeJS.ProcessEnv;
}

const DEFAULT_TIMEOUT_MS = 30_000;

/** What a daemon needs, and all that its cluster workers inherit. */
const DAEMON_NEEDS =
  /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR|PM2_HOME|NODE_EXTRA_CA_CERTS)$/;

/** What tells one deployment from another. */
const STARTED_WITH = ['HA_ROOT', 'HA_ECOSYSTEM_FILE', 'HA_DATA_DIR', 'HA_PORT'] as const;

export class Pm2Command {
  readonly #options: Pm2Options;
  readonly #program: string;

  constructor(options: Pm2Options) {
    this.#options = options;
    this.#program = options.bin ?? ownPm2() ?? 'pm2';
  }

  /**
   * Whether a daemon listens. Starts none.
   * @throws HoldfastError `pm2.not-permitted` when one may listen there, but this user may not ask it.
   */
  isDaemonUp(): Promise<boolean> {
    const { home } = this.#options;
    return new Promise((resolve, reject) => {
      const socket = connect(join(home, 'rpc.sock'));
      socket.once('connect', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', (error: NodeJS.ErrnoException) => {
        socket.destroy();
        if (error.code !== 'EACCES' && error.code !== 'EPERM') return resolve(false);
        const message = `The PM2 in ${home} belongs to another user: permission denied. Run this as that user, or choose another PM2 with PM2_HOME.`;
        return reject(new HoldfastError('pm2.not-permitted', message, { cause: error }));
      });
    });
  }

  /** Every process of every application; empty without a daemon. */
  async list(): Promise<readonly Pm2App[]> {
    if (!(await this.isDaemonUp())) return [];
    const output = await this.run(['jlist', '--silent']);
    // Warnings of PM2 may stand before the list.
    const start = output.search(/\[\s*(\{|\])/);
    try {
      return (JSON.parse(output.slice(start)) as unknown[]).map(appOf);
    } catch (error) {
      throw new HoldfastError('pm2.bad-answer', `\`pm2 jlist\` printed something that is not its list.`, {
        cause: error,
      });
    }
  }

  /** Starts a daemon when there is none. */
  async ensureDaemon(): Promise<'running' | 'started'> {
    if (await this.isDaemonUp()) return 'running';
    await this.#execute(['ping'], this.#environment(DAEMON_NEEDS), DEFAULT_TIMEOUT_MS, this.#options.root);
    return 'started';
  }

  /**
   * @param cwd where it runs: PM2 takes the relative paths of an ecosystem file from there. Default: the root.
   * @param env on top of this program's environment.
   * @returns what it printed on stdout.
   * @throws HoldfastError `pm2.timeout`, `pm2.missing`, or `pm2.refused` with what PM2 said.
   */
  run(
    args: readonly string[],
    timeoutMs = DEFAULT_TIMEOUT_MS,
    cwd: string = this.#options.root,
    env: Readonly<Record<string, string>> = {},
  ): Promise<string> {
    return this.#execute(args, { ...this.#environment(null), ...env }, timeoutMs, cwd);
  }

  #environment(only: RegExp | null): NodeJS.ProcessEnv {
    const kept = Object.entries(this.#options.env).filter(
      ([name]) => !SET_BY_PM2.test(name) && (only === null || only.test(name)),
    );
    return { ...Object.fromEntries(kept), PM2_HOME: this.#options.home };
  }

  #execute(args: readonly string[], env: NodeJS.ProcessEnv, timeoutMs: number, cwd: string): Promise<string> {
    const call = `pm2 ${args.join(' ')}`;
    const options = { env, cwd, timeout: timeoutMs, maxBuffer: 64 * 1024 * 1024 };
    return new Promise((resolve, reject) => {
      execFile(this.#program, args, options, (error, stdout, stderr) => {
        if (error === null) return resolve(stdout);
        const said = stripVTControlCharacters(`${stdout}\n${stderr}`).trim();
        if (error.code === 'ENOENT') {
          const message = `${this.#program} is not there; run \`npm ci\` in ${this.#options.root}, or set PM2_BIN.`;
          return reject(new HoldfastError('pm2.missing', message, { cause: error }));
        }
        const problem = error.killed === true ? `had no answer within ${timeoutMs / 1_000} s` : 'failed';
        const code = error.killed === true ? 'pm2.timeout' : 'pm2.refused';
        return reject(
          new HoldfastError(code, `\`${call}\` ${problem}.${said === '' ? '' : `\n${said}`}`, {
            cause: error,
          }),
        );
      });
    });
  }
}

/** The one that is installed with Holdfast; null: none is. */
function ownPm2(): string | null {
  try {
    return join(dirname(createRequire(import.meta.url).resolve('pm2/package.json')), 'bin/pm2');
  } catch {
    return null;
  }
}

function appOf(entry: unknown): Pm2App {
  const row = entry as { name?: unknown; pm_id?: unknown; pid?: unknown; pm2_env?: Record<string, unknown> };
  const env = row.pm2_env ?? {};
  const { status, PORT: port, restart_time: restarts } = env;
  if (typeof row.name !== 'string' || typeof row.pm_id !== 'number' || typeof status !== 'string') {
    throw new TypeError('an entry without name, pm_id or status');
  }
  const portNumber = Number(port);
  const textOf = (key: string): string | null => (typeof env[key] === 'string' ? env[key] : null);
  return {
    name: row.name,
    pmId: row.pm_id,
    pid: typeof row.pid === 'number' && row.pid > 0 ? row.pid : null,
    status,
    port: Number.isInteger(portNumber) && portNumber > 0 ? portNumber : null,
    restarts: typeof restarts === 'number' ? restarts : 0,
    ...runOf(entry),
    outFile: textOf('pm_out_log_path'),
    errorFile: textOf('pm_err_log_path'),
    script: textOf('pm_exec_path'),
    application: applicationOf(env),
    holdfast: Object.fromEntries(
      STARTED_WITH.flatMap((key) => {
        const value = textOf(key);
        return value === null ? [] : [[key, value]];
      }),
    ),
  };
}

function runOf(entry: unknown): Pick<Pm2App, 'run' | 'lastExitCode'> {
  const { status, endRules = RESTARTED, lastExitCode } = parseRow(entry)?.process ?? {};
  const run = status === 'stopped' ? judgeStopped(endRules, lastExitCode) : null;
  return { run, lastExitCode: lastExitCode ?? null };
}
