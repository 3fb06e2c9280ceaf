/** What somebody at a shell sees before, beside and without a supervisor. The deployment itself: cli.deployment. */
import { createServer } from 'node:http';
import { existsSync, readFileSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LoadBalancerView } from '../../../backend/src/domain/views/controlPlane.js';
import { createCheckout, type Checkout } from '../../support/checkout.js';

const scripts = {
  'scripts/start-high-availability.sh': 'ha-startup.log',
  'scripts/health-check.sh': 'health-check.log',
  'scripts/test-high-availability.sh': 'ha-test.log',
  'scripts/deploy.sh': 'ha-startup.log',
};

let checkout: Checkout;

beforeAll(async () => {
  checkout = await createCheckout();
});
afterAll(() => checkout.dispose());

const logLines = (name: string): Record<string, unknown>[] =>
  readFileSync(join(checkout.root, 'logs', name), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe('every script', () => {
  it.each(Object.entries(scripts))('%s explains itself and names its log', async (script, log) => {
    const { code, stdout, stderr } = await checkout.run(script, ['--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain(`Usage: ${script}`);
    expect(stdout).toContain(`logs/${log}`);
  });

  it.each(Object.keys(scripts))('%s refuses what it does not know, with exit code 2', async (script) => {
    const { code, stderr } = await checkout.run(script, ['--no-such-option']);
    expect(code).toBe(2);
    expect(stderr).toContain("'--no-such-option'");
    expect(stderr).toContain(`Usage: ${script}`);
  });

  it('works through a symbolic link', async () => {
    symlinkSync(join(checkout.root, 'scripts/health-check.sh'), join(checkout.root, 'hc'));
    expect(await checkout.run('hc', ['--help'])).toMatchObject({ code: 0 });
  });

  it('says what to run when nothing is built', async () => {
    const unbuilt = await createCheckout();
    try {
      rmSync(join(unbuilt.root, 'backend/dist'), { recursive: true });
      const { code, stderr } = await unbuilt.run('scripts/health-check.sh');
      expect(code).toBe(1);
      expect(stderr).toContain(`cd ${unbuilt.root} && npm ci && npm run build`);
      const pm2 = unbuilt.pm2.pm2(
        'start',
        join(unbuilt.root, 'ecosystem.cluster.config.js'),
        '--env',
        'production',
      );
      await expect(pm2).rejects.toThrow(/Holdfast is not built yet/);
    } finally {
      await unbuilt.dispose();
    }
  });

  it('says what to run when nothing is installed', async () => {
    const bare = await createCheckout();
    try {
      unlinkSync(join(bare.root, 'node_modules'));
      const { code, stderr } = await bare.run('scripts/health-check.sh');
      expect(code).toBe(1);
      expect(stderr).toContain(`cd ${bare.root} && npm ci`);
      expect(stderr).not.toContain('node:internal');
    } finally {
      await bare.dispose();
    }
  });

  it('lists its commands', async () => {
    const help = await checkout.run('scripts/holdfast.sh', ['--help']);
    expect(help.code).toBe(0);
    for (const name of ['up', 'down', 'status', 'scale', 'events', 'logs', 'explain', 'deploy']) {
      expect(help.stdout).toMatch(new RegExp(`^  ${name} `, 'm'));
    }
    expect(await checkout.run('scripts/holdfast.sh', ['sideways'])).toMatchObject({ code: 2 });
    expect(await checkout.run('scripts/holdfast.sh')).toMatchObject({ code: 2 });
  });
});

describe('without a supervisor', () => {
  it('the health check fails, says what to do, and logs it', async () => {
    const { code, stderr } = await checkout.run('scripts/health-check.sh');
    expect(code).toBe(1);
    expect(stderr).toContain(`The supervisor at http://127.0.0.1:${checkout.haPort} does not answer`);
    expect(stderr).toContain(`Start it: ${checkout.root}/scripts/holdfast.sh start-ha`);
    expect(logLines('health-check.log').at(-1)).toMatchObject({ level: 'error', message: 'no supervisor' });
  });

  it('the health check fails in JSON, too', async () => {
    const { code, stdout } = await checkout.run('scripts/health-check.sh', ['--json']);
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: false,
      problem: expect.stringContaining('does not answer') as string,
    });
  });

  it('a warning does not get between a machine and its JSON', async () => {
    const { stdout, stderr } = await checkout.run('scripts/health-check.sh', ['--json'], {
      MAX_INSTANCE: '3',
    });
    expect(JSON.parse(stdout)).toMatchObject({ ok: false });
    expect(stderr).toContain('MAX_INSTANCE is not a setting and is ignored; did you mean MAX_INSTANCES?');
  });

  it('there is nothing to test, and nothing to stop', async () => {
    const test = await checkout.run('scripts/test-high-availability.sh', ['--only', 'api']);
    expect(test).toMatchObject({ code: 1, stderr: expect.stringContaining('does not answer') as string });
    const stop = await checkout.run('scripts/holdfast.sh', ['down']);
    expect(stop).toMatchObject({ code: 0, stdout: '✓ Nothing of Holdfast is running.\n' });
    // Looking did not start a daemon.
    expect(checkout.pm2.daemonPid()).toBeNull();
  });

  it('what is no supervisor is not taken for one', async () => {
    const stranger = createServer((_request, response) => response.end('hello'));
    await new Promise<void>((resolve) => stranger.listen(checkout.haPort, '127.0.0.1', resolve));
    try {
      const { code, stderr } = await checkout.run('scripts/health-check.sh');
      expect(code).toBe(1);
      expect(stderr).toContain('is not a Holdfast supervisor; see HA_HOST and HA_PORT');
    } finally {
      stranger.closeAllConnections();
      await new Promise((resolve) => stranger.close(resolve));
    }
  });
});

describe('a configuration that is wrong', () => {
  it('is reported as a whole, and nothing is started', async () => {
    const { code, stderr } = await checkout.run('scripts/holdfast.sh', ['up'], {
      MAX_INSTANCES: 'many',
      CPU_THRESHOLD_HIGH: '120',
      MIN_INSTANCE: '1',
    });
    expect(code).toBe(1);
    expect(stderr).toContain('did you mean MIN_INSTANCES?');
    expect(stderr).toContain('MAX_INSTANCES');
    expect(stderr).toContain('many');
    expect(stderr).toContain('CPU_THRESHOLD_HIGH');
    expect(checkout.pm2.daemonPid()).toBeNull();
  });
});

describe('a log folder that cannot be', () => {
  it('is named before anything is started', async () => {
    const { code, stderr } = await checkout.run('scripts/holdfast.sh', ['up'], {
      HA_LOG_DIR: join(checkout.root, 'package.json', 'logs'),
    });
    expect(code).toBe(1);
    expect(stderr).toContain(
      `The log folder ${join(checkout.root, 'package.json', 'logs')} cannot be written`,
    );
    expect(checkout.pm2.daemonPid()).toBeNull();
  });
});

describe('the services alone, through PM2', () => {
  it('start, are left alone the second time, and stop', async () => {
    const first = await checkout.run('scripts/holdfast.sh', ['up', '--services-only']);
    expect(first).toMatchObject({ code: 0, stderr: '' });
    for (const port of [checkout.backendPort, checkout.backendPort + 1, checkout.frontendPort]) {
      expect(first.stdout).toContain(`http://127.0.0.1:${port}/`);
      expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);
    }
    const pids = (await checkout.pm2.jlist()).map(({ pid }) => pid);
    const second = await checkout.run('scripts/holdfast.sh', ['up', '--services-only']);
    expect(second).toMatchObject({ code: 0 });
    expect(second.stdout).toContain('Already running; nothing to start.');
    expect((await checkout.pm2.jlist()).map(({ pid }) => pid)).toEqual(pids);

    const stop = await checkout.run('scripts/holdfast.sh', ['down']);
    expect(stop).toMatchObject({ code: 0, stderr: '' });
    expect(stop.stdout).toContain("PM2's list is empty; its daemon was ended, too.");
    expect(checkout.pm2.daemonPid()).toBeNull();
  });

  it('do not start when a port is taken: which one, and by whom', async () => {
    const stranger = createServer();
    await new Promise<void>((resolve) => stranger.listen(checkout.backendPort + 1, '127.0.0.1', resolve));
    try {
      const { code, stderr } = await checkout.run('scripts/holdfast.sh', ['up', '--services-only']);
      expect(code).toBe(1);
      expect(stderr).toContain(
        `Port ${checkout.backendPort + 1}, which wordpecker-backend needs, is taken by pid ${process.pid}`,
      );
      expect(stderr).toContain('START_PORT');
      expect(checkout.pm2.daemonPid()).toBeNull();
    } finally {
      await new Promise((resolve) => stranger.close(resolve));
    }
  });

  it('start again after an operator stopped them', async () => {
    await checkout.run('scripts/holdfast.sh', ['up', '--services-only']);
    await checkout.pm2.pm2('stop', 'wordpecker-backend');
    const again = await checkout.run('scripts/holdfast.sh', ['up', '--services-only']);
    expect(again).toMatchObject({ code: 0 });
    expect(again.stdout).toContain('Started wordpecker-backend, which was stopped, again.');
    expect((await fetch(`http://127.0.0.1:${checkout.backendPort}/health`)).status).toBe(200);
  });

  it('stop without touching other applications, of the same names too, nor the daemon these need', async () => {
    const file = join(checkout.root, 'foreign.js');
    writeFileSync(file, 'setInterval(() => {}, 1000);\n');
    await checkout.pm2.pm2('start', file, '--name', 'foreign');
    await checkout.pm2.pm2('start', file, '--name', 'wordpecker-backend', '--namespace', 'admin');
    await checkout.pm2.pm2('start', file, '--name', 'wordpecker-frontend');
    const others = async (): Promise<readonly unknown[]> =>
      (await checkout.pm2.jlist())
        .filter(({ pm2_env }) => pm2_env['pm_exec_path'] === file)
        .map(({ name, pid, pm2_env }) => [name, pid, pm2_env.status]);
    const before = await others();
    const stop = await checkout.run('scripts/holdfast.sh', ['down']);
    expect(stop).toMatchObject({ code: 0 });
    expect(stop.stdout).toContain(
      "PM2's other applications go on: foreign, wordpecker-backend, wordpecker-frontend.",
    );
    expect(stop.stderr).toContain(`namespace admin, ${file}) is not what the ecosystem file starts`);
    expect(await checkout.pm2.jlist()).toHaveLength(3);
    const start = await checkout.run('scripts/holdfast.sh', ['up', '--services-only']);
    expect(start).toMatchObject({ code: 1 });
    expect(start.stderr).toContain('PM2 runs another application of that name, which is left alone');
    expect(await others()).toEqual(before);
    await checkout.pm2.pm2('delete', 'all');
  });

  it('run with their own environment, not that of whoever started them', async () => {
    await checkout.run('scripts/holdfast.sh', ['up', '--services-only'], { SOMEBODYS_PASSWORD: 'hunter2' });
    const rows = JSON.stringify(await checkout.pm2.jlist());
    expect(rows).not.toContain('hunter2');
    const daemon = readFileSync(`/proc/${checkout.pm2.daemonPid()}/environ`, 'utf8');
    expect(daemon).not.toContain('hunter2');
    expect(existsSync(join(checkout.root, 'logs/cluster-backend-out.log'))).toBe(true);
    await checkout.run('scripts/holdfast.sh', ['down']);
  });
});

describe('the standard deployment', () => {
  it('is one of each, without autoscaling, with its own log files', async () => {
    const up = await checkout.run('scripts/holdfast.sh', ['up', '--standard']);
    expect(up).toMatchObject({ code: 0, stderr: '' });
    const rows = (await checkout.pm2.jlist()).map(({ name, pm2_env }) => `${name} ${pm2_env.status}`).sort();
    expect(rows).toEqual([
      'ha-gateway online',
      'ha-supervisor online',
      'wordpecker-backend online',
      'wordpecker-frontend online',
    ]);
    const { services } = await checkout.api<LoadBalancerView>('/api/ha/load-balancer');
    expect(services.map(({ name, desired, autoscale }) => ({ name, desired, autoscale }))).toEqual([
      { name: 'wordpecker-backend', desired: 1, autoscale: false },
      { name: 'wordpecker-frontend', desired: 1, autoscale: false },
    ]);
    expect(existsSync(join(checkout.root, 'logs/pm2-backend-out.log'))).toBe(true);
    expect(await checkout.run('scripts/holdfast.sh', ['down'])).toMatchObject({ code: 0 });
    expect(checkout.pm2.daemonPid()).toBeNull();
  });
});
