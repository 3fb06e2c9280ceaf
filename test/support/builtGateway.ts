/** The built gateway as users run it: `dist/gateway.js`, with folders and a port of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { freePortRange } from './ports.js';
import { waitFor } from './waitFor.js';

const ENTRY = fileURLToPath(new URL('../../backend/dist/gateway.js', import.meta.url));

export class BuiltGateway {
  readonly url: string;
  readonly logDir: string;
  readonly #folder: string;
  readonly #child: ChildProcess;
  #said = '';

  private constructor(folder: string, port: number, env: Readonly<Record<string, string>>) {
    this.#folder = folder;
    this.logDir = join(folder, 'logs');
    this.url = `http://127.0.0.1:${port}`;
    this.#child = spawn(process.execPath, [ENTRY], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'] ?? '',
        HA_DATA_DIR: join(folder, 'data'),
        HA_LOG_DIR: this.logDir,
        BALANCER_HOST: '127.0.0.1',
        BALANCER_PORT: String(port),
        ...env,
      },
    });
    const collect = (chunk: Buffer): void => void (this.#said += chunk.toString());
    this.#child.stdout?.on('data', collect);
    this.#child.stderr?.on('data', collect);
  }

  /** Resolves when it answers. @param env its settings, BACKEND_HOSTS for example. */
  static async start(env: Readonly<Record<string, string>>): Promise<BuiltGateway> {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-gateway-'));
    const gateway = new BuiltGateway(folder, await freePortRange(1), env);
    try {
      await waitFor(async () => (await fetch(`${gateway.url}/health`)).ok, {
        deadlineMs: 15_000,
        what: 'the gateway to be healthy',
      });
    } catch (error) {
      await gateway.dispose();
      throw new Error(`${String(error)}; it said: ${gateway.#said}`, { cause: error });
    }
    return gateway;
  }

  /** Ends it, and leaves nothing behind. */
  async dispose(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = new Promise((resolve) => this.#child.once('exit', resolve));
      this.#child.kill('SIGTERM');
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
      await ended;
      clearTimeout(timer);
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
