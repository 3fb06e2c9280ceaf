/**
 * A checkout of one's own for a test: a copy of this working tree with its build, its own PM2 home and ports, where
 * scripts and npm commands run as a user would run them. `dispose` leaves no process and no file.
 */
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createPm2Home, type Pm2Home } from './pm2.js';
import { freePortRange } from './ports.js';

const repository = fileURLToPath(new URL('../..', import.meta.url));

const FILES = [
  'backend',
  'config.example.yml',
  'ecosystem.cluster.config.js',
  'ecosystem.config.js',
  'examples/wordpecker',
  'package-lock.json',
  'package.json',
  'scripts',
  'tsconfig.base.json',
];

/** Ports of one deployment: the supervisor's, then the backend's range, then the frontend's. */
const RANGE = 24;
const PORTS = 2 + RANGE + RANGE;

export interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Checkout {
  readonly root: string;
  readonly pm2: Pm2Home;
  readonly env: Readonly<Record<string, string>>;
  readonly haPort: number;
  readonly backendPort: number;
  readonly frontendPort: number;
  readonly gatewayPort: number;
  /** Runs a program of the checkout ("scripts/health-check.sh"), from another directory; ends within a minute or two. */
  run(program: string, args?: readonly string[], env?: Readonly<Record<string, string>>): Promise<Run>;
  /** Types what a document says, in the project's folder: its ports and `/opt/holdfast` are this checkout's. */
  type(script: string): Promise<Run>;
  /** Text that was printed here, with the ports and places of the documents. */
  asDocumented(text: string): string;
  /** Runs npm there: `npm('start')`. */
  npm(...args: readonly string[]): Promise<Run>;
  /** The `data` of the supervisor's answer to a GET. */
  api<T>(path: string): Promise<T>;
  dispose(): Promise<void>;
}

/** Quick enough for a test to see a whole life, with nothing else changed. */
export const QUICK: Readonly<Record<string, string>> = {
  HEALTH_CHECK_INTERVAL: '1000',
  HEALTH_CHECK_TIMEOUT: '1000',
  HEALTH_CHECK_FAST_INTERVAL: '200',
  STABLE_PERIOD: '500',
  CANARY_PERIOD: '1000',
  DRAIN_GRACE: '300',
};

const RUN_TIMEOUT_MS = 110_000;

/** @param extra environment of everything that runs there. */
export async function createCheckout(extra: Readonly<Record<string, string>> = {}): Promise<Checkout> {
  const root = mkdtempSync(join(tmpdir(), 'holdfast-checkout-'));
  for (const file of FILES) {
    const source = join(repository, file);
    if (!existsSync(source)) continue;
    cpSync(source, join(root, file), {
      recursive: true,
      filter: (path) => !/^(?:testing|dist\.\w+|.*\.test\.ts)$/.test(basename(path)),
    });
  }
  symlinkSync(join(repository, 'node_modules'), join(root, 'node_modules'));
  const pm2 = createPm2Home();
  const haPort = await freePortRange(PORTS);
  const [backendPort, frontendPort, gatewayPort] = [haPort + 1, haPort + 1 + RANGE, haPort + 1 + 2 * RANGE];
  const env: Readonly<Record<string, string>> = {
    ...pm2.env,
    HA_PORT: String(haPort),
    BALANCER_PORT: String(gatewayPort),
    START_PORT: String(backendPort),
    FRONTEND_START_PORT: String(frontendPort),
    PORT_COUNT: String(RANGE),
    ...extra,
  };
  const run = (
    program: string,
    args: readonly string[] = [],
    more: Readonly<Record<string, string>> = {},
  ): Promise<Run> => runToEnd(join(root, program), args, { ...env, ...more });
  /** What documents call by its default, and what it is here. */
  const places: readonly (readonly [documented: string, here: string])[] = [
    ['/opt/holdfast', root],
    [':3000', `:${haPort}`],
    [':13003', `:${gatewayPort}`],
    [':13004', `:${backendPort}`],
  ];
  const type = (script: string): Promise<Run> => {
    const here = places.reduce((text, [from, to]) => text.replaceAll(from, to), script);
    return runToEnd('sh', ['-c', here], env, root);
  };
  const asDocumented = (text: string): string =>
    places.reduce((shown, [from, to]) => shown.replaceAll(to, from), text);
  const dispose = async (): Promise<void> => {
    await pm2.dispose();
    rmSync(root, { recursive: true, force: true });
  };
  const npm = (...args: readonly string[]): Promise<Run> => runToEnd('npm', ['--prefix', root, ...args], env);
  const api = async <T>(path: string): Promise<T> => {
    const response = await fetch(`http://127.0.0.1:${haPort}${path}`);
    return ((await response.json()) as { data: T }).data;
  };
  return {
    root,
    pm2,
    env,
    haPort,
    backendPort,
    frontendPort,
    gatewayPort,
    run,
    type,
    asDocumented,
    npm,
    api,
    dispose,
  };
}

/** Runs a program, from a directory that has nothing to do with it unless one is named; rejects when it does not end. */
export function runToEnd(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  cwd: string = tmpdir(),
  timeoutMs: number = RUN_TIMEOUT_MS,
): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`${program} ${args.join(' ')} did not end in ${timeoutMs} ms:\n${stdout}${stderr}`));
    }, timeoutMs);
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ code, stdout, stderr });
    });
  });
}
