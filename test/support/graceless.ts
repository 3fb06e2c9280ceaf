/** The application without signal handlers (support/apps/graceless.cjs) as a process of its own, with or without agent. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cleanEnv } from './pm2.js';
import { waitFor } from './waitFor.js';

export const gracelessApp = fileURLToPath(new URL('./apps/graceless.cjs', import.meta.url));
/** What instances are started with. */
export const preload = fileURLToPath(new URL('../../backend/preload.cjs', import.meta.url));
/** An agent whose supervisor is away. */
export const noSupervisor = join(tmpdir(), 'holdfast-nobody-listens-here.sock');

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Since the last signal that was sent. */
  readonly tookMs: number;
}

export class Graceless {
  readonly #child: ChildProcess;
  readonly #lines: Record<string, unknown>[] = [];
  readonly #ending: Promise<Ending>;
  #signalledAtMs = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    let text = '';
    child.stdout!.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const complete = text.split('\n');
      text = complete.pop() ?? '';
      this.#lines.push(...complete.map((line) => JSON.parse(line) as Record<string, unknown>));
    });
    this.#ending = once(child, 'close').then(([code, signal]) => ({
      code: code as number | null,
      signal: signal as NodeJS.Signals | null,
      tookMs: performance.now() - this.#signalledAtMs,
    }));
  }

  /** Resolves when it serves. */
  static async start(
    env: Readonly<Record<string, string>> = {},
    { agent = true, script = gracelessApp }: { agent?: boolean; script?: string } = {},
  ): Promise<Graceless> {
    const options = agent ? ['--require', preload] : [];
    const child = spawn(process.execPath, [...options, script], {
      env: cleanEnv({ HOLDFAST_AGENT_SOCKET: noSupervisor, ...env }),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const started = new Graceless(child);
    await waitFor(() => started.ports.length > 0 || child.exitCode !== null, {
      what: 'the application to serve',
    });
    return started;
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get ports(): readonly number[] {
    return (this.lines.find(({ listening }) => listening !== undefined)?.['listening'] ?? []) as number[];
  }

  /** The port of its first server. */
  get port(): number {
    return this.ports[0]!;
  }

  /** What it has told so far. */
  get lines(): readonly Readonly<Record<string, unknown>>[] {
    return this.#lines;
  }

  /** Waits until it has been asked for that: a path, `wait`; or, for HANDLER=late, until it has its handler. */
  async reached(...what: readonly string[]): Promise<void> {
    const has = (one: string): boolean => this.lines.some(({ request }) => request === one);
    await waitFor(() => what.every(has), { what: `${what.join(', ')} to reach the application` });
  }

  signal(signal: NodeJS.Signals = 'SIGINT'): this {
    this.#signalledAtMs = performance.now();
    this.#child.kill(signal);
    return this;
  }

  ended(): Promise<Ending> {
    return this.#ending;
  }

  /** For a test that failed half-way. */
  dispose(): void {
    this.#child.kill('SIGKILL');
  }
}
