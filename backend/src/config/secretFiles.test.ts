/** Every setting that is a secret, given by a file: in the environment, in .env, in config.yml, for one service. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { scrubber } from '../lib/secrets/ofProcess.js';
import { SECRETS } from '../lib/secretFiles.js';
import { GATEWAY_SETTINGS } from './gatewaySchema.js';
import { loadConfig, type LoadResult } from './load.js';
import { formatProblems } from './problems.js';
import { ENVIRONMENT_SETTINGS, environmentName, GLOBAL_SETTINGS, SERVICE_SETTINGS } from './schema.js';
import type { Registry } from './setting.js';

const ALL: Registry = {
  ...GLOBAL_SETTINGS,
  ...GATEWAY_SETTINGS,
  ...SERVICE_SETTINGS,
  ...ENVIRONMENT_SETTINGS,
};
const KEYS = Object.keys(ALL).filter((key) => ALL[key]?.secret === true);

/** As it is written; a value for each kind of secret. */
const WRITTEN: Readonly<Record<string, string>> = {
  notifyWebhookUrl: 'https://hooks.example/written-by-hand',
  healthHeaders: 'x-token: written-by-hand-2',
};
const WEAKER: typeof WRITTEN = {
  notifyWebhookUrl: 'https://hooks.example/weaker',
  healthHeaders: 'x-token: weaker',
};
/** What no setting of this kind takes. */
const REFUSED: typeof WRITTEN = { lbStickyKeys: 'written,by-hand' };
const SECRET = 'written-by-hand-and-long-enough';
const valueOf = (key: string): string => WRITTEN[key] ?? SECRET;

let root: string;
beforeEach(() => void (root = mkdtempSync(join(tmpdir(), 'holdfast-config-'))));
afterEach(() => rmSync(root, { recursive: true, force: true }));

const put = (name: string, text: string): string => {
  const file = join(root, name);
  writeFileSync(file, text);
  return file;
};
const load = (env: NodeJS.ProcessEnv = {}): LoadResult => loadConfig({ root, env });
const problemsOf = (result: LoadResult): string => (result.ok ? '' : formatProblems(result.problems));
function valuesOf(result: LoadResult): ReadonlyMap<string, unknown> {
  if (!result.ok) throw new Error(problemsOf(result));
  return result.config.values;
}

it('the ecosystem files know every secret there is', () => {
  expect([...SECRETS].sort()).toEqual(KEYS.map(environmentName).sort());
});

describe.each(KEYS)('%s', (key) => {
  const name = environmentName(key);

  it('has the same value from a file as written itself, wherever the file is named', () => {
    const plain = valuesOf(load({ [name]: valueOf(key) })).get(key);
    const file = put('secret', `${valueOf(key)}\n`);
    expect(plain).not.toBeNull();
    expect(valuesOf(load({ [`${name}_FILE`]: file })).get(key)).toEqual(plain);
    put('.env', `${name}_FILE=secret\n`);
    expect(valuesOf(load()).get(key)).toEqual(plain);
    rmSync(join(root, '.env'));
    put('config.yml', `${key}File: ${file}\n`);
    const result = load();
    expect(valuesOf(result).get(key)).toEqual(plain);
    expect(result.ok && result.config.secrets.length > 0).toBe(true);
  });

  it('is refused when it is given twice in one place, and taken from the stronger of two places', () => {
    const file = put('secret', valueOf(key));
    const both = problemsOf(load({ [name]: valueOf(key), [`${name}_FILE`]: file }));
    expect(both).toContain(`environment: ${name}_FILE: ${name} is set as well; set one of the two`);
    expect(scrubber.text(both)).toBe(both);
    put('.env', `${name}="${WEAKER[key] ?? 'weaker-and-long-enough'}"\n`);
    expect(valuesOf(load({ [`${name}_FILE`]: file })).get(key)).toEqual(
      valuesOf(load({ [name]: valueOf(key) })).get(key),
    );
  });

  it('says which variable, which file and why, and never the content', () => {
    const told = problemsOf(load({ [`${name}_FILE`]: join(root, 'token') }));
    expect(told).toContain(`environment: ${name}_FILE: names ${root}/token, but there is no such file`);
    expect(scrubber.text(told)).toBe(told);
    const file = put('secret', REFUSED[key] ?? 'by-hand\u0007\n');
    const refused = problemsOf(load({ [`${name}_FILE`]: file }));
    expect(refused).toContain(`environment: ${name}_FILE = (hidden), expected `);
    expect(refused).not.toContain('by-hand');
  });
});

it('a secret of one service may be in a file, too', () => {
  put('headers', 'x-token: written-by-hand\n');
  put('config.yml', 'services:\n  shop:\n    healthHeadersFile: headers\n');
  expect(valuesOf(load()).get('services.shop.healthHeaders')).toEqual({ 'x-token': 'written-by-hand' });
  put('config.yml', 'services:\n  shop:\n    healthHeadersFile: headers\n    healthHeaders: {a: b}\n');
  expect(problemsOf(load())).toContain(
    'config.yml line 4: services.shop.healthHeadersFile: services.shop.healthHeaders is set as well; set one of the two',
  );
});

it('what is no secret has no file', () => {
  const { warnings } = load({ HA_PORT_FILE: '/x' });
  expect(warnings).toEqual(['environment: HA_PORT_FILE is not a setting and is ignored']);
  put('config.yml', 'haPortFile: /x\n');
  expect(problemsOf(load())).toContain('haPortFile: is not a setting');
});

it('an empty name of a file is none', () => {
  expect(valuesOf(load({ HA_API_TOKEN_FILE: '' })).get('haApiToken')).toBeNull();
});

it('a name that is nearly right is told', () => {
  expect(load({ HA_API_TOKN_FILE: '/x' }).warnings[0]).toContain('did you mean HA_API_TOKEN_FILE?');
});
