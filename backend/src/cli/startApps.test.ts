import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CliContext } from './context.js';
import { compare, requireScripts, startMissing } from './startApps.js';
import type { DefinedApp } from './ecosystemFile.js';
import type { Pm2App } from './pm2Command.js';
import { isPortFree } from './portCheck.js';
import { readBuilds } from './release.js';

const app = (name: string): DefinedApp => ({
  name,
  instances: 1,
  port: null,
  portFrom: null,
  script: null,
  cwd: null,
  outFile: null,
  errorFile: null,
});
const row = (name: string, status: string): Pm2App => ({
  name,
  status,
  pmId: 0,
  pid: 1,
  port: null,
  restarts: 0,
  outFile: null,
  errorFile: null,
  script: null,
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
    const { missing, halted } = compare(['a', 'b', 'c', 'd'].map(app), listed);
    expect(missing.map(({ name }) => name)).toEqual(['a']);
    // One instance that runs is enough to leave a service to the supervisor.
    expect(halted.map(({ name }) => name)).toEqual(['c']);
  });

  it('ignores the applications of others', () => {
    expect(compare([app('a')], [row('foreign', 'stopped')])).toEqual({ missing: [app('a')], halted: [] });
  });
});

describe('requireScripts', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'holdfast-scripts-'));
    mkdirSync(join(folder, 'dist'));
    for (const file of ['server.js', 'dist/main.js']) writeFileSync(join(folder, file), '');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const check = (script: string | null, cwd: string | null = null): string => {
    try {
      requireScripts(join(folder, 'ecosystem.config.js'), [{ ...app('api'), script, cwd }]);
      return 'fine';
    } catch (error) {
      return (error as Error).message.replaceAll(folder, '/srv');
    }
  };

  it.each<[script: string | null, cwd?: string]>([
    ['server.js'],
    ['./dist/main.js'],
    ['main.js', 'dist'],
    // Looked for on the PATH, run by a shell, or not said at all.
    ['npm'],
    ['npm run start:prod'],
    ['node other.js'],
    [null],
  ])('has nothing against %s (cwd %s)', (script, cwd) => {
    expect(check(script, cwd ?? null)).toBe('fine');
  });

  it('names a script that is not there, and the one that may be meant', () => {
    expect(check('sever.js')).toBe(
      'The script of api, /srv/sever.js, is not there. Is /srv/server.js meant?\nCorrect it in /srv/ecosystem.config.js.',
    );
    expect(check('build/main.js')).toBe(
      'The script of api, /srv/build/main.js, is not there.\nCorrect it in /srv/ecosystem.config.js.',
    );
  });
});

describe('startMissing', () => {
  let root = '';
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'holdfast-deployment-'));
    for (const folder of ['backend/dist', 'data']) mkdirSync(join(root, folder), { recursive: true });
    writeFileSync(join(root, 'backend/dist/.fingerprint'), 'new');
    writeFileSync(join(root, 'data/deployed-build'), 'old');
    writeFileSync(
      join(root, 'ecosystem.js'),
      `module.exports = { apps: ['ha-supervisor', 'ha-gateway', 'web', 'words'].map((name) => ({ name })) };`,
    );
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  /** What counts as deployed once 'words' was started beside what PM2 lists. */
  async function deployedBeside(listed: readonly Pm2App[]): Promise<string | null> {
    const started: string[] = [];
    const pm2 = {
      list: () => Promise.resolve(started.length === 0 ? listed : [...listed, row('words', 'online')]),
      ensureDaemon: () => Promise.resolve('running'),
      run: (args: readonly string[]) => Promise.resolve(started.push(...args)),
    };
    const config = {
      root,
      ecosystemFile: join(root, 'ecosystem.js'),
      ecosystemEnv: 'production',
      logDir: join(root, 'logs'),
      dataDir: join(root, 'data'),
      pm2Home: join(root, 'pm2'),
      agentSocket: join(root, 'data/run/agents.sock'),
    };
    await startMissing({ config, pm2 } as unknown as CliContext, [app('words')]);
    expect(started).toContain('words');
    return (await readBuilds(config)).deployed;
  }

  it('takes the build for deployed when nothing of the deployment ran before', async () => {
    const stopped = { ...row('web', 'stopped'), pid: null };
    await expect(deployedBeside([row('foreign', 'online'), stopped])).resolves.toBe('new');
  });

  it.each(['web', 'ha-gateway', 'ha-supervisor'])(
    'leaves it to the next deploy while %s runs the build of before',
    async (name) => {
      await expect(deployedBeside([row(name, 'online')])).resolves.toBe('old');
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
