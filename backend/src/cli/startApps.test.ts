import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CliContext } from './context.js';
import { compare, refusals, sayStarted, startMissing } from './startApps.js';
import { undefinedApp } from './ecosystemFile.js';
import type { Pm2App } from './pm2Command.js';
import { isPortFree } from './portCheck.js';
import { placeOf, readBuilds } from './release.js';

const row = (name: string, status: string): Pm2App => ({
  name,
  status,
  pmId: 0,
  pid: 1,
  port: null,
  restarts: 0,
  run: null,
  lastExitCode: null,
  outFile: null,
  errorFile: null,
  script: null,
  application: { namespace: 'default', script: '', cwd: '' },
  holdfast: {},
});

describe('compare', () => {
  it('tells what PM2 does not list from what it lists as stopped', () => {
    const listed = [
      row('b', 'online'),
      row('c', 'stopped'),
      row('c', 'errored'),
      row('d', 'stopped'),
      row('d', 'online'),
    ];
    const { missing, halted } = compare(['a', 'b', 'c', 'd'].map(undefinedApp), listed);
    expect(missing.map(({ name }) => name)).toEqual(['a']);
    // One instance that runs is enough to leave a service to the supervisor.
    expect(halted.map(({ name }) => name)).toEqual(['c']);
  });

  it('leaves what PM2 was told not to start', () => {
    const registered = { ...row('later', 'stopped'), run: 'finished' as const, lastExitCode: null };
    expect(compare([undefinedApp('later')], [registered])).toMatchObject({
      halted: [],
      ended: [{ name: 'later' }],
    });
  });

  it('leaves a job whose run has ended, and starts a supervisor again that left by one of its stop_exit_codes', () => {
    const ran = (name: string): Pm2App => ({ ...row(name, 'stopped'), run: 'finished', lastExitCode: 0 });
    const listed = [ran('job'), { ...ran('failed'), run: 'failed' as const }, ran('ha-supervisor')];
    const { halted, ended } = compare(['job', 'failed', 'ha-supervisor'].map(undefinedApp), listed);
    expect(halted.map(({ name }) => name)).toEqual(['ha-supervisor']);
    expect(ended.map(({ name }) => name)).toEqual(['job', 'failed']);
  });

  it('ignores the applications of others', () => {
    expect(compare([undefinedApp('a')], [row('foreign', 'stopped')])).toEqual({
      missing: [undefinedApp('a')],
      halted: [],
      ended: [],
    });
  });
});

describe('sayStarted', () => {
  const job = { run: 'finished', lastExitCode: 0, pid: null } as const;
  it.each<[what: string, rows: readonly Pm2App[], said: string]>([
    ['runs', [row('a b', 'online')], 'done Started a b.'],
    ['is about to run', [row('a b', 'launching')], 'done Started a b.'],
    [
      'has finished',
      [{ ...row('a b', 'stopped'), ...job }],
      'done Started a b, which has finished (exit code 0).',
    ],
    [
      'PM2 was told not to start',
      [{ ...row('a b', 'stopped'), ...job, lastExitCode: null }],
      'done PM2 lists a b, which it was told not to start (autostart: false).',
    ],
    [
      'has failed',
      [{ ...row('a b', 'stopped'), ...job, run: 'failed', lastExitCode: 3 }],
      'problem a b was started and has failed: exit code 3.',
    ],
    [
      'was given up',
      [{ ...row('a b', 'errored'), pid: null }],
      'problem a b does not run: PM2 says errored.',
    ],
    ['is not listed', [row('b', 'online')], 'problem a b does not run: PM2 says nothing of it.'],
  ])('says of one that %s what PM2 lists', (_, rows, said) => {
    const lines: string[] = [];
    const terminal = {
      done: (text: string) => lines.push(`done ${text}`),
      problem: (text: string) => lines.push(`problem ${text}`),
    };
    sayStarted({ terminal } as never, ['a b'], rows);
    expect(lines).toEqual([said]);
  });
});

describe('refusals', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'holdfast-scripts-'));
    writeFileSync(join(folder, 'server.js'), '');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const check = (script: string | null, problem: string | null): readonly string[] => {
    const apps = [{ ...undefinedApp('api'), script, problem }];
    return refusals(join(folder, 'ecosystem.config.js'), apps).map((text) => text.replaceAll(folder, '/srv'));
  };

  it.each<[script: string | null, problem: string | null, text: string | null]>([
    ['server.js', null, null],
    [
      'sever.js',
      'Script not found',
      'The script of api, /srv/sever.js, is not there. Is /srv/server.js meant?',
    ],
    ['build/main.js', 'Script not found', 'The script of api, /srv/build/main.js, is not there.'],
    ['server.js', 'User x cannot be found', 'PM2 cannot start api: User x cannot be found.'],
    ['npx', 'Script not found: /srv/npx', 'PM2 cannot start api: Script not found: /srv/npx.'],
    [null, 'No script path', 'PM2 cannot start api: No script path.'],
  ])('of %s, which PM2 refuses with %s', (script, problem, text) => {
    expect(check(script, problem)).toEqual(
      text === null ? [] : [`${text}\nCorrect it in /srv/ecosystem.config.js.`],
    );
  });
});

describe('startMissing', () => {
  let root = '';
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'holdfast-deployment-'));
    mkdirSync(join(root, 'data'));
    writeFileSync(join(root, 'app.js'), '');
    writeFileSync(join(root, 'data/deployed-build'), 'old');
    writeFileSync(
      join(root, 'ecosystem.config.js'),
      `module.exports = { apps: ['ha-supervisor', 'ha-gateway', 'web', 'words'].map((name) => ({ name, script: 'app.js' })) };`,
    );
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  /** What counts as deployed once 'words' was started beside what PM2 lists. */
  async function deployedBeside(listed: readonly Pm2App[]) {
    const started: string[] = [];
    const pm2 = {
      list: () => Promise.resolve(started.length === 0 ? listed : [...listed, row('words', 'online')]),
      ensureDaemon: () => Promise.resolve('running'),
      run: (args: readonly string[]) => Promise.resolve(started.push(...args)),
    };
    const config = {
      root,
      ecosystemFile: join(root, 'ecosystem.config.js'),
      ecosystemEnv: 'production',
      logDir: join(root, 'logs'),
      dataDir: join(root, 'data'),
      pm2Home: join(root, 'pm2'),
      agentSocket: join(root, 'data/run/agents.sock'),
    };
    const terminal = { done: () => undefined, problem: () => undefined };
    await startMissing({ config, pm2, terminal } as unknown as CliContext, [undefinedApp('words')]);
    expect(started).toContain('words');
    return readBuilds(placeOf(config));
  }

  it('takes the build for deployed when nothing of the deployment ran before', async () => {
    const stopped = { ...row('web', 'stopped'), pid: null };
    const { current, deployed } = await deployedBeside([row('foreign', 'online'), stopped]);
    expect(deployed).toBe(current ?? '');
  });

  it.each(['web', 'ha-gateway', 'ha-supervisor'])(
    'leaves it to the next deploy while %s runs the build of before',
    async (name) => {
      const application = { namespace: 'default', script: join(root, 'app.js'), cwd: root };
      await expect(deployedBeside([{ ...row(name, 'online'), application }])).resolves.toMatchObject({
        deployed: 'old',
      });
    },
  );
});

describe('isPortFree', () => {
  let server: Server | undefined;
  afterEach(() => server?.close());

  it.each(['127.0.0.1', '0.0.0.0', '::'])('sees a listener on %s', async (host) => {
    const listener = createServer();
    server = listener;
    await new Promise<void>((resolve) => listener.listen(0, host, resolve));
    const { port } = listener.address() as AddressInfo;
    await expect(isPortFree(port)).resolves.toBe(false);
    await new Promise((resolve) => listener.close(resolve));
    await expect(isPortFree(port)).resolves.toBe(true);
  });
});
