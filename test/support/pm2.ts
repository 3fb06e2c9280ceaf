/**
 * A PM2 of one's own for a test: its own PM2_HOME under the system's temporary folder, its own daemon, and a
 * `dispose` after which no process and no file of it is left. Never touches ~/.pm2.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { RpcClient } from '../../backend/src/adapters/pm2/rpcClient.js';
import { isAlive, processesMentioning, sendSignal } from './processes.js';
import { waitFor } from './waitFor.js';

export { freePortRange } from './ports.js';
export { isAlive, processesMentioning, sendSignal } from './processes.js';
export { waitFor } from './waitFor.js';

/** The pm2 command of this repository. */
export const pm2Command = join(
  dirname(createRequire(import.meta.url).resolve('pm2/package.json')),
  'bin',
  'pm2',
);

/** What must not reach a test's children from the shell, the test runner or a PM2 around them. */
const FOREIGN = /^(PM2_|HA_|VITEST|NODE_|npm_|pm_|axm_)|^(PORT|name|namespace|instances|status|pm2_env|env)$/;

export interface Pm2Home {
  /** The PM2_HOME folder. */
  readonly home: string;
  /** Environment for child processes: the caller's, cleaned, with PM2_HOME set. */
  readonly env: Record<string, string>;
  /** Runs the pm2 command; rejects with its output when it fails or takes more than 60 s. */
  pm2(...args: string[]): Promise<string>;
  /** `pm2 jlist`, parsed. */
  jlist(): Promise<Pm2Row[]>;
  /** Pid of the daemon, or null when there is none alive. */
  daemonPid(): number | null;
  /** Ends the daemon and every process that was started under this home, verifies that, removes the folder. */
  dispose(): Promise<void>;
}

export interface Pm2Row {
  readonly name: string;
  readonly pid: number;
  readonly pm_id: number;
  readonly pm2_env: Readonly<Record<string, unknown>> & {
    readonly status: string;
    readonly pm_uptime: number;
    readonly restart_time: number;
  };
}

/** A clean environment for children of a test, plus `extra`. */
export function cleanEnv(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  const kept = Object.entries(process.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !FOREIGN.test(entry[0]),
  );
  return { ...Object.fromEntries(kept), ...extra };
}

export function createPm2Home(): Pm2Home {
  const home = mkdtempSync(join(tmpdir(), 'holdfast-pm2-'));
  // PM2 greets (and looks for news on the network) when this marker is missing.
  writeFileSync(join(home, 'touch'), '');
  const env = cleanEnv({ PM2_HOME: home });

  const pm2 = (...args: string[]): Promise<string> =>
    new Promise((resolve, reject) => {
      const options = { env, cwd: home, timeout: 60_000, maxBuffer: 64 * 1024 * 1024 };
      execFile(process.execPath, [pm2Command, ...args], options, (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(new Error(`pm2 ${args.join(' ')} failed: ${error.message}\n${stdout}\n${stderr}`));
      });
    });

  const daemonPid = (): number | null => {
    try {
      const pid = Number(readFileSync(join(home, 'pm2.pid'), 'utf8'));
      return Number.isInteger(pid) && pid > 0 && isAlive(pid) ? pid : null;
    } catch {
      return null;
    }
  };

  /** It starts a daemon where there is none. */
  const listedByCommand = async (): Promise<Pm2Row[]> => {
    const out = await pm2('jlist', '--silent');
    return JSON.parse(out.slice(out.indexOf('['))) as Pm2Row[];
  };

  /** Asked of the daemon itself: to start the command takes longer than most of what is waited for. */
  const jlist = async (): Promise<Pm2Row[]> => {
    if (daemonPid() === null) return listedByCommand();
    const client = new RpcClient({ socketPath: join(home, 'rpc.sock'), timeoutMs: 20_000 });
    try {
      return (await client.call('getMonitorData', {})) as Pm2Row[];
    } finally {
      client.close();
    }
  };

  const dispose = async (): Promise<void> => {
    const daemon = daemonPid();
    if (daemon !== null) sendSignal(daemon, 'SIGKILL');
    await waitFor(
      () => {
        const left = processesMentioning(home);
        for (const pid of left) sendSignal(pid, 'SIGKILL');
        return left.length === 0;
      },
      { what: `every process of ${home} to end`, deadlineMs: 15_000 },
    );
    rmSync(home, { recursive: true, force: true });
  };

  return { home, env, pm2, jlist, daemonPid, dispose };
}
