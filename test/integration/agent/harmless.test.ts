/**
 * The agent must never hurt its host. Applications of many kinds run twice, without and with it, and tell everything
 * that they can see of themselves: it must be the same, and so must what they print and how they end. Their threads and
 * children carry no agent.
 *
 * What does differ, knowingly: the process has one thread more, so the application's first worker thread has number 2;
 * the agent's modules are in `require.cache`; and `process` has a listener for `removeListener` (agent/stop/signals.ts).
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AgentListener } from '../../support/agentListener.js';
import { repository } from '../../support/deployment.js';
import { waitFor } from '../../support/waitFor.js';

const preload = join(repository, 'backend/preload.cjs');
const apps = join(repository, 'test/support/apps/harmless');
const DEADLINE_MS = 30_000;

let listener: AgentListener;
let folder: string;

beforeAll(async () => {
  listener = await AgentListener.start();
});
afterAll(() => listener.dispose());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-harmless-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Outcome {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface RunOptions {
  readonly options?: readonly string[];
  readonly words?: readonly string[];
  /** Where the agent looks for its supervisor. Default: where there is one. */
  readonly socketPath?: string;
  /** Whether an agent is to appear at the supervisor before the application goes on. Default true. */
  readonly appears?: boolean;
}

async function run(app: string, withAgent: boolean, runOptions: RunOptions): Promise<Outcome> {
  const { options = [], words = [], socketPath = listener.path, appears = true } = runOptions;
  const readyFile = join(folder, withAgent ? 'ready-with' : 'ready-without');
  const preloading = withAgent ? ['--require', preload] : [];
  const child = spawn(process.execPath, [...preloading, ...options, join(apps, app), ...words], {
    cwd: folder,
    env: {
      PATH: process.env['PATH'],
      READY_FILE: readyFile,
      ...(withAgent ? { HOLDFAST_AGENT_SOCKET: socketPath } : {}),
    },
    timeout: DEADLINE_MS,
    killSignal: 'SIGKILL',
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => (output.stdout += String(chunk)));
  child.stderr.on('data', (chunk) => (output.stderr += String(chunk)));
  const ended = new Promise<Outcome>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal, ...output }));
  });
  const { pid = 0 } = child;
  if (withAgent && appears) {
    await waitFor(() => listener.of(pid, 'figures').length > 0, { what: 'figures', deadlineMs: DEADLINE_MS });
  }
  writeFileSync(readyFile, '');
  const outcome = await ended;
  if (withAgent) {
    const strangers = listener.heard.filter((one) => one.message.type === 'hello' && one.pid !== pid);
    expect(strangers, 'children with an agent of their own').toEqual([]);
    listener.heard.length = 0;
    listener.figures.length = 0;
  }
  return outcome;
}

/** Runs the application both ways. What differs knowingly, and what differs from run to run, is taken out. */
async function both(app: string, options: RunOptions = {}): Promise<{ without: Outcome; with: Outcome }> {
  const without = await run(app, false, options);
  const withAgent = await run(app, true, options);
  return { without: normal(without), with: normal(withAgent) };
}

function normal({ stdout, stderr, ...end }: Outcome): Outcome {
  const same = (text: string): string =>
    text
      .replaceAll(/ready-with(out)?/g, 'ready')
      .replaceAll(/"loaded":\d+/g, '"loaded":null')
      .replaceAll(/\(node:\d+\)|^\[\d+:0x[0-9a-f]+\]/gm, '(node)');
  return { ...end, stdout: same(stdout), stderr: same(stderr) };
}

async function expectSame(app: string, options: RunOptions = {}): Promise<Outcome> {
  const outcome = await both(app, options);
  expect(parts(outcome.with)).toEqual(parts(outcome.without));
  return outcome.with;
}

/** Lines of JSON as what they say, so that a difference can be read. */
function parts({ stdout, ...rest }: Outcome): unknown {
  const lines = stdout.split('\n').map((line): unknown => (line.startsWith('{') ? JSON.parse(line) : line));
  return { ...rest, lines };
}

describe('unchanged', () => {
  it('a CommonJS application', async () => {
    const { code, stdout } = await expectSame('commonjs.cjs');
    expect(code).toBe(3);
    expect(stdout).toContain('hello /b?c=d');
  });

  it('an ES module', async () => {
    expect((await expectSame('esm.mjs')).stdout).toContain('from a module');
  });

  it.each(['express.cjs', 'fastify.cjs', 'webSocket.cjs'])('%s', async (app) => {
    expect(await expectSame(app)).toMatchObject({ code: 0, stderr: '' });
  });

  it('an application with an inspector session of its own', async () => {
    const { code, stdout } = await expectSame('ownInspector.cjs');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ result: { value: 42 }, profiled: true, snapshot: true });
  });

  it.each([
    ['--frozen-intrinsics'],
    ['--disable-proto=delete'],
    ['--disable-proto=throw'],
    ['--disallow-code-generation-from-strings'],
    ['--throw-deprecation', '--unhandled-rejections=strict'],
    ['--pending-deprecation', '--trace-warnings'],
    ['--max-old-space-size=64', '--max-semi-space-size=1'],
    ['--expose-gc', '--expose-internals'],
    ['--preserve-symlinks', '--experimental-vm-modules'],
  ])('with %s', async (...options) => {
    expect(await expectSame('commonjs.cjs', { options })).toMatchObject({ code: 3 });
  });
});

describe('threads and children carry no agent', () => {
  it('worker threads', async () => {
    expect(await expectSame('threads.cjs')).toMatchObject({ code: 0, stderr: '' });
  });

  it.each(['children.cjs', 'ownCluster.cjs'])('%s', async (app) => {
    const { code, stdout } = await expectSame(app);
    expect(code).toBe(0);
    expect(stdout).not.toContain('HOLDFAST');
    expect(stdout).not.toContain('preload.cjs');
  });
});

describe('the same end', () => {
  it.each(['throw', 'reject', 'exit', 'SIGTERM', 'SIGKILL', 'abort'])('%s', async (word) => {
    await expectSame('ends.cjs', { words: [word], options: ['--stack-trace-limit=4'] });
  });

  it('out of memory', async () => {
    const { without, with: withAgent } = await both('ends.cjs', {
      words: ['heap'],
      options: ['--max-old-space-size=32'],
    });
    expect([withAgent.code, withAgent.signal]).toEqual([without.code, without.signal]);
    expect(withAgent.stderr).toContain('JavaScript heap out of memory');
  });
});

describe('with a supervisor that', () => {
  it('is not there', async () => {
    await expectSame('commonjs.cjs', { socketPath: join(folder, 'nobody.sock'), appears: false });
  });

  it("has a stranger's file in its place", async () => {
    const socketPath = join(folder, 'agents.sock');
    writeFileSync(socketPath, 'somebody else');
    await expectSame('commonjs.cjs', { socketPath, appears: false });
  });

  it('has a path that no socket can have', async () => {
    await expectSame('commonjs.cjs', { socketPath: `/${'x'.repeat(300)}`, appears: false });
  });
});

it('does without, where Node lets nobody start threads', async () => {
  const options = ['--experimental-permission', '--allow-fs-read=*', '--no-warnings'];
  await expectSame('esm.mjs', { options, appears: false });
});
