/** Against PM2's own code; what comes of it in a process is in test/integration/pm2/options.test.ts. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DefinedApp } from './appDefinition.js';
import { EcosystemReader, loadEcosystem } from './ecosystem.js';

let folder: string;
let pm2Home: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-ecosystem-'));
  pm2Home = join(folder, 'pm2');
  write('app.js', '');
});

afterEach(() => rmSync(folder, { recursive: true }));

function write(name: string, content: string): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

/** Files that are older than anything that is read now. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 100));
}

async function defined(apps: readonly object[], envName?: string): Promise<readonly DefinedApp[]> {
  const file = write('ecosystem.config.js', `module.exports = ${JSON.stringify({ apps })}`);
  return loadEcosystem({ file, pm2Home, ...(envName === undefined ? {} : { envName }) });
}

const WEB = `{ name: 'web', script: 'app.js', env: { FROM: 'here' } }`;

describe('what PM2 reads', () => {
  it.each([
    ['ecosystem.config.js', `module.exports = { apps: [${WEB}] }`],
    ['ecosystem.config.cjs', `module.exports = [${WEB}]`],
    ['ecosystem.config.mjs', `import 'node:fs'; export const apps = [${WEB}]`],
    [
      'esm/ecosystem.config.js',
      `import 'node:fs'; export const apps = [${WEB.replace('app.js', '../app.js')}]`,
    ],
    ['ecosystem.js', `module.exports = { apps: ${WEB} }`],
    [
      'apps.json',
      `{ /* as PM2 allows */ "apps": [{ "name": "web", script: 'app.js', env: { FROM: 'here' } }], }`,
    ],
    ['bare.json', `[${WEB}]`],
    ['single.json', WEB],
    ['apps.yml', 'apps:\n  - name: web\n    script: app.js\n    env:\n      FROM: here\n'],
    ['apps.yaml', 'pm2:\n  - name: web\n    script: app.js\n    env:\n      FROM: here\n'],
  ])('is read from %s', async (name, content) => {
    mkdirSync(join(folder, 'esm'));
    write('esm/package.json', '{ "type": "module" }');
    const [app] = await loadEcosystem({ file: write(name, content), pm2Home });
    expect(app).toMatchObject({ name: 'web', problem: null, definition: { script: join(folder, 'app.js') } });
    expect(app?.definition?.env['FROM']).toBe('here');
  });

  it.each([
    ['ecosystem.config.js', `throw new Error('build it first')`, 'build it first'],
    ['ecosystem.config.js', 'module.exports = {', 'Unexpected'],
    ['ecosystem.config.mjs', `export default { apps: [${WEB}] }`, 'export const apps'],
    ['ecosystem.config.js', 'process.exit(3)', 'ended with code 3'],
    ['ecosystem.config.js', 'module.exports = 7', 'defines no applications'],
  ])('is not %s with %s; the message names the file and says why', async (name, content, problem) => {
    const file = write(name, content);
    await expect(loadEcosystem({ file, pm2Home })).rejects.toMatchObject({
      code: 'ecosystem.unreadable',
      message: expect.stringMatching(new RegExp(`${file}.*${problem}`)) as string,
    });
  });

  it('is not a file that is not there', async () => {
    const file = join(folder, 'gone.config.js');
    await expect(loadEcosystem({ file, pm2Home })).rejects.toMatchObject({ code: 'ecosystem.unreadable' });
  });
});

describe('what it is resolved to', () => {
  it('is what PM2 makes of it', async () => {
    write('run', '#!/bin/sh\ntrue\n');
    write('nodejs', '#!/usr/bin/env node\n');
    const script = 'app.js';
    const table: [app: object, expected: object][] = [
      [
        { name: 'plain', script },
        { mode: 'fork', args: [], nodeArgs: [], interpreter: 'node', cwd: folder },
      ],
      [
        { name: 'words', script: 'node app.js --flag' },
        { args: ['-c', 'node app.js --flag'], interpreter: 'none' },
      ],
      [{ name: 'quoted', script, args: `--x "a b" 'c d' e` }, { args: ['--x', 'a b', 'c d', 'e'] }],
      [
        { name: 'node args', script, node_args: '--require "./a b.js"' },
        { nodeArgs: ['--require', './a b.js'] },
      ],
      [{ name: 'camel', script, interpreterArgs: ['--x'] }, { nodeArgs: ['--x'] }],
      [{ name: 'alias', exec: script }, { script: join(folder, script) }],
      [{ name: 'command', cmd: script, killTimeout: 5000 }, { killTimeoutMs: 5_000 }],
      [
        { name: 'max', script, instances: 'max' },
        { mode: 'cluster', instances: 0 },
      ],
      [
        { name: 'forks', script, instances: 4, exec_mode: 'fork' },
        { mode: 'fork', instances: 4 },
      ],
      [{ name: 'shebang', script: './run' }, { interpreter: process.execPath }],
      [{ name: 'on the PATH', script: 'sh' }, { interpreter: 'none' }],
      [{ name: 'shell', script: 'run', interpreter: 'sh' }, { interpreter: 'sh' }],
      [{ name: 'page', script: 'serve' }, { script: expect.stringMatching(/Serve\.js$/) as string }],
      [
        { name: 'a log', script, error: './logs/err.log', output: '/dev/null', log: true },
        {
          errorFile: join(folder, 'logs/err.log'),
          outFile: '/dev/null',
          options: { pm_log_path: join(pm2Home, 'logs/a-log.log') },
        },
      ],
      [
        { name: 'units', script, max_memory_restart: '300M', min_uptime: '10s', instance_var: 'I' },
        { instanceVar: 'I', options: { max_memory_restart: 300 * 1024 * 1024, min_uptime: 10_000 } },
      ],
      [{ name: 'times', script, time: true }, { options: { log_date_format: 'YYYY-MM-DDTHH:mm:ss' } }],
      [
        { name: 'user', script, uid: 65_534 },
        { options: { uid: 65_534, gid: 65_534 }, env: { HOME: '/nonexistent' } },
      ],
      [
        { name: 'by name', script, user: 'daemon' },
        { options: { uid: 1, gid: 1 }, env: { HOME: '/usr/sbin' } },
      ],
      [{ name: 'group', script, uid: 'nobody', gid: 'daemon' }, { options: { uid: 65_534, gid: 1 } }],
    ];
    const apps = await defined(table.map(([app]) => app));
    for (const [index, [app, expected]] of table.entries()) {
      // PM2 changes users for root alone.
      if (process.getuid?.() !== 0 && ('uid' in app || 'user' in app)) continue;
      expect(apps[index]).toMatchObject({
        name: (app as { name: string }).name,
        problem: null,
        definition: expected,
      });
    }
  });

  it('has env_<name> over env and the deployment over nothing, as text', async () => {
    const app = {
      script: 'app.js',
      env: { PORT: 3000, MODE: 'plain', FLAGS: { a: 1 } },
      env_production: { MODE: 'production', PORT: 4000 },
    };
    const [plain] = await defined([app]);
    expect(plain).toMatchObject({ name: 'app', port: 3000, portFrom: 'env.PORT' });
    expect(plain?.definition?.env).toMatchObject({ PORT: '3000', MODE: 'plain', FLAGS: '{"a":1}' });
    const [production] = await defined([app], 'production');
    expect(production).toMatchObject({ port: 4000 });
    expect(production?.definition?.env).toMatchObject({ MODE: 'production', FLAGS: '{"a":1}' });
  });

  it('has what the file itself put into the environment, and nothing else of this process', async () => {
    process.env['TOKEN_OF_THIS_PROCESS'] = 'secret';
    process.env['pm_id'] = '7';
    try {
      const file = write(
        'ecosystem.config.js',
        `process.env.FROM_DOTENV = 'file';
        module.exports = { apps: [{ name: 'web', script: 'app.js', env: { SEEN: process.env.TOKEN_OF_THIS_PROCESS, PM_ID: String(process.env.pm_id) } }] }`,
      );
      const [app] = await loadEcosystem({ file, pm2Home });
      expect(app?.definition?.env).toMatchObject({ FROM_DOTENV: 'file', SEEN: 'secret', PM_ID: 'undefined' });
      expect(app?.definition?.env).not.toHaveProperty('TOKEN_OF_THIS_PROCESS');
      expect(app?.definition?.env).not.toHaveProperty('pm_id');
    } finally {
      delete process.env['TOKEN_OF_THIS_PROCESS'];
      delete process.env['pm_id'];
    }
  });

  it('says of each application alone why PM2 refuses it', async () => {
    const script = 'app.js';
    const table: [app: object, problem: string][] = [
      [{ name: 'fine', script }, ''],
      [{ name: 'no script', port: 4_000, instances: 3 }, 'No script path'],
      [
        { name: 'not built', script: './dist/later.js' },
        `Script not found: ${join(folder, 'dist/later.js')}`,
      ],
      [{ name: 'unknown user', script, uid: 'no-such-user' }, 'no-such-user'],
      [{ name: 'group', script, uid: 'nobody', gid: 'no-such-group' }, 'no-such-group'],
      [{ name: 'mode', script, exec_mode: 'threads' }, 'exec_mode'],
      [{ name: 'interpreter', script, interpreter: 'no-such-program' }, 'no-such-program'],
      [{ name: 'memory', script, max_memory_restart: 'lots' }, 'max_memory_restart'],
      [{ name: 'cron', script, cron_restart: 'now and then' }, 'Cron'],
      [{ name: 'fine too', script }, ''],
    ];
    const apps = await defined(table.map(([app]) => app));
    expect(apps.map(({ name }) => name)).toEqual(table.map(([app]) => (app as { name: string }).name));
    for (const [index, [, problem]] of table.entries()) {
      if (problem === '') expect(apps[index]).toMatchObject({ problem: null });
      else if (process.getuid?.() === 0) expect(apps[index]?.problem).toContain(problem);
      expect(apps[index]?.definition === null).toBe(apps[index]?.problem !== null);
    }
    expect(apps[1]).toMatchObject({ port: 4_000, portFrom: 'port', instances: 3 });
  });
});

describe('a file that is read again', () => {
  it.each([
    ['js', 'ecosystem.config.js', `module.exports = { apps: [require('./shared.js')] }`],
    ['mjs', 'ecosystem.config.mjs', `import shared from './shared.js'; export const apps = [shared]`],
    [
      'by fs',
      'ecosystem.config.js',
      `const { readFileSync } = require('fs'); module.exports = { apps: [eval(readFileSync(__dirname + '/shared.js', 'utf8'))] }`,
    ],
  ])('follows what it takes from elsewhere (%s)', async (_kind, name, content) => {
    const reader = new EcosystemReader({ file: write(name, content), pm2Home });
    write('shared.js', `module.exports = { name: 'one', script: 'app.js' }`);
    await settle();
    expect(await reader.read()).toMatchObject([{ name: 'one' }]);
    write('shared.js', `module.exports = { name: 'two', script: 'app.js' }`);
    expect(await reader.read()).toMatchObject([{ name: 'two' }]);
  });

  it('is not evaluated again while nothing that went into it changed, unless that is asked for', async () => {
    const file = write(
      'ecosystem.config.js',
      `require('fs').appendFileSync; module.exports = { apps: [${WEB}] }`,
    );
    await settle();
    const reader = new EcosystemReader({ file, pm2Home });
    const first = await reader.read();
    expect(await reader.read()).toBe(first);
    expect(await reader.readAnew()).not.toBe(first);
  });

  it('is evaluated after the call, however many call at once', async () => {
    const reader = new EcosystemReader({
      file: write('ecosystem.config.js', `module.exports = [${WEB}]`),
      pm2Home,
    });
    const early = reader.readAnew();
    await new Promise((resolve) => setTimeout(resolve, 10));
    write('ecosystem.config.js', `module.exports = [${WEB.replace('web', 'late')}]`);
    const late = await Promise.all([reader.readAnew(), reader.readAnew()]);
    await early;
    expect(late).toMatchObject([[{ name: 'late' }], [{ name: 'late' }]]);
  });

  it('whose link leads in a circle by now has changed, and the reading says so', async () => {
    write('real.config.js', `module.exports = [${WEB}]`);
    const file = join(folder, 'ecosystem.config.js');
    symlinkSync('real.config.js', file);
    const reader = new EcosystemReader({ file, pm2Home });
    await reader.read();
    symlinkSync('ecosystem.config.js', join(folder, 'next'));
    renameSync(join(folder, 'next'), file);
    expect(await reader.hasChanged()).toBe(true);
    await expect(reader.read()).rejects.toMatchObject({
      code: 'ecosystem.unreadable',
      message: expect.stringMatching(/ELOOP/) as string,
    });
  });

  it('follows a link on its way that is switched', async () => {
    for (const release of ['1', '2']) {
      mkdirSync(join(folder, release));
      write(`${release}/app.js`, '');
      write(
        `${release}/ecosystem.config.js`,
        `module.exports = [{ name: 'web', script: 'app.js', args: '${release}' }, { name: 'real', script: 'app.js', cwd: __dirname }]`,
      );
    }
    const link = join(folder, 'current');
    symlinkSync('1', link);
    await settle();
    const reader = new EcosystemReader({ file: join(link, 'ecosystem.config.js'), pm2Home });
    const release = async (): Promise<unknown> =>
      (await reader.read()).map(({ definition }) => [definition?.script, definition?.args]);
    expect(await release()).toEqual([
      [join(link, 'app.js'), ['1']],
      [join(folder, '1/app.js'), []],
    ]);
    symlinkSync('2', `${link}.next`);
    renameSync(`${link}.next`, link);
    expect(await release()).toEqual([
      [join(link, 'app.js'), ['2']],
      [join(folder, '2/app.js'), []],
    ]);
  });
});
