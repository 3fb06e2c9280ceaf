import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadEcosystem } from './ecosystem.js';

const pm2Home = '/home/me/.pm2';
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-ecosystem-'));
  write('app.js', '');
});

afterEach(() => rmSync(folder, { recursive: true }));

function write(name: string, content: string): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

async function one(app: object, envName?: string): ReturnType<typeof loadEcosystem> {
  const file = write('ecosystem.config.js', `module.exports = ${JSON.stringify({ apps: [app] })}`);
  return loadEcosystem({ file, pm2Home, ...(envName === undefined ? {} : { envName }) });
}

describe('loadEcosystem', () => {
  it('resolves an application with PM2 defaults', async () => {
    expect(await one({ name: 'my app', script: './app.js' })).toEqual([
      {
        name: 'my app',
        script: join(folder, 'app.js'),
        cwd: folder,
        args: [],
        nodeArgs: [],
        interpreter: 'node',
        mode: 'fork',
        instances: 1,
        env: {},
        port: null,
        killTimeoutMs: null,
        outFile: `${pm2Home}/logs/my-app-out.log`,
        errorFile: `${pm2Home}/logs/my-app-error.log`,
        pidFile: `${pm2Home}/pids/my-app.pid`,
        instanceVar: 'NODE_APP_INSTANCE',
        options: { merge_logs: true },
      },
    ]);
  });

  it('lays env_<name> over env, and makes text of everything', async () => {
    const app = {
      script: 'app.js',
      env: { PORT: 3000, MODE: 'plain', FLAGS: { a: 1 }, GONE: null },
      env_production: { MODE: 'production', PORT: 4000 },
    };
    const [plain] = await one(app);
    const [production] = await one(app, 'production');
    expect(plain).toMatchObject({
      name: 'app',
      port: 3000,
      env: { PORT: '3000', MODE: 'plain', FLAGS: '{"a":1}' },
    });
    expect(plain?.env).not.toHaveProperty('GONE');
    expect(production).toMatchObject({ port: 4000, env: { MODE: 'production', FLAGS: '{"a":1}' } });
  });

  it('understands units, aliases, camel case and quoted words', async () => {
    const [definition] = await one({
      name: 'web',
      script: 'app.js',
      exec_mode: 'cluster',
      instances: 'max',
      interpreterArgs: '--require "./a b.js" --enable-source-maps',
      args: ['--x', 1],
      max_memory_restart: '300M',
      min_uptime: '10s',
      killTimeout: 5000,
      error: './logs/err.log',
      output: '/dev/null',
      log: true,
      combine_logs: true,
      instance_var: 'INSTANCE',
      automation: false,
      time: true,
    });
    expect(definition).toMatchObject({
      mode: 'cluster',
      instances: 0,
      nodeArgs: ['--require', './a b.js', '--enable-source-maps'],
      args: ['--x', '1'],
      killTimeoutMs: 5000,
      errorFile: join(folder, 'logs/err.log'),
      outFile: '/dev/null',
      instanceVar: 'INSTANCE',
      options: {
        max_memory_restart: 300 * 1024 * 1024,
        min_uptime: 10_000,
        merge_logs: true,
        pm_log_path: `${pm2Home}/logs/web.log`,
        pmx: false,
        log_date_format: 'YYYY-MM-DDTHH:mm:ss',
      },
    });
  });

  it.each([
    [{ instances: 2 }, 'cluster'],
    [{ instances: 1 }, 'cluster'],
    [{}, 'fork'],
    [{ exec_mode: 'fork', instances: 4 }, 'fork'],
    [{ instances: 2, interpreter: 'python3' }, 'fork'],
  ])('runs %j in %s mode', async (app, mode) => {
    expect(await one({ script: 'app.js', ...app })).toMatchObject([{ mode }]);
  });

  it('runs a command of the PATH, a script with a shebang and a binary by what they are', async () => {
    write('run', '#!/bin/sh\ntrue\n');
    write('nodejs', '#!/usr/bin/env node\n');
    expect(await one({ script: 'run' })).toMatchObject([{ interpreter: 'none' }]);
    expect(await one({ script: 'nodejs' })).toMatchObject([{ interpreter: 'node' }]);
    expect(await one({ name: 'shell', script: 'sh' })).toMatchObject([{ interpreter: 'none' }]);
  });

  it('does not let a script that is not built yet stand in the way of the others', async () => {
    expect(await one({ script: './dist/later.js' })).toMatchObject([
      { script: join(folder, 'dist/later.js') },
    ]);
    expect(await one({ script: 'later' })).toMatchObject([
      { script: join(folder, 'later'), interpreter: 'node' },
    ]);
  });

  it('reads it again every time, with the local files it requires', async () => {
    const file = write('ecosystem.config.js', `module.exports = { apps: [require('./shared.js')] }`);
    write('shared.js', `module.exports = { name: 'one', script: 'app.js' }`);
    expect(await loadEcosystem({ file, pm2Home })).toMatchObject([{ name: 'one' }]);
    write('shared.js', `module.exports = { name: 'two', script: 'app.js' }`);
    expect(await loadEcosystem({ file, pm2Home })).toMatchObject([{ name: 'two' }]);
  });

  it.each([
    ['ecosystem.config.mjs', `export default { apps: [{ name: 'web', script: 'app.js' }] }`],
    ['apps.json', `{ /* as PM2 allows */ "apps": [{ "name": "web", "script": "app.js" }] }`],
    ['apps.yml', 'apps:\n  - name: web\n    script: app.js\n'],
    ['single.json', `{ "name": "web", "script": "app.js" }`],
  ])('reads %s', async (name, content) => {
    expect(await loadEcosystem({ file: write(name, content), pm2Home })).toMatchObject([{ name: 'web' }]);
  });

  it.each([
    [{ name: 'web' }, '"script" is required'],
    [{ script: 'app.js', exec_mode: 'threads' }, '"exec_mode"'],
    [{ script: 'app.js', instances: 'many' }, '"instances"'],
    [{ script: 'app.js', max_memory_restart: 'lots' }, '"max_memory_restart"'],
    [{ script: 'app.js', env: 'PORT=1' }, '"env" must be an object'],
    [{ script: 'app.js', user: 'www-data' }, '"uid" must be a number'],
    [{}, '"name" or "script" is required'],
  ])('refuses %j', async (app, problem) => {
    await expect(one(app)).rejects.toMatchObject({
      code: 'ecosystem.invalid',
      message: expect.stringContaining(problem) as string,
    });
  });

  it.each([
    ['throws', `throw new Error('build it first')`, 'build it first'],
    ['is no JavaScript', 'module.exports = {', 'Unexpected'],
  ])('names the file when it %s', async (_name, content, problem) => {
    const file = write('ecosystem.config.js', content);
    await expect(loadEcosystem({ file, pm2Home })).rejects.toMatchObject({
      code: 'ecosystem.unreadable',
      message: expect.stringMatching(new RegExp(`${file}.*${problem}`)) as string,
    });
    await expect(loadEcosystem({ file: `${file}.gone.js`, pm2Home })).rejects.toMatchObject({
      code: 'ecosystem.unreadable',
    });
  });
});
