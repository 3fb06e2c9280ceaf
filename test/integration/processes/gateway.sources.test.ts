/** A gateway as `npm run balancer` runs it: where its upstreams come from, and what it keeps over a restart. */
import { once } from 'node:events';
import { readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { GatewayHome } from '../../support/gatewayProcess.js';
import { GatewayTraffic } from '../../support/gatewayTraffic.js';
import { RawClient } from '../../support/rawHttp.js';

let servers: Server[] = [];
let homes: GatewayHome[] = [];

/** An application that answers with its port; `/slow?ms=…` later. */
async function application(): Promise<number> {
  const server = createServer((request, response) => {
    request.resume();
    const delayMs = Number(/^\/slow\?ms=(\d+)/.exec(request.url ?? '')?.[1] ?? 0);
    setTimeout(() => response.end(String((server.address() as AddressInfo).port)), delayMs);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  servers.push(server);
  return (server.address() as AddressInfo).port;
}

async function home(settings: Readonly<Record<string, string>>): Promise<GatewayHome> {
  const created = await GatewayHome.create(settings);
  homes.push(created);
  return created;
}

afterEach(async () => {
  for (const one of homes) await one.dispose();
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  [homes, servers] = [[], []];
});

it('signs LB_STICKY_COOKIE with a key of its own that outlives it, and refuses a damaged one', async () => {
  const ports = [await application(), await application()];
  const BACKEND_HOSTS = ports.map((port) => `127.0.0.1:${port}`).join(',');
  const gateway = await home({ BACKEND_HOSTS, LB_STICKY_COOKIE: 'JSESSIONID', LB_ALGORITHM: 'round-robin' });
  const first = await gateway.start();
  const answer = await fetch(gateway.url());
  const own = await answer.text();
  const cookie = /^JSESSIONID=[^;]+/.exec(answer.headers.get('set-cookie') ?? '')?.[0] ?? '';
  expect(cookie).not.toBe('');
  const key = join(gateway.folder, 'data/session-secret');
  expect(statSync(key).mode & 0o777).toBe(0o600);

  await first.kill();
  const second = await gateway.start();
  for (let i = 0; i < 6; i += 1) {
    const again = await fetch(gateway.url(), { headers: { cookie } });
    expect([await again.text(), again.headers.get('set-cookie')]).toEqual([own, null]);
  }

  await second.kill();
  gateway.write('data/session-secret', readFileSync(key, 'utf8').slice(0, 10));
  const { code, stderr } = await gateway.launch().ended();
  expect(code).toBe(78);
  expect(stderr).toMatch(
    /session-secret holds 10 characters, and a usable secret has at least \d+\. Remove it/,
  );
});

interface CallAnswer {
  readonly success: boolean;
  readonly data: {
    readonly changed: boolean;
    readonly upstream: string;
    readonly drained?: boolean;
    readonly inFlight?: number;
    readonly upstreams: readonly { readonly id: string; readonly weight: number; readonly state: string }[];
  };
  readonly error: { readonly code: string; readonly message: string };
}

async function call(gateway: GatewayHome, what: string, body: object | string, headers: object = {}) {
  const answer = await fetch(gateway.url(`/lb/upstreams${what}`), {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    signal: AbortSignal.timeout(20_000),
  });
  return { status: answer.status, ...((await answer.json()) as CallAnswer) };
}

const idsOf = ({ data }: Pick<CallAnswer, 'data'>): string[] =>
  data.upstreams.map(({ id, state }) => (state === 'up' || state === 'down' ? id : `${id} ${state}`));

describe('calls that change the upstreams of a gateway that runs', () => {
  it('add, change, drain and remove under load without a loss, and outlive the gateway', async () => {
    const [first, second, third] = [await application(), await application(), await application()];
    const id = (port: number): string => `127.0.0.1:${port}`;
    const gateway = await home({
      BACKEND_HOSTS: id(first),
      LB_ALGORITHM: 'weighted-round-robin',
      LB_SLOW_START: '0',
    });
    const process = await gateway.start();
    const traffic = await GatewayTraffic.start({ port: gateway.port, concurrency: 4, keepAlive: true });

    const added = await call(gateway, '', { host: '127.0.0.1', port: second, weight: 3 });
    expect([added.status, added.data.changed, idsOf(added).sort()]).toEqual([
      200,
      true,
      [id(first), id(second)].sort(),
    ]);
    expect((await call(gateway, '', { upstream: id(second), weight: 3 })).data.changed).toBe(false);
    await gateway.until(
      'both to be up',
      ({ pools }) =>
        pools[0]!.upstreams.length === 2 && pools[0]!.upstreams.every(({ state }) => state === 'up'),
    );
    await call(gateway, '', { host: 'localhost', port: third });

    // Three times as many as the listed one, which has a weight of 1, and then as many.
    const shareOf = async (port: number): Promise<number> => {
      traffic.answers.length = 0;
      await traffic.more(200);
      const seen = traffic.answers.slice(-160);
      return (
        seen.filter((body) => body === String(port)).length /
        seen.filter((body) => body !== String(third)).length
      );
    };
    await call(gateway, '/remove', { host: 'localhost', port: third });
    expect(await shareOf(second)).toBeCloseTo(0.75, 1);
    expect((await call(gateway, '/change', { upstream: id(second), weight: 1 })).data.changed).toBe(true);
    expect(await shareOf(second)).toBeCloseTo(0.5, 1);

    const slow = fetch(gateway.url('/slow?ms=1500'), { headers: { connection: 'close' } });
    await gateway.until('it to be under way', ({ pools }) =>
      pools[0]!.upstreams.some(({ inFlight }) => inFlight > 0),
    );
    for (const one of [first, second]) {
      const other = one === first ? second : first;
      const drained = await call(gateway, '/drain', { upstream: id(one) });
      expect(drained.data).toMatchObject({ changed: true, drained: true, inFlight: 0 });
      expect(idsOf(drained)).toContain(`${id(one)} drained`);
      traffic.answers.length = 0;
      await traffic.more(50);
      expect(new Set(traffic.answers.slice(-40))).toEqual(new Set([String(other)]));
      expect((await call(gateway, '/drain', { upstream: id(other) })).error.code).toBe('upstream.last');
      expect((await call(gateway, '/undrain', { upstream: id(one) })).data.changed).toBe(true);
    }
    expect((await slow).status).toBe(200);
    expect((await call(gateway, '/remove', { upstream: id(first) })).data).toMatchObject({
      changed: true,
      drained: true,
    });
    expect((await traffic.stop()).lost).toEqual([]);

    // What was changed is on the disk: neither a killed gateway nor a new one forgets it.
    await process.kill();
    await gateway.start();
    await gateway.until('the added one to be up', ({ pools }) => pools[0]!.upstreams[0]?.state === 'up');
    const list = (await (await fetch(gateway.url('/lb/upstreams'))).json()) as CallAnswer;
    expect(list.data.upstreams).toMatchObject([{ id: id(second), weight: 1, state: 'up', listed: false }]);
    expect(await (await fetch(gateway.url())).text()).toBe(String(second));
  });

  it('say what is still under way when the time is over, and refuse what makes no sense', async () => {
    const [first, second] = [await application(), await application()];
    const gateway = await home({
      BACKEND_HOSTS: `127.0.0.1:${first},127.0.0.1:${second}`,
      LB_ALGORITHM: 'round-robin',
    });
    await gateway.start();
    const slow = fetch(gateway.url('/slow?ms=2500'));
    const { pools } = await gateway.until('it to be under way', ({ traffic }) => traffic.inFlight === 1);
    const busy = pools[0]!.upstreams.find(({ inFlight }) => inFlight > 0)!.id;
    const idle = pools[0]!.upstreams.find(({ id }) => id !== busy)!.id;
    const late = await call(gateway, '/drain', { upstream: busy, timeoutMs: 200 });
    expect(late.data).toMatchObject({ changed: true, drained: false, inFlight: 1 });
    expect((await slow).status).toBe(200);

    const refusals: readonly (readonly [string, object | string, number, string])[] = [
      ['', '{"host":', 400, 'body.invalid'],
      ['', { host: 'a b', port: 1 }, 400, 'body.invalid'],
      ['', { host: 'a' }, 400, 'body.invalid'],
      ['', { host: 'a', port: 70_000 }, 400, 'body.invalid'],
      ['', { host: 'a', port: '80' }, 400, 'body.invalid'],
      ['', { host: 'a', port: 1, weight: 0 }, 400, 'body.invalid'],
      ['', { host: 'a', port: 1, weight: 1.5 }, 400, 'body.invalid'],
      ['', { upstream: 'a:1;weight=3' }, 400, 'body.invalid'],
      ['', { upstream: 'a:1', host: 'a', port: 1 }, 400, 'body.invalid'],
      ['', { host: 'a', port: 1, wieght: 2 }, 400, 'body.invalid'],
      ['', { host: 'a', port: 1, pad: 'x'.repeat(20_000) }, 413, 'body.too-large'],
      ['', { host: 'localhost', port: gateway.port }, 422, 'upstream.self'],
      ['/change', { upstream: idle }, 400, 'body.invalid'],
      ['/drain', { host: 'unknown.example', port: 1 }, 404, 'upstream.unknown'],
      ['/remove', { upstream: idle }, 409, 'upstream.last'],
    ];
    for (const [what, body, status, code] of refusals) {
      const answer = await call(gateway, what, body);
      expect([body, answer.status, answer.error.code]).toEqual([body, status, code]);
    }
    expect(
      (await call(gateway, '', { host: 'a', port: 1 }, { 'x-forwarded-for': '203.0.113.7' })).status,
    ).toBe(403);
    const mixed = await call(gateway, '', { host: 'a', port: 70_000, weight: 0 });
    expect(mixed.error.message).toMatch(/port: .*; weight: /);

    // A request that is smuggled, cut short or chunked: a call is framed like any request.
    const raw = new RawClient(gateway.port);
    raw.send(
      `POST /lb/upstreams/undrain HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n` +
        `5\r\n{"ups\r\n`,
    );
    raw.send(
      `f\r\ntream":"a:1"}  \r\n0\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
    );
    const said = await raw.untilEnded();
    raw.destroy();
    expect(said).toMatch(/^HTTP\/1\.1 404 [^]*upstream\.unknown[^]*HTTP\/1\.1 200 [^]*"status"/);

    // The last one, on purpose.
    expect((await call(gateway, '/remove', { upstream: idle, force: true })).data).toMatchObject({
      changed: true,
    });
    const empty = await fetch(gateway.url());
    expect([empty.status, ((await empty.json()) as CallAnswer).error.code]).toEqual([503, 'upstream.none']);
  });
});

describe('load-balancer-config.json in the project root', () => {
  const fileOf = (ports: readonly number[], more: object = {}): string =>
    JSON.stringify({
      algorithm: 'round_robin',
      servers: ports.map((port) => ({ host: '127.0.0.1', port })),
      ...more,
    });

  it('is the source without being named, and goes on being read; mistakes change nothing', async () => {
    const [first, second] = [await application(), await application()];
    const gateway = await home({});
    const file = gateway.write('load-balancer-config.json', fileOf([first]));
    await gateway.start({ HA_ROOT: gateway.folder });
    const started = await gateway.until('the file to be read', ({ sources }) => sources[0]?.state === 'live');
    expect(started.pools).toMatchObject([{ name: 'default', algorithm: 'round-robin' }]);
    expect(started.sources).toMatchObject([
      {
        name: 'file',
        detail: `1 upstream of ${file}: it lies in the project root, and no setting chooses another source`,
      },
    ]);
    expect(gateway.log()).toContain('it lies in the project root');
    expect(await (await fetch(gateway.url())).text()).toBe(String(first));

    gateway.write('load-balancer-config.json', fileOf([first, second], { healthCheck: { helthPath: '/' } }));
    await gateway.until('the mistake', ({ sources }) =>
      sources[0]!.detail.includes('healthCheck.helthPath is not known'),
    );
    expect(await (await fetch(gateway.url())).text()).toBe(String(first));
    gateway.write('load-balancer-config.json', fileOf([second]));
    await gateway.until('the other one', ({ pools }) =>
      pools[0]!.upstreams.some(({ id, state }) => id.endsWith(`:${second}`) && state === 'up'),
    );
    expect(await (await fetch(gateway.url())).text()).toBe(String(second));
    rmSync(file);
    await gateway.until('its absence', ({ sources }) => sources[0]!.detail.includes('does not exist'));
    expect(await (await fetch(gateway.url())).text()).toBe(String(second));
    expect((await call(gateway, '', { host: 'a', port: 1 })).error).toMatchObject({
      code: 'upstreams.fixed',
    });
  });

  it('is taken over by a gateway that is alone when it comes later, and only when it is right', async () => {
    const [standIn, later] = [await application(), await application()];
    const gateway = await home({
      BACKEND_START_PORT: '',
      START_PORT: String(standIn),
      INSTANCE_COUNT: '1',
      HA_PORT: '1',
    });
    gateway.write(
      'ecosystem.cluster.config.js',
      "module.exports = { apps: [{ name: 'shop', script: 'shop.js' }] };",
    );
    await gateway.start({ HA_ROOT: gateway.folder });
    await gateway.until(
      'the usual ports',
      ({ sources, pools }) => sources[0]?.name === 'ports' && pools[0]!.upstreams[0]?.state === 'up',
    );
    gateway.write('load-balancer-config.json', '{"servers": [');
    await gateway.until('the mistake', ({ problems }) =>
      problems.some((one) => one.includes('is not taken over: not valid JSON')),
    );
    expect(await (await fetch(gateway.url())).text()).toBe(String(standIn));
    const traffic = await GatewayTraffic.start({ port: gateway.port, concurrency: 4 });
    gateway.write('load-balancer-config.json', fileOf([later]));
    await gateway.until(
      'the file',
      ({ sources, problems }) =>
        sources[0]?.name === 'file' && sources[0].state === 'live' && problems.length === 0,
    );
    traffic.answers.length = 0;
    await traffic.more(60);
    expect((await traffic.stop()).lost).toEqual([]);
    expect(new Set(traffic.answers.slice(-40))).toEqual(new Set([String(later)]));
  });

  it('does not go before a source that is set', async () => {
    const [named, other] = [await application(), await application()];
    const gateway = await home({ BACKEND_HOSTS: `127.0.0.1:${named}` });
    gateway.write('load-balancer-config.json', fileOf([other]));
    await gateway.start({ HA_ROOT: gateway.folder });
    expect((await gateway.status()).sources).toMatchObject([{ name: 'static' }]);
    expect(await (await fetch(gateway.url())).text()).toBe(String(named));
  });
});
