/**
 * Every row of docs/reference/compatibility.md that needs no process of its own (the others:
 * test/integration/compatibility.test.ts). A row without a test does not compile.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { startHarness } from '../../backend/src/api/testing/harness.js';
import { COMPATIBILITY, type CompatibilityId } from '../../backend/src/compatibility.js';
import { loadConfig, type Config } from '../../backend/src/config/load.js';
import { formatProblems } from '../../backend/src/config/problems.js';
import { portRange } from '../../backend/src/domain/members.js';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'holdfast-compatibility-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function configOf(env: NodeJS.ProcessEnv = {}): Config {
  const result = loadConfig({ root: folder, env });
  if (!result.ok) throw new Error(formatProblems(result.problems));
  return result.config;
}

const sourceOf = (env: NodeJS.ProcessEnv) => configOf(env).gateway.source;

/** What an ecosystem file defines, evaluated with these variables. */
function ecosystemOf(file: string, env: Readonly<Record<string, string>>) {
  const before = { ...process.env };
  Object.assign(process.env, { HA_DATA_DIR: folder, ...env });
  try {
    const require = createRequire(import.meta.url);
    delete require.cache[join(repository, file)];
    return (require(join(repository, file)) as { apps: { name: string; instances: number; port?: number }[] })
      .apps;
  } finally {
    for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
    Object.assign(process.env, before);
  }
}

const CHECKS: Readonly<Record<CompatibilityId<'in-process'>, () => void | Promise<void>>> = {
  'cluster-settings': () => {
    expect(configOf()).toMatchObject({ instanceCount: 5, startPort: null });
    expect(configOf({ INSTANCE_COUNT: '3', START_PORT: '14004' })).toMatchObject({
      instanceCount: 3,
      startPort: 14_004,
    });
    for (const wrong of ['0', '-1', 'abc', '2.5', '513']) {
      const result = loadConfig({ root: folder, env: { INSTANCE_COUNT: wrong } });
      if (result.ok) throw new Error(`INSTANCE_COUNT=${wrong} was taken`);
      expect(formatProblems(result.problems)).toContain(
        `INSTANCE_COUNT = "${wrong}", expected a whole number from 1 to 512`,
      );
    }
    const backendOf = (env: Record<string, string>) =>
      ecosystemOf('ecosystem.cluster.config.js', env).find(({ name }) => name === 'wordpecker-backend');
    expect(backendOf({ INSTANCE_COUNT: '3', START_PORT: '14004' })).toMatchObject({
      instances: 3,
      port: 14_004,
    });
    expect(backendOf({})).toMatchObject({ instances: 2, port: 13_004 });
    expect(() => backendOf({ INSTANCE_COUNT: 'abc' })).toThrow('INSTANCE_COUNT is "abc"');
  },

  prod: () => {
    const { scripts } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    expect(scripts['prod']).toMatch(/^npm start\b/);
    const names = ecosystemOf('ecosystem.cluster.config.js', {}).map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['ha-gateway', 'wordpecker-backend']));
  },

  'port-range': () => {
    expect(sourceOf({ BACKEND_START_PORT: '13004' })).toEqual({
      kind: 'static',
      members: portRange('127.0.0.1', 13_004, 5),
    });
    expect(sourceOf({ BACKEND_COUNT: '2' })).toEqual({
      kind: 'static',
      members: portRange('127.0.0.1', 13_004, 2),
    });
    expect(sourceOf({ BACKEND_DNS: 'backend' })).toMatchObject({ kind: 'dns', port: 13_004 });
  },

  'scale-again': async () => {
    const api = await startHarness();
    try {
      for (const direction of ['up', 'down']) {
        const body = { serviceName: 'words', targetInstances: 2 };
        const { status, json } = await api.call('POST', `/api/ha/scale-${direction}`, { body });
        expect([status, json.success]).toEqual([200, true]);
        expect(json.data).toMatchObject({ changed: false, toInstances: 2 });
      }
    } finally {
      await api.close();
    }
  },
};

describe('works as it is written', () => {
  it.each(COMPATIBILITY.filter((row) => row.test === 'in-process'))('$typed', ({ id }) => CHECKS[id]());
});
