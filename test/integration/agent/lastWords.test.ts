/**
 * What an application in cluster mode writes just before it ends is in its log, once, and it ends as it would without
 * the agent. PM2's own container runs it, in workers of node:cluster as PM2's daemon forks them; only the daemon is not
 * there. All applications run at once, each without and with the agent.
 */
import cluster from 'node:cluster';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentListener } from '../../support/agentListener.js';
import { repository } from '../../support/deployment.js';
import { waitFor } from '../../support/waitFor.js';

const container = createRequire(import.meta.url).resolve('pm2/lib/ProcessContainer.js');

/** What each must have left in its error log. */
const APPS: Readonly<
  Record<string, { readonly code: string; readonly says: RegExp; readonly lives?: true }>
> = {
  'throws.cjs': {
    code: "throw new TypeError('boom of a build')",
    says: /^TypeError: boom of a build\n    at .*throws\.cjs:1:7/,
  },
  'string.cjs': { code: "throw 'no error at all'", says: /^no error at all\n$/ },
  'null.cjs': { code: 'throw null', says: /^null\n$/ },
  'syntax.cjs': { code: 'const = 3;', says: /syntax\.cjs:1\nconst = 3;[^]*SyntaxError: Unexpected token/ },
  'missing.cjs': { code: "require('no-such-package')", says: /^Error: Cannot find module 'no-such-package'/ },
  'exits.cjs': {
    code: "console.error('no database'); console.error('so I go'); process.exit(7)",
    says: /^no database\nso I go\n$/,
  },
  'atExit.cjs': {
    code: "process.on('exit', () => console.error('good-bye')); process.exit(0)",
    says: /^good-bye\n$/,
  },
  'handles.cjs': {
    code: "process.on('uncaughtException', (e) => { console.error('mine:', e.message); process.exit(3); }); throw new Error('own')",
    says: /^Error: own\n[^]*\nmine: own\n$/,
  },
  'later.cjs': {
    code: "setTimeout(() => { throw new RangeError('later') }, 50)",
    says: /^RangeError: later\n/,
  },
  'rejects.mjs': {
    code: "await Promise.reject(new Error('top level'))",
    says: /Error: top level\n    at .*rejects\.mjs/,
    lives: true,
  },
  'throws.mjs': {
    code: "throw new Error('module')",
    says: /Error: module\n    at .*throws\.mjs/,
    lives: true,
  },
  'import.mjs': { code: "import 'no-such-package'", says: /ERR_MODULE_NOT_FOUND/, lives: true },
};

interface Outcome {
  readonly end: string;
  readonly log: string;
}

let folder: string;
let listener: AgentListener;
const outcomes = new Map<string, Outcome>();

/** Runs it to its end, or until its log says something, where PM2 keeps it alive. */
async function run(app: string, withAgent: boolean, lives: boolean): Promise<void> {
  const name = `${app}${withAgent ? ' with agent' : ''}`;
  const log = join(folder, `${name}.err`);
  const record = {
    name: app,
    pm_id: 0,
    pm_cwd: folder,
    pm_exec_path: join(folder, app),
    pm_out_log_path: join(folder, `${name}.out`),
    pm_err_log_path: log,
    pm_pid_path: join(folder, `${name}.pid`),
    exec_mode: 'cluster_mode',
    ...(withAgent ? { HOLDFAST_AGENT_SOCKET: listener.path } : {}),
  };
  cluster.setupPrimary({
    exec: container,
    silent: true,
    execArgv: withAgent ? ['--require', join(repository, 'backend/preload.cjs')] : [],
  });
  const worker = cluster.fork({ pm2_env: JSON.stringify(record) });
  let end = '';
  worker.on('exit', (code, signal) => (end = `${code} ${signal}`));
  await waitFor(() => (lives ? readLog(log).includes('    at ') : end !== ''), {
    what: `the end of ${name}`,
    deadlineMs: 30_000,
  });
  if (lives) worker.process.kill('SIGKILL');
  await waitFor(() => end !== '', { what: `the process of ${name} to be gone` });
  outcomes.set(name, { end, log: readLog(log) });
}

function readLog(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

beforeAll(async () => {
  listener = await AgentListener.start();
  folder = mkdtempSync(join(tmpdir(), 'holdfast-words-'));
  mkdirSync(join(folder, 'node_modules'));
  for (const [name, { code }] of Object.entries(APPS)) writeFileSync(join(folder, name), code);
  await Promise.all(
    Object.entries(APPS).flatMap(([name, { lives = false }]) => [
      run(name, false, lives),
      run(name, true, lives),
    ]),
  );
});
afterAll(async () => {
  await listener.dispose();
  rmSync(folder, { recursive: true, force: true });
});

describe.each(Object.entries(APPS))('%s', (name, { says }) => {
  it('has said why in its log, once', () => {
    const { log } = outcomes.get(`${name} with agent`)!;
    expect(log).toMatch(says);
    const lines = log.split('\n').filter((line) => line !== '');
    expect(new Set(lines).size).toBe(lines.length);
  });

  it('ends as it does without the agent', () => {
    expect(outcomes.get(`${name} with agent`)!.end).toBe(outcomes.get(name)!.end);
  });
});

it('is what PM2 loses without it', () => {
  expect(outcomes.get('throws.cjs')).toEqual({ end: '0 null', log: '' });
});
