/**
 * Every row of docs/reference/compatibility.md that needs no process of its own (the others:
 * test/integration/processes/compatibility.test.ts). A row without a test does not compile.
 */
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { startHarness } from '../../backend/src/api/testing/harness.js';
import { COMPATIBILITY, type CompatibilityId } from '../../backend/src/compatibility.js';
import { loadConfig, type Config } from '../../backend/src/config/load.js';
import { formatProblems } from '../../backend/src/config/problems.js';
import { unusedSettings } from '../../backend/src/config/unused.js';
import { memberOf, portRange, type Member } from '../../backend/src/domain/upstreams/members.js';
import { systemClock } from '../../backend/src/adapters/clock.js';
import { ConsulDiscovery } from '../../backend/src/adapters/discovery/consul.js';
import { sessionSecretIn } from '../../backend/src/adapters/state/sessionSecret.js';
import { FALLBACK_POOL, gatewayRouting } from '../../backend/src/config/gateway.js';
import { readLoadBalancerFile } from '../../backend/src/config/loadBalancerFile.js';
import { withFoundFile } from '../../backend/src/foundFile.js';
import type { CallPath } from '../../backend/src/gateway/pages/ownPaths.js';
import { EditedPools, readEdits } from '../../backend/src/gateway/primary/editedPools.js';
import { UpstreamCalls } from '../../backend/src/gateway/primary/upstreamCalls.js';
import type { StateStore } from '../../backend/src/ports.js';
import { ConsulServer } from '../support/consulServer.js';
import { isProblem } from '../../backend/src/gateway/shared/answer.js';
import { livePage } from '../../backend/src/gateway/pages/livePage.js';
import { renderPage } from '../../backend/src/gateway/pages/primaryPages.js';
import { publicPage } from '../../backend/src/gateway/pages/publicPage.js';
import { poolRow, startWorker } from '../support/gatewayWorker.js';
import { PagesScene } from '../support/pagesScene.js';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'holdfast-compatibility-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function configOf(env: NodeJS.ProcessEnv = {}): Config {
  const result = loadConfig({ root: folder, env });
  if (!result.ok) throw new Error(formatProblems(result.problems));
  return result.config;
}

const nothing = (): void => undefined;
const silent = { debug: nothing, info: nothing, warn: nothing, error: nothing };

const sourceOf = (env: NodeJS.ProcessEnv) => configOf(env).gateway.source;

/** What an ecosystem file defines, evaluated with these variables. */
function ecosystemOf(file: string, env: Readonly<Record<string, string>>) {
  const before = { ...process.env };
  Object.assign(process.env, { HA_DATA_DIR: folder, ...env });
  try {
    const require = createRequire(import.meta.url);
    delete require.cache[join(repository, file)];
    return (require(join(repository, file)) as { apps: { name: string; instances: number; port?: number }[] })
      .apps;
  } finally {
    for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
    Object.assign(process.env, before);
  }
}

/** What `GET /lb/status` says after some seconds of traffic. */
async function gatewayFigures(scene: PagesScene, seconds = 10) {
  scene.pass(seconds);
  const answer = await renderPage('/lb/status', scene.monitor);
  if (isProblem(answer)) throw new Error(answer.message);
  const status = JSON.parse(answer.body) as Record<string, unknown>;
  const [pool] = status['pools'] as { upstreams: Record<string, unknown>[] }[];
  return { status, upstream: pool!.upstreams[0] };
}

const CHECKS: Readonly<Record<CompatibilityId<'in-process'>, () => void | Promise<void>>> = {
  fallback: async () => {
    const cases: readonly (readonly [string, number])[] = [
      ['page:sorry.html', 503],
      ['sorry.html', 503],
      ['redirect:https://status.example.org/', 302],
      ['https://status.example.org/', 302],
    ];
    for (const [text, status] of cases) {
      const { gateway } = configOf({ LB_FALLBACK: text, BACKEND_HOSTS: 'a:1' });
      const [pool] = gatewayRouting(gateway, 'default', null, '<h1>Sorry</h1>').pools;
      const { worker, port } = await startWorker(poolRow([], { ...pool, name: 'main', upstreams: [] }));
      const answer = await fetch(`http://127.0.0.1:${port}/`, { redirect: 'manual' });
      expect([text, answer.status]).toEqual([text, status]);
      if (status === 503) expect(await answer.text()).toBe('<h1>Sorry</h1>');
      worker.close();
    }
    const spare = configOf({ LB_FALLBACK: 'pool:127.0.0.1:9', BACKEND_HOSTS: 'a:1' }).gateway;
    expect(gatewayRouting(spare, 'default').pools).toMatchObject([
      { name: 'default', fallback: { kind: 'pool', pool: FALLBACK_POOL } },
      { name: FALLBACK_POOL },
    ]);
  },
  'cluster-settings': () => {
    expect(configOf()).toMatchObject({ instanceCount: 5, startPort: null });
    expect(configOf({ INSTANCE_COUNT: '3', START_PORT: '14004' })).toMatchObject({
      instanceCount: 3,
      startPort: 14_004,
    });
    for (const wrong of ['0', '-1', 'abc', '2.5', '513']) {
      const result = loadConfig({ root: folder, env: { INSTANCE_COUNT: wrong } });
      if (result.ok) throw new Error(`INSTANCE_COUNT=${wrong} was taken`);
      expect(formatProblems(result.problems)).toContain(
        `INSTANCE_COUNT = "${wrong}", expected a whole number from 1 to 512`,
      );
    }
    const backendOf = (env: Record<string, string>) =>
      ecosystemOf('ecosystem.cluster.config.js', env).find(({ name }) => name === 'wordpecker-backend');
    expect(backendOf({ INSTANCE_COUNT: '3', START_PORT: '14004' })).toMatchObject({
      instances: 3,
      port: 14_004,
    });
    expect(backendOf({})).toMatchObject({ instances: 2, port: 13_004 });
    expect(() => backendOf({ INSTANCE_COUNT: 'abc' })).toThrow('INSTANCE_COUNT is "abc"');
  },

  prod: () => {
    const { scripts } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    expect(scripts['prod']).toMatch(/^npm start\b/);
    const names = ecosystemOf('ecosystem.cluster.config.js', {}).map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['ha-gateway', 'wordpecker-backend']));
  },

  'port-range': () => {
    expect(sourceOf({ BACKEND_START_PORT: '13004' })).toEqual({
      kind: 'static',
      members: portRange('127.0.0.1', 13_004, 5),
    });
    expect(sourceOf({ BACKEND_COUNT: '2' })).toEqual({
      kind: 'static',
      members: portRange('127.0.0.1', 13_004, 2),
    });
    expect(sourceOf({ BACKEND_DNS: 'backend' })).toMatchObject({ kind: 'dns', port: 13_004 });
  },

  'load-balancer-file': () => {
    const file = join(folder, 'load-balancer-config.json');
    copyFileSync(join(repository, 'load-balancer-config.example.json'), file);
    try {
      expect(withFoundFile(configOf()).gateway.source).toEqual({ kind: 'file', file, found: true });
      const named = configOf({ BACKEND_HOSTS: 'a:1' });
      expect(withFoundFile(named)).toBe(named);
      const reading = readLoadBalancerFile(readFileSync(file, 'utf8'), configOf().serviceDefaults);
      expect(reading).toMatchObject({
        ok: true,
        members: { length: 5 },
        document: { algorithm: 'round-robin' },
      });
    } finally {
      rmSync(file);
    }
    expect(withFoundFile(configOf()).gateway.source.kind).toBe('pm2');
  },

  'algorithm-names': () => {
    const nameOf = (LB_ALGORITHM: string): string => configOf({ LB_ALGORITHM }).gateway.pool.algorithm;
    expect(['round_robin', 'Weighted', 'least_conn', 'IP_HASH'].map(nameOf)).toEqual([
      'round-robin',
      'weighted-round-robin',
      'least-connections',
      'ip-hash',
    ]);
  },

  'consul-weight': async () => {
    const server = await ConsulServer.start();
    server.register('shop', [{ id: 'a', address: '10.0.0.1', port: 80, meta: { weight: '7' } }]);
    const { url } = server;
    const source = {
      kind: 'consul',
      url,
      service: 'shop',
      datacenter: null,
      tag: null,
      token: null,
    } as const;
    const discovery = new ConsulDiscovery({ source, clock: systemClock, random: Math.random });
    try {
      const members = await new Promise<readonly Member[]>((resolve) =>
        discovery.start(resolve, () => undefined),
      );
      expect(members).toMatchObject([{ id: '10.0.0.1:80', weight: 7 }]);
    } finally {
      await discovery.close();
      await server.close();
    }
  },

  'sticky-cookie': () => {
    const { gateway } = configOf({ LB_STICKY_COOKIE: 'JSESSIONID', BACKEND_HOSTS: 'a:1' });
    const key = sessionSecretIn(join(folder, 'data'));
    expect(sessionSecretIn(join(folder, 'data'))).toBe(key);
    expect(gatewayRouting(gateway, 'default', key).pools[0]?.sticky).toMatchObject({
      cookieName: 'JSESSIONID',
      keys: [key],
    });
  },

  'upstream-calls': async () => {
    let state: unknown = null;
    let members: readonly Member[] = [];
    const start = async (): Promise<UpstreamCalls> => {
      const store: StateStore = {
        load: () => Promise.resolve({ state }),
        save: (next) => Promise.resolve(void (state = next)),
        setAside: () => Promise.resolve(''),
        keepCopy: () => Promise.resolve(''),
      };
      const pools = new EditedPools({
        store,
        edits: await readEdits(store, silent),
        membership: { announce: (said) => void (members = said.members), withdraw: () => undefined },
      });
      pools.announce({ pool: 'default', source: 'static', members: [memberOf('a', 1)], verified: false });
      const none = { whyFixed: () => '', rows: () => [], inFlight: () => 0, isSelf: () => false };
      return new UpstreamCalls({ clock: systemClock, pools, isDrained: () => true, ...none });
    };
    const calls = await start();
    const said = async (path: CallPath, body: object): Promise<number> =>
      (await calls.answer(path, JSON.stringify(body))).status;
    expect(await said('/lb/upstreams', { host: 'b', port: 1, weight: 3 })).toBe(200);
    expect(await said('/lb/upstreams/change', { upstream: 'b:1', weight: 5 })).toBe(200);
    expect(await said('/lb/upstreams/drain', { upstream: 'a:1' })).toBe(200);
    expect(members).toMatchObject([
      { id: 'a:1', draining: true },
      { id: 'b:1', weight: 5 },
    ]);
    expect(await said('/lb/upstreams/remove', { upstream: 'a:1' })).toBe(200);
    await start();
    expect(members).toMatchObject([{ id: 'b:1', weight: 5 }]);
  },

  'scale-again': async () => {
    const api = await startHarness();
    try {
      for (const direction of ['up', 'down']) {
        const body = { serviceName: 'words', targetInstances: 2 };
        const { status, json } = await api.call('POST', `/api/ha/scale-${direction}`, { body });
        expect([status, json.success]).toEqual([200, true]);
        expect(json.data).toMatchObject({ changed: false, toInstances: 2 });
      }
    } finally {
      await api.close();
    }
  },

  'unused-variable': () => {
    const told = unusedSettings(configOf({ BACKEND_PORT: '80', NODE_TYPE: 'slave' }), 'gateway', false);
    expect(told).toEqual([
      expect.stringContaining('BACKEND_PORT is set and not used'),
      expect.stringContaining('NODE_TYPE is set and not used'),
    ]);
    expect(unusedSettings(configOf({ BACKEND_PORT: '80', BACKEND_DNS: 'shop' }), 'gateway', false)).toEqual(
      [],
    );
  },

  figures: async () => {
    const { status, upstream } = await gatewayFigures(new PagesScene());
    expect(status).toMatchObject({
      totalRequests: expect.any(Number),
      successRate: expect.any(Number),
      averageResponseTime: expect.any(Number),
      requestsPerSecond: expect.any(Number),
      activeSessions: expect.any(Number),
    });
    expect(upstream).toMatchObject({
      percentage: expect.any(Number),
      averageResponseTime: expect.any(Number),
      successRate: expect.any(Number),
    });
  },
  'figures-reset': async () => {
    const scene = new PagesScene();
    expect((await gatewayFigures(scene)).status['totalRequests']).toBeGreaterThan(1_000);
    await renderPage('/lb/reset', scene.monitor);
    expect((await gatewayFigures(scene, 0)).status).toMatchObject({ totalRequests: 0, successRate: null });
  },
  'status-pages': () => {
    expect([livePage.refreshSeconds, publicPage.refreshSeconds]).toEqual([5, 5]);
    expect(livePage.assets.script?.text).toContain('periodMs: 1_000');
    expect(publicPage.assets.script?.text).toContain('periodMs: 5_000');
  },
};

describe('works as it is written', () => {
  it.each(COMPATIBILITY.filter((row) => row.test === 'in-process'))('$typed', ({ id }) => CHECKS[id]());
});
