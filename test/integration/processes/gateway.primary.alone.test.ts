/** The gateway's processes without PM2: what each of them may do to the others, and to clients. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { connect, createServer as createTcpServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { FileStateStore } from '../../../backend/src/adapters/state/fileStateStore.js';
import { canReusePort } from '../../../backend/src/gateway/primary/clusterWorkers.js';
import { WORKER_FLAGS } from '../../../backend/src/gateway/primary/workerFlags.js';
import { runToEnd } from '../../support/checkout.js';
import { GatewayHome } from '../../support/gatewayProcess.js';
import { GatewayTraffic } from '../../support/gatewayTraffic.js';
import { freePortRange } from '../../support/ports.js';
import { isAlive, parentOf, sendSignal } from '../../support/processes.js';
import { RawClient } from '../../support/rawHttp.js';
import { waitFor } from '../../support/waitFor.js';

/** What a test has of its own: most of these tests wait more than they work, and run side by side. */
interface Scene {
  /** Two applications that answer with their port; `/slow?ms=…` later, `/health` always. */
  readonly servers: readonly Server[];
  readonly ports: readonly number[];
  readonly home: (settings?: Readonly<Record<string, string>>) => Promise<GatewayHome>;
  /** Upstreams in turns; where none are named, the two applications. */
  readonly hosts: (list?: readonly number[]) => Record<string, string>;
}

async function application(): Promise<Server> {
  const server = createServer((request, response) => {
    const port = String(portOf(server));
    request.resume();
    const delayMs = Number(/^\/slow\?ms=(\d+)/.exec(request.url ?? '')?.[1] ?? 0);
    setTimeout(() => response.end(port), delayMs);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

const it = test.extend<{ scene: Scene }>({
  // eslint-disable-next-line no-empty-pattern
  scene: async ({}, use) => {
    const servers = [await application(), await application()];
    const ports = servers.map(portOf);
    const homes: GatewayHome[] = [];
    const home: Scene['home'] = async (settings = {}) => {
      const created = await GatewayHome.create(settings);
      homes.push(created);
      return created;
    };
    const hosts: Scene['hosts'] = (list = ports) => ({
      BACKEND_HOSTS: list.map((port) => `127.0.0.1:${port}`).join(','),
      LB_ALGORITHM: 'round-robin',
    });
    await use({ servers, ports, home, hosts });
    for (const one of homes) await one.dispose();
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
  },
});

const bodyOf = async (url: string): Promise<string> =>
  (await fetch(url, { signal: AbortSignal.timeout(20_000) })).text();

it.concurrent(
  'forwards to the upstreams that BACKEND_HOSTS names, and shows them',
  async ({ scene: { home, hosts, ports } }) => {
    const gateway = await home(hosts());
    await gateway.start();
    const answers = new Set<string>();
    for (let i = 0; i < 20; i += 1) answers.add(await bodyOf(gateway.url()));
    expect([...answers].sort()).toEqual(ports.map(String).sort());
    const status = await gateway.until('both to be up', ({ pools }) =>
      pools[0]!.upstreams.every(({ state }) => state === 'up'),
    );
    expect(status.pools[0]!.upstreams).toHaveLength(2);
    expect(status.workers).toHaveLength(2);
    expect(status.sources).toMatchObject([{ name: 'static', state: 'live' }]);
  },
);

it.concurrent(
  'collects the garbage of its workers as decision 26 has it',
  async ({ scene: { home, hosts } }) => {
    const gateway = await home(hosts());
    const primary = await gateway.start();
    const commands = primary.workers().map((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0'));
    expect(commands).toHaveLength(2);
    for (const command of commands) expect(command).toEqual(expect.arrayContaining([...WORKER_FLAGS]));
  },
);

describe.concurrent('what it tells people', () => {
  it('on a terminal that is closed: it ends, instead of going on unseen', async ({
    scene: { home, hosts },
    onTestFinished,
  }) => {
    const gateway = await home(hosts());
    const entry = fileURLToPath(new URL('../../../backend/dist/gateway.js', import.meta.url));
    const command = `${process.execPath} ${entry}`;
    const terminal = spawn('script', ['-qec', command, '/dev/null'], { env: gateway.env, stdio: 'ignore' });
    const closed = once(terminal, 'exit');
    onTestFinished(() => void terminal.kill('SIGKILL'));
    await gateway.until('two workers', ({ workers }) => workers.length === 2, 20_000);
    const workers = (await gateway.status()).workers.map(({ pid }) => pid);
    const [primary] = workers.map(parentOf);
    terminal.kill('SIGKILL');
    await closed;
    await waitFor(() => [primary!, ...workers].every((pid) => !isAlive(pid)), { what: 'its end' });
    expect(gateway.log()).toMatch(/the gateway stops.*SIGHUP/);
  });

  it.for([
    ['--help', 0, /^Usage: npx holdfast balancer/],
    ['--port=1', 2, /Unknown option '--port'[^]*Usage: npx holdfast balancer/],
    ['8080', 2, /8080[^]*Usage: npx holdfast balancer/],
  ] as const)(
    'asked with %s: its usage, and it does not start',
    async ([word, code, text], { scene: { home, hosts } }) => {
      const gateway = await home(hosts());
      const entry = fileURLToPath(new URL('../../../backend/dist/gateway.js', import.meta.url));
      const run = await runToEnd(process.execPath, [entry, word], gateway.env);
      expect(run.code).toBe(code);
      expect(run.stdout + run.stderr).toMatch(text);
    },
  );

  it('under PM2: nothing, because a process that writes to its pipe dies with the daemon', async ({
    scene: { home, hosts },
  }) => {
    const gateway = await home(hosts());
    const primary = await gateway.start({ pm_id: '7', name: 'ha-gateway' });
    expect(await bodyOf(gateway.url())).toMatch(/^\d+$/);
    primary.signal('SIGINT');
    await waitFor(() => gateway.log().includes('the gateway stops'), { what: 'its farewell' });
    expect(primary.stdout).toBe('');
  });
});

it.concurrent(
  'takes an upstream out that fails its checks, and back in',
  async ({ scene: { home, hosts, ports, servers } }) => {
    const gateway = await home({
      ...hosts(),
      HEALTH_CHECK_INTERVAL: '200',
      HEALTH_CHECK_TIMEOUT: '200',
      HEALTH_CHECK_FAST_INTERVAL: '50',
    });
    await gateway.start();
    const [first] = servers;
    first!.closeAllConnections();
    first!.close();
    await gateway.until('it to be down', ({ pools }) =>
      pools[0]!.upstreams.some(({ state, id }) => state === 'down' && id.endsWith(`:${ports[0]}`)),
    );
    for (let i = 0; i < 10; i += 1) expect(await bodyOf(gateway.url())).toBe(String(ports[1]));
    first!.listen(ports[0], '127.0.0.1');
    await gateway.until('it to be up again', ({ pools }) =>
      pools[0]!.upstreams.every(({ state }) => state === 'up'),
    );
  },
);

it.concurrent(
  'checks as HEALTH_HOST and HEALTH_HEADERS say, and shows the fields nowhere',
  async ({ scene: { home, hosts, servers } }) => {
    const token = 's3cret-health-token';
    for (const server of servers)
      server.prependListener('request', ({ url, headers }, response) => {
        const isAllowed = headers.host === 'shop.example' && headers['x-health-token'] === token;
        if (url === '/health' && !isAllowed) response.writeHead(403);
      });
    const gateway = await home({ ...hosts(), HEALTH_HEADERS: `X-Health-Token: ${token}` });
    const isUp = (isWanted: boolean) =>
      gateway.until(`them to be ${isWanted ? 'up' : 'down'}`, ({ pools }) =>
        pools[0]!.upstreams.every(({ state }) => state === (isWanted ? 'up' : 'down')),
      );
    await gateway.start();
    // Without the host; config.yml gives it while the gateway runs. Its fields count less than those of the environment.
    const down = await isUp(false);
    expect(JSON.stringify(down)).toMatch(/HTTP 403, expected 200–399; .* healthHost sets another/);
    gateway.write('config.yml', 'healthHost: shop.example\nhealthHeaders:\n  X-Health-Token: another\n');
    const up = await isUp(true);
    expect(JSON.stringify([down, up]) + gateway.log()).not.toContain(token);
  },
);

it.concurrent(
  'says which checks failed when no upstream has ever answered',
  async ({ scene: { home, hosts } }) => {
    const dead = await deadPort();
    const gateway = await home(hosts([dead]));
    await gateway.start();
    const why = `"reason":"Checks failed at 127.0.0.1:${dead}: connection refused: nothing listens there."`;
    await waitFor(async () => (await bodyOf(gateway.url())).includes(why), { what: why });
  },
);

describe.concurrent('a worker', () => {
  it('that stands still is noticed, killed and replaced; the other goes on', async ({
    scene: { home, hosts },
  }) => {
    const gateway = await home(hosts());
    const primary = await gateway.start();
    const [victim] = primary.workers();
    sendSignal(victim!, 'SIGSTOP');
    await waitFor(() => !isAlive(victim!), { what: 'the end of the worker', deadlineMs: 15_000 });
    await primary.untilServing();
    const traffic = await GatewayTraffic.start({ port: gateway.port });
    await traffic.more(200);
    expect((await traffic.stop()).lost).toEqual([]);
  });
});

describe.concurrent('the primary', () => {
  it('that is killed leaves no process behind, and no request that was under way without its answer', async ({
    scene: { home, hosts, ports },
  }) => {
    const gateway = await home(hosts());
    const primary = await gateway.start();
    const workers = primary.workers();
    const slow = bodyOf(gateway.url('/slow?ms=1500'));
    await gateway.until('the request to be under way', ({ traffic }) => traffic.inFlight > 0);
    primary.signal('SIGKILL');
    await primary.ended();
    // The port is free for a successor at once, while the old workers still finish.
    const successor = gateway.start();
    expect(ports.map(String)).toContain(await slow);
    await successor;
    await waitFor(() => workers.every((pid) => !isAlive(pid)), { what: 'the end of the old workers' });
    expect(ports.map(String)).toContain(await bodyOf(gateway.url()));
  });

  it('that is told to stop finishes what is under way, takes nothing new, and leaves with 0', async ({
    scene: { home, hosts, ports },
  }) => {
    const gateway = await home(hosts());
    const primary = await gateway.start();
    const workers = primary.workers();
    const slow = bodyOf(gateway.url('/slow?ms=1500'));
    await gateway.until('the request to be under way', ({ traffic }) => traffic.inFlight > 0);
    primary.signal('SIGINT');
    await waitFor(async () => (await connectProblem(gateway.port)) === 'ECONNREFUSED', {
      what: 'a closed port',
    });
    expect(ports.map(String)).toContain(await slow);
    expect((await primary.ended()).code).toBe(0);
    expect(workers.filter(isAlive)).toEqual([]);
  });

  it('that is told twice ends at once, with its workers, and half an answer is cut', async ({
    scene: { home },
  }) => {
    const endless = createTcpServer((socket) => {
      socket.on('error', () => undefined).on('data', () => socket.write('HTTP/1.0 200 OK\r\n\r\nrow 1'));
    });
    endless.listen(0, '127.0.0.1');
    await once(endless, 'listening');
    const upstream = (endless.address() as AddressInfo).port;
    const gateway = await home({ BACKEND_HOSTS: `127.0.0.1:${upstream}`, GATEWAY_STOP_TIMEOUT: '8000' });
    const primary = await gateway.start();
    const workers = primary.workers();
    const client = new RawClient(gateway.port).send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.until('row 1');
    primary.signal('SIGTERM');
    await waitFor(async () => (await connectProblem(gateway.port)) === 'ECONNREFUSED', {
      what: 'a closed port',
    });
    primary.signal('SIGTERM');
    expect((await primary.ended()).code).toBe(1);
    await waitFor(() => workers.every((pid) => !isAlive(pid)), { what: 'no worker', deadlineMs: 1_000 });
    await waitFor(() => client.closed, { what: 'the cut' });
    expect(client.problem).toBe('ECONNRESET');
    endless.close();
  });

  it('replaces its workers on SIGHUP one at a time, under load, also when told again meanwhile, and loses nothing', async ({
    scene: { home, hosts },
  }) => {
    const gateway = await home(hosts());
    const primary = await gateway.start();
    const before = primary.workers();
    const traffic = await GatewayTraffic.start({ port: gateway.port });
    primary.signal('SIGHUP');
    await waitFor(() => primary.workers().length > before.length, { what: 'a roll', intervalMs: 5 });
    primary.signal('SIGHUP');
    let most = 0;
    await gateway.until(
      'new workers',
      ({ workers }) => {
        const serving = workers.filter(({ state }) => state === 'serving').length;
        most = Math.max(most, serving);
        return before.every((pid) => !isAlive(pid)) && workers.length === before.length && serving === 2;
      },
      20_000,
    );
    expect(most).toBeLessThanOrEqual(before.length + 1);
    await traffic.more(300);
    expect((await traffic.stop()).lost).toEqual([]);
    expect((await gateway.status()).workerRestarts).toBe(0);
  });
});

describe.concurrent('the time for what is under way at a stop', () => {
  it('follows config.yml at once', async ({ scene: { home, hosts } }) => {
    const gateway = await home({ ...hosts(), GATEWAY_STOP_TIMEOUT: '' });
    gateway.write('config.yml', 'gatewayStopTimeout: 60000\n');
    const primary = await gateway.start();
    const before = primary.workers();
    gateway.write('config.yml', 'gatewayStopTimeout: 200\n');
    await waitFor(() => before.every((pid) => !isAlive(pid)), { what: 'new workers', deadlineMs: 20_000 });
    await primary.untilServing();
    const slow = outcomeOf(gateway.url('/slow?ms=15000'));
    await gateway.until('the request to be under way', ({ traffic }) => traffic.inFlight > 0);
    primary.signal('SIGTERM');
    expect((await primary.ended()).code).toBe(0);
    expect(await slow).toBe('lost');
  });

  it('is not longer than PM2 waits, and it says so', async ({ scene: { home, hosts } }) => {
    const gateway = await home({ ...hosts(), GATEWAY_STOP_TIMEOUT: '60000' });
    const primary = await gateway.start({ pm_id: '0', name: 'ha-gateway', kill_timeout: '2500' });
    const { problems } = await gateway.until('the problem', (status) => status.problems.length > 0);
    expect(problems[0]).toMatch(/^PM2 kills the gateway 2\.5 s after .* get 1\.25 s, not the 60 s/);
    const slow = outcomeOf(gateway.url('/slow?ms=15000'));
    await gateway.until('the request to be under way', ({ traffic }) => traffic.inFlight > 0);
    primary.signal('SIGINT');
    // By itself: who is killed has no code.
    expect((await primary.ended()).code).toBe(0);
    expect(await slow).toBe('lost');
  });
});

describe.concurrent('one gateway behind another', () => {
  it('is no circle; one that is its own upstream is', async ({ scene: { home, hosts, ports } }) => {
    const inner = await home(hosts());
    await inner.start();
    const outer = await home({ ...hosts([inner.port]), HEALTH_PATH: '/health' });
    await outer.start();
    expect(ports.map(String)).toContain(await bodyOf(outer.url()));
    const own = await home();
    await own.start(hosts([own.port]));
    const answer = await fetch(own.url());
    expect(answer.status).toBe(508);
    expect(await answer.json()).toMatchObject({ error: { code: 'route.loop' } });
  });
});

describe.concurrent('two gateways', () => {
  it('of one data directory: the second that is started by hand is told so', async ({
    scene: { home, hosts, ports },
  }) => {
    const gateway = await home(hosts());
    const first = await gateway.start();
    const { code, stderr } = await gateway.launch().ended();
    expect(code).toBe(78);
    expect(stderr).toContain(
      `Another gateway (pid ${first.pid}) already uses ${join(gateway.folder, 'data')}.`,
    );
    expect(ports.map(String)).toContain(await bodyOf(gateway.url()));
  });

  it('of another data directory on the same port: that it is taken, and by whom', async ({
    scene: { home, hosts },
  }) => {
    const gateway = await home(hosts());
    const first = await gateway.start();
    const other = await home({ ...hosts(), BALANCER_PORT: String(gateway.port) });
    const { code, stderr } = await other.launch().ended();
    expect(code).toBe(1);
    expect(stderr).toContain(`Port ${gateway.port} on 127.0.0.1 is taken by pid `);
    expect(isAlive(first.pid)).toBe(true);
  });

  it('that was started by hand gives its port to no other gateway', async ({
    scene: { home, hosts, ports },
  }) => {
    const gateway = await home(hosts());
    const first = await gateway.start();
    first.signal('SIGUSR2');
    await waitFor(() => gateway.log().includes('another gateway wants this port'), { what: 'its refusal' });
    expect(ports.map(String)).toContain(await bodyOf(gateway.url()));
  });
});

describe.concurrent('what cannot work is said in words', () => {
  it('a port that a stranger has', async ({ scene: { home, hosts } }) => {
    const gateway = await home(hosts());
    const stranger = createTcpServer();
    await new Promise<void>((resolve) => stranger.listen(gateway.port, '127.0.0.1', resolve));
    try {
      const { code, stderr } = await gateway.launch().ended();
      // It may be given back: PM2 starts the gateway again.
      expect(code).toBe(1);
      expect(stderr).toContain(`Port ${gateway.port} on 127.0.0.1 is taken by pid ${process.pid}`);
      expect(stderr).toContain('set BALANCER_PORT to a free port');
    } finally {
      await new Promise((resolve) => stranger.close(resolve));
    }
  });

  it('a configuration with mistakes, all of them', async ({ scene: { home } }) => {
    const gateway = await home({ BACKEND_HOSTS: 'nonsense', LB_ALGORITHM: 'fastest' });
    const { code, stderr } = await gateway.launch().ended();
    expect(code).toBe(78);
    expect(stderr).toContain('BACKEND_HOSTS');
    expect(stderr).toContain('LB_ALGORITHM');
  });
});

describe.concurrent('with the supervisor away', () => {
  it('starts and serves from the last good pool', async ({ scene: { home, ports } }) => {
    const nobody = await freePortRange(1);
    const gateway = await home({ HA_PORT: String(nobody), DEFAULT_SERVICE: 'shop' });
    const members = ports.map((port) => ({ id: `127.0.0.1:${port}`, host: '127.0.0.1', port, weight: 1 }));
    const store = new FileStateStore(join(gateway.folder, 'data/gateway-pool.json'));
    await store.save([{ pool: 'shop', source: 'supervisor', members }]);
    await gateway.start();
    expect(ports.map(String)).toContain(await bodyOf(gateway.url()));
    const { sources, pools } = await gateway.status();
    expect(sources).toMatchObject([{ name: 'supervisor', state: 'stale' }]);
    expect(pools[0]!.upstreams.map(({ state }) => state)).toEqual(['up', 'up']);
  });

  it('follows defaultService at once; another source is for the next start', async ({
    scene: { home, ports },
  }) => {
    const away = await deadPort();
    const gateway = await home({ HA_PORT: String(away) });
    gateway.write('config.yml', 'defaultService: shop\n');
    await gateway.start();
    const poolsAre = (...names: string[]) =>
      gateway.until(
        `the pools to be ${names}`,
        ({ pools }) => pools.map(({ name }) => name).join() === names.join(),
      );
    await poolsAre('shop');
    gateway.write('config.yml', 'defaultService: web\n');
    await poolsAre('web');
    gateway.write('config.yml', 'lbDefaultRoutes: /=shop,/ui=web\n');
    await poolsAre('shop', 'web');
    gateway.write('config.yml', `lbDefaultRoutes: /=shop,/ui=web\nbackendHosts: 127.0.0.1:${ports[0]}\n`);
    await waitFor(() => /the configuration changed.*backendHosts/.test(gateway.log()), {
      what: 'the change',
    });
    await poolsAre('shop', 'web');
    expect((await gateway.status()).sources).toMatchObject([
      { name: 'supervisor', pool: 'web' },
      { name: 'supervisor', pool: 'shop' },
    ]);
  });

  it('a damaged memory is set aside, and it says that no supervisor answers', async ({ scene: { home } }) => {
    const closedPort = await freePortRange(1);
    const gateway = await home({ HA_PORT: String(closedPort), DEFAULT_SERVICE: 'shop' });
    await new FileStateStore(join(gateway.folder, 'data/gateway-pool.json')).save({ shop: 'everywhere' });
    await gateway.start();
    const why = `"reason":"Source supervisor: nothing listens at 127.0.0.1:${closedPort}."`;
    await waitFor(
      async () => {
        const answer = await fetch(gateway.url());
        expect(answer.status).toBe(503);
        return (await answer.text()).includes(why);
      },
      { what: 'the reason' },
    );
    expect(gateway.log()).toContain('some of the remembered upstreams are not usable and are left out');
  });
});

describe.concurrent('a file of upstreams', () => {
  const fileOf = (list: readonly number[]): string =>
    JSON.stringify({ algorithm: 'round-robin', servers: list.map((port) => `127.0.0.1:${port}`) });

  it('is followed; a broken one changes nothing, and it shows', async ({ scene: { home, ports } }) => {
    const gateway = await home();
    gateway.env['LB_CONFIG_FILE'] = gateway.write('lb.json', fileOf([ports[0]!]));
    await gateway.start();
    const traffic = await GatewayTraffic.start({ port: gateway.port });
    expect(await bodyOf(gateway.url())).toBe(String(ports[0]));

    gateway.write('lb.json', '{"servers": [');
    const broken = await gateway.until('the complaint', ({ sources }) => sources[0]?.state === 'stale');
    expect(broken.sources[0]!.detail).toContain('not valid JSON');
    expect(await bodyOf(gateway.url())).toBe(String(ports[0]));

    gateway.write('lb.json', fileOf(ports));
    await gateway.until(
      'both upstreams',
      ({ pools, sources }) =>
        sources[0]?.state === 'live' &&
        pools[0]!.upstreams.filter(({ state }) => state === 'up').length === 2,
    );
    await traffic.more(200);
    expect((await traffic.stop()).lost).toEqual([]);
  });

  it('an invalid config.yml changes nothing, and it shows until it is mended', async ({
    scene: { home, hosts },
  }) => {
    const gateway = await home(hosts());
    await gateway.start();
    gateway.write('config.yml', 'lbAlgorithm: sideways\n');
    const refused = await gateway.until('the complaint', ({ problems }) => problems.length > 0);
    expect(refused.problems[0]).toContain('lbAlgorithm');
    expect(refused.pools[0]!.algorithm).toBe('round-robin');
    // Mended by another value, and by going back to exactly what runs.
    for (const mended of ['lbRetryUnsafe: true\n', '# as before\nlbRetryUnsafe: true\n']) {
      gateway.write('config.yml', mended);
      await gateway.until('it to be forgotten', ({ problems }) => problems.length === 0);
      gateway.write('config.yml', 'lbAlgorithm: sideways\n');
      await gateway.until('the complaint', ({ problems }) => problems.length > 0);
    }
    gateway.write('config.yml', 'lbRetryUnsafe: true\n');
    await gateway.until('it to be forgotten', ({ problems }) => problems.length === 0);
  });
});

// These measure time, and run alone.
describe('what it tells people', () => {
  it('started by hand: where it listens, how its upstreams are, what to try next, and that it stops', async ({
    scene: { home, hosts, ports },
  }) => {
    const gateway = await home(hosts([...ports, await deadPort()]));
    const primary = await gateway.start();
    await waitFor(() => primary.stdout.includes('Stop it:'), { what: 'the welcome', intervalMs: 10 });
    expect(primary.stdout).toContain(`listens on ${gateway.url('')} (127.0.0.1; 2 workers).`);
    for (const port of ports) expect(primary.stdout).toMatch(new RegExp(`127\\.0\\.0\\.1:${port} +up\n`));
    expect(primary.stdout).toMatch(/down: connection refused/);
    expect(await bodyOf(/curl -i (\S+)/.exec(primary.stdout)![1]!)).toMatch(/^\d+$/);
    expect(primary.stdout).toContain(`${gateway.url('/lb')} in a browser`);
    primary.signal('SIGINT');
    expect((await primary.ended()).code).toBe(0);
    expect(primary.stdout).toContain('Stopping: ');
  });
});

describe('a worker', () => {
  it('that is killed under load costs its own requests at most, and is back within a second', async ({
    scene: { home, hosts },
  }) => {
    const gateway = await home(hosts());
    const primary = await gateway.start();
    const concurrency = 8;
    const traffic = await GatewayTraffic.start({ port: gateway.port, concurrency });
    const [victim, other] = primary.workers();
    const killedMs = performance.now();
    sendSignal(victim!, 'SIGKILL');
    await gateway.until(
      'a successor',
      ({ workers }) =>
        workers.filter(({ state }) => state === 'serving').length === 2 &&
        workers.every(({ pid }) => pid !== victim),
    );
    // A second; half of one more for a machine that is busy with other tests.
    expect(performance.now() - killedMs).toBeLessThan(1_500);
    expect(primary.workers()).toContain(other);
    await traffic.more(500);
    const { lost } = await traffic.stop();
    expect(lost.length).toBeLessThanOrEqual(concurrency);
    // Connections that it had accepted and not answered yet; no client is turned away.
    for (const { problem, atMs } of lost) {
      expect(problem).toMatch(/ECONNRESET|socket hang up|aborted/);
      expect(atMs - killedMs).toBeLessThan(500);
    }
    expect((await gateway.status()).workerRestarts).toBe(1);
  });
});

describe('two gateways', () => {
  it('under PM2: the second takes over from the first, which finishes what it has', async ({
    scene: { home, hosts, ports },
  }) => {
    const gateway = await home(hosts());
    const first = await gateway.start({ pm_id: '0', name: 'ha-gateway' });
    const slow = bodyOf(gateway.url('/slow?ms=1500'));
    await gateway.until('the request to be under way', ({ traffic }) => traffic.inFlight > 0);
    const traffic = await GatewayTraffic.start({ port: gateway.port, concurrency: 4 });
    const second = await gateway.start({ pm_id: '1', name: 'ha-gateway' });
    await traffic.more(300);
    const { lost } = await traffic.stop();
    // Where workers can't share the port (SO_REUSEPORT), it is nobody's for some milliseconds; what the kernel had
    // accepted for the one before and nobody had taken is reset. No request that had begun is lost.
    const reusesPort = canReusePort(process.versions.node, process.platform);
    for (const { problem } of lost)
      expect(problem).toMatch(reusesPort ? /^ECONNRESET$/ : /^ECONN(REFUSED|RESET)$/);
    const gapMs = lost.length === 0 ? 0 : lost.at(-1)!.atMs - lost[0]!.atMs;
    expect(gapMs).toBeLessThan(2_000);
    expect(ports.map(String)).toContain(await slow);
    expect((await first.ended()).code).toBe(77);
    expect(isAlive(second.pid)).toBe(true);
    expect(gateway.log()).toContain('took over from the gateway before');
  });
});

/** What a request comes to. */
const outcomeOf = (url: string): Promise<string> => bodyOf(url).catch(() => 'lost');

/** A port on which nobody listens. */
const deadPort = (): Promise<number> => freePortRange(1);

/** The error code of connecting, or null when it worked. */
async function connectProblem(port: number): Promise<string | null> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  } finally {
    socket.destroy();
  }
}
