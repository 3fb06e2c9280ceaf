import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { createServer, connect } from 'node:net';
import { once } from 'node:events';
import { afterEach, describe, expect, test } from 'vitest';
import { waitFor } from '../../../../test/support/waitFor.js';
import { Background } from './background.js';
import { SystemHostMeter } from './hostMeter.js';

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true });
});

function folderWith(files: Readonly<Record<string, string>>): { root: string; write: typeof write } {
  const root = mkdtempSync(join(tmpdir(), 'holdfast-host-'));
  roots.push(root);
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  for (const [path, text] of Object.entries(files)) write(path, text);
  return { root, write };
}

describe('SystemHostMeter on this machine', () => {
  test('answers at once, and with everything soon', async () => {
    const meter = new SystemHostMeter();
    const first = meter.figures();
    expect(first.cores).toBeGreaterThanOrEqual(1);
    expect(first.cores).toBeLessThanOrEqual(availableParallelism());
    expect(first.memoryTotalBytes).toBeLessThanOrEqual(totalmem());
    expect(first.memoryAvailableBytes).toBeGreaterThan(0);
    expect(first.memoryAvailableBytes).toBeLessThanOrEqual(first.memoryTotalBytes);
    expect(first.diskUsedPercent).toBeNull();
    const disk = await waitFor(() => meter.figures().diskUsedPercent, { what: 'the disk figure' });
    expect(disk).toBeGreaterThan(0);
    expect(disk).toBeLessThanOrEqual(100);
  });

  test('counts established connections', async () => {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const clients = Array.from({ length: 20 }, () => connect(port, '127.0.0.1'));
    await Promise.all(clients.map((client) => once(client, 'connect')));
    try {
      // Both ends are here. Others on this machine may come and go meanwhile.
      const meter = new SystemHostMeter();
      const seen = await waitFor(() => meter.figures().connections, { what: 'the connections' });
      expect(seen).toBeGreaterThanOrEqual(40);
    } finally {
      for (const client of clients) client.destroy();
      server.close();
    }
  });

  test('systeminformation delivers where there are no such kernel files', async () => {
    const meter = new SystemHostMeter({ portable: true });
    await waitFor(() => meter.figures().connections !== null, { what: 'connections' });
    expect(meter.figures().memoryAvailableBytes).toBeGreaterThan(0);
  });

  test('CPU is measured between two looks', async () => {
    const clock = { nowMs: 0 };
    const meter = new SystemHostMeter({ nowMs: () => clock.nowMs });
    await waitFor(
      () => {
        clock.nowMs += 2000;
        const { cpuPercent } = meter.figures();
        return cpuPercent !== null && cpuPercent > 0 && cpuPercent <= 100;
      },
      { what: 'a CPU figure' },
    );
  });

  test('reads anew only after two seconds', () => {
    const clock = { nowMs: 0 };
    const { root, write } = folderWith({
      'proc/self/cgroup': '0::/\n',
      'proc/self/mountinfo': '29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n',
      'sys/fs/cgroup/memory.max': '1000000\n',
      'sys/fs/cgroup/memory.current': '100000\n',
    });
    const meter = new SystemHostMeter({ root, nowMs: () => clock.nowMs });
    expect(meter.figures()).toMatchObject({ memoryTotalBytes: 1_000_000, memoryAvailableBytes: 900_000 });
    write('sys/fs/cgroup/memory.current', '400000\n');
    clock.nowMs += 1999;
    expect(meter.figures().memoryAvailableBytes).toBe(900_000);
    clock.nowMs += 1;
    expect(meter.figures().memoryAvailableBytes).toBe(600_000);
  });

  test("under a CPU quota 100 % is the quota, and the time is the group's own", () => {
    const clock = { nowMs: 0 };
    const { root, write } = folderWith({
      'proc/self/cgroup': '0::/\n',
      'proc/self/mountinfo': '29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n',
      'sys/fs/cgroup/cpu.max': '50000 100000\n',
      'sys/fs/cgroup/cpu.stat': 'usage_usec 1000000\n',
    });
    const meter = new SystemHostMeter({ root, nowMs: () => clock.nowMs });
    write('sys/fs/cgroup/cpu.stat', 'usage_usec 1500000\n');
    clock.nowMs = 2000;
    expect(meter.figures()).toMatchObject({ cores: 1, cpuPercent: 50 });
  });
});

describe('Background', () => {
  /** A figure whose fetches the test ends by hand. */
  function setUp() {
    const clock = { nowMs: 0 };
    const fetches: { resolve: (value: number) => void; reject: (error: Error) => void }[] = [];
    const figure = new Background<number>(
      () => new Promise((resolve, reject) => fetches.push({ resolve, reject })),
      1000,
      () => clock.nowMs,
    );
    const settled = () => new Promise((resolve) => setImmediate(resolve));
    return { clock, fetches, figure, settled };
  }

  test('gives the last known one at once and fetches one at a time', async () => {
    const { clock, fetches, figure, settled } = setUp();
    expect(figure.latest()).toBeNull();
    expect(figure.latest()).toBeNull();
    expect(fetches).toHaveLength(1);
    fetches[0]!.resolve(5);
    await settled();
    clock.nowMs = 999;
    expect(figure.latest()).toBe(5);
    expect(fetches).toHaveLength(1);
    clock.nowMs = 1000;
    expect(figure.latest()).toBe(5);
    expect(fetches).toHaveLength(2);
  });

  test('a fetch that hangs is not started again; its figure goes missing, and comes back with it', async () => {
    const { clock, fetches, figure, settled } = setUp();
    figure.latest();
    fetches[0]!.resolve(5);
    await settled();
    clock.nowMs = 1000;
    figure.latest();
    clock.nowMs = 3001;
    expect(figure.latest()).toBeNull();
    expect(fetches).toHaveLength(2);
    fetches[1]!.resolve(6);
    await settled();
    clock.nowMs = 3002;
    expect(figure.latest()).toBe(6);
    expect(fetches).toHaveLength(3);
  });

  test('a fetch that fails leaves the figure missing and is tried again later', async () => {
    const { clock, fetches, figure, settled } = setUp();
    figure.latest();
    fetches[0]!.reject(new Error('no such file'));
    await settled();
    expect(figure.latest()).toBeNull();
    expect(fetches).toHaveLength(1);
    clock.nowMs = 1000;
    figure.latest();
    expect(fetches).toHaveLength(2);
  });
});
