import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';

import { loadConfig, type Config } from './config/load.js';
import { formatProblems } from './config/problems.js';
import { Policies } from './policies.js';

const HOST = { cores: 4, memoryBytes: 8 * 1024 ** 3 };
const MEBIBYTE = 1024 ** 2;

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'holdfast-policies-'));
  writeFileSync(join(root, 'server.js'), '');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function ecosystem(apps: readonly object[], name = 'ecosystem.config.js'): void {
  writeFileSync(join(root, name), `module.exports = ${JSON.stringify({ apps })};`);
}

function configOf(yaml = ''): Config {
  writeFileSync(join(root, 'config.yml'), yaml);
  const result = loadConfig({ root, env: { HOME: root, HA_ECOSYSTEM_FILE: 'ecosystem.config.js' } });
  if (!result.ok) throw new Error(formatProblems(result.problems));
  return result.config;
}

const app = (name: string, more: object = {}) => ({ name, script: 'server.js', ...more });

it('are those of the services that the files name, and of none of ours', async () => {
  ecosystem([app('ha-supervisor'), app('ha-gateway'), app('shop', { port: 14_000 }), app('ha-proxy')]);
  const policies = await Policies.read(configOf('services:\n  mail:\n    startPort: 15000\n'), HOST);
  expect(policies.current.map(({ name }) => name)).toEqual(['shop', 'ha-proxy', 'mail']);
  expect(policies.of('shop')?.ports?.first).toBe(14_000);
  expect(policies.of('ha-supervisor')).toBeUndefined();
});

it('follow the ecosystem file whenever something is started by it', async () => {
  ecosystem([app('shop', { max_memory_restart: '200M' })]);
  const policies = await Policies.read(configOf(), HOST);
  let changes = 0;
  policies.onChange = () => (changes += 1);
  expect(policies.of('shop')?.memoryLimitBytes).toBe(200 * MEBIBYTE);
  await policies.readDefinitions();
  expect(changes).toBe(0);
  ecosystem([app('shop', { max_memory_restart: '300M' }), app('new')]);
  expect((await policies.readDefinitions()).map(({ name }) => name)).toEqual(['shop', 'new']);
  expect(policies.of('shop')?.memoryLimitBytes).toBe(300 * MEBIBYTE);
  expect(changes).toBe(1);
  // Whom to look after is settled at the start.
  expect(policies.of('new')).toBeUndefined();
});

it('make room for what the file starts, by name or by number of cores', async () => {
  const cores = cpus().length;
  ecosystem([
    app('six', { instances: 6 }),
    app('all', { instances: 'max', exec_mode: 'cluster' }),
    app('rest', { instances: -1, exec_mode: 'cluster' }),
  ]);
  const policies = await Policies.read(configOf(), HOST);
  const most = (name: string) => policies.of(name)?.scaling.maxInstances;
  expect([most('six'), most('all'), most('rest')]).toEqual([6, Math.max(4, cores), Math.max(4, cores - 1)]);
  ecosystem([app('six', { instances: 8 }), app('all'), app('rest')]);
  await policies.readChanges();
  expect([most('six'), most('all')]).toEqual([8, 4]);
});

it('keep what a service was held to when PM2 refuses it, say why, and refuse its deploy', async () => {
  ecosystem([app('shop', { max_memory_restart: '200M' }), app('mail')]);
  const policies = await Policies.read(configOf(), HOST);
  expect(policies.problemOf('shop')).toBeNull();
  ecosystem([app('shop', { script: 'gone.js' }), app('mail')]);
  await policies.readChanges();
  expect(policies.problemOf('shop')).toContain(`Script not found: ${join(root, 'gone.js')}`);
  expect(policies.problemOf('mail')).toBeNull();
  expect(policies.of('shop')?.memoryLimitBytes).toBe(200 * MEBIBYTE);
  await expect(policies.renewDefinition('shop')).rejects.toMatchObject({
    code: 'ecosystem.invalid',
    status: 409,
  });
  await policies.renewDefinition('mail');
  writeFileSync(join(root, 'gone.js'), '');
  await policies.readChanges();
  expect(policies.problemOf('shop')).toBeNull();
  writeFileSync(join(root, 'ecosystem.config.js'), 'module.exports = {');
  await policies.readChanges();
  expect(policies.problemOf('mail')).toContain('Cannot load');
  await expect(policies.renewDefinition('mail')).rejects.toMatchObject({ code: 'ecosystem.unreadable' });
});

it('follow config.yml, and keep who is not named any more', async () => {
  ecosystem([app('shop')]);
  const policies = await Policies.read(configOf('services:\n  mail:\n'), HOST);
  policies.configure(configOf('defaultService: shop\nservices:\n  shop:\n    maxInstances: 7\n'));
  expect(policies.of('shop')?.scaling.maxInstances).toBe(7);
  expect(policies.of('mail')).toBeDefined();
  expect(policies.defaultService).toBe('shop');
});

it('come from the file of the start, whatever is configured since', async () => {
  ecosystem([app('shop')]);
  ecosystem([app('other')], 'other.config.js');
  const policies = await Policies.read(configOf(), HOST);
  policies.configure({ ...configOf(), ecosystemFile: join(root, 'other.config.js') });
  expect((await policies.readDefinitions()).map(({ name }) => name)).toEqual(['shop']);
});
