/** A deployment as its operator lives with it: started, looked at, disturbed, updated, stopped. In this order. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ServiceView } from '../../../backend/src/domain/views/serviceView.js';
import type { StatusView } from '../../../backend/src/domain/views/controlPlane.js';
import { chromiumAvailable, launchBrowser } from '../../support/browser.js';
import { GatewayTraffic } from '../../support/gatewayTraffic.js';
import { createCheckout, QUICK, runToEnd, type Checkout, type Run } from '../../support/checkout.js';
import { cleanEnv } from '../../support/pm2.js';
import { linesOf, ReadmeCommands } from '../../support/readme.js';
import { waitFor } from '../../support/waitFor.js';

let checkout: Checkout;

/** The commands of the README's quick start; each is run below where its time comes. */
const quickStart = new ReadmeCommands('Quick start');
/** `npm ci` takes 10 s on a quiet machine; it runs while the other tests do. */
const INSTALL_TIMEOUT_MS = 600_000;
/** A clone of this repository, with its dependencies: the rest runs in a checkout that has a build already. */
let clone: { readonly folder: string; readonly installed: Promise<Run> };

beforeAll(async () => {
  checkout = await createCheckout({ ...QUICK, ENABLE_FAULTS: 'true', AUTOSCALE: 'false' });
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-clone-'));
  const script = [quickStart.take('git clone'), quickStart.take('npm ci')].join(' &&\n');
  const repository = fileURLToPath(new URL('../../..', import.meta.url));
  const env = cleanEnv({ npm_config_prefer_offline: 'true' });
  const run = runToEnd(
    'sh',
    ['-c', script.replace('REPOSITORY', repository)],
    env,
    folder,
    INSTALL_TIMEOUT_MS,
  );
  const installed = run.catch((error: unknown) => ({ code: null, stdout: '', stderr: String(error) }));
  clone = { folder, installed };
});
afterAll(async () => {
  await checkout.dispose();
  rmSync(clone.folder, { recursive: true, force: true });
});

async function service(name: string): Promise<ServiceView> {
  const { services } = await checkout.api<StatusView>('/api/ha/status');
  const found = services.find((candidate) => candidate.name === name);
  if (found === undefined) throw new Error(`${name} is not supervised`);
  return found;
}

const pidsOf = async (name: string): Promise<(number | null)[]> =>
  (await service(name)).instances.map(({ pid }) => pid).sort();

const logLines = (name: string): Record<string, unknown>[] =>
  readFileSync(join(checkout.root, 'logs', name), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

/** Puts a line before the sample backend's start, in place of the one before. */
function editBackend(line: string): void {
  const start = 'await runService(backend);';
  const source = 'examples/wordpecker/src/backend.ts';
  const original = readFileSync(new URL(`../../../${source}`, import.meta.url), 'utf8');
  if (!original.includes(start)) throw new Error(`${source} does not start its service with ${start}`);
  writeFileSync(join(checkout.root, source), original.replace(start, `${line}\n${start}`));
}

describe('npm start', () => {
  it('refuses a taken port: which one, for whom, and by whom', async () => {
    // Takes every connection and never answers; it reads, or it would not notice that the other side has gone.
    const stranger = createServer((socket) => socket.resume());
    await new Promise<void>((resolve) => stranger.listen(checkout.haPort, '127.0.0.1', resolve));
    try {
      const { code, stderr } = await checkout.npm('start');
      expect(code).toBe(1);
      expect(stderr).toContain(
        `Port ${checkout.haPort}, which ha-supervisor needs, is taken by pid ${process.pid}`,
      );
      expect(checkout.pm2.daemonPid()).toBeNull();
    } finally {
      await new Promise((resolve) => stranger.close(resolve));
    }
  });

  it('brings everything up, waits until it serves, and prints what the README shows', async () => {
    const { code, stdout } = await checkout.type(quickStart.take('npm start'));
    const documented = quickStart.printed('Started ha-supervisor');
    const printed = linesOf(checkout.asDocumented(stdout));
    expect(printed.filter((line) => documented.includes(line))).toEqual(documented);
    expect(code).toBe(0);
    // The sample's page, through the gateway, with what it loads and asks for.
    const gateway = `http://127.0.0.1:${checkout.gatewayPort}`;
    expect(stdout).toMatch(new RegExp(`Word lists +${gateway}/ui\n`));
    expect(stdout).toContain('npm stop');
    expect((await service('wordpecker-backend')).serving).toBe(2);
    expect(stdout).toContain(`${gateway}/lb`);
    expect(await (await fetch(`${gateway}/ui`)).text()).toContain('<title>Wordpecker</title>');
    for (const path of ['/app', '/assets/ui.js', '/api/status'])
      expect([path, (await fetch(`${gateway}${path}`)).status]).toEqual([path, 200]);
    const { service: backend } = (await (await fetch(`${gateway}/healthz`)).json()) as { service: string };
    expect(backend).toBe('wordpecker-backend');
  });

  it('answers what the README says to try first', async () => {
    const answer = await checkout.type(quickStart.take('curl'));
    expect(JSON.parse(answer.stdout)).toMatchObject({ success: true });
    const status = await checkout.type(quickStart.take('npx holdfast status'));
    expect(status).toMatchObject({ code: 0, stdout: expect.stringContaining('2 of 2 serving') as string });
    const explained = await checkout.type(quickStart.take('npx holdfast explain'));
    expect(explained).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('wordpecker-backend') as string,
    });
  });

  it.skipIf(!chromiumAvailable)('serves the sample to a browser through the gateway', async () => {
    const browser = await launchBrowser();
    try {
      const page = await browser.newPage();
      const wrong: string[] = [];
      page.on('pageerror', (error) => wrong.push(error.message));
      page.on('requestfailed', (request) => wrong.push(request.url()));
      page.on('response', (response) => {
        if (response.status() >= 500 || response.status() === 404) wrong.push(response.url());
      });
      await page.goto(`http://127.0.0.1:${checkout.gatewayPort}/ui`);
      await page.locator('#view h1, #view h2').first().waitFor();
      expect(wrong).toEqual([]);
      expect(await page.locator('#notice').isVisible()).toBe(false);
    } finally {
      await browser.close();
    }
  });

  it('changes nothing the second time', async () => {
    const before = (await checkout.pm2.jlist()).map(({ pid }) => pid);
    // The name that other set-ups have for it.
    const { code, stdout } = await checkout.npm('run', 'prod');
    expect(code).toBe(0);
    expect(stdout).toContain('Already running; nothing to start.');
    expect((await checkout.pm2.jlist()).map(({ pid }) => pid)).toEqual(before);
  });

  it('writes the logs where it says', () => {
    for (const name of [
      'backend-out',
      'backend-error',
      'frontend-out',
      'frontend-error',
      'supervisor-error',
    ]) {
      expect(existsSync(join(checkout.root, `logs/cluster-${name}.log`))).toBe(true);
    }
  });
});

describe('pm2 start on what runs', () => {
  it('leaves every instance its own port', async () => {
    const ports = async (): Promise<unknown[]> =>
      (await checkout.pm2.jlist()).map(({ name, pm2_env }) => `${name}:${String(pm2_env['PORT'])}`).sort();
    const before = await ports();
    await checkout.pm2.pm2(
      'start',
      join(checkout.root, 'ecosystem.cluster.config.js'),
      '--env',
      'production',
    );
    expect(await ports()).toEqual(before);
    // It has restarted all of them: also the frontend and the gateway, which are asked next.
    await waitFor(async () => (await checkout.run('scripts/health-check.sh')).code === 0, {
      what: 'everything to serve again',
      deadlineMs: 30_000,
    });
  });
});

describe('scripts/health-check.sh', () => {
  it('prints a line a service and logs every run and every probe', async () => {
    const { code, stdout } = await checkout.run('scripts/health-check.sh');
    expect(code).toBe(0);
    for (const name of ['wordpecker-backend', 'wordpecker-frontend', 'gateway'])
      expect(stdout).toMatch(new RegExp(`^ok +${name} `, 'm'));
    expect(logLines('health-check.log').at(-1)).toMatchObject({ message: 'healthy' });
    expect(logLines('ha-health.log').length).toBeGreaterThanOrEqual(2);
  });

  it('shows every probe, the load and the last decisions when asked', async () => {
    const verbose = await checkout.run('scripts/health-check.sh', ['--verbose']);
    expect(verbose.stdout).toMatch(/^ok +wordpecker-backend#\d+ +[\d.]+ ms/m);
    const status = await checkout.run('scripts/health-check.sh', ['--status']);
    expect(status.stdout).toContain('INSTANCE');
    expect(status.stdout).toContain('Last events');
    // The gateway's pools, with their routes.
    expect(status.stdout).toMatch(/^wordpecker-frontend +up +1 of 1 up .*\*\/ui/m);
  });

  it('speaks JSON and nothing else', async () => {
    const { code, stdout } = await checkout.run('scripts/health-check.sh', ['--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: true,
      health: { status: 'healthy' },
      gateway: { name: 'gateway', ok: true },
    });
  });

  it('fails while the gateway is away, however well the services are', async () => {
    await checkout.pm2.pm2('stop', 'ha-gateway');
    const { code, stdout } = await checkout.run('scripts/health-check.sh');
    await checkout.pm2.pm2('start', 'ha-gateway');
    expect(code).toBe(1);
    expect(stdout).toMatch(/^FAIL +gateway .*ECONNREFUSED/m);
    expect(stdout).toMatch(/^unhealthy$/m);
    expect(logLines('health-check.log').at(-1)).toMatchObject({ level: 'error', message: 'unhealthy' });
    await waitFor(async () => (await checkout.run('scripts/health-check.sh')).code === 0, {
      what: 'the gateway again',
      deadlineMs: 30_000,
    });
  });
});

describe('scripts/start-high-availability.sh', () => {
  it('turns management on again', async () => {
    await fetch(`http://127.0.0.1:${checkout.haPort}/api/ha/stop`, { method: 'POST' });
    const { code, stdout } = await checkout.run('scripts/start-high-availability.sh');
    expect(stdout).toContain('Automatic management is on now.');
    expect(code).toBe(0);
    expect((await checkout.api<StatusView>('/api/ha/status')).running).toBe(true);
    expect(logLines('ha-startup.log').at(-1)).toMatchObject({ level: 'info' });
  });

  it('starts a supervisor that is not there, and leaves the services alone', async () => {
    const before = await pidsOf('wordpecker-backend');
    await checkout.pm2.pm2('delete', 'ha-supervisor');
    const { code, stdout } = await checkout.run('scripts/start-high-availability.sh');
    expect(stdout).toContain('Started the supervisor');
    expect(code).toBe(0);
    expect(await pidsOf('wordpecker-backend')).toEqual(before);
  });
});

describe('scripts/test-high-availability.sh', () => {
  it('loses nothing, and leaves the deployment as it was', async () => {
    const { code, stdout, stderr } = await checkout.type(
      quickStart.take('scripts/test-high-availability.sh'),
    );
    expect({ code, stderr, stdout: stdout.slice(-2_000) }).toMatchObject({ code: 0, stderr: '' });
    expect(stdout).toContain('5 passed, 0 failed, 0 skipped.');
    // Of five parts each, to the instances and through the gateway.
    expect(stdout).toContain(`through the gateway, http://127.0.0.1:${checkout.gatewayPort}/`);
    expect(stdout.match(/ requests answered, 0 lost/g)).toHaveLength(5);
    expect(stdout.match(/through the gateway \d+ answered, 0 lost/g)).toHaveLength(5);
    const { desired, serving, state } = await service('wordpecker-backend');
    expect({ desired, serving, state }).toEqual({ desired: 2, serving: 2, state: 'healthy' });
    expect(logLines('ha-test.log').filter(({ message }) => String(message).endsWith(' passed')).length).toBe(
      5,
    );
  });

  it('runs one part of it, and refuses one that is not there', async () => {
    const { code, stdout } = await checkout.run('scripts/test-high-availability.sh', ['--only', 'scale']);
    expect({ code, parts: stdout.match(/ passed, /g)?.length }).toEqual({ code: 0, parts: 1 });
    const wrong = await checkout.run('scripts/test-high-availability.sh', ['--only', 'luck']);
    expect(wrong).toMatchObject({ code: 2 });
    expect(wrong.stderr).toContain('there are api, scale, kill, hang, failover');
  });
});

describe('scripts/deploy.sh', () => {
  it('rolls a good build: new processes, supervisor and gateway too, and no request is lost', async () => {
    const before = await pidsOf('wordpecker-backend');
    const gatewayRows = async () => (await checkout.pm2.jlist()).filter(({ name }) => name === 'ha-gateway');
    const [gateway] = await gatewayRows();
    const traffic = await GatewayTraffic.start({
      port: checkout.gatewayPort,
      requests: [{ method: 'GET', path: '/api/status' }],
      concurrency: 2,
    });
    const { startedAt } = await checkout.api<StatusView>('/api/ha/status');
    editBackend(`process.env['EDITION'] = 'two';`);
    const { code, stdout, stderr } = await checkout.run('scripts/deploy.sh');
    const { lost } = await traffic.stop();
    expect({ code, stderr, stdout }).toMatchObject({ code: 0, stderr: '' });
    expect(stdout).toContain('Built.');
    expect(stdout).toContain('The gateway runs the new build.');
    // The port is nobody's for some milliseconds, where Node can't share it (before 22.12); what the kernel had accepted
    // and nobody had taken is reset.
    expect(lost.filter(({ problem }) => !/^ECONN(REFUSED|RESET)$/.test(problem))).toEqual([]);
    expect(lost.length).toBeLessThan(50);
    const gateways = await gatewayRows();
    expect(gateways.map(({ pm2_env }) => pm2_env.status)).toEqual(['online']);
    expect(gateways[0]?.pid).not.toBe(gateway?.pid);
    const after = await pidsOf('wordpecker-backend');
    expect(after).toHaveLength(before.length);
    expect(after.filter((pid) => before.includes(pid))).toEqual([]);
    expect((await checkout.api<StatusView>('/api/ha/status')).startedAt).not.toBe(startedAt);
    expect(readFileSync(join(checkout.root, 'examples/wordpecker/dist/backend.js'), 'utf8')).toContain(
      `'two'`,
    );
  });

  it('takes a bad build back: old instances never leave, the old build lies on disk', async () => {
    const before = await pidsOf('wordpecker-backend');
    editBackend(`if (process.pid > 0) process.exit(77);`);
    const { code, stdout, stderr } = await checkout.run('scripts/deploy.sh');
    expect({ code, stdout, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /The build before is in place again[^]*wordpecker-backend was not rolled/,
      ) as string,
    });
    expect(await pidsOf('wordpecker-backend')).toEqual(before);
    const built = readFileSync(join(checkout.root, 'examples/wordpecker/dist/backend.js'), 'utf8');
    expect(built).toContain(`'two'`);
    expect(built).not.toContain('77');
    expect(logLines('ha-startup.log').at(-1)).toMatchObject({ level: 'error', message: 'deploy failed' });
    // Somebody who now runs npm start must not get the broken build after all.
    const start = await checkout.npm('start');
    expect(start.code).toBe(0);
    expect(start.stdout).toContain('taken back after a failed deploy');
    expect(await pidsOf('wordpecker-backend')).toEqual(before);
  });

  it('touches nothing when it does not compile', async () => {
    const before = await pidsOf('wordpecker-backend');
    editBackend(`const count: number = 'three';`);
    const { code, stderr } = await checkout.run('scripts/deploy.sh', ['--skip-install']);
    expect(code).toBe(1);
    expect(stderr).toContain('does not compile');
    expect(await pidsOf('wordpecker-backend')).toEqual(before);
  });

  it('leaves alone what an operator stopped, unless it is named', async () => {
    await checkout.pm2.pm2('stop', 'wordpecker-frontend');
    await waitFor(async () => (await service('wordpecker-frontend')).state === 'stopped', {
      what: 'the supervisor to see that it is stopped',
    });
    const asItIs = ['--skip-install', '--skip-build'];
    const { code, stdout } = await checkout.run('scripts/deploy.sh', asItIs);
    expect({ code, stdout }).toMatchObject({ code: 0 });
    expect(stdout).toContain('wordpecker-frontend is stopped and stays so.\n');
    expect(stdout).toContain('✓ wordpecker-backend: ');
    expect((await service('wordpecker-frontend')).state).toBe('stopped');
    const named = await checkout.run('scripts/deploy.sh', [...asItIs, '--service', 'wordpecker-frontend']);
    expect(named).toMatchObject({ code: 0 });
    expect((await service('wordpecker-frontend')).state).toBe('healthy');
  });

  it('renews the gateway that served on while the supervisor was down', async () => {
    const gatewayPid = async () =>
      (await checkout.pm2.jlist()).filter(({ name }) => name === 'ha-gateway').map(({ pid }) => pid);
    const before = await gatewayPid();
    await checkout.pm2.pm2('stop', 'ha-supervisor');
    editBackend(`process.env['EDITION'] = 'three';`);
    const { code, stdout, stderr } = await checkout.run('scripts/deploy.sh', ['--skip-install']);
    expect({ code, stdout, stderr }).toMatchObject({ code: 0 });
    expect(stdout).toContain('Started ha-supervisor, which was stopped, again.');
    expect(stdout).toContain('The gateway runs the new build.');
    const after = await gatewayPid();
    expect(after).toHaveLength(1);
    expect(after).not.toEqual(before);
  });
});

describe('npm stop', () => {
  it('stops everything, and the daemon with it', async () => {
    const pids = (await checkout.pm2.jlist()).map(({ pid }) => pid);
    const { code, stdout } = await checkout.type(quickStart.take('npm stop'));
    expect(code).toBe(0);
    expect(stdout).toMatch(/Stopped ha-supervisor[^]*Stopped wordpecker-backend, wordpecker-frontend/);
    expect(checkout.pm2.daemonPid()).toBeNull();
    expect(pids.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
  });
});

describe('the quick start of the README', () => {
  it(
    'clones and installs',
    async () => {
      const { code, stdout, stderr } = await clone.installed;
      expect({ code, stdout, stderr }).toMatchObject({ code: 0 });
      for (const file of ['README.md', 'scripts/holdfast.sh', 'node_modules/pm2/package.json'])
        expect([file, existsSync(join(clone.folder, 'holdfast', file))]).toEqual([file, true]);
    },
    INSTALL_TIMEOUT_MS,
  );

  it('has no command that was not run here', () => {
    expect(quickStart.left).toEqual([]);
  });
});
