import { expect, test } from 'vitest';
import { agentFigures } from '../../../../test/support/agentFigures.js';
import type { AgentFigures } from '../../domain/agents/agent.js';
import type { ManagedProcess } from '../../domain/model.js';
import { LoadMeter } from './loadMeter.js';

const process = (pmId: number, pid: number | null): ManagedProcess => ({
  service: 'shop',
  pmId,
  pid,
  port: 4000 + pmId,
  startedAtMs: 1,
  createdAtMs: 1,
  killTimeoutMs: 10_000,
  status: 'online',
  mode: 'fork',
  restarts: 0,
});

/** Fifty requests a second, four looks a second from 0 on. */
function inside(untilMs: number, changes: Partial<AgentFigures>): AgentFigures[] {
  return Array.from({ length: untilMs / 250 + 1 }, (_, i) =>
    agentFigures({ atMs: i * 250, finished: Math.round(i * 12.5), delayP50Ms: 50, ...changes }),
  );
}

function scene(agents: Readonly<Record<number, AgentFigures[]>>, unread: ReadonlyMap<number, number> | null) {
  const clock = { nowMs: 0 };
  let asked = 0;
  const meter = new LoadMeter({
    clock: { nowMs: () => clock.nowMs, wallMs: () => 0, after: () => () => undefined },
    processMeter: {
      sample: (processes) =>
        Promise.resolve(new Map(processes.map(({ pid }) => [pid, { cpuPercent: 10, memoryBytes: 5e7 }]))),
    },
    connectionMeter: {
      unread: () => {
        asked += 1;
        return Promise.resolve(unread);
      },
    },
    agents: {
      figuresSince: (pid, sinceMs) =>
        (agents[pid] ?? []).filter(({ atMs }) => atMs > sinceMs && atMs <= clock.nowMs),
    },
  });
  return { clock, meter, asked: () => asked };
}

test('without agents there is what the process shows, and the kernel is not asked for more', async () => {
  const { meter, asked } = scene({}, new Map([[4000, 5]]));
  const figures = await meter.sample([process(0, 100), process(1, null)]);
  expect([...figures]).toEqual([
    [100, { cpuPercent: 10, memoryBytes: 5e7, eluPercent: null, backlogPercent: null }],
  ]);
  expect(asked()).toBe(0);
});

test('utilisation is of the time since the sample before', async () => {
  const rising = Array.from({ length: 41 }, (_, i) => agentFigures({ atMs: i * 250, eluPercent: i }));
  const { clock, meter, asked } = scene({ 100: rising }, null);
  clock.nowMs = 9_000;
  await meter.sample([process(0, 100)]);
  clock.nowMs = 10_000;
  const figures = await meter.sample([process(0, 100)]);
  expect(figures.get(100)).toMatchObject({ eluPercent: (37 + 38 + 39 + 40) / 4, backlogPercent: 0 });
  expect(asked()).toBe(0);
});

test('behind a saturated loop the kernel is asked, once for all, and each port has its own', async () => {
  const saturated = inside(10_000, { eluPercent: 100, unanswered: 1 });
  const agents = { 100: saturated, 101: saturated, 102: inside(10_000, { eluPercent: 40, unanswered: 9 }) };
  const { clock, meter, asked } = scene(agents, new Map([[4000, 100]]));
  clock.nowMs = 10_000;
  const figures = await meter.sample([process(0, 100), process(1, 101), process(2, 102)]);
  // 20 ms each, 100 of them and the one in hand: 2 of 10 s. Nothing waits for the second, the third has time left.
  expect(figures.get(100)?.backlogPercent).toBeCloseTo(20, 0);
  expect(figures.get(101)?.backlogPercent).toBe(0);
  expect(figures.get(102)?.backlogPercent).toBe(0);
  expect(asked()).toBe(1);
});

test('where the kernel does not tell, what waits behind a saturated loop is not known', async () => {
  const agents = { 100: inside(10_000, { eluPercent: 100, unanswered: 51 }), 101: inside(10_000, {}) };
  const { clock, meter } = scene(agents, null);
  clock.nowMs = 10_000;
  const figures = await meter.sample([process(0, 100), process(1, 101)]);
  expect(figures.get(100)).toMatchObject({ eluPercent: 100, backlogPercent: null });
  expect(figures.get(101)).toMatchObject({ backlogPercent: 0 });
});
