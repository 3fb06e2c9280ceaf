import { DIFFICULT_NAMES } from '../../../test/support/names.js';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

import { algorithms } from '../domain/balancing/registry.js';
import { portRange } from '../domain/upstreams/members.js';
import { appliedLive, gatewayRouting, needsKeptKey, type GatewayConfig } from './gateway.js';
import { loadConfig } from './load.js';
import { appliesLive } from './watch.js';
import { formatProblems, type Problem } from './problems.js';

const root = mkdtempSync(join(tmpdir(), 'holdfast-gateway-config-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

function gatewayOf(env: NodeJS.ProcessEnv = {}): GatewayConfig {
  const result = loadConfig({ root, env });
  if (!result.ok) throw new Error(formatProblems(result.problems));
  return result.config.gateway;
}

function problemsOf(env: NodeJS.ProcessEnv): readonly Problem[] {
  const result = loadConfig({ root, env });
  if (result.ok) throw new Error('expected problems');
  return result.problems;
}

describe('defaults', () => {
  it('are those of the specification', () => {
    expect(gatewayOf()).toMatchObject({
      host: '0.0.0.0',
      port: 13_003,
      workers: 'auto',
      source: { kind: 'pm2', standIn: portRange('127.0.0.1', 13_004, 5) },
      routes: null,
      check: {
        probe: { kind: 'http', path: '/health' },
        intervalMs: 30_000,
        timeoutMs: 5_000,
        fastIntervalMs: 1_000,
        rise: 2,
        fall: 3,
      },
      pool: { algorithm: 'ip-hash', sticky: null, retryBudget: { share: 0.2, min: 3 }, retryUnsafe: false },
      accessLog: 'off',
    });
  });

  it('send everything to one pool', () => {
    const routing = gatewayRouting(gatewayOf(), 'shop');
    expect(routing.routes).toEqual([{ host: null, pathPrefix: '/', pool: 'shop' }]);
    expect(routing.pools).toEqual([{ name: 'shop', ...gatewayOf().pool }]);
  });
});

describe('where upstreams come from', () => {
  it.each([
    [
      { BACKEND_HOSTS: 'a:1;weight=3, [::1]:2' },
      {
        kind: 'static',
        members: [
          { id: 'a:1', host: 'a', port: 1, weight: 3 },
          { id: '[::1]:2', host: '::1', port: 2, weight: 1 },
        ],
      },
    ],
    [
      { BACKEND_START_PORT: '13004', BACKEND_COUNT: '2' },
      {
        kind: 'static',
        members: [
          { id: '127.0.0.1:13004', host: '127.0.0.1', port: 13_004, weight: 1 },
          { id: '127.0.0.1:13005', host: '127.0.0.1', port: 13_005, weight: 1 },
        ],
      },
    ],
    [{ BACKEND_START_PORT: '14004' }, { kind: 'static', members: portRange('127.0.0.1', 14_004, 5) }],
    [{ BACKEND_COUNT: '3' }, { kind: 'static', members: portRange('127.0.0.1', 13_004, 3) }],
    [
      { BACKEND_DNS: 'shop.internal' },
      { kind: 'dns', name: 'shop.internal', port: 13_004, intervalMs: 60_000, servers: null },
    ],
    // Set by itself BACKEND_PORT chooses nothing.
    [{ BACKEND_PORT: '80' }, { kind: 'pm2', standIn: portRange('127.0.0.1', 13_004, 5) }],
    // Where `npm run cluster` starts instances with the same settings.
    [
      { START_PORT: '14004', INSTANCE_COUNT: '2' },
      { kind: 'pm2', standIn: portRange('127.0.0.1', 14_004, 2) },
    ],
    [{ START_PORT: '65535' }, { kind: 'pm2', standIn: null }],
    [
      { BACKEND_DNS: 'shop.internal', BACKEND_PORT: '80', BACKEND_DNS_SERVERS: '10.0.0.2, [fd00::1]:5353' },
      {
        kind: 'dns',
        name: 'shop.internal',
        port: 80,
        intervalMs: 60_000,
        servers: ['10.0.0.2', '[fd00::1]:5353'],
      },
    ],
    [
      { BACKEND_DNS: '_http._tcp.shop.internal' },
      { kind: 'dns', name: '_http._tcp.shop.internal', port: null, intervalMs: 60_000, servers: null },
    ],
    [
      { CONSUL_SERVICE: 'shop', CONSUL_TOKEN: 'secret', CONSUL_TAG: 'v2' },
      {
        kind: 'consul',
        url: 'http://127.0.0.1:8500',
        service: 'shop',
        datacenter: null,
        tag: 'v2',
        token: 'secret',
      },
    ],
    [
      { LB_CONFIG_FILE: 'load-balancer-config.json' },
      { kind: 'file', file: join(root, 'load-balancer-config.json') },
    ],
  ])('%o', (env, source) => {
    expect(gatewayOf(env).source).toEqual(source);
  });

  it('is one source only, complete, and every problem is said at once', () => {
    const problems = problemsOf({
      BACKEND_HOSTS: 'a:1',
      BACKEND_DNS: 'shop.internal',
      BACKEND_START_PORT: '13004',
      LB_ROUTES: '/=shop',
      LB_EJECT_TIME: '300001',
    });
    expect(problems.map(({ key, value, allowed }) => `${key} = ${value}: ${allowed}`)).toEqual([
      'BACKEND_START_PORT = 13004: this unset, because backendHosts is set: upstreams come from one source',
      'BACKEND_DNS = "shop.internal": this unset, because backendHosts is set: upstreams come from one source',
      'LB_ROUTES = "/=shop": this unset, because all traffic goes to the upstreams of backendHosts',
      'LB_EJECT_TIME = 300001: at most lbEjectMaxTime (300000)',
    ]);
  });

  it('keeps a range of ports below 65536', () => {
    expect(problemsOf({ BACKEND_START_PORT: '65000', BACKEND_COUNT: '600' })).toMatchObject([
      {
        key: 'BACKEND_COUNT',
        allowed: 'at most 536: the range begins at backendStartPort (65000), and the last port is 65535',
      },
    ]);
    expect(problemsOf({ BACKEND_START_PORT: '65535' })).toMatchObject([
      { allowed: expect.stringMatching(/^at most 1: /) },
    ]);
  });
});

describe('values', () => {
  it('says which entry of a list is wrong', () => {
    const problems = problemsOf({
      BACKEND_HOSTS: 'a:1, b',
      LB_ROUTES: 'nonsense, /=shop, /=web',
      TRUSTED_PROXIES: '10.0.0.0/8, proxy.test',
      LB_ALGORITHM: 'fastest',
      LB_HASH_ON: 'header:',
      ACCESS_LOG_SAMPLE: '2',
    });
    expect(problems.map(({ key, allowed }) => [key, allowed])).toEqual([
      ['BACKEND_HOSTS', expect.stringContaining('("b" is not host:port or host:port;weight=N)')],
      [
        'LB_ROUTES',
        expect.stringContaining('("nonsense" is not [host]/path=service; route /: is there twice)'),
      ],
      ['TRUSTED_PROXIES', expect.stringContaining('("proxy.test" is none)')],
      ['LB_ALGORITHM', `${[...algorithms.keys()].slice(0, -1).join(', ')} or random`],
      ['LB_HASH_ON', 'ip, path, header:<name> or cookie:<name>'],
      ['ACCESS_LOG_SAMPLE', 'a number from 0 to 1'],
    ]);
  });

  // The data path takes these out of every request (gateway/http1/fields.ts): a key made of them would be none.
  it.each([
    'connection',
    'expect',
    'http2-settings',
    'keep-alive',
    'proxy-authenticate',
    'proxy-authorization',
    'proxy-connection',
    'te',
    'trailer',
    'transfer-encoding',
    'upgrade',
  ])('does not hash by "%s", which is for one hop', (name) => {
    for (const spelt of [name, name.toUpperCase(), name.replace(/^./, (first) => first.toUpperCase())]) {
      expect(problemsOf({ LB_HASH_ON: `header:${spelt}` }).map(({ key }) => key)).toEqual(['LB_HASH_ON']);
    }
    for (const hashOn of [`header:x-${name}`, `header:${name}s`, `cookie:${name}`]) {
      expect(gatewayOf({ LB_HASH_ON: hashOn }).pool.hashOn).toBe(hashOn);
    }
  });

  it.each([
    'x_forwarded_for',
    'x-forwarded_for',
    'X_Forwarded_Port',
    'x_real_ip',
    'X_Request_ID',
    'max_forwards',
    'content_length',
    'keep_alive',
  ])('does not hash by "%s", which no request keeps', (name) => {
    expect(problemsOf({ LB_HASH_ON: `header:${name}` }).map(({ key }) => key)).toEqual(['LB_HASH_ON']);
  });

  it.each([
    'x-forwarded-for',
    'X-Forwarded-Port',
    'x-real-ip',
    'x-request-id',
    'max-forwards',
    'content-length',
    'x_user',
    'content_type',
    'user-agent',
    'host',
  ])('hashes by "%s"', (name) => {
    expect(gatewayOf({ LB_HASH_ON: `header:${name}` }).pool.hashOn).toBe(`header:${name}`);
  });

  it('takes every algorithm there is', () => {
    for (const name of algorithms.keys()) {
      expect(gatewayOf({ LB_ALGORITHM: name }).pool.algorithm).toBe(name);
    }
  });

  it('never shows a key, whatever is wrong with it', () => {
    const text = formatProblems(problemsOf({ LB_STICKY_KEYS: 'tooshort', CONSUL_TOKEN: 'with space' }));
    expect(text).not.toMatch(/tooshort|with space/);
  });

  it('builds routes, pools and the sticky cookie', () => {
    const gateway = gatewayOf({
      LB_ROUTES: '/=shop, /ui=web, *.Example.org/api=shop',
      LB_STICKY_COOKIE: 'JSESSIONID',
      SESSION_SECRET: 'the session secret',
      LB_MIN_HEALTHY_SHARE: '25',
    });
    const { routes, pools } = gatewayRouting(gateway, 'unused');
    expect(routes).toEqual([
      { host: null, pathPrefix: '/', pool: 'shop' },
      { host: null, pathPrefix: '/ui', pool: 'web' },
      { host: '*.example.org', pathPrefix: '/api', pool: 'shop' },
    ]);
    expect(pools.map(({ name }) => name)).toEqual(['shop', 'web']);
    expect(pools[0]).toMatchObject({
      sticky: { cookieName: 'JSESSIONID', lifetimeMs: 1_800_000, keys: ['the session secret'] },
      ejection: { minHealthyShare: 0.25 },
    });
    expect(
      gatewayOf({ LB_STICKY_COOKIE: 'S', LB_STICKY_KEYS: 'the newest key of all, the older key of two' }).pool
        .sticky?.keys,
    ).toEqual(['the newest key of all', 'the older key of two']);
  });

  it.each([
    [{}, false],
    [{ LB_STICKY_COOKIE: 'JSESSIONID' }, true],
    [{ LB_STICKY_COOKIE: 'JSESSIONID', BACKEND_HOSTS: 'a:1' }, true],
    [{ LB_STICKY_COOKIE: 'JSESSIONID', SESSION_SECRET: 'the session secret' }, false],
    [{ LB_STICKY_COOKIE: 'JSESSIONID', LB_STICKY_KEYS: 'the newest key of all' }, false],
  ])('signs a sticky cookie with the kept key where none is configured: %o', (env, needsOne) => {
    const gateway = gatewayOf(env);
    expect(needsKeptKey(gateway)).toBe(needsOne);
    if (!needsOne) return;
    const stickyOf = (key: string | null) => gatewayRouting(gateway, 'shop', key).pools[0]?.sticky;
    expect(stickyOf('the kept key')).toEqual({
      cookieName: 'JSESSIONID',
      lifetimeMs: 1_800_000,
      keys: ['the kept key'],
    });
    expect(stickyOf(null)).toBeNull();
  });

  it("takes a deployment's own routes where none are set and PM2 is the source", () => {
    const LB_DEFAULT_ROUTES = '/=shop, /ui=web';
    const poolsOf = (settings: Record<string, string>): readonly string[] =>
      gatewayRouting(gatewayOf({ LB_DEFAULT_ROUTES, ...settings }), 'first').pools.map(({ name }) => name);
    expect(poolsOf({})).toEqual(['shop', 'web']);
    expect(poolsOf({ LB_ROUTES: '/=api' })).toEqual(['api']);
    expect(poolsOf({ BACKEND_HOSTS: '127.0.0.1:1' })).toEqual(['first']);
  });

  it('goes on with what only a start can change', () => {
    const LB_DEFAULT_ROUTES = '/=shop, /ui=web';
    const running = gatewayOf({ LB_DEFAULT_ROUTES });
    const wanted = gatewayOf({
      LB_DEFAULT_ROUTES,
      BACKEND_HOSTS: '127.0.0.1:1',
      BALANCER_PORT: '2',
      LB_ALGORITHM: 'p2c',
    });
    const now = appliedLive(running, wanted);
    expect(now).toMatchObject({ port: 13_003, source: { kind: 'pm2' }, pool: { algorithm: 'p2c' } });
    expect(gatewayRouting(now, 'first').pools.map(({ name }) => name)).toEqual(['shop', 'web']);
  });

  it('keeps what belongs to that: routes of the source that runs, no redirect to a port that is yet to listen', () => {
    const routed = gatewayOf({ LB_ROUTES: '/=shop, /ui=web' });
    const elsewhere = gatewayOf({ BACKEND_HOSTS: '127.0.0.1:1', LB_RETRY_UNSAFE: 'on' });
    expect(appliedLive(routed, elsewhere)).toMatchObject({
      routes: routed.routes,
      pool: { retryUnsafe: true },
    });
    expect(appliedLive(routed, gatewayOf({ LB_ROUTES: '/=api' })).routes).toMatchObject([{ pool: 'api' }]);
    const TLS = { TLS_PORT: '13443', TLS_CERT_DIR: 'certificates' };
    const plain = gatewayOf();
    expect(appliedLive(plain, gatewayOf({ ...TLS, TLS_REDIRECT_PORT: '443' })).tlsRedirectPort).toBeNull();
    // TLS may end at another proxy in front.
    expect(appliedLive(plain, gatewayOf({ TLS_REDIRECT_PORT: '443' })).tlsRedirectPort).toBe(443);
    expect(appliedLive(gatewayOf(TLS), gatewayOf({ ...TLS, TLS_REDIRECT_PORT: '443' })).tlsRedirectPort).toBe(
      443,
    );
  });

  it('says which changes need a restart', () => {
    expect(appliesLive('lbAlgorithm')).toBe(true);
    expect(appliesLive('balancerPort')).toBe(false);
    expect(appliesLive('backendHosts')).toBe(false);
  });
});

it.each([...DIFFICULT_NAMES])('routes to %s, and shows the route as it is typed', (name) => {
  const typed = `*.Example.org/ui=web, /=${JSON.stringify(name)}`;
  const { routes } = gatewayOf({ LB_ROUTES: typed });
  expect(routes?.map(({ pool }) => pool)).toContain(name);
  const plain = /^[^",\s][^,\t]*$/.test(name) && name.trim() === name;
  if (plain)
    expect(gatewayOf({ LB_ROUTES: `/=${name}, /ui=web` }).routes?.map(({ pool }) => pool)).toContain(name);
});
