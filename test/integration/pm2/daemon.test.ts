/** What is left standing when PM2's daemon hangs, dies, or loses count of its processes. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ensureDaemon } from '../../../backend/src/adapters/pm2/daemon.js';
import { RpcClient } from '../../../backend/src/adapters/pm2/rpcClient.js';
import type { StrayProcess } from '../../../backend/src/domain/model.js';
import { readProcStat } from '../../../backend/src/lib/processIdentity.js';
import { isAlive, sendSignal, waitFor } from '../../support/pm2.js';
import { askTiny, createTinyService, type TinyService } from '../../support/tinyService.js';

const builtDaemon = fileURLToPath(new URL('../../../backend/dist/adapters/pm2/daemon.js', import.meta.url));
const builtClient = fileURLToPath(
  new URL('../../../backend/dist/adapters/pm2/rpcClient.js', import.meta.url),
);

let tiny: TinyService;
let rpcs: RpcClient[];

beforeEach(async () => {
  tiny = await createTinyService();
  rpcs = [];
});

afterEach(async () => {
  for (const rpc of rpcs) rpc.close();
  await tiny.dispose();
});

function rawRpc(timeoutMs?: number): RpcClient {
  const socketPath = join(tiny.pm2.home, 'rpc.sock');
  const rpc = new RpcClient({ socketPath, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
  rpcs.push(rpc);
  return rpc;
}

/** Pids of every daemon of this test's home. */
function daemons(): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return command.includes(`God Daemon (${tiny.pm2.home})`) && isAlive(pid);
      } catch {
        return false;
      }
    });
}

/** The list, unless it is empty. */
function present<T>(list: readonly T[]): T[] | null {
  return list.length === 0 ? null : [...list];
}

function children(parent: number): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && readProcStat(pid)?.parentPid === parent);
}

function daemonPid(): number {
  const pid = tiny.pm2.daemonPid();
  if (pid === null) throw new Error('there is no daemon');
  return pid;
}

describe('a daemon that is stopped', () => {
  it('makes calls time out, is not doubled, and is used again when it continues', async () => {
    const manager = tiny.manager({}, { callTimeoutMs: 400 });
    await manager.ensureDaemon();
    const instance = await manager.startInstance('tiny');
    const pid = daemonPid();
    sendSignal(pid, 'SIGSTOP');
    try {
      const startedMs = performance.now();
      const outcomes = await Promise.allSettled([
        manager.list(),
        manager.startInstance('tiny'),
        manager.removeInstance(instance),
        manager.findStrays(),
        manager.ensureDaemon(),
      ]);
      const reason = { code: 'pm2.timeout', status: 503, retryable: true };
      expect(outcomes).toMatchObject(outcomes.map(() => ({ status: 'rejected', reason })));
      expect(performance.now() - startedMs).toBeLessThan(3_000);
      expect(daemons()).toEqual([pid]);
    } finally {
      sendSignal(pid, 'SIGCONT');
    }
    const listed = await waitFor(() => manager.list(), { what: 'an answer after SIGCONT' });
    expect(listed).toMatchObject([{ pmId: instance.pmId, pid: instance.pid }]);
    expect(await manager.ensureDaemon()).toBe('running');
  });
});

describe('a daemon that was stopped before anybody connected', () => {
  it('is announced when it continues', async () => {
    await tiny.manager().ensureDaemon();
    const pid = daemonPid();
    const manager = tiny.manager({}, { callTimeoutMs: 200 });
    const connected: { pid: number | null }[] = [];
    manager.on('connected', (event) => connected.push(event));
    sendSignal(pid, 'SIGSTOP');
    try {
      await expect(manager.list()).rejects.toMatchObject({ code: 'pm2.timeout' });
      await expect(manager.list()).rejects.toMatchObject({ code: 'pm2.timeout' });
    } finally {
      sendSignal(pid, 'SIGCONT');
    }
    await waitFor(() => manager.list(), { what: 'an answer after SIGCONT' });
    await waitFor(() => connected.length > 0, { what: 'the announcement' });
    await manager.list();
    expect(connected).toMatchObject([{ pid }]);
  });
});

describe('a daemon that is killed', () => {
  it('is announced as lost, brought back once, and its survivors are found and ended', async () => {
    // Without PM2's preload and silent, a fork instance does not notice that its daemon died.
    const manager = tiny.manager({ exec_mode: 'fork', pmx: false, env: { IGNORE_SIGINT: '1' } });
    await manager.ensureDaemon();
    const survivor = await manager.startInstance('tiny');
    await askTiny(survivor.port);
    const lost: { problem: string }[] = [];
    const connected: { version: string; pid: number | null }[] = [];
    manager.on('lost', (event) => lost.push(event));
    manager.on('connected', (event) => connected.push(event));

    const killed = daemonPid();
    sendSignal(killed, 'SIGKILL');
    await waitFor(() => lost.length === 1, { what: 'the news' });
    await expect(manager.list()).rejects.toMatchObject({ code: 'pm2.unreachable', retryable: true });
    expect(await manager.ensureDaemon()).toBe('started');
    await waitFor(() => connected.length === 1, { what: 'the connection to the new daemon' });
    expect(connected[0]).toEqual({
      version: expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
      pid: daemonPid(),
    });
    expect(daemonPid()).not.toBe(killed);
    expect(await manager.list()).toEqual([]);

    // It still serves on its port, so the next instance gets another one.
    expect((await askTiny(survivor.port)).pid).toBe(survivor.pid);
    const successor = await manager.startInstance('tiny');
    expect(successor.port).toBe(tiny.firstPort + 1);
    await waitFor(() => tiny.occupied.length === 1, { what: 'the notice about its port' });
    expect(tiny.occupied[0]).toMatchObject({ port: survivor.port });
    expect(tiny.occupied[0]?.by).toContain(`pid ${survivor.pid} `);

    const strays = await manager.findStrays();
    expect(strays).toEqual([
      {
        service: 'tiny',
        pid: survivor.pid,
        pidStartTicks: expect.any(Number) as number,
        port: survivor.port,
        kind: 'orphan',
      },
    ]);
    const [stray] = strays as [StrayProcess];
    expect(await manager.endStray({ ...stray, pidStartTicks: stray.pidStartTicks - 1 })).toBe(false);
    expect(isAlive(stray.pid)).toBe(true);
    expect(await manager.endStray(stray)).toBe(true); // it ignores SIGINT
    expect(isAlive(stray.pid)).toBe(false);
    expect(await manager.endStray(stray)).toBe(false);
    expect(await manager.findStrays()).toEqual([]);
    expect((await askTiny(successor.port)).pid).toBe(successor.pid);
  });

  it('is started once by four callers in each of four processes', async () => {
    const script = `
      const { ensureDaemon } = await import(${JSON.stringify(builtDaemon)});
      const { RpcClient } = await import(${JSON.stringify(builtClient)});
      const pm2Home = ${JSON.stringify(tiny.pm2.home)};
      const rpc = new RpcClient({ socketPath: pm2Home + '/rpc.sock' });
      const ensure = () => ensureDaemon({ pm2Home, ping: () => rpc.call('getVersion', {}) });
      console.log(JSON.stringify(await Promise.all([ensure(), ensure(), ensure(), ensure()])));
      rpc.close();`;
    const run = async (): Promise<string[]> => {
      const options = { env: tiny.pm2.env, timeout: 60_000 };
      const args = ['--input-type=module', '--eval', script];
      return JSON.parse((await promisify(execFile)(process.execPath, args, options)).stdout) as string[];
    };
    const results = (await Promise.all([run(), run(), run(), run()])).flat();
    expect(results.filter((result) => result === 'started')).toHaveLength(1);
    expect(results.filter((result) => result === 'running')).toHaveLength(15);
    expect(daemons()).toHaveLength(1);
  });
});

describe('the pm2 command', () => {
  it('may be the one of the user', async () => {
    const bin = fileURLToPath(new URL('../../../node_modules/.bin/pm2', import.meta.url));
    expect(await tiny.manager({}, { pm2Bin: bin }).ensureDaemon()).toBe('started');
    expect(daemons()).toHaveLength(1);
  });

  it('is named when it cannot be run', async () => {
    await expect(tiny.manager({}, { pm2Bin: '/no/such/pm2' }).ensureDaemon()).rejects.toMatchObject({
      code: 'pm2.start-failed',
      message: expect.stringContaining('/no/such/pm2') as string,
    });
  });
});

describe('a daemon without a socket', () => {
  it('gets no second one beside it', async () => {
    const manager = tiny.manager();
    await manager.ensureDaemon();
    const pid = daemonPid();
    rmSync(join(tiny.pm2.home, 'rpc.sock'));
    const rpc = rawRpc();
    const attempt = ensureDaemon({
      pm2Home: tiny.pm2.home,
      ping: () => rpc.call('getVersion', {}),
      timeoutMs: 500,
    });
    await expect(attempt).rejects.toMatchObject({
      code: 'pm2.timeout',
      message: expect.stringContaining(`pid ${pid}`) as string,
    });
    expect(daemons()).toEqual([pid]);
  });
});

describe.each(['cluster', 'fork'])('a ghost in %s mode', (mode) => {
  it('is found after the grace period and ended', async () => {
    const manager = tiny.manager({ exec_mode: mode }, { strayGraceMs: 300 });
    await manager.ensureDaemon();
    const bystander = await manager.startInstance('tiny');
    // What a careless controller does: restart and delete the same instance at once.
    const rpc = rawRpc(20_000);
    const ghosts = await waitFor(
      async () => {
        const victim = await manager.startInstance('tiny');
        await askTiny(victim.port);
        const restart = rpc.call('restartProcessId', { id: victim.pmId });
        await Promise.allSettled([restart, rpc.call('deleteProcessId', victim.pmId)]);
        const listed = new Set((await manager.list()).map((each) => each.pid));
        return present(children(daemonPid()).filter((pid) => !listed.has(pid) && isAlive(pid)));
      },
      { what: 'PM2 to lose a process', deadlineMs: 30_000 },
    );
    const found = await waitFor(async () => present(await manager.findStrays()), {
      what: 'the ghosts to be found',
    });
    expect(found.map((stray) => stray.pid).sort()).toEqual(ghosts.sort());
    expect(found.every((stray) => stray.kind === 'ghost' && stray.service === 'tiny')).toBe(true);
    for (const stray of found) expect(await manager.endStray(stray)).toBe(true);
    expect(ghosts.filter(isAlive)).toEqual([]);
    expect(await manager.findStrays()).toEqual([]);
    expect((await askTiny(bystander.port)).pid).toBe(bystander.pid);
  });
});

describe('an old worker that finishes its requests during pm2 reload', () => {
  it('is no ghost, though PM2 does not list it', async () => {
    const app = { exec_mode: 'cluster', env: { PORT: tiny.firstPort, IGNORE_SIGINT: '1' } };
    const manager = tiny.manager(app, { killTimeoutMs: () => 8_000 });
    await manager.ensureDaemon();
    const { pid, port } = await manager.startInstance('tiny');
    await askTiny(port);
    let isReloaded = false;
    const reload = tiny.pm2.pm2('reload', 'tiny').then(() => (isReloaded = true));
    let wasUnlisted = false;
    const strays: unknown[] = [];
    await waitFor(
      async () => {
        const listed = (await manager.list()).map((each) => each.pid);
        if (isAlive(pid ?? 0) && !listed.includes(pid)) wasUnlisted = true;
        strays.push(...(await manager.findStrays()));
        return isReloaded;
      },
      { what: 'the reload to end', deadlineMs: 30_000, intervalMs: 200 },
    );
    await reload;
    expect(wasUnlisted).toBe(true);
    expect(strays).toEqual([]);
  }, 60_000);
});

describe('what an instance starts itself', () => {
  it('is no stray, neither while the instance lives nor when it is gone', async () => {
    const manager = tiny.manager({ exec_mode: 'fork', env: { SPAWN: '1' } }, { strayGraceMs: 0 });
    await manager.ensureDaemon();
    const instance = await manager.startInstance('tiny');
    const { child } = (await askTiny(instance.port)) as unknown as { child: number };
    expect(isAlive(child)).toBe(true);
    expect(await manager.findStrays()).toEqual([]);
    sendSignal(instance.pid ?? 0, 'SIGKILL');
    await waitFor(() => !isAlive(instance.pid ?? 0), { what: 'the instance to end' });
    expect(await manager.findStrays()).toEqual([]);
    expect(isAlive(child)).toBe(true);
  });
});
