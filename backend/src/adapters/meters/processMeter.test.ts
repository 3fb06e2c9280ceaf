import { describe, expect, test } from 'vitest';
import { SystemProcessMeter } from './processMeter.js';
import { parseProcStat, type ProcessTimes } from './procStat.js';

/** A meter over a machine made up by the test. */
function setUp() {
  const machine = new Map<number, ProcessTimes>();
  const clock = { nowMs: 50_000 };
  const meter = new SystemProcessMeter({
    nowMs: () => clock.nowMs,
    read: (pids) => Promise.resolve(new Map([...machine].filter(([pid]) => pids.includes(pid)))),
  });
  const run = (pid: number, cpuMs: number, start = 1): void => {
    machine.set(pid, { cpuMs, memoryBytes: 1000, start });
  };
  const cpuOf = async (pid: number, startedAtMs = 7): Promise<number | null | undefined> =>
    (await meter.sample([{ pid, startedAtMs }])).get(pid)?.cpuPercent;
  return { machine, clock, meter, run, cpuOf };
}

describe('SystemProcessMeter', () => {
  test('has no figure on the first sample, then process time over our time', async () => {
    const { run, clock, cpuOf } = setUp();
    run(10, 400);
    expect(await cpuOf(10)).toBeNull();
    clock.nowMs += 2000;
    run(10, 1400);
    expect(await cpuOf(10)).toBe(50);
    clock.nowMs += 1000;
    run(10, 3400);
    expect(await cpuOf(10)).toBe(200);
  });

  test('a call between two samples repeats the figure and disturbs nothing', async () => {
    const { run, clock, cpuOf } = setUp();
    run(10, 0);
    await cpuOf(10);
    clock.nowMs += 1000;
    run(10, 300);
    expect(await cpuOf(10)).toBe(30);
    clock.nowMs += 100;
    run(10, 400);
    expect(await cpuOf(10)).toBe(30);
    clock.nowMs += 900;
    run(10, 900);
    expect(await cpuOf(10)).toBe(60);
  });

  test('a reused pid starts clean, by the kernel and by PM2', async () => {
    const { run, clock, cpuOf } = setUp();
    run(10, 9000);
    await cpuOf(10);
    clock.nowMs += 1000;
    run(10, 9500, 2);
    expect(await cpuOf(10)).toBeNull();
    clock.nowMs += 1000;
    expect(await cpuOf(10, 8)).toBeNull();
    clock.nowMs += 1000;
    run(10, 100, 2);
    expect(await cpuOf(10, 8)).toBeNull();
  });

  test('what cannot be read is absent, and starts clean when it is back', async () => {
    const { machine, run, clock, cpuOf, meter } = setUp();
    run(10, 0);
    await cpuOf(10);
    machine.clear();
    clock.nowMs += 1000;
    expect(await cpuOf(10)).toBeUndefined();
    expect(meter.tracked).toBe(0);
    run(10, 500);
    clock.nowMs += 1000;
    expect(await cpuOf(10)).toBeNull();
  });

  test('callers with different processes do not forget each other; what nobody asks about goes', async () => {
    const { run, clock, cpuOf, meter } = setUp();
    run(10, 0);
    run(11, 0);
    await cpuOf(10);
    await cpuOf(11);
    clock.nowMs += 60_000;
    run(10, 30_000);
    expect(await cpuOf(10)).toBe(50);
    expect(meter.tracked).toBe(2);
    clock.nowMs += 60_000;
    await cpuOf(10);
    expect(meter.tracked).toBe(1);
  });

  test('is bounded', async () => {
    const { run, meter } = setUp();
    const targets = Array.from({ length: 5000 }, (_, i) => ({ pid: i + 1, startedAtMs: 1 }));
    for (const { pid } of targets) run(pid, 0);
    expect((await meter.sample(targets)).size).toBe(5000);
    expect(meter.tracked).toBe(4096);
  });

  test('never rejects', async () => {
    const meter = new SystemProcessMeter({ read: () => Promise.reject(new Error('no such program: ps')) });
    expect((await meter.sample([{ pid: 1, startedAtMs: 1 }])).size).toBe(0);
    expect((await meter.sample([])).size).toBe(0);
  });
});

describe('parseProcStat', () => {
  const units = { ticksPerSecond: 100, pageBytes: 4096 };
  const tail =
    'S 1 2 3 0 -1 4194304 22551 343 1 4 20 21 6 4 20 0 11 0 93760 1091616768 21303 18446744073709551615';

  test('reads times, memory and start, whatever the process is called', () => {
    for (const name of ['node', 'a b', 'x) S 9 (y', '']) {
      expect(parseProcStat(`42 (${name}) ${tail}`, units)).toEqual({
        cpuMs: 510,
        memoryBytes: 21_303 * 4096,
        start: 93_760,
      });
    }
  });

  test('takes neither a zombie nor anything else', () => {
    expect(parseProcStat(`42 (node) Z${tail.slice(1)}`, units)).toBeNull();
    expect(parseProcStat('', units)).toBeNull();
    expect(parseProcStat('42 (node) S 1 2', units)).toBeNull();
  });
});
