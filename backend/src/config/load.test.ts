import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { GATEWAY_SETTINGS } from './gatewaySchema.js';
import { loadConfig, type Config, type LoadResult } from './load.js';
import { appliesLive } from './watch.js';
import { formatProblems, type Problem } from './problems.js';
import { environmentName, GLOBAL_SETTINGS, SERVICE_SETTINGS } from './schema.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'holdfast-config-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

interface Given {
  readonly yaml?: string;
  readonly dotEnv?: string;
  readonly env?: NodeJS.ProcessEnv;
}

function load({ yaml, dotEnv, env = {} }: Given): LoadResult {
  if (yaml !== undefined) writeFileSync(join(root, 'config.yml'), yaml);
  if (dotEnv !== undefined) writeFileSync(join(root, '.env'), dotEnv);
  return loadConfig({ root, env });
}

function configOf(given: Given): Config {
  const result = load(given);
  if (!result.ok) throw new Error(formatProblems(result.problems));
  return result.config;
}

function problemsOf(given: Given): readonly Problem[] {
  const result = load(given);
  if (result.ok) throw new Error('expected problems');
  return result.problems;
}

describe('loadConfig', () => {
  it('has defaults for everything', () => {
    const config = configOf({ env: { HOME: '/home/somebody' } });
    expect(config).toMatchObject({
      root,
      configFile: join(root, 'config.yml'),
      host: '127.0.0.1',
      port: 3000,
      apiToken: null,
      sessionSecret: null,
      ecosystemFile: join(root, 'ecosystem.cluster.config.js'),
      ecosystemEnv: 'production',
      dataDir: join(root, 'data'),
      apiLimits: {
        connections: 512,
        connectionsPerAddress: 64,
        loopbackConnections: 128,
        unauthenticatedRequests: 100,
        sessionIdleMs: 43_200_000,
        sessionLifetimeMs: 86_400_000,
      },
      apiSocket: join(root, 'data/run/api-3000.sock'),
      agentSocket: join(root, 'data/run/agents.sock'),
      logDir: join(root, 'logs'),
      pm2Home: '/home/somebody/.pm2',
      pm2Bin: null,
      observeIntervalMs: 1000,
      logLevel: 'info',
      logMaxBytes: 10 * 1024 * 1024,
      logMaxAgeDays: 14,
      logGroupRead: false,
      blackBoxMaxEntries: 50,
      blackBoxMaxBytes: 100 * 1024 ** 2,
    });
    expect(config.serviceDefaults).toMatchObject({
      autoscale: true,
      cpuThresholdHigh: 80,
      cpuThresholdLow: 30,
      memoryThresholdHigh: 80,
      memoryThresholdLow: 30,
      minInstances: 1,
      maxInstances: 4,
      scaleCooldown: 60_000,
      healthCheckInterval: 30_000,
      healthCheckTimeout: 5_000,
      healthPath: '/health',
      healthStatus: { min: 200, max: 399 },
      unhealthyThreshold: 3,
      healthyThreshold: 2,
      maxRestartAttempts: 3,
      restartCooldown: 60_000,
      memoryLimit: 512 * 1024 * 1024,
    });
    expect(config.services.size).toBe(0);
  });

  it('lets config.yml give way to .env and .env to the environment', () => {
    const yaml = 'haPort: 4001\nmaxInstances: 5\nminInstances: 2\n';
    const dotEnv = 'HA_PORT=4002\nMAX_INSTANCES="6"\n';
    const config = configOf({ yaml, dotEnv, env: { HA_PORT: '4003' } });
    expect(config.port).toBe(4003);
    expect(config.serviceDefaults.maxInstances).toBe(6);
    expect(config.serviceDefaults.minInstances).toBe(2);
  });

  it('keeps what is said of one service, also against the environment, and the declaration of a bare one', () => {
    const yaml = 'services:\n  shop:\n    cpuThresholdHigh: 60\n    startPort: 15000\n  mail:\n';
    const config = configOf({ yaml, env: { CPU_THRESHOLD_HIGH: '90' } });
    expect(config.serviceDefaults.cpuThresholdHigh).toBe(90);
    expect([...config.services]).toEqual([
      ['shop', { cpuThresholdHigh: 60, startPort: 15000 }],
      ['mail', {}],
    ]);
  });

  it("goes by the deployment's word on autoscaling only where nobody else says anything", () => {
    const env = { HA_DEFAULT_AUTOSCALE: 'false' };
    const isOn = (given: Given): boolean => configOf(given).serviceDefaults.autoscale;
    expect(isOn({ env })).toBe(false);
    expect(isOn({ env, yaml: 'autoscale: true\n' })).toBe(true);
    expect(isOn({ env, dotEnv: 'AUTOSCALE=true\n' })).toBe(true);
    expect(isOn({ env: { ...env, AUTOSCALE: 'true' } })).toBe(true);
  });

  it('takes typed and textual values alike', () => {
    const yaml =
      'autoscale: "off"\nhaPort: "4000"\nmemoryLimit: 1.5G\nhealthStatus: 204\nmaxInstances: auto\n';
    const config = configOf({ yaml });
    expect(config.port).toBe(4000);
    expect(config.serviceDefaults).toMatchObject({
      autoscale: false,
      memoryLimit: 1.5 * 1024 ** 3,
      healthStatus: { min: 204, max: 204 },
      maxInstances: 'auto',
    });
  });

  it('takes host names separated by commas', () => {
    expect(configOf({ env: { HA_ALLOWED_HOSTS: 'ha.example.org, ops' } }).allowedHosts).toEqual([
      'ha.example.org',
      'ops',
    ]);
    expect(configOf({}).allowedHosts).toEqual([]);
    const [problem] = problemsOf({ yaml: 'haAllowedHosts: "https://ha.example.org"\n' });
    expect(problem).toMatchObject({ key: 'haAllowedHosts' });
  });

  it('treats an empty value as an unset one', () => {
    const config = configOf({
      yaml: 'haPort:\nservices:\n',
      dotEnv: 'HA_API_TOKEN=\n',
      env: { PM2_BIN: '' },
    });
    expect(config.port).toBe(3000);
    expect(config.apiToken).toBeNull();
    expect(config.pm2Bin).toBeNull();
  });

  it('reads files as Windows editors write them', () => {
    const config = configOf({
      yaml: '\uFEFFhaPort: 4000\r\nmaxInstances: 5\r\n',
      dotEnv: '\uFEFFMIN_INSTANCES=2\r\n',
    });
    expect(config.port).toBe(4000);
    expect(config.serviceDefaults).toMatchObject({ minInstances: 2, maxInstances: 5 });
  });

  it('finds the files where HA_ROOT and HA_CONFIG say', () => {
    mkdirSync(join(root, 'etc'));
    writeFileSync(join(root, 'etc', 'other.yml'), 'haPort: 4005\n');
    const result = loadConfig({ root: '/nowhere', env: { HA_ROOT: root, HA_CONFIG: 'etc/other.yml' } });
    expect(result.ok && result.config.port).toBe(4005);

    const missing = loadConfig({ root, env: { HA_CONFIG: 'etc/absent.yml' } });
    expect(missing.ok ? [] : missing.problems).toMatchObject([{ source: 'etc/absent.yml', key: '' }]);
  });

  it('reports every problem of every source at once, with place, key, value and what is allowed', () => {
    const yaml = [
      'haPort: 99999',
      'cpuTresholdHigh: 70',
      'maxInstances: many',
      'services:',
      '  shop:',
      '    memoryLimit: lots',
      '    haPort: 3001',
      '    scaleColdown: 1',
      'startPort: 4000',
    ].join('\n');
    const dotEnv = 'HEALTH_PROBE=icmp\nHA_ROOT=/tmp\n';
    const problems = problemsOf({ yaml, dotEnv, env: { HA_PORT: '3000', HEALTH_STATUS: '399-200' } });

    expect(problems).toEqual([
      {
        source: 'config.yml line 2',
        key: 'cpuTresholdHigh',
        value: null,
        allowed: expect.stringContaining('did you mean cpuThresholdHigh?'),
      },
      {
        source: 'config.yml line 7',
        key: 'services.shop.haPort',
        value: null,
        allowed: expect.stringContaining('top level'),
      },
      {
        source: 'config.yml line 8',
        key: 'services.shop.scaleColdown',
        value: null,
        allowed: expect.stringContaining('did you mean scaleCooldown?'),
      },
      {
        source: 'config.yml line 9',
        key: 'startPort',
        value: null,
        allowed: expect.stringContaining('services.<name>.startPort'),
      },
      {
        source: 'config.yml line 1',
        key: 'haPort',
        value: '99999',
        allowed: 'a whole number from 1 to 65535',
      },
      {
        source: 'config.yml line 3',
        key: 'maxInstances',
        value: '"many"',
        allowed: 'a whole number from 1 to 512, or auto',
      },
      {
        source: 'config.yml line 6',
        key: 'services.shop.memoryLimit',
        value: '"lots"',
        allowed: expect.stringContaining('such as 512M'),
      },
      {
        source: '.env',
        key: 'HA_ROOT',
        value: null,
        allowed: expect.stringContaining('only be set in the environment'),
      },
      { source: '.env', key: 'HEALTH_PROBE', value: '"icmp"', allowed: 'http or tcp' },
      {
        source: 'environment',
        key: 'HEALTH_STATUS',
        value: '"399-200"',
        allowed: expect.stringContaining('range'),
      },
    ]);
    const report = formatProblems(problems);
    expect(report.split('\n')).toHaveLength(problems.length + 1);
    expect(report).toContain('config.yml line 1: haPort = 99999, expected a whole number from 1 to 65535');
  });

  it('forgives capitals and separators when it guesses what was meant', () => {
    const [problem] = problemsOf({ yaml: 'CPU_THRESHOLD_HIGH: 70\n' });
    expect(problem?.allowed).toContain('did you mean cpuThresholdHigh?');
    const [unlike] = problemsOf({ yaml: 'somethingElseEntirely: 70\n' });
    expect(unlike?.allowed).toContain('docs/reference/settings.md');
  });

  it.each([
    ['haPort: 1\n  b: 2\n', /^config\.yml line \d+, column \d+$/, /not valid YAML/],
    ['haPort: 1\nhaPort: 2\n', /^config\.yml line 2, column 1$/, /unique/],
    ['- a\n- b\n', /^config\.yml line 1$/, /list of settings/],
    ['just words\n', /^config\.yml line 1$/, /list of settings/],
    ['services: 5\n', /^config\.yml line 1$/, /map/],
    ['services:\n  shop: [1]\n', /^config\.yml line 2$/, /map/],
    ['haPort: {a: 1}\n', /^config\.yml line 1$/, /whole number/],
    ['haPort: *nowhere\n', /^config\.yml line 1/, /whole number/],
    ['? [a, b]\n: 1\n', /^config\.yml/, /name/],
  ])('says where %j is wrong', (yaml, source, allowed) => {
    const [problem] = problemsOf({ yaml });
    expect(problem?.source).toMatch(source);
    expect(problem?.allowed).toMatch(allowed);
  });

  it('is not disturbed by names that objects have of themselves', () => {
    const keys = problemsOf({ yaml: '__proto__: 1\nconstructor: 2\ntoString: 3\n' }).map(({ key }) => key);
    expect(keys).toEqual(['__proto__', 'constructor', 'toString']);
    const config = configOf({ yaml: 'services:\n  __proto__:\n    maxInstances: 2\n' });
    expect(config.services.get('__proto__')).toEqual({ maxInstances: 2 });
  });

  it.each([
    ['haPort: 4000\nbalancerPort: many\n', 'a value that is none'],
    ['haPort: 4000\nbalancerProt: 5000\n', 'a name that is none'],
    ['haPort: 4000\nmaxInstances: [1\n', 'a bracket that is not closed'],
    ['haPort: 4000\n\tmaxInstances: 3\n', 'a tab'],
    ['haPort: 4000\nmaxInstances 3\nx: 2\n', 'a colon that is missing'],
    ['haPort: 4000\nmaxInstances: 1\nminInstances: 3\n', 'values that exclude one another'],
  ])('keeps what is right beside what is wrong: %j, %s', (yaml) => {
    const result = load({ yaml, env: { HA_API_TOKEN: 'a-long-enough-token' } });
    if (result.ok) throw new Error('expected problems');
    expect(result.remains).toMatchObject({
      port: 4000,
      apiToken: 'a-long-enough-token',
      gateway: { port: 13_003 },
    });
  });

  it('says that config.yml cannot be read', () => {
    mkdirSync(join(root, 'config.yml'));
    expect(problemsOf({})).toMatchObject([
      { source: 'config.yml', allowed: expect.stringContaining('cannot be read') },
    ]);
  });

  it.each([
    ['cpuThresholdLow: 80', 'cpuThresholdLow', 'below cpuThresholdHigh (80)'],
    ['memoryThresholdHigh: 20', 'memoryThresholdLow', 'below memoryThresholdHigh (20)'],
    ['minInstances: 5', 'minInstances', 'at most maxInstances (4)'],
    ['healthCheckTimeout: 40000', 'healthCheckTimeout', 'at most healthCheckInterval (30000)'],
    [
      'healthCheckInterval: 500\nhealthCheckTimeout: 400',
      'healthCheckFastInterval',
      'at most healthCheckInterval (500)',
    ],
    ['portCount: 4', 'portCount', 'more than the 4 instances'],
    ['portCount: 4\nminInstances: 6\nmaxInstances: auto', 'portCount', 'more than the 6 instances'],
    [
      'services:\n  shop:\n    maxInstances: 2\nminInstances: 3',
      'minInstances',
      'at most maxInstances (2) of service shop',
    ],
    [
      'services:\n  shop:\n    cpuThresholdLow: 85',
      'services.shop.cpuThresholdLow',
      'below cpuThresholdHigh (80)',
    ],
    ['services:\n  shop:\n    startPort: 65500', 'services.shop.startPort', 'at most 65440'],
    [
      'services:\n  a: {startPort: 4000}\n  b: {startPort: 4095}',
      'services.b.startPort',
      'apart from that of a (4000 to 4095)',
    ],
    ['haHost: 0.0.0.0', 'haHost', 'HA_API_TOKEN'],
    ['lbTokenOnLoopback: on', 'lbTokenOnLoopback', 'HA_API_TOKEN'],
  ])('checks values against each other: %j', (yaml, key, allowed) => {
    expect(problemsOf({ yaml })).toMatchObject([{ key, allowed: expect.stringContaining(allowed) }]);
  });

  it('does not draw conclusions from a value that is no value', () => {
    expect(problemsOf({ yaml: 'minInstances: 9\nmaxInstances: x\n' }).map(({ key }) => key)).toEqual([
      'maxInstances',
    ]);
    const open = problemsOf({ yaml: 'haHost: 0.0.0.0\nhaApiToken: "a b"\n' });
    expect(open.map(({ key }) => key)).toEqual(['haApiToken']);
  });

  it('never shows a secret', () => {
    const problems = problemsOf({
      env: { HA_API_TOKEN: 'top secret', NOTIFY_WEBHOOK_URL: 'hooks.example/T0P' },
    });
    expect(problems).toMatchObject([{ value: '(hidden)' }, { value: '(hidden)' }]);
    expect(formatProblems(problems)).not.toMatch(/top secret|T0P/);
    const headers = problemsOf({
      yaml: 'services:\n  shop:\n    healthHeaders:\n      Connection: s3cret\n',
      env: { HEALTH_HEADERS: '{"X-Token": "s3cret\\n"}' },
    });
    expect(headers).toMatchObject([{ key: 'services.shop.healthHeaders' }, { key: 'HEALTH_HEADERS' }]);
    expect(formatProblems(headers)).not.toContain('s3cret');
  });

  it('warns of a restart budget that an instance which never gets ready cannot spend, and starts all the same', () => {
    const whole = load({ env: {} });
    expect(whole).toMatchObject({ ok: true, warnings: [] });
    const everywhere = load({ env: { START_TIMEOUT: '200000' } });
    expect(everywhere).toMatchObject({
      ok: true,
      warnings: [expect.stringMatching(/^An instance that never gets ready .*restartWindow \(600 s\)/)],
    });
    const one = load({ yaml: 'services:\n  shop:\n    restartWindow: 60000\n' });
    expect(one).toMatchObject({
      ok: true,
      warnings: [expect.stringMatching(/^services\.shop: An instance/)],
    });
  });

  it('accepts an open address with a token, and warns of a short one', () => {
    const open = { HA_HOST: '0.0.0.0' };
    const long = load({ env: { ...open, HA_API_TOKEN: 'x'.repeat(32) } });
    expect(long).toMatchObject({ ok: true, warnings: [] });
    const short = load({ env: { ...open, HA_API_TOKEN: 'x'.repeat(8) } });
    expect(short).toMatchObject({ ok: true, warnings: [expect.stringContaining('openssl rand')] });
    for (const loopback of ['127.0.0.2', '::1', 'localhost']) configOf({ env: { HA_HOST: loopback } });
    const here = load({ env: { HA_API_TOKEN: 'x'.repeat(8) } });
    expect(here).toMatchObject({
      ok: true,
      warnings: [expect.stringContaining('every user of this machine')],
    });
  });

  it('warns of variables that look like misspelt settings, and of no others', () => {
    const strangers = {
      DB_HOST: 'x', PATH: '/bin', NVM_HOME: 'x', MYSQL_HOST: 'x', LOG_SQL_DSN: 'x',
      NODE_TYPE: 'master', REDIS_CONN_STRING: 'x', SYNC_FREQUENCY: '60', CRYPTO_SECRET: 'x', TZ: 'UTC',
      PORT: '1', HOST: 'x', LOG_DIR: 'x', max_instances: '1', ENABLE_FAULTS: '1',
    }; // prettier-ignore
    expect(load({ env: strangers })).toMatchObject({ ok: true, warnings: [] });

    const result = load({ dotEnv: 'MAX_INSTNCES=3\n', env: { HA_PROT: '1', HA_TOKEN: 'x' } });
    expect(result.warnings).toEqual([
      '.env: MAX_INSTNCES is not a setting and is ignored; did you mean MAX_INSTANCES?',
      'environment: HA_PROT is not a setting and is ignored; did you mean HA_PORT?',
      'environment: HA_TOKEN is not a setting and is ignored',
    ]);
  });

  it('blames exactly the wrong keys, whatever is wrong', () => {
    const all = { ...GLOBAL_SETTINGS, ...GATEWAY_SETTINGS, ...SERVICE_SETTINGS };
    const keys = Object.keys(all) as (keyof typeof all)[];
    const wrong = fc.constantFrom('\u0007', { a: 1 }, [1, 2], -1.5);
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...keys), wrong, { minKeys: 1 }), (settings) => {
        const problems = problemsOf({ yaml: JSON.stringify(settings) });
        expect(problems.map(({ key }) => key).sort()).toEqual(Object.keys(settings).sort());
      }),
      { numRuns: 50 },
    );
  });

  it('survives any text as config.yml and any variables', () => {
    const variables = fc.dictionary(
      fc.constantFrom(...Object.keys(SERVICE_SETTINGS).map(environmentName)),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), variables, (yaml, env) => {
        const result = load({ yaml, env });
        if (!result.ok) expect(formatProblems(result.problems)).toContain(result.problems[0]?.source);
      }),
      { numRuns: 200 },
    );
  });
});

describe('appliesLive', () => {
  it('knows what needs a restart', () => {
    expect(appliesLive('services.my.shop.cpuThresholdHigh')).toBe(true);
    expect(appliesLive('cpuThresholdHigh')).toBe(true);
    expect(appliesLive('haPort')).toBe(false);
  });
});
