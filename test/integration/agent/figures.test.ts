/** What agents tell is true: of a real process, beside what the kernel and its clients know. */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { LATENCY_BOUNDS_MS } from '../../../backend/src/domain/statistics/histogram.js';
import { AgentListener } from '../../support/agentListener.js';
import { repository } from '../../support/deployment.js';
import { waitFor } from '../../support/waitFor.js';

const app = fileURLToPath(new URL('../../support/apps/figures.cjs', import.meta.url));

let listener: AgentListener;
let child: ChildProcess;
let pid: number;
let port: number;
let agent: Agent;

beforeEach(async () => {
  listener = await AgentListener.start();
  agent = new Agent({ keepAlive: true });
  child = spawn(
    process.execPath,
    ['--expose-gc', '--require', join(repository, 'backend/preload.cjs'), app],
    {
      env: { PATH: process.env['PATH'], HOLDFAST_AGENT_SOCKET: listener.path },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  pid = child.pid ?? 0;
  port = await new Promise<number>((resolve) => {
    createInterface({ input: child.stdout! }).once('line', (line) => resolve(Number(line)));
  });
  await waitFor(() => all().length > 2, { what: 'figures' });
});
afterEach(async () => {
  agent.destroy();
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
  await listener.dispose();
});

const all = () => listener.of(pid, 'figures').map(({ message }) => message);

/** The first figures from now on that `fulfil` it. */
function figures(what: string, fulfil: (latest: ReturnType<typeof all>[number]) => boolean) {
  return waitFor(
    () => {
      const latest = all().at(-1);
      return latest !== undefined && fulfil(latest) ? latest : null;
    },
    { what },
  );
}

function ask(path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port, path, agent }, (answer) => {
      answer.resume();
      answer.on('end', () => resolve(answer.statusCode ?? 0));
    });
    call.on('error', reject);
    call.end();
  });
}

it('memory: as the kernel and V8 count it', async () => {
  const { rssBytes, heapLimitBytes } = all().at(-1)!;
  const kernelBytes =
    Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1_024;
  expect(rssBytes / kernelBytes).toBeGreaterThan(0.8);
  expect(rssBytes / kernelBytes).toBeLessThan(1.25);
  expect(heapLimitBytes).toBeGreaterThan(100 * 2 ** 20);
  await ask('/keep?mb=40');
  const grown = await figures('what is alive', ({ liveHeapBytes }) => (liveHeapBytes ?? 0) > 40 * 2 ** 20);
  expect(grown.majorGcs).toBeGreaterThan(0);
  expect(grown.liveHeapBytes).toBeLessThan(100 * 2 ** 20);
  expect(grown.heapUsedBytes).toBeGreaterThan(40 * 2 ** 20);
});

it('the event loop: how busy and how late', async () => {
  const before = all().length;
  await ask('/burn?ms=600');
  await waitFor(() => all().length > before + 4, { what: 'figures of the time after' });
  const during = all().slice(before);
  expect(Math.max(...during.map(({ elu }) => elu))).toBeGreaterThan(0.9);
  expect(Math.max(...during.map(({ delayMaxMs }) => delayMaxMs ?? 0))).toBeGreaterThan(400);
  expect(Math.max(...during.map(({ beatAgeMs }) => beatAgeMs))).toBeGreaterThan(200);
  await figures('an idle loop', ({ elu, beatAgeMs }) => elu < 0.3 && beatAgeMs < 150);
});

it('requests: how many, how long, how they ended', async () => {
  const statuses = [200, 200, 200, 302, 404, 500];
  for (const status of statuses) expect(await ask(`/slow?ms=60&status=${status}`)).toBe(status);
  const { statuses: classes } = await figures('six finished requests', ({ finished }) => finished === 6);
  expect(classes).toEqual([0, 3, 1, 1, 1]);
  const told = all();
  expect(told.reduce((sum, { latencySumMs }) => sum + latencySumMs, 0)).toBeGreaterThanOrEqual(6 * 59);
  const counts = told.flatMap(({ latency }) =>
    latency.flatMap((value, index) =>
      index % 2 === 0 ? [[LATENCY_BOUNDS_MS[value - 1] ?? 0, latency[index + 1] ?? 0] as const] : [],
    ),
  );
  expect(counts.reduce((sum, [, count]) => sum + count, 0)).toBe(6);
  for (const [lowerBoundMs] of counts) expect(lowerBoundMs).toBeGreaterThanOrEqual(50);
});

it('requests that hang: how many, since when, and that their clients gave up', async () => {
  const calls = [1, 2, 3].map((number) => {
    const call = request({ host: '127.0.0.1', port, path: `/hold?${number}`, agent: false });
    call.on('error', () => undefined);
    call.end();
    return call;
  });
  const held = await figures('overdue requests', ({ unansweredOverdue }) => unansweredOverdue === 3);
  expect(held).toMatchObject({ active: 3, unanswered: 3, connections: 3, finished: 0 });
  expect(held.oldestUnansweredMs).toBeGreaterThan(2_000);
  for (const call of calls) call.destroy();
  const after = await figures('that they are gone', ({ active }) => active === 0);
  expect(after).toMatchObject({ unanswered: 0, oldestUnansweredMs: null, aborted: 3, connections: 0 });
});

it('go on where they were when the supervisor comes back', async () => {
  await ask('/slow?ms=1');
  const { seq } = await figures('one finished', ({ finished }) => finished === 1);
  await listener.shut();
  listener.figures.length = 0;
  await listener.open();
  const first = await waitFor(() => all()[0], { what: 'figures again' });
  expect(first.seq).toBeGreaterThan(seq);
  expect(first.finished).toBe(1);
  expect(listener.of(pid, 'hello')).toHaveLength(2);
});
