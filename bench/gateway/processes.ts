/** Processes of the bench: each pinned to one core, in a temporary folder of its own, ended with its children. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cpuTimeMs, residentBytes } from '../lib/processUsage.js';
import { get } from '../lib/http.js';
import { pause } from '../lib/time.js';

/** Everything that is measured runs on the first core, one at a time; whoever asks and whoever answers share the other. */
export const [PROXY_CORE, OTHER_CORE] = lastTwoCores();

const START_DEADLINE_MS = 15_000;
const END_DEADLINE_MS = 10_000;
const OUTPUT_CHARS = 4_000;

const running = new Set<PinnedProcess>();

/** For a bench that is interrupted. */
export async function endAllProcesses(): Promise<void> {
  await Promise.all([...running].map((each) => each.end()));
}

const PACKAGES = new Map([
  ['haproxy', 'haproxy'],
  ['nginx', 'nginx-light'],
  ['wrk', 'wrk'],
  ['taskset', 'util-linux'],
]);

/** Full path of a program. */
export type Programs = (name: string) => string;

/**
 * Full paths of programs.
 * @param node what `node` is.
 * @throws naming all that are missing and what installs them.
 */
export function findPrograms(node = process.execPath): Programs {
  if (PROXY_CORE === OTHER_CORE) throw new Error('The gateway bench needs two cores, and there is one.');
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'];
  const find = (name: string): string | undefined =>
    folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
  const missing = [...PACKAGES].filter(([name]) => find(name) === undefined);
  if (missing.length > 0) {
    const names = missing.map(([name]) => name).join(', ');
    throw new Error(
      `Not installed: ${names}. "apt-get install ${missing.map(([, debian]) => debian).join(' ')}" does it.`,
    );
  }
  return (name) => (name === 'node' ? node : find(name)!);
}

export interface PinnedOptions {
  readonly name: string;
  readonly core: number;
  /** Program and arguments; `folder` holds `files` and whatever else it writes. */
  readonly command: (folder: string) => readonly string[];
  /** Content by name. */
  readonly files?: Readonly<Record<string, string>>;
  readonly env?: (folder: string) => NodeJS.ProcessEnv;
}

export class PinnedProcess {
  readonly name: string;
  readonly folder: string;
  readonly #child: ChildProcess;
  #output = '';

  constructor({ name, core, command, files = {}, env }: PinnedOptions) {
    this.name = name;
    this.folder = mkdtempSync(join(tmpdir(), `holdfast-bench-${name}-`));
    for (const [file, content] of Object.entries(files)) writeFileSync(join(this.folder, file), content);
    this.#child = spawn('taskset', ['--cpu-list', String(core), ...command(this.folder)], {
      cwd: this.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env?.(this.folder) },
    });
    running.add(this);
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#output = (this.#output + chunk.toString()).slice(-OUTPUT_CHARS);
      });
    }
    this.#child.on('error', (error) => {
      this.#output += error.message;
    });
  }

  /** Resolves when `path` on `port` is answered with 200. */
  async answers(port: number, path = '/'): Promise<void> {
    const beganMs = performance.now();
    while ((await get(port, path)) !== 200) {
      const { exitCode } = this.#child;
      if (exitCode !== null) throw new Error(`${this.name} ended with ${exitCode}:\n${this.#output}`);
      if (performance.now() - beganMs > START_DEADLINE_MS) {
        throw new Error(
          `${this.name} does not answer on port ${port}; check "taskset -p ${this.#child.pid}":\n${this.#output}`,
        );
      }
      await pause(50);
    }
  }

  /** User and system time of all its processes, ms. */
  cpuTimeMs(): number {
    return this.pids().reduce((sum, pid) => sum + cpuTimeMs(pid), 0);
  }

  residentBytes(): number {
    return this.pids().reduce((sum, pid) => sum + residentBytes(pid), 0);
  }

  /** The process and its children. */
  pids(): number[] {
    const pid = this.#child.pid;
    if (pid === undefined) throw new Error(`${this.name} could not be started: ${this.#output}`);
    return [pid, ...childrenOf(pid)];
  }

  async end(): Promise<void> {
    running.delete(this);
    const child = this.#child;
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      const children = childrenOf(child.pid);
      child.kill('SIGTERM');
      const inTime = await Promise.race([
        gone.then(() => true),
        pause(END_DEADLINE_MS, false).then(() => false),
      ]);
      if (!inTime) {
        for (const pid of [...children, child.pid]) killQuietly(pid);
        await gone;
      }
    }
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Of those that this process may use: the first ones are the busiest with interrupts. */
function lastTwoCores(): readonly [number, number] {
  const list = /^Cpus_allowed_list:\s+(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  const cores = list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
  return [cores.at(-1) ?? 0, cores.at(-2) ?? cores[0] ?? 0];
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}
