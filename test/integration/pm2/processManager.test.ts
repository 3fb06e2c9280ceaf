/** The process manager on a real PM2 daemon in a PM2 home of its own, in both of PM2's modes. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { rotate } from '../../../backend/src/adapters/pm2/logRotation.js';
import type { Pm2ProcessManager } from '../../../backend/src/adapters/pm2/processManager.js';
import type { HoldfastError } from '../../../backend/src/domain/errors.js';
import type { ManagedProcess } from '../../../backend/src/domain/model.js';
import type { ProcessExit, ProcessManagerEvents } from '../../../backend/src/ports.js';
import { isAlive, processesMentioning, sendSignal, waitFor } from '../../support/pm2.js';
import { askTiny, createTinyService, tinyApp, type TinyService } from '../../support/tinyService.js';

/** A PM2 home, a daemon and ports of its own for each test: they wait for processes that start, and run side by side. */
const inHome = test.extend<{ tiny: TinyService }>({
  // eslint-disable-next-line no-empty-pattern
  tiny: async ({}, use) => {
    const tiny = await createTinyService();
    await use(tiny);
    await tiny.dispose();
  },
});

describe.concurrent.each([
  { mode: 'cluster', app: { exec_mode: 'cluster' } },
  { mode: 'fork', app: { exec_mode: 'fork' } },
] as const)('in $mode mode', ({ mode, app }) => {
  const it = inHome.extend<{ manager: Pm2ProcessManager }>({
    manager: [
      async ({ tiny }, use) => {
        const manager = tiny.manager({ ...app, args: ['--colour', 'blue'], merge_logs: true });
        expect(await manager.ensureDaemon()).toBe('started');
        await use(manager);
      },
      { auto: true },
    ],
  });

  it('starts, halts, resumes and removes an instance, each verified', async ({ manager, tiny }) => {
    const started = await manager.startInstance('tiny');
    expect(started).toMatchObject({
      service: 'tiny',
      pmId: 0,
      port: tiny.firstPort,
      status: 'online',
      mode,
      restarts: 0,
    });
    const answer = await askTiny(started.port);
    expect(answer.pid).toBe(started.pid);
    expect(answer.args).toEqual(['--colour', 'blue']);

    await manager.haltInstance(started);
    const [halted] = await manager.list();
    expect(halted).toMatchObject({ pmId: 0, pid: null, status: 'stopped', port: tiny.firstPort });
    expect(isAlive(started.pid ?? 0)).toBe(false);

    const resumed = await manager.resumeInstance(halted!);
    expect(resumed).toMatchObject({ pmId: 0, port: tiny.firstPort, status: 'online' });
    expect((await askTiny(resumed.port)).pid).toBe(resumed.pid);

    await manager.removeInstance(resumed);
    expect(await manager.list()).toEqual([]);
    expect(isAlive(resumed.pid ?? 0)).toBe(false);
    await manager.removeInstance(resumed); // gone already: fine
  });

  it('gives ten concurrent starts ten ports, and fills the gaps again', async ({ manager, tiny }) => {
    const started = await Promise.all(Array.from({ length: 10 }, () => manager.startInstance('tiny')));
    const expected = Array.from({ length: 10 }, (_, index) => tiny.firstPort + index);
    expect(started.map((each) => each.port).sort()).toEqual(expected);
    const answers = await Promise.all(started.map((each) => askTiny(each.port)));
    expect(new Set(answers.map((answer) => answer.pid)).size).toBe(10);
    expect(answers.map((answer) => Number(answer.env['NODE_APP_INSTANCE'])).sort()).toEqual([
      0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
    ]);

    const leaving = started.filter(
      (each) => each.port === tiny.firstPort + 2 || each.port === tiny.firstPort + 6,
    );
    await Promise.all(leaving.map((each) => manager.removeInstance(each)));
    const again = [await manager.startInstance('tiny'), await manager.startInstance('tiny')];
    expect(again.map((each) => each.port)).toEqual([tiny.firstPort + 2, tiny.firstPort + 6]);
    const ports = (await manager.list()).map((each) => each.port);
    expect(ports.sort()).toEqual(expected);
  });

  it("starts with the definition's environment and nothing of its own", async ({ manager, tiny }) => {
    process.env['HA_API_TOKEN'] = 'secret-of-the-supervisor';
    process.env['NODE_APP_INSTANCE'] = '99';
    try {
      const { env } = await askTiny((await manager.startInstance('tiny')).port);
      expect(env['FROM']).toBe('file');
      expect(env['PORT']).toBe(String(tiny.firstPort));
      expect(env['PATH']).toContain(process.env['PATH']);
      expect(env['PM2_HOME']).toBe(tiny.pm2.home);
      expect(env['NODE_APP_INSTANCE']).toBe('0');
      expect(JSON.stringify(env)).not.toContain('secret-of-the-supervisor');
      expect(Object.keys(env).filter((name) => name.startsWith('VITEST'))).toEqual([]);
    } finally {
      delete process.env['HA_API_TOKEN'];
      delete process.env['NODE_APP_INSTANCE'];
    }
  });

  it('announces an exit with its signal, its code, and whether it was asked for', async ({
    manager,
    tiny,
  }) => {
    const exits: ProcessExit[] = [];
    manager.on('exit', (exit) => exits.push(exit));
    const started = await manager.startInstance('tiny');
    await askTiny(started.port);
    sendSignal(started.pid ?? 0, 'SIGKILL');
    await waitFor(() => exits.length === 1, { what: 'the exit' });
    expect(exits[0]).toEqual({
      service: 'tiny',
      pmId: 0,
      startedAtMs: started.startedAtMs,
      pid: started.pid,
      exitCode: null,
      signal: 'SIGKILL',
      asked: false,
      endRules: { autorestart: true, schedule: null, stopExitCodes: [] },
    });
    const restarted = await waitFor(
      async () => (await manager.list()).find((each) => each.pid !== null && each.pid !== started.pid),
      { what: 'the restart by PM2' },
    );
    expect(restarted).toMatchObject({ pmId: 0, port: tiny.firstPort, restarts: 1 });
    await askTiny(restarted.port);
    await manager.removeInstance(restarted);
    await waitFor(() => exits.length === 2, { what: 'the second exit' });
    expect(exits[1]).toMatchObject({ pid: restarted.pid, exitCode: 0, signal: null, asked: true });
  });

  it('leaves the successor alone when the condemned instance was restarted meanwhile', async ({
    manager,
  }) => {
    const condemned = await manager.startInstance('tiny');
    await askTiny(condemned.port);
    sendSignal(condemned.pid ?? 0, 'SIGKILL');
    const successor = await waitFor(
      async () => (await manager.list()).find((each) => each.pid !== null && each.pid !== condemned.pid),
      { what: 'the restart by PM2' },
    );
    for (const attempt of [manager.removeInstance(condemned), manager.haltInstance(condemned)]) {
      await expect(attempt).rejects.toMatchObject({ code: 'pm2.instance-changed', status: 409 });
    }
    expect((await askTiny(successor.port)).pid).toBe(successor.pid);
  });

  it('ends a stopped process that cannot hear SIGINT', async ({ manager }) => {
    const started = await manager.startInstance('tiny');
    await askTiny(started.port);
    sendSignal(started.pid ?? 0, 'SIGSTOP');
    await manager.removeInstance(started);
    expect(isAlive(started.pid ?? 0)).toBe(false);
    expect(await manager.list()).toEqual([]);
  });

  it('passes over a port that a stranger holds, and says who', async ({ manager, tiny }) => {
    const stranger = createServer();
    await new Promise<void>((resolve) => stranger.listen(tiny.firstPort, '127.0.0.1', resolve));
    try {
      expect((await manager.startInstance('tiny')).port).toBe(tiny.firstPort + 1);
      await waitFor(() => tiny.occupied.length > 0, { what: 'the notice' });
      expect(tiny.occupied[0]).toMatchObject({ service: 'tiny', port: tiny.firstPort });
      expect(tiny.occupied[0]?.by).toContain(`pid ${process.pid} (`);
    } finally {
      await new Promise((resolve) => stranger.close(resolve));
    }
    expect((await manager.startInstance('tiny')).port).toBe(tiny.firstPort);
  });

  it('rejects when no port is left, naming the range and the holders', async ({ tiny }) => {
    const manager = tiny.manager(app, {
      portRange: () => ({ first: tiny.firstPort, last: tiny.firstPort + 1 }),
    });
    const stranger = createServer();
    await new Promise<void>((resolve) => stranger.listen(tiny.firstPort + 1, '127.0.0.1', resolve));
    try {
      await manager.startInstance('tiny');
      await expect(manager.startInstance('tiny')).rejects.toMatchObject({
        code: 'port.none-free',
        message: expect.stringMatching(
          new RegExp(
            `${tiny.firstPort}–${tiny.firstPort + 1}: 1 used .* ${tiny.firstPort + 1} by pid ${process.pid} `,
          ),
        ) as string,
      });
    } finally {
      await new Promise((resolve) => stranger.close(resolve));
    }
  });

  it('keeps its books through twenty overlapping starts and fifteen removals', async ({ manager, tiny }) => {
    const left: ManagedProcess[] = [];
    const startAndMaybeRemove = async (index: number): Promise<void> => {
      const started = await manager.startInstance('tiny');
      if (index % 4 === 0) left.push(started);
      else await manager.removeInstance(started);
    };
    // Three at once, so that the twelve ports do for all.
    const lanes = [0, 1, 2].map(async (lane) => {
      for (let index = lane; index < 20; index += 3) await startAndMaybeRemove(index);
    });
    await Promise.all(lanes);
    const listed = await manager.list();
    expect(listed.map((each) => each.pid).sort()).toEqual(left.map((each) => each.pid).sort());
    expect(new Set(listed.map((each) => each.port)).size).toBe(5);
    const pids = await Promise.all(listed.map(async (each) => (await askTiny(each.port)).pid));
    expect(pids).toEqual(listed.map((each) => each.pid));
    const alive = processesMentioning(tiny.pm2.home).filter((pid) => pid !== tiny.pm2.daemonPid());
    expect(alive.sort()).toEqual(pids.sort());
  });

  it('survives everything being done to one instance at once', async ({ manager, tiny }) => {
    const started = await manager.startInstance('tiny');
    await askTiny(started.port);
    const outcomes = await Promise.allSettled([
      manager.haltInstance(started),
      manager.resumeInstance(started),
      manager.removeInstance(started),
      manager.haltInstance(started),
      manager.resumeInstance(started),
      manager.removeInstance(started),
    ]);
    // Resuming begins a new start of it, so whoever meant the old one is told.
    const codes = outcomes.map((each) =>
      each.status === 'fulfilled' ? 'done' : (each.reason as HoldfastError).code,
    );
    const changed = 'pm2.instance-changed';
    expect(codes).toEqual(['done', 'done', changed, changed, changed, changed]);
    const [resumed] = await manager.list();
    expect((await askTiny(started.port)).pid).toBe(resumed?.pid);
    const alive = processesMentioning(tiny.pm2.home).filter((pid) => pid !== tiny.pm2.daemonPid());
    expect(alive).toEqual([resumed?.pid]);
  });

  it('goes on writing after its log files were rotated', async ({ tiny }) => {
    const out = join(tiny.pm2.home, 'out.log');
    const manager = tiny.manager({ ...app, out_file: out, error_file: '/dev/null', merge_logs: true });
    const started = await manager.startInstance('tiny');
    await askTiny(started.port);
    await waitFor(() => readFileSync(out, 'utf8').includes('answered 1'), { what: 'the first line' });
    expect(manager.logFiles()).toEqual([out, '/dev/null']);
    const limits = { maxBytes: 1, maxAgeMs: 86_400_000, keep: 1 };
    expect(await rotate(manager.logFiles(), limits, Date.now())).toEqual([out]);
    await manager.reopenLogs();
    await waitFor(() => existsSync(out), { what: 'the new file' });
    await askTiny(started.port);
    await waitFor(() => readFileSync(out, 'utf8').includes('answered 2'), { what: 'the second line' });
    expect(readFileSync(`${out}.1`, 'utf8')).toContain('answered 1');
  });

  it('reports and cleans up what cannot be launched', async ({ tiny }) => {
    const manager = tiny.manager({ ...app, node_args: ['--no-such-option'], autorestart: false });
    await expect(manager.startInstance('tiny')).rejects.toMatchObject({ code: 'pm2.instance-failed' });
    expect(await manager.list()).toEqual([]);
  });

  it('does not resume on a port that another process took meanwhile', async ({ manager, tiny }) => {
    await manager.haltInstance(await manager.startInstance('tiny'));
    const [halted] = await manager.list();
    const stranger = createServer();
    await new Promise<void>((resolve) => stranger.listen(tiny.firstPort, '127.0.0.1', resolve));
    await expect(manager.resumeInstance(halted!)).rejects.toMatchObject({
      code: 'port.occupied',
      message: expect.stringContaining(`pid ${process.pid} (`) as string,
    });
    // The halted one keeps its port, so the next instance gets another.
    await new Promise((resolve) => stranger.close(resolve));
    expect((await manager.startInstance('tiny')).port).toBe(tiny.firstPort + 1);
    await manager.removeInstance(halted!);
    await expect(manager.resumeInstance(halted!)).rejects.toMatchObject({ code: 'pm2.instance-gone' });
    await expect(manager.haltInstance(halted!)).rejects.toMatchObject({ code: 'pm2.instance-gone' });
  });

  it('leaves PORT alone where the service has no range, and says so when the script is missing', async ({
    tiny,
  }) => {
    const manager = tiny.manager({ ...app, env: { PORT: tiny.firstPort + 9 } }, { portRange: () => null });
    expect((await manager.startInstance('tiny')).port).toBe(tiny.firstPort + 9);
    await manager.removeInstance((await manager.list())[0]!);
    const missing = tiny.manager({ ...app, script: './not-built.js' });
    await expect(missing.startInstance('tiny')).rejects.toMatchObject({
      code: 'ecosystem.invalid',
      message: expect.stringContaining(`Script not found: ${join(tiny.pm2.home, 'not-built.js')}`) as string,
    });
    expect(await manager.list()).toEqual([]);
  });

  it('clones a service that only PM2 knows, also after its last instance is gone', async ({ tiny }) => {
    await tiny.pm2.pm2(
      'start',
      tinyApp,
      '--name',
      'byhand',
      ...(mode === 'cluster' ? ['-i', '1'] : []),
      '--',
      '--shape',
      'round',
    );
    const manager = tiny.manager(app, { services: () => ['byhand'] });
    const [original] = await manager.list();
    const clone = await manager.startInstance('byhand');
    expect(clone).toMatchObject({ service: 'byhand', port: tiny.firstPort, mode });
    const answer = await askTiny(clone.port);
    expect(answer.args).toEqual(['--shape', 'round']);
    await manager.removeInstance(original!);
    await manager.removeInstance(clone);
    expect(await manager.list()).toEqual([]);
    const revived = await manager.startInstance('byhand');
    expect((await askTiny(revived.port)).pid).toBe(revived.pid);
    await expect(manager.startInstance('nobody')).rejects.toMatchObject({
      code: 'service.undefined',
      status: 404,
    });
  });
});

inHome('says why PM2 restarts by itself: a file that it watches has changed', async ({ tiny }) => {
  const watched = join(tiny.pm2.home, 'watched');
  mkdirSync(watched);
  const manager = tiny.manager({ exec_mode: 'fork', watch: ['watched'] });
  await manager.ensureDaemon();
  const { pmId } = await manager.startInstance('tiny');
  const restarts: unknown[] = [];
  manager.on('restarting', (restart) => restarts.push(restart));
  // PM2 begins to watch some time after the start.
  const change = (): boolean => {
    writeFileSync(join(watched, 'page.html'), String(performance.now()));
    return restarts.length > 0;
  };
  await waitFor(change, { what: 'the restart' });
  expect(restarts[0]).toEqual({
    service: 'tiny',
    pmId,
    cause: { by: 'watch', path: 'watched/page.html' },
  });
});

inHome('says why PM2 restarts by itself: its memory, and that end was asked for', async ({ tiny }) => {
  const megabytes = 2 ** 20;
  // Any process of node takes more; PM2 looks every 30 s by default.
  const manager = tiny.manager({ exec_mode: 'fork', max_memory_restart: '10M' });
  vi.stubEnv('PM2_WORKER_INTERVAL', '500');
  await manager.ensureDaemon();
  vi.unstubAllEnvs();
  const { pmId } = await manager.startInstance('tiny');
  const restarts: ProcessManagerEvents['restarting'][] = [];
  const exits: ProcessExit[] = [];
  manager.on('restarting', (restart) => restarts.push(restart));
  manager.on('exit', (exit) => exits.push(exit));
  await waitFor(() => exits.length > 0, { what: 'the restart' });
  expect(restarts[0]).toEqual({
    service: 'tiny',
    pmId,
    cause: { by: 'memory', memoryBytes: expect.any(Number) as number, limitBytes: 10 * megabytes },
  });
  expect(exits[0]).toMatchObject({ service: 'tiny', pmId, asked: true });
});
