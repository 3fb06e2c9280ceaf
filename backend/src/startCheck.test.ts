/** What is said of a service before its next start. Real ecosystem files. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';

import { systemClock } from './adapters/clock.js';
import { loadConfig } from './config/load.js';
import { Policies } from './policies.js';
import { StartCheck } from './startCheck.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'holdfast-start-check-'));
  writeFileSync(join(root, 'server.js'), '');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

async function warningsOf(env: object): Promise<readonly string[]> {
  const apps = [{ name: 'shop', script: 'server.js', env }];
  writeFileSync(join(root, 'ecosystem.config.js'), `module.exports = ${JSON.stringify({ apps })};`);
  const result = loadConfig({ root, env: { HOME: root, HA_ECOSYSTEM_FILE: 'ecosystem.config.js' } });
  if (!result.ok) throw new Error('expected a configuration');
  const policies = await Policies.read(result.config, { cores: 4, memoryBytes: 8e9 });
  return new StartCheck({ policies, rowsOf: () => [], clock: systemClock, logger: silent }).warningsOf(
    'shop',
  );
}

it.each(['/run/shop.sock', '70000'])('a PORT that is no port is told: %s', async (port) => {
  expect(await warningsOf({ PORT: port })).toEqual([
    `PORT of shop is "${port}", which is no port: it is neither probed nor given traffic. ` +
      'Unix sockets are not supported; give it a number from 1 to 65535.',
  ]);
});

it.each([{ PORT: '14000' }, {}])('nothing is said of %j', async (env) => {
  expect(await warningsOf(env)).toEqual([]);
});
