/** The meter on real processes that burn a known share of a core, while others poll the same pids. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import pidusage from 'pidusage';
import { afterEach, describe, expect, test } from 'vitest';
import {
  readFromProc,
  readWithPidusage,
  SystemProcessMeter,
} from '../../../backend/src/adapters/meters/processMeter.js';
import { waitFor } from '../../support/waitFor.js';

/** Of every 40 ms, uses 20 ms of process time; answers any message with the process time used so far, in ms. */
const HALF_BUSY = `
  const used = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1000; };
  process.on('message', () => process.send(used()));
  setInterval(() => { const until = used() + 20; while (used() < until); }, 40);
  process.send(used());
`;
/** Two threads that never rest. */
const TWO_THREADS = `
  const { Worker } = require('node:worker_threads');
  new Worker('for (;;);', { eval: true }).once('online', () => { process.send(0); for (;;); });
`;

const children: ChildProcess[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }
  pidusage.clear();
});

async function start(script: string): Promise<{ child: ChildProcess; pid: number }> {
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  children.push(child);
  await once(child, 'message');
  return { child, pid: child.pid! };
}

async function usedMs(child: ChildProcess): Promise<number> {
  const answer = once(child, 'message');
  child.send('used?');
  return (await answer)[0] as number;
}

describe.each([
  ['/proc', readFromProc],
  ['pidusage', readWithPidusage],
] as const)('read from %s', (_, read) => {
  test('a process that uses half a core is measured right while others poll it at random', async () => {
    const { child, pid } = await start(HALF_BUSY);
    const meter = new SystemProcessMeter({ read });
    const done = new AbortController();
    let polls = 0;
    const others = (async () => {
      while (!done.signal.aborted) {
        await pidusage(pid);
        await meter.sample([{ pid, startedAtMs: 1 }]);
        polls++;
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 120));
      }
    })();
    // The truth is what the process says it used, so a busy machine cannot make this fail.
    const truth: number[] = [];
    const measured: number[] = [];
    await meter.sample([{ pid, startedAtMs: 1 }]);
    for (let round = 0; round < 5; round++) {
      const fromMs = performance.now();
      const from = await usedMs(child);
      await new Promise((resolve) => setTimeout(resolve, 1000));
      const figures = await meter.sample([{ pid, startedAtMs: 1 }]);
      measured.push(figures.get(pid)!.cpuPercent!);
      expect(figures.get(pid)!.memoryBytes).toBeGreaterThan(10_000_000);
      truth.push((100 * ((await usedMs(child)) - from)) / (performance.now() - fromMs));
    }
    done.abort();
    await others;
    const mean = (list: readonly number[]): number => list.reduce((sum, x) => sum + x, 0) / list.length;
    expect(polls).toBeGreaterThan(20);
    expect(mean(truth)).toBeGreaterThan(30);
    expect(Math.abs(mean(measured) - mean(truth))).toBeLessThan(5);
    // Each single figure too: PM2's own reads 0 0 0 100 100 here.
    for (const figure of measured) expect(Math.abs(figure - mean(truth))).toBeLessThan(20);
  });
});

test('two busy threads are more than 100 %', async () => {
  const { pid } = await start(TWO_THREADS);
  const meter = new SystemProcessMeter();
  await waitFor(
    async () => ((await meter.sample([{ pid, startedAtMs: 1 }])).get(pid)?.cpuPercent ?? 0) > 110,
    { what: 'a figure above 110 %', intervalMs: 600, deadlineMs: 30_000 },
  );
});

test('what a process has started is measured with it, as with `npm start`', async () => {
  const busy = `"${process.execPath}" -e 'const kept = Buffer.alloc(50e6, 1); for (;;) kept.length;'`;
  const shell = spawn('sh', ['-c', `sh -c "${busy.replaceAll('"', '\\"')}; true" & wait`], {
    stdio: 'ignore',
    detached: true,
  });
  const pid = shell.pid!;
  try {
    const meter = new SystemProcessMeter();
    await waitFor(
      async () => {
        const figures = (await meter.sample([{ pid, startedAtMs: 1 }])).get(pid);
        return (figures?.cpuPercent ?? 0) > 3 && (figures?.memoryBytes ?? 0) > 80e6;
      },
      { what: 'the load and the memory of the grandchild', intervalMs: 600, deadlineMs: 30_000 },
    );
  } finally {
    process.kill(-pid, 'SIGKILL');
  }
});

test('a process that ended is absent', async () => {
  const { child, pid } = await start(HALF_BUSY);
  const meter = new SystemProcessMeter();
  expect((await meter.sample([{ pid, startedAtMs: 1 }])).get(pid)?.cpuPercent).toBeNull();
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
  expect((await meter.sample([{ pid, startedAtMs: 1 }])).size).toBe(0);
});
