import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { loadConfig } from './load.js';
import { formatProblems } from './problems.js';
import { ConfigWatcher, type ConfigEvents, type WatchOptions } from './watch.js';

type Heard =
  | ({ readonly kind: 'changed' } & ConfigEvents['changed'])
  | ({ readonly kind: 'rejected' } & ConfigEvents['rejected']);

let root: string;
let watchers: ConfigWatcher[];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'holdfast-watch-'));
  watchers = [];
});
afterEach(() => {
  for (const watcher of watchers) watcher.close();
  rmSync(root, { recursive: true, force: true });
});

const write = (text: string, name = 'config.yml'): void => writeFileSync(join(root, name), text);

/** As editors save: another file, renamed over the old one. */
function replace(text: string): void {
  write(text, '.config.yml.swp');
  renameSync(join(root, '.config.yml.swp'), join(root, 'config.yml'));
}

/** A watcher, and what it says, one after the other. */
function watchRoot(options: Partial<WatchOptions> = {}): () => Promise<Heard> {
  const loaded = loadConfig({ root, env: {} });
  if (!loaded.ok) throw new Error(formatProblems(loaded.problems));
  const watcher = new ConfigWatcher({ root, env: {}, current: loaded.config, debounceMs: 20, ...options });
  watchers.push(watcher);
  const heard: Heard[] = [];
  let wake: () => void = () => undefined;
  const hear = (said: Heard): void => {
    heard.push(said);
    wake();
  };
  watcher.on('changed', (payload) => hear({ kind: 'changed', ...payload }));
  watcher.on('rejected', (payload) => hear({ kind: 'rejected', ...payload }));
  return async () => {
    while (heard.length === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return heard.shift() as Heard;
  };
}

describe('ConfigWatcher', () => {
  it('tells what changed, and what of it needs a restart', async () => {
    write('maxInstances: 5\n');
    const next = watchRoot();
    write('maxInstances: 6\nhaPort: 4000\nservices:\n  shop:\n    cpuThresholdHigh: 60\n  mail:\n');
    const heard = await next();
    expect(heard).toMatchObject({
      kind: 'changed',
      keys: ['haPort', 'maxInstances', 'services.mail', 'services.shop', 'services.shop.cpuThresholdHigh'],
      needRestart: ['haPort'],
    });
    expect(heard.kind === 'changed' && heard.config.serviceDefaults.maxInstances).toBe(6);
  });

  it.each([
    ['written in place', write],
    ['replaced by a rename', replace],
  ])('notices a file that is %s, again and again', async (_how, save) => {
    const next = watchRoot();
    for (const maxInstances of [5, 6, 7]) {
      save(`maxInstances: ${maxInstances}\n`);
      expect(await next()).toMatchObject({ kind: 'changed', keys: ['maxInstances'] });
    }
  });

  it('notices .env', async () => {
    const next = watchRoot();
    write('MAX_INSTANCES=7\n', '.env');
    expect(await next()).toMatchObject({ kind: 'changed', keys: ['maxInstances'] });
  });

  it('rejects what is wrong, once, and goes on from the last valid configuration', async () => {
    write('maxInstances: 5\n');
    const next = watchRoot({ pollMs: 10 });
    write('maxInstances: 6\nminInstances: none\n');
    expect(await next()).toMatchObject({ kind: 'rejected', problems: [{ key: 'minInstances' }] });
    write('maxInstances: 5\nminInstances: 2\n');
    expect(await next()).toMatchObject({ kind: 'changed', keys: ['minInstances'] });
  });

  it('tells of a correction that leads back to what runs, once: the rejection is over', async () => {
    write('maxInstances: 5\n');
    const next = watchRoot({ pollMs: 10 });
    write('maxInstances: five\n');
    expect(await next()).toMatchObject({ kind: 'rejected' });
    write('maxInstances: 5\n');
    expect(await next()).toMatchObject({ kind: 'changed', keys: [], needRestart: [] });
    write('# what ran all the time\nmaxInstances: 5\n');
    write('maxInstances: 6\n');
    expect(await next()).toMatchObject({ kind: 'changed', keys: ['maxInstances'] });
  });

  it('is quiet about changes without consequence', async () => {
    write('maxInstances: 5\n');
    const next = watchRoot({ pollMs: 10 });
    write('# a comment\nmaxInstances: 5\n');
    write('unrelated', 'other.txt');
    write('# another\nmaxInstances: 8\n');
    expect(await next()).toMatchObject({ kind: 'changed', keys: ['maxInstances'] });
  });

  it('does not pass through the defaults when a file is deleted and written anew', async () => {
    write('maxInstances: 5\n');
    const next = watchRoot({ pollMs: 10, missingMs: 60_000 });
    write('maxInstances: 6\n');
    await next();
    rmSync(join(root, 'config.yml'));
    // Time for several polls to find it missing.
    for (let i = 0; i < 10; i += 1) await new Promise((resolve) => setTimeout(resolve, 10));
    write('maxInstances: 7\n');
    const heard = await next();
    expect(heard.kind === 'changed' && heard.config.serviceDefaults.maxInstances).toBe(7);
  });

  it('returns to the defaults when the file stays away', async () => {
    write('maxInstances: 5\n');
    const next = watchRoot({ pollMs: 10, missingMs: 30 });
    rmSync(join(root, 'config.yml'));
    const heard = await next();
    expect(heard.kind === 'changed' && heard.config.serviceDefaults.maxInstances).toBe(4);
  });

  it('finds a change by polling where watching is not possible', async () => {
    const loaded = loadConfig({ root, env: {} });
    if (!loaded.ok) throw new Error('the defaults are valid');
    const elsewhere = join(root, 'not-there-yet', 'config.yml');
    const next = watchRoot({
      pollMs: 10,
      current: { ...loaded.config, configFile: elsewhere, dotEnvFile: join(root, '.env') },
    });
    write('MAX_INSTANCES=9\n', '.env');
    expect(await next()).toMatchObject({ kind: 'changed', keys: ['maxInstances'] });
  });

  it('catches a change between loading and watching', async () => {
    const loaded = loadConfig({ root, env: {} });
    if (!loaded.ok) throw new Error('the defaults are valid');
    write('maxInstances: 9\n');
    expect(await watchRoot({ current: loaded.config })()).toMatchObject({ keys: ['maxInstances'] });
  });

  it('is not hurt by a listener that throws', async () => {
    const errors: unknown[] = [];
    const next = watchRoot({ onListenerError: (error) => errors.push(error) });
    watchers[0]?.on('changed', () => {
      throw new Error('listener broke');
    });
    write('maxInstances: 5\n');
    await next();
    write('maxInstances: 6\n');
    await next();
    expect(errors).toHaveLength(2);
  });
});
