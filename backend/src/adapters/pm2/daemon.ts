/**
 * Starting PM2's daemon: exactly one, whoever asks.
 *
 * PM2 itself starts one whenever its socket does not accept, so four commands at once start four daemons, of which
 * three are lost with everything they run. Here a start happens only
 *   - under a lock between processes (in the PM2 home), and only after looking once more with the lock held,
 *   - when nothing accepts on rpc.sock *and* the pid file names no live daemon: one that is starting up or shutting
 *     down has no socket either, and one that is stopped (SIGSTOP) accepts but does not answer. Those are waited
 *     for, never doubled.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { HoldfastError } from '../../domain/errors.js';
import { withInheritedUmask } from '../../lib/privateUmask.js';
import { acquirePidLock } from '../../lib/pidLock.js';
import { isSameProcessAlive } from '../../lib/processIdentity.js';
import { baseEnvironment } from './launch.js';

export interface DaemonOptions {
  readonly pm2Home: string;
  /** The pm2 command to start a daemon with: a path, or a name in the PATH. Default: the one this package depends on. */
  readonly pm2Bin?: string;
  /** Asks the daemon something cheap; rejects with `pm2.timeout` or `pm2.unreachable`. */
  readonly ping: () => Promise<unknown>;
  /** For everything together. Default 30 000 ms. */
  readonly timeoutMs?: number;
}

/** Settings of PM2 that its daemon reads from the environment; the rest of PM2_* is about one command. */
const DAEMON_SETTINGS =
  /^PM2_(KILL|WORKER|LOG_DATE|CONCURRENT|GRACEFUL|OPTIMIZE|NODE_OPTIONS|SOCKET|PROCESS_INSTANCE)/;

/** The pid in `pm2.pid` when that is a live PM2 daemon, else null. */
export function readDaemonPid(pm2Home: string): number | null {
  try {
    const pid = Number(readFileSync(join(pm2Home, 'pm2.pid'), 'utf8'));
    if (!Number.isInteger(pid) || pid < 2 || !isSameProcessAlive({ pid, startTicks: null })) return null;
    return process.platform !== 'linux' || looksLikeDaemon(commandLineOf(pid)) ? pid : null;
  } catch {
    return null;
  }
}

/** Whether a command line is that of a PM2 daemon or of its agent. */
export function looksLikeDaemon(commandLine: string): boolean {
  return /^PM2 v|God Daemon|[\\/]pm2[\\/]lib[\\/]Daemon\.js|InteractorDaemon|PM2 Agent/.test(commandLine);
}

/**
 * Resolves when a daemon answers: `running` when there was one, `started` when this call (or a concurrent one it
 * waited for in this process) brought one up.
 * Rejects with `pm2.timeout` (one lives but does not answer) or `pm2.start-failed`.
 */
export async function ensureDaemon(options: DaemonOptions): Promise<'running' | 'started'> {
  const deadlineMs = performance.now() + (options.timeoutMs ?? 30_000);
  if (await accepts(join(options.pm2Home, 'rpc.sock'))) {
    await options.ping();
    return 'running';
  }
  const waitMs = Math.max(0, deadlineMs - performance.now());
  const release = await acquirePidLock(join(options.pm2Home, '.holdfast-start.lock'), { waitMs });
  if (release === null) {
    throw startFailed(options.pm2Home, 'another process has been starting it for too long');
  }
  try {
    if (await settled(options.pm2Home, deadlineMs)) {
      await options.ping();
      return 'running';
    }
    await start(options, Math.max(1_000, Math.ceil(deadlineMs - performance.now())));
    await options.ping();
    return 'started';
  } finally {
    release();
  }
}

/** True: something accepts on the socket. False: there is no daemon, and none on its way up or down. */
async function settled(pm2Home: string, deadlineMs: number): Promise<boolean> {
  for (;;) {
    if (await accepts(join(pm2Home, 'rpc.sock'))) return true;
    const pid = readDaemonPid(pm2Home);
    if (pid === null) return false;
    if (performance.now() >= deadlineMs) {
      throw new HoldfastError(
        'pm2.timeout',
        `PM2's daemon (pid ${pid}) lives but has no socket in ${pm2Home}. No second one is started beside it; end it (kill ${pid}) if it hangs.`,
        { status: 503, retryable: true },
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Whether somebody accepts connections there. Only "nobody listens" and "no such file" count as no. */
function accepts(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT');
    });
  });
}

function start(options: DaemonOptions, timeoutMs: number): Promise<void> {
  // Our own is run under our own node. A configured one may be a script, a binary or a shim: it runs as what it is.
  const { pm2Bin } = options;
  const [command, args] = pm2Bin === undefined ? [process.execPath, [ownPm2(), 'ping']] : [pm2Bin, ['ping']];
  const settings = Object.entries(process.env).filter(([name]) => DAEMON_SETTINGS.test(name));
  const env = { ...baseEnvironment(), ...Object.fromEntries(settings), PM2_HOME: options.pm2Home };
  return new Promise((resolve, reject) => {
    // The daemon lives on in this folder: the PM2 home will be in no one's way.
    const where = { env, cwd: options.pm2Home, timeout: timeoutMs };
    withInheritedUmask(() =>
      execFile(command, args, where, (error, stdout, stderr) => {
        if (error === null) resolve();
        else reject(startFailed(options.pm2Home, `${error.message} ${stdout} ${stderr}`.trim(), error));
      }),
    );
  });
}

function ownPm2(): string {
  return join(dirname(createRequire(import.meta.url).resolve('pm2/package.json')), 'bin', 'pm2');
}

function commandLineOf(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
}

function startFailed(pm2Home: string, problem: string, cause?: unknown): HoldfastError {
  return new HoldfastError(
    'pm2.start-failed',
    `PM2's daemon could not be started in ${pm2Home}: ${problem}. See ${join(pm2Home, 'pm2.log')}.`,
    { status: 503, retryable: true, ...(cause === undefined ? {} : { cause }) },
  );
}
