/** A gateway as `npm run balancer` runs it: its own process with its own workers, port, data and logs; no PM2. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { GatewayStatus } from '../../backend/src/gateway/pages/statusSchema.js';
import { cleanEnv } from './pm2.js';
import { freePortRange } from './ports.js';
import { childrenOf, isAlive, sendSignal } from './processes.js';
import { waitFor } from './waitFor.js';

const entry = fileURLToPath(new URL('../../backend/dist/gateway.js', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly stderr: string;
}

/** Data, logs, configuration and port of one gateway; several processes may use it one after the other. */
export class GatewayHome {
  readonly folder = mkdtempSync(join(tmpdir(), 'holdfast-gateway-'));
  readonly port: number;
  readonly env: Record<string, string>;
  readonly processes: GatewayProcess[] = [];

  private constructor(port: number, settings: Readonly<Record<string, string>>) {
    this.port = port;
    this.env = cleanEnv({
      HA_DATA_DIR: join(this.folder, 'data'),
      HA_LOG_DIR: join(this.folder, 'logs'),
      HA_CONFIG: join(this.folder, 'config.yml'),
      BALANCER_HOST: '127.0.0.1',
      BALANCER_PORT: String(port),
      GATEWAY_WORKERS: '2',
      GATEWAY_STOP_TIMEOUT: '5000',
      ...settings,
    });
    writeFileSync(join(this.folder, 'config.yml'), '');
  }

  static async create(settings: Readonly<Record<string, string>> = {}): Promise<GatewayHome> {
    return new GatewayHome(await freePortRange(1), settings);
  }

  /** Starts a process; it may not come up. */
  launch(more: Readonly<Record<string, string>> = {}): GatewayProcess {
    const process = new GatewayProcess(this, { ...this.env, ...more });
    this.processes.push(process);
    return process;
  }

  /** Starts a process and waits until it answers with all its workers. */
  async start(more: Readonly<Record<string, string>> = {}): Promise<GatewayProcess> {
    const process = this.launch(more);
    await process.untilServing();
    return process;
  }

  write(name: string, text: string): string {
    const file = join(this.folder, name);
    writeFileSync(file, text);
    return file;
  }

  log(): string {
    return readFileSync(join(this.folder, 'logs/ha-gateway.log'), 'utf8');
  }

  url(path = '/'): string {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  async status(): Promise<GatewayStatus> {
    const answer = await fetch(this.url('/lb/status'), { signal: AbortSignal.timeout(5_000) });
    return (await answer.json()) as GatewayStatus;
  }

  /** Waits until the status fulfils `condition`, and returns it. */
  async until(what: string, condition: (status: GatewayStatus) => boolean, deadlineMs = 10_000) {
    return waitFor(
      async () => {
        const status = await this.status();
        if (!condition(status)) throw new Error(JSON.stringify([status.pools, status.workers]));
        return status;
      },
      { what, deadlineMs },
    );
  }

  /** Ends every process of it, and leaves nothing behind. */
  async dispose(): Promise<void> {
    for (const process of this.processes) await process.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export class GatewayProcess {
  readonly pid: number;
  readonly #home: GatewayHome;
  readonly #child: ChildProcess;
  readonly #ended: Promise<Ended>;
  #stderr = '';
  #stdout = '';

  constructor(home: GatewayHome, env: Readonly<Record<string, string>>) {
    this.#home = home;
    this.#child = spawn(process.execPath, [entry], {
      env,
      cwd: home.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.pid = this.#child.pid ?? 0;
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
    });
    this.#ended = once(this.#child, 'exit').then(([code]) => ({
      code: code as number | null,
      stderr: this.#stderr,
    }));
  }

  /** What it has told people so far. */
  get stdout(): string {
    return this.#stdout;
  }

  /** Pids of its workers that live. */
  workers(): number[] {
    return childrenOf(this.pid).filter(isAlive);
  }

  async untilServing(): Promise<void> {
    const count = Number(this.#home.env['GATEWAY_WORKERS']);
    await waitFor(
      async () => {
        if (this.#child.exitCode !== null)
          throw new Error(`it left with ${this.#child.exitCode}: ${this.#stderr}`);
        const { workers } = await this.#home.status();
        const own = new Set(this.workers());
        return workers.filter(({ state, pid }) => state === 'serving' && own.has(pid)).length === count;
      },
      { what: 'a gateway with all its workers', deadlineMs: 20_000 },
    );
  }

  signal(signal: NodeJS.Signals): void {
    sendSignal(this.pid, signal);
  }

  /** Resolves when it has ended by itself. */
  ended(): Promise<Ended> {
    return this.#ended;
  }

  async kill(): Promise<void> {
    const workers = this.workers();
    sendSignal(this.pid, 'SIGCONT');
    sendSignal(this.pid, 'SIGKILL');
    for (const pid of workers) sendSignal(pid, 'SIGKILL');
    await this.#ended;
  }
}
