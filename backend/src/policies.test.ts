import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
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
  ecosystem([app('ha-supervisor'), app('shop', { port: 14_000 })]);
  const policies = await Policies.read(configOf('services:\n  mail:\n    startPort: 15000\n'), HOST);
  expect(policies.current.map(({ name }) => name)).toEqual(['shop', 'mail']);
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
