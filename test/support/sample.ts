/** The compiled sample services as processes of their own, without PM2. */
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { waitFor } from './waitFor.js';

const DIST = fileURLToPath(new URL('../../examples/wordpecker/dist/', import.meta.url));

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class Sample {
  readonly child: ChildProcess;
  readonly exited: Promise<Exit>;
  stdout = '';
  stderr = '';

  constructor(entry: 'backend' | 'frontend', env: Readonly<Record<string, string>>) {
    this.child = spawn(process.execPath, [`${DIST}${entry}.js`], {
      // Nothing of the test's own environment, so that a variable set there can decide nothing here.
      env: { PATH: process.env['PATH'], PORT: '0', SESSION_SECRET: 'a secret for tests only', ...env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.child.stdout?.on('data', (chunk: Buffer) => (this.stdout += String(chunk)));
    this.child.stderr?.on('data', (chunk: Buffer) => (this.stderr += String(chunk)));
    // 'close' and not 'exit': by then all its output has arrived.
    this.exited = new Promise((resolve) => {
      this.child.once('close', (code, signal) => resolve({ code, signal }));
    });
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error('the process could not be started');
    return this.child.pid;
  }

  /** Resolves when it says that it listens, to its port. */
  listening(): Promise<number> {
    return waitFor(
      () => {
        if (this.child.exitCode !== null) throw new Error(`it ended: ${this.stderr}`);
        return Number(/"message":"listening".*"port":(\d+)/.exec(this.stdout)?.[1]);
      },
      { what: 'the sample to listen' },
    );
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Ends it, whatever it is doing. */
  async dispose(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }
}

/** Starts samples and ends all that are left: call `dispose` in afterEach or afterAll. */
export class Samples {
  readonly #running: Sample[] = [];

  /** At once, listening or not. */
  spawn(entry: 'backend' | 'frontend', env: Readonly<Record<string, string>> = {}): Sample {
    const sample = new Sample(entry, env);
    this.#running.push(sample);
    return sample;
  }

  /** Resolves when it listens. */
  async start(
    entry: 'backend' | 'frontend',
    env: Readonly<Record<string, string>> = {},
  ): Promise<{ readonly sample: Sample; readonly port: number; readonly url: string }> {
    const sample = this.spawn(entry, env);
    const port = await sample.listening();
    return { sample, port, url: `http://127.0.0.1:${port}` };
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#running.splice(0).map((sample) => sample.dispose()));
  }
}

export interface JsonAnswer {
  readonly status: number;
  // What tests look into has no one shape; a wrong path shows as undefined in the assertion.
  readonly body: any;
  readonly headers: Headers;
}

/** One request with a JSON body, if any; fails after ten seconds. */
export async function call(
  method: string,
  url: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<JsonAnswer> {
  const response = await fetch(url, {
    method,
    headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(10_000),
  });
  const text = await response.text();
  let parsed: unknown = text;
  try {
    parsed = JSON.parse(text);
  } catch {
    // not JSON: the text itself
  }
  return { status: response.status, body: parsed, headers: response.headers };
}
