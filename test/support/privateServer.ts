/**
 * Database servers of a test's own: in a temporary folder, on a free port of 127.0.0.1, started from the
 * distribution's binaries. Nothing of the machine's own servers, settings or data is touched.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { waitFor } from './waitFor.js';

/** The binary's path, or null when it is not installed. */
export function findBinary(name: string): string | null {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'];
  const found = folders.filter(Boolean).map((folder) => path.join(folder, name));
  return found.find((file) => existsSync(file)) ?? null;
}

/**
 * Whether tests that need `binaries` run. Where they are not installed the tests are skipped and say so; on a
 * build machine (CI set) they run and fail, as there a skipped test would go unnoticed.
 */
export function canRun(debianPackage: string, binaries: readonly string[]): boolean {
  if (binaries.every((name) => findBinary(name) !== null) || process.env['CI'] !== undefined) return true;
  console.warn(
    `skipped: ${binaries.join(', ')} not found; "apt-get install ${debianPackage}" runs these tests`,
  );
  return false;
}

/** @throws when it is not installed. */
export function requireBinary(name: string, debianPackage: string): string {
  const file = findBinary(name);
  if (file === null) throw new Error(`${name} is not installed: apt-get install ${debianPackage}`);
  return file;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no TCP address');
  return address.port;
}

export class PrivateServer {
  readonly port: number;
  readonly folder: string;
  readonly #binary: string;
  readonly #args: readonly string[];
  readonly #ready: () => Promise<void>;
  #process: ChildProcess | null = null;
  #output = '';

  private constructor(options: PrivateServerOptions, folder: string, port: number) {
    this.folder = folder;
    this.port = port;
    this.#binary = options.binary;
    this.#args = options.args(folder, port);
    this.#ready = () => options.ready(folder, port);
  }

  /** A folder and a port of its own; `start` starts it. */
  static async prepare(options: PrivateServerOptions): Promise<PrivateServer> {
    const folder = await mkdtemp(path.join(os.tmpdir(), `holdfast-${options.name}-`));
    return new PrivateServer(options, folder, await freePort());
  }

  /** Resolves when it answers; also after a `kill`, with the same port and data. */
  async start(deadlineMs = 30_000): Promise<void> {
    const child = spawn(this.#binary, this.#args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: this.folder });
    this.#process = child;
    this.#output = '';
    const collect = (chunk: Buffer): void =>
      void (this.#output = (this.#output + String(chunk)).slice(-20_000));
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    const startedMs = performance.now();
    for (;;) {
      if (child.exitCode !== null) throw new Error(`${this.#binary} ended at its start:\n${this.#output}`);
      try {
        return await this.#ready();
      } catch (error) {
        if (performance.now() - startedMs > deadlineMs) {
          throw new Error(`${this.#binary} does not answer:\n${this.#output}`, { cause: error });
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  /** SIGKILL: as if the machine's memory had run out. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  /** SIGSTOP, and until the last of its threads has stopped: one on another core may answer for a moment longer. */
  async freeze(): Promise<void> {
    const pid = this.#process?.pid;
    if (pid === undefined) throw new Error(`${path.basename(this.#binary)} does not run`);
    this.#process?.kill('SIGSTOP');
    const states = (): string[] =>
      readdirSync(`/proc/${pid}/task`).map((thread) => {
        const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
        return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3);
      });
    await waitFor(() => states().every((state) => state === 'T'), {
      what: `${path.basename(this.#binary)} to stand still`,
      intervalMs: 2,
    });
  }

  thaw(): void {
    this.#process?.kill('SIGCONT');
  }

  async dispose(): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

export interface PrivateServerOptions {
  readonly name: string;
  readonly binary: string;
  readonly args: (folder: string, port: number) => readonly string[];
  /** Rejects while it does not answer. */
  readonly ready: (folder: string, port: number) => Promise<void>;
}
