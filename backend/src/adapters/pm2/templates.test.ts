import { describe, expect, it } from 'vitest';
import type { Logger } from '../../ports.js';
import type { DefinedApp } from './appDefinition.js';
import { parseList } from './processRow.js';
import { TemplateStore } from './templates.js';
import { definedApp } from './testing/definedApp.js';

const FILE = '/srv/file.js';

function running(name: string): ReturnType<typeof parseList> {
  const paths = { pm_exec_path: '/srv/by-hand.js', pm_cwd: '/srv', pm_pid_path: '/pm2/pids/x.pid' };
  const logs = { pm_out_log_path: '/pm2/logs/out.log', pm_err_log_path: '/pm2/logs/err.log' };
  return parseList([{ pid: 1, pm2_env: { name, pm_id: 0, ...paths, ...logs, env: { FROM: 'instance' } } }]);
}

function recordingLogger(): { logger: Logger; warnings: string[] } {
  const warnings: string[] = [];
  const quiet = (): void => undefined;
  const warn = (_message: string, fields?: Readonly<Record<string, unknown>>): void =>
    void warnings.push(String(fields?.['problem']));
  return { logger: { debug: quiet, info: quiet, error: quiet, warn }, warnings };
}

describe('TemplateStore', () => {
  it('prefers the file as it is now to anything remembered', async () => {
    let script = '/srv/one.js';
    const store = new TemplateStore(
      () => Promise.resolve([definedApp('web', script)]),
      recordingLogger().logger,
    );
    store.remember(running('web'));
    expect((await store.definitionOf('web')).script).toBe('/srv/one.js');
    script = '/srv/two.js';
    expect((await store.definitionOf('web')).script).toBe('/srv/two.js');
  });

  it('goes on with the last good answer of a file that broke, and warns once per problem', async () => {
    const { logger, warnings } = recordingLogger();
    let problem = '';
    const load = (): Promise<readonly DefinedApp[]> =>
      problem === '' ? Promise.resolve([definedApp('web', FILE)]) : Promise.reject(new Error(problem));
    const store = new TemplateStore(load, logger);
    await store.definitionOf('web');
    for (const each of ['syntax', 'syntax', 'other', '', 'other']) {
      problem = each;
      expect((await store.definitionOf('web')).script).toBe('/srv/file.js');
    }
    expect(warnings).toEqual(['syntax', 'other', 'other']);
  });

  it('goes by what was read before it when it never could read the file itself', async () => {
    const load = (): Promise<never> => Promise.reject(new Error('syntax'));
    const store = new TemplateStore(load, recordingLogger().logger, [definedApp('web', FILE)]);
    store.remember(running('web'));
    expect((await store.definitionOf('web')).script).toBe('/srv/file.js');
  });

  it('rejects with the problem of the file when there is nothing else to go by', async () => {
    const store = new TemplateStore(() => Promise.reject(new Error('syntax')), recordingLogger().logger);
    await expect(store.definitionOf('web')).rejects.toThrow('syntax');
    store.remember(running('web'));
    expect((await store.definitionOf('web')).script).toBe('/srv/by-hand.js');
  });

  it('goes on with what is known of an application that PM2 refuses, and warns once', async () => {
    const { logger, warnings } = recordingLogger();
    let web = definedApp('web');
    const store = new TemplateStore(() => Promise.resolve([web, definedApp('mail', FILE)]), logger);
    await expect(store.definitionOf('web')).rejects.toMatchObject({
      code: 'ecosystem.invalid',
      message: expect.stringContaining('No script path') as string,
    });
    expect((await store.definitionOf('mail')).script).toBe(FILE);
    store.remember(running('web'));
    expect((await store.definitionOf('web')).script).toBe('/srv/by-hand.js');
    web = definedApp('web', FILE);
    expect((await store.definitionOf('web')).script).toBe(FILE);
    web = definedApp('web');
    expect((await store.definitionOf('web')).script).toBe(FILE);
    expect(warnings).toEqual(['No script path - aborting', 'No script path - aborting']);
  });

  it('remembers an instance of a service that no file describes, for when the last one is gone', async () => {
    const store = new TemplateStore(
      () => Promise.resolve([definedApp('other', FILE)]),
      recordingLogger().logger,
    );
    await expect(store.definitionOf('web')).rejects.toMatchObject({ code: 'service.undefined', status: 404 });
    store.remember(running('web'));
    store.remember([]);
    expect(await store.definitionOf('web')).toMatchObject({
      script: '/srv/by-hand.js',
      env: { FROM: 'instance' },
    });
  });

  it('forgets the service unseen for longest beyond its bound', async () => {
    const store = new TemplateStore(() => Promise.resolve([]), recordingLogger().logger);
    store.remember(running('first'));
    for (let number = 0; number < 256; number += 1) store.remember(running(`web-${number}`));
    await expect(store.definitionOf('first')).rejects.toMatchObject({ code: 'service.undefined' });
    expect((await store.definitionOf('web-0')).name).toBe('web-0');
  });
});
