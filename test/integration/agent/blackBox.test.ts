/**
 * What is left of instances that fail, on a real PM2, with the agent in them: each way to fail leaves an entry that
 * says why, is named by the event, is found through the API, and is complete on the disk.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { BlackBoxEntry, BlackBoxFile } from '../../../backend/src/domain/blackBox/blackBox.js';
import type { EventRecord } from '../../../backend/src/domain/events.js';
import type { InstanceView } from '../../../backend/src/domain/views/serviceView.js';
import type { BlackBoxView, StatusView } from '../../../backend/src/domain/views/controlPlane.js';
import { repository } from '../../support/deployment.js';
import { createPm2Home, type Pm2Home } from '../../support/pm2.js';
import { freePortRange } from '../../support/ports.js';
import { twoServing } from '../../support/twoServing.js';
import { waitFor } from '../../support/waitFor.js';

const script = fileURLToPath(new URL('../../support/apps/fragile.cjs', import.meta.url));
const SERVICE = 'fragile';
const HEAP_MB = 128;

let pm2: Pm2Home;
let haPort: number;
let directory: string;

beforeAll(async () => {
  pm2 = createPm2Home();
  haPort = await freePortRange(14);
  const logDir = join(pm2.home, 'logs');
  mkdirSync(logDir);
  directory = join(logDir, 'blackbox');
  const file = join(pm2.home, 'ecosystem.config.cjs');
  pm2.env['HA_ECOSYSTEM_FILE'] = file;
  const app = {
    name: SERVICE,
    script,
    cwd: pm2.home,
    exec_mode: 'fork',
    instances: 2,
    increment_var: 'PORT',
    node_args: [`--max-old-space-size=${HEAP_MB}`],
    env: { PORT: haPort + 1, HUSH: 'a-secret-of-the-environment' },
  };
  writeFileSync(
    file,
    `const { defineSupervisor, withAgent } = require(${JSON.stringify(join(repository, 'backend/ecosystem.cjs'))});
     module.exports = { apps: [defineSupervisor({ file: __filename, autoscale: false }), withAgent(${JSON.stringify(app)})] };`,
  );
  Object.assign(pm2.env, {
    HA_PORT: String(haPort),
    HA_DATA_DIR: join(pm2.home, 'data'),
    HA_LOG_DIR: logDir,
    HA_CONFIG: join(pm2.home, 'config.yml'),
    PORT_COUNT: '12',
    HEALTH_CHECK_INTERVAL: '4000',
    HEALTH_CHECK_TIMEOUT: '4000',
    MAX_RESTART_ATTEMPTS: '20',
    // A heap that is nearly full is collected for seconds where there is little CPU, which is not what is tested here.
    HANG_TIMEOUT: '3000',
    STABLE_PERIOD: '1000',
    RESTART_BACKOFF: '100',
    DRAIN_GRACE: '200',
    KILL_TIMEOUT: '2000',
  });
  writeFileSync(join(pm2.home, 'config.yml'), '');
  await pm2.pm2('start', file, '--env', 'production');
  await whole();
});
afterAll(() => pm2.dispose());

async function api<T>(path: string): Promise<T> {
  const answer = await fetch(`http://127.0.0.1:${haPort}/api/ha/${path}`);
  const { data, error } = (await answer.json()) as { data: T; error?: { message: string } };
  if (error !== undefined) throw new Error(error.message);
  return data;
}

/** Both serve, with their agents; returned in the order of their numbers. */
function whole(): Promise<readonly InstanceView[]> {
  return twoServing(() => api<StatusView>('status'));
}

interface Victim extends InstanceView {
  /** Wall clock: when it was told to fail. */
  readonly toldAtMs: number;
}

async function fail(how: string): Promise<Victim> {
  const [victim] = await whole();
  const toldAtMs = Date.now();
  const answer = await fetch(`http://127.0.0.1:${victim!.port}/${how}`, { method: 'POST' });
  expect(answer.status).toBe(200);
  return { ...victim!, toldAtMs };
}

/** The entry about that process, once it is known what came of it. */
async function kept({ pmId, pid, toldAtMs }: Victim): Promise<BlackBoxView> {
  const { id } = await waitFor(
    async () => {
      const { blackBoxes } = await api<{ blackBoxes: readonly BlackBoxEntry[] }>('blackbox');
      const own = blackBoxes.filter((entry) => entry.pmId === pmId && Date.parse(entry.at) >= toldAtMs);
      return own.find(({ outcome }) => outcome !== null);
    },
    { what: `a black box of pm ${pmId}`, deadlineMs: 40_000 },
  );
  const view = await api<BlackBoxView>(`blackbox/${id}`);
  expect(view.summary.pid).toBe(pid);
  return view;
}

/** What every entry must be on the disk, and what the API gives out of it. */
async function isSound({ entry, summary }: BlackBoxView, files: readonly BlackBoxFile[]): Promise<void> {
  const folder = join(directory, entry.id);
  expect(statSync(folder).mode & 0o777).toBe(0o700);
  expect(entry.files.map(({ name }) => name)).toEqual(expect.arrayContaining([...files]));
  expect(readdirSync(folder).sort()).toEqual(entry.files.map(({ name }) => name).sort());
  expect(summary.omitted).toEqual([]);
  for (const { name, bytes } of entry.files) {
    const status = statSync(join(folder, name));
    expect(status.size).toBe(bytes);
    expect(bytes).toBeGreaterThan(0);
    expect(status.mode & 0o777).toBe(0o600);
    const text = readFileSync(join(folder, name), 'utf8');
    expect(text).not.toMatch(/hunter2|a-secret-of-the-environment/);
    const answer = await fetch(`http://127.0.0.1:${haPort}/api/ha/blackbox/${entry.id}/${name}`);
    expect(await answer.text()).toBe(text);
    if (name.endsWith('.json')) JSON.parse(text);
  }
  const lines = linesOf(entry.id);
  expect(lines.map(({ at }) => at)).toEqual(lines.map(({ at }) => at).sort());
  const events = await api<{ events: readonly EventRecord[] }>('events?limit=1000');
  const named = events.events.filter(({ data }) => 'blackBox' in data && data.blackBox === entry.id);
  expect(named.length).toBeGreaterThan(0);
}

interface HeapProfile {
  readonly head: ProfileNode;
}

/** As the Chrome DevTools Protocol has it (HeapProfiler.SamplingHeapProfileNode). */
interface ProfileNode {
  readonly callFrame: { readonly functionName: string };
  readonly selfSize: number;
  readonly id: number;
  readonly children: readonly ProfileNode[];
}

function functionsOf({ callFrame, selfSize, id, children }: ProfileNode): string[] {
  expect({ callFrame, selfSize, id }).toEqual({
    callFrame: {
      functionName: expect.any(String),
      scriptId: expect.any(String),
      url: expect.any(String),
      lineNumber: expect.any(Number),
      columnNumber: expect.any(Number),
    },
    selfSize: expect.any(Number),
    id: expect.any(Number),
  });
  return [callFrame.functionName, ...children.flatMap(functionsOf)];
}

function linesOf(id: string): { at: string; from: string; heapUsedBytes?: number | null }[] {
  const lines = readFileSync(join(directory, id, 'figures.jsonl'), 'utf8')
    .trimEnd()
    .split('\n');
  return lines.map((line) => JSON.parse(line) as { at: string; from: string });
}

it('a crash: how it ended, what it said, and that PM2 brought it back', async () => {
  const victim = await fail('exit?code=3');
  const view = await kept(victim);
  expect(view.summary).toMatchObject({
    service: SERVICE,
    cause: 'crashed',
    detail: expect.stringMatching(/^left after [\d.]+ s with exit code 3$/),
    decision: { by: 'exit', exitCode: 3, signal: null, serving: 1, desired: 2 },
    outcome: { kind: 'restarted' },
    versions: { agent: expect.any(String), node: process.version },
  });
  expect(view.stack).toBeNull();
  await isSound(view, ['summary.json', 'figures.jsonl', 'stderr.log']);
  expect(readFileSync(join(directory, view.entry.id, 'stderr.log'), 'utf8')).toContain(
    'Error: password=[redacted] was refused',
  );
  expect(view.summary.findings).toContain('the last error on stderr: Error: password=[redacted] was refused');
});

it('is found by whoever looks at the status', async () => {
  const { blackBoxes } = await api<{ blackBoxes: readonly BlackBoxEntry[] }>('blackbox');
  const { stdout } = await promisify(execFile)(join(repository, 'scripts/health-check.sh'), ['--status'], {
    env: pm2.env,
    timeout: 30_000,
  });
  expect(stdout).toMatch(/Last failures/);
  const line = stdout.split('\n').find((text) => text.includes('exit code 3; restarted'));
  expect(line).toContain(`${SERVICE}#${blackBoxes[0]?.pmId}  crashed: left after`);
  expect(line).toContain(blackBoxes[0]?.id);
});

it('a blocked main thread: the function that blocks it, the report, and which instance took its place', async () => {
  const victim = await fail('spin');
  const view = await kept(victim);
  expect(view.summary).toMatchObject({
    cause: 'hung',
    decision: { by: 'unfit' },
    outcome: { kind: 'replaced' },
    hang: { detail: expect.any(String) },
  });
  expect(view.stack).toMatch(/^ {4}at spinHere \(.*fragile\.cjs:\d+:\d+\)$/m);
  await isSound(view, ['summary.json', 'figures.jsonl', 'stack.txt', 'report.json']);
  const report = JSON.parse(readFileSync(join(directory, view.entry.id, 'report.json'), 'utf8')) as object;
  expect(report).toHaveProperty('javascriptHeap');
  expect(report).not.toHaveProperty('environmentVariables');
  expect(report).not.toHaveProperty('header.commandLine');
  expect(linesOf(view.entry.id).filter(({ from }) => from === 'agent').length).toBeGreaterThan(3);
});

it('a health check that fails: the last probe, and what was done', async () => {
  const victim = await fail('sick');
  const view = await kept(victim);
  expect(view.summary).toMatchObject({
    cause: 'unhealthy',
    decision: { by: 'unfit', lastProbe: { ok: false, detail: expect.stringContaining('503') } },
    outcome: { kind: 'replaced' },
  });
  expect(view.summary.after.map(({ type }) => type)).toEqual(
    expect.arrayContaining(['instance.unfit', 'instance.started', 'instance.serving']),
  );
  await isSound(view, ['summary.json', 'figures.jsonl']);
});

it('a full heap: named as what it is, with the last figures', async () => {
  const victim = await fail(`burst?mb=${0.7 * HEAP_MB}`);
  const view = await kept(victim);
  expect(view.summary).toMatchObject({
    cause: 'out-of-memory',
    detail: expect.stringMatching(
      /^out of memory: the JavaScript heap reached its limit of 128 MB \(left after [\d.]+ s with SIG(ABRT|TRAP|ILL)\)$/,
    ),
    decision: { by: 'exit', exitCode: null },
    outcome: { kind: 'restarted' },
  });
  expect(view.summary.findings.join('\n')).toMatch(
    /the JavaScript heap had \d+ MB of its limit of 128 MB in use/,
  );
  expect(view.summary.findings).toContain('stderr says that the JavaScript heap ran out of memory');
  await isSound(view, ['summary.json', 'figures.jsonl', 'stderr.log']);
  const heap = linesOf(view.entry.id).flatMap(({ heapUsedBytes }) => heapUsedBytes ?? []);
  expect(Math.max(...heap)).toBeGreaterThan(0.65 * HEAP_MB * 1024 * 1024);
});

it('a heap that fills slowly: who fills it, whether it is replaced before the limit or dies there', async () => {
  // Above the share at which profiling begins, and seconds below the one at which V8 may give up on it.
  const victim = await fail(`hoard?mb=${0.72 * HEAP_MB}`);
  const view = await kept(victim);
  expect(view.summary.cause).toMatch(/^(memory|out-of-memory)$/);
  await isSound(view, ['summary.json', 'figures.jsonl', 'heap.heapprofile']);
  const profile = JSON.parse(
    readFileSync(join(directory, view.entry.id, 'heap.heapprofile'), 'utf8'),
  ) as HeapProfile;
  const names = functionsOf(profile.head);
  expect(names).toContain('(root)');
  // A profile that was taken early may have seen only who called it.
  expect(names.join(' ')).toMatch(/\b(keep|hoardTo|hoardSlowly)\b/);
});

it('kill -9 from outside says nothing about the program, and leaves nothing', async () => {
  const before = (await api<{ blackBoxes: readonly BlackBoxEntry[] }>('blackbox')).blackBoxes.length;
  const [victim] = await whole();
  process.kill(victim!.pid!, 'SIGKILL');
  await waitFor(async () => (await whole()).every(({ pid }) => pid !== victim!.pid), {
    what: 'its successor',
  });
  expect((await api<{ blackBoxes: readonly BlackBoxEntry[] }>('blackbox')).blackBoxes).toHaveLength(before);
});
