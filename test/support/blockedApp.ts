/** A process of support/apps/blocks.cjs that carries the agent, with clients that never rest. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { repository } from './deployment.js';
import { cleanEnv } from './pm2.js';
import { waitFor } from './waitFor.js';

const CLIENTS = 4;

export interface BlockedAppOptions {
  readonly socket: string;
  readonly nodeArgs?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export class BlockedApp {
  readonly child: ChildProcess;
  readonly pid: number;
  port = 0;
  readonly #said: { readonly word: string; readonly value: string }[] = [];
  readonly #agent = new Agent({ keepAlive: true });
  #answered = 0;
  #isOver = false;
  #clients: Promise<void>[] = [];

  private constructor({ socket, nodeArgs = [], env = {} }: BlockedAppOptions) {
    const preload = join(repository, 'backend/preload.cjs');
    const app = join(repository, 'test/support/apps/blocks.cjs');
    this.child = spawn(process.execPath, ['--expose-gc', ...nodeArgs, '--require', preload, app], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: cleanEnv({ HOLDFAST_AGENT_SOCKET: socket, ...env }),
    });
    this.pid = this.child.pid!;
    createInterface({ input: this.child.stdout! }).on('line', (line) => {
      const [word = '', value = ''] = line.split(' ');
      this.#said.push({ word, value });
    });
  }

  /** Resolves when it serves and its clients have had answers. */
  static async start(options: BlockedAppOptions): Promise<BlockedApp> {
    const app = new BlockedApp(options);
    app.port = Number(await app.hears('port'));
    app.#clients = Array.from({ length: CLIENTS }, () => app.#client());
    await waitFor(() => app.#answered > CLIENTS, { what: 'answers' });
    return app;
  }

  /** Requests that were answered so far. */
  get answered(): number {
    return this.#answered;
  }

  /** Everything it has said under one word so far. */
  saidAll(word: string): string[] {
    return this.#said.filter((said) => said.word === word).map(({ value }) => value);
  }

  /** The first value that it says under that word. */
  async hears(word: string, deadlineMs = 20_000): Promise<string> {
    const find = (): string | undefined => this.saidAll(word)[0];
    return waitFor(find, { what: `the application to say "${word}"`, deadlineMs, intervalMs: 5 });
  }

  /** Tells it what to do; see apps/blocks.cjs. */
  async tell(what: string): Promise<void> {
    const answer = await fetch(`http://127.0.0.1:${this.port}/${what}`, { method: 'POST' });
    if (answer.status !== 202) throw new Error(`POST /${what} answered ${answer.status}`);
  }

  async dispose(): Promise<void> {
    this.#isOver = true;
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const gone = once(this.child, 'exit');
      this.child.kill('SIGKILL');
      await gone;
    }
    await Promise.all(this.#clients);
    this.#agent.destroy();
  }

  async #client(): Promise<void> {
    while (!this.#isOver) {
      if (await this.#ask()) this.#answered += 1;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  #ask(): Promise<boolean> {
    return new Promise((resolve) => {
      const call = request({ port: this.port, host: '127.0.0.1', agent: this.#agent }, (answer) => {
        answer.resume();
        answer.once('end', () => resolve(true));
        answer.once('error', () => resolve(false));
      });
      call.once('error', () => resolve(false));
      call.end();
    });
  }
}
