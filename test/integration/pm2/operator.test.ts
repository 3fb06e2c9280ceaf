/** An operator at PM2's own command line, beside a running Holdfast: nobody's budget pays for it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { StatusView } from '../../../backend/src/domain/views/controlPlane.js';
import { tcpRows } from '../../../backend/src/adapters/net/tcpTable.js';
import { BACKEND, Deployment, repository } from '../../support/deployment.js';
import { pm2Command, sendSignal, waitFor } from '../../support/pm2.js';

let deployment: Deployment;
beforeAll(async () => {
  deployment = await Deployment.start({ AUTOSCALE: 'false' });
}, 90_000);
afterAll(() => deployment.dispose());

async function attemptsUsed(): Promise<number> {
  const { instances } = await deployment.service();
  return instances.reduce((sum, one) => sum + one.attemptsUsed, 0);
}

it.each(['restart', 'reload'])(
  'pm2 %s is no failure',
  async (command) => {
    const before = (await deployment.instances()).map(({ pid }) => pid);
    await deployment.pm2.pm2(command, BACKEND);
    await deployment.until('all to be new', ({ services }) => {
      const now = services.find(({ name }) => name === BACKEND)?.instances ?? [];
      return now.length === 2 && now.every(({ pid, serving }) => serving && !before.includes(pid));
    });
    // Two looks later everything has been judged.
    const { length } = await deployment.events();
    const sinceMs = Date.now();
    await deployment.until('two more looks', () => Date.now() - sinceMs > 3_000);
    const events = await deployment.events();
    expect(events.length).toBeGreaterThanOrEqual(length);
    expect(events.filter(({ type, data }) => type === 'instance.exited' && data['charged'] === true)).toEqual(
      [],
    );
    expect(events.filter(({ type }) => type === 'stray.ended')).toEqual([]);
    expect(events.filter(({ type }) => type === 'instance.started')).toEqual([]);
    expect(await attemptsUsed()).toBe(0);
  },
  60_000,
);

it('pm2 stop holds, and pm2 start ends it', async () => {
  await deployment.pm2.pm2('stop', BACKEND);
  await deployment.until('the stop to be known', stateIs('stopped'));
  expect((await deployment.health()).status).toBe(200);
  await deployment.pm2.pm2('start', BACKEND);
  await deployment.untilWhole();
  expect(await attemptsUsed()).toBe(0);
}, 60_000);

it('pm2 stop of one instance, pm2 delete of one and pm2 scale are corrected to what is wanted', async () => {
  const [first, second] = await deployment.instances();
  await deployment.pm2.pm2('stop', String(first!.pmId));
  await deployment.until('it to be replaced', replaced(first!.pmId));
  await deployment.untilWhole(BACKEND, 2);
  await deployment.pm2.pm2('delete', String(second!.pmId));
  await deployment.until('it to be replaced', replaced(second!.pmId));
  await deployment.untilWhole(BACKEND, 2);
  await deployment.pm2.pm2('scale', BACKEND, '4');
  await deployment.untilWhole(BACKEND, 2);
  const ports = (await deployment.instances()).map(({ port }) => port);
  expect(new Set(ports).size).toBe(2);
  expect(await attemptsUsed()).toBe(0);
}, 90_000);

it('another application of the same name is neither counted, charged nor ended', async () => {
  const folder = join(deployment.pm2.home, 'others');
  mkdirSync(folder);
  for (const [file, ...more] of [['admin.js', '--namespace', 'admin'], ['another.js']]) {
    const script = join(folder, file!);
    writeFileSync(script, 'setInterval(() => {}, 1e6);\n');
    await deployment.pm2.pm2('start', script, '--name', BACKEND, ...more);
  }
  const others = async () =>
    (await deployment.pm2.jlist()).filter((row) => String(row.pm2_env['pm_exec_path']).startsWith(folder));
  const before = await others();
  expect(before).toHaveLength(2);
  process.kill(before[0]!.pid, 'SIGKILL');
  const sinceMs = Date.now();
  await deployment.until('two more looks', () => Date.now() - sinceMs > 3_000);
  expect((await others()).map(({ pm_id }) => pm_id)).toEqual(before.map(({ pm_id }) => pm_id));
  expect((await others())[1]!.pid).toBe(before[1]!.pid);
  expect(await deployment.service()).toMatchObject({ state: 'healthy', desired: 2, serving: 2 });
  expect((await deployment.instances()).map(({ pid }) => pid)).not.toContain(before[1]!.pid);
  expect(await attemptsUsed()).toBe(0);
  await deployment.pm2.pm2('delete', ...before.map(({ pm_id }) => String(pm_id)));
}, 60_000);

it('pm2 reload of the file gives all one port: each has its own again, and two at one port never both count', async () => {
  const file = join(deployment.pm2.home, 'reload.config.js');
  const apps = [{ name: BACKEND, script: 'app.js', env: { PORT: deployment.backendPort } }];
  writeFileSync(file, `module.exports = ${JSON.stringify({ apps })};`);
  await deployment.pm2.pm2('reload', file);
  const sharing: unknown[] = [];
  await deployment.until(
    'ports of their own',
    ({ services }) => {
      const { state, instances } = services.find(({ name }) => name === BACKEND)!;
      const serving = instances.filter((one) => one.serving).map(({ port }) => port);
      if (new Set(serving).size < serving.length) sharing.push(serving);
      return state === 'healthy' && instances.length === 2 && new Set(serving).size === 2;
    },
    60_000,
  );
  expect(sharing).toEqual([]);
  expect((await deployment.events('instance.portShared')).length).toBeGreaterThan(0);
  expect(await attemptsUsed()).toBe(0);
}, 90_000);

it('pm2 update brings everything back, as many as before, each with its own port', async () => {
  await deployment.post('scale-up', { serviceName: BACKEND, targetInstances: 3 });
  await deployment.untilWhole(BACKEND, 3);
  const before = await deployment.supervisorPid();
  await deployment.pm2.pm2('update');
  await deployment.until('another supervisor', ({ node }) => node.pid !== before);
  await deployment.untilWhole(BACKEND, 3, 60_000);
  const ports = (await deployment.instances()).map(({ port }) => port);
  expect(new Set(ports).size).toBe(3);
  const exits = (await deployment.events('instance.exited')).filter(({ data }) => data['charged'] === true);
  expect(exits).toEqual([]);
}, 120_000);

/** How long `end` takes while a request lies in PM2's daemon, which no process will ever read. */
async function endsInMs(end: () => Promise<unknown>): Promise<number> {
  // The supervisor would tell the gateway which instances have ended.
  await deployment.pm2.pm2('stop', 'ha-supervisor');
  const pids = (await deployment.pm2.jlist()).filter(({ name }) => name === BACKEND).map(({ pid }) => pid);
  const url = `http://127.0.0.1:${deployment.gatewayPort}/api/status`;
  // The gateway has looked to whom the ports belong: what it opens from now on carries a request at once.
  await Promise.all(Array.from({ length: 16 }, async () => (await fetch(url)).text()));
  // Stopped, they take no connection out of the daemon's hands; killed, they leave it there.
  for (const pid of pids) sendSignal(pid, 'SIGSTOP');
  let waiting = 0;
  const ask = async (): Promise<void> => {
    waiting += 1;
    await fetch(url).catch(() => undefined);
    waiting -= 1;
  };
  // More than there are idle connections to the instances.
  const requests = Array.from({ length: 48 }, ask);
  await waitFor(unreadAtBackends, { what: 'a request to lie in the daemon' });
  for (const pid of pids) sendSignal(pid, 'SIGKILL');
  await ask();
  expect(waiting).toBeGreaterThan(0);
  const begunMs = performance.now();
  await end();
  const tookMs = performance.now() - begunMs;
  await Promise.all(requests);
  return tookMs;
}

/** A gateway that waits for such a request ends after 30 s. */
const LONGEST_END_MS = 25_000;

it('pm2 kill does not wait for a request that lies unread in the daemon', async () => {
  expect(await endsInMs(() => deployment.pm2.pm2('kill'))).toBeLessThan(LONGEST_END_MS);
}, 90_000);

it('pm2-runtime, which has the daemon in itself, does not wait for one either when it gets SIGTERM', async () => {
  const file = join(repository, 'ecosystem.cluster.config.js');
  const command = [join(dirname(pm2Command), 'pm2-runtime'), 'start', file, '--env', 'production'];
  const { env, home } = deployment.pm2;
  const runtime = spawn(process.execPath, command, { env, cwd: home, stdio: 'ignore' });
  const ended = once(runtime, 'exit');
  await deployment.untilWhole(BACKEND, undefined, 60_000);
  await waitFor(async () => (await fetch(`http://127.0.0.1:${deployment.gatewayPort}/api/status`)).ok, {
    what: 'the gateway to answer',
    deadlineMs: 20_000,
  });
  const tookMs = await endsInMs(() => {
    runtime.kill('SIGTERM');
    return ended;
  });
  expect(tookMs).toBeLessThan(LONGEST_END_MS);
}, 120_000);

async function unreadAtBackends(): Promise<boolean> {
  const isBackend = (port: number): boolean =>
    port >= deployment.backendPort && port < deployment.backendPort + 24;
  const rows = (await tcpRows()) ?? [];
  return rows.some((row) => row.state === '01' && isBackend(row.localPort) && row.unreadBytes > 0);
}

const stateIs =
  (state: string) =>
  ({ services }: StatusView): boolean =>
    services.find(({ name }) => name === BACKEND)?.state === state;

const replaced =
  (pmId: number) =>
  ({ services }: StatusView): boolean =>
    services.find(({ name }) => name === BACKEND)?.instances.every((one) => one.pmId !== pmId) === true;
