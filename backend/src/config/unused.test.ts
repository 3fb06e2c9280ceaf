import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { loadConfig } from './load.js';
import { formatProblems } from './problems.js';
import { unusedSettings, type Asker } from './unused.js';

const root = mkdtempSync(join(tmpdir(), 'holdfast-unused-'));
const dotEnv = join(root, '.env');
afterEach(() => rmSync(dotEnv, { force: true }));
afterAll(() => rmSync(root, { recursive: true, force: true }));

function unusedIn(env: NodeJS.ProcessEnv, asker: Asker, isUnderPm2 = false): readonly string[] {
  const result = loadConfig({ root, env });
  if (!result.ok) throw new Error(formatProblems(result.problems));
  expect(result.warnings).toEqual([]);
  return unusedSettings(result.config, asker, isUnderPm2);
}

describe('a setting without the one that it needs', () => {
  it.each([
    [{ BACKEND_PORT: '80' }, /BACKEND_PORT .*BACKEND_DNS/],
    [{ BACKEND_PORT: '80', BACKEND_DNS: '_http._tcp.shop' }, /BACKEND_PORT .*SRV records/],
    [{ BACKEND_DNS_INTERVAL: '1000' }, /needs BACKEND_DNS/],
    [{ BACKEND_DNS_SERVERS: '10.0.0.1' }, /needs BACKEND_DNS/],
    [{ CONSUL_URL: 'http://consul:8500' }, /needs CONSUL_SERVICE/],
    [
      { CONSUL_TAG: 'v2', CONSUL_TOKEN: 'hidden' },
      /^environment: CONSUL_TAG, CONSUL_TOKEN are set .*needs CONSUL_SERVICE/,
    ],
    [{ TLS_MIN_VERSION: 'TLSv1.3' }, /needs TLS_PORT/],
    [{ TLS_HTTP2: 'off' }, /needs TLS_PORT/],
    [{ LB_STICKY_LIFETIME: '1000' }, /needs LB_STICKY_COOKIE/],
    [{ LB_STICKY_KEYS: 'sixteen characters' }, /needs LB_STICKY_COOKIE/],
    [{ LB_HASH_ON: 'path' }, /LB_ALGORITHM=consistent-hash/],
    [{ ACCESS_LOG_SAMPLE: '0.1' }, /needs ACCESS_LOG/],
    [{ HEALTH_PROBE: 'tcp', HEALTH_PATH: '/up' }, /HEALTH_PATH .*HEALTH_PROBE=http/],
  ])('%j', (env, said) => {
    for (const told of [unusedIn(env, 'gateway'), unusedIn(env, 'up')]) {
      expect(told).toEqual([expect.stringMatching(said)]);
      expect(told[0]).not.toMatch(/hidden|sixteen/);
    }
  });

  it.each([
    { BACKEND_PORT: '80', BACKEND_DNS: 'shop' },
    { CONSUL_TAG: 'v2', CONSUL_SERVICE: 'shop' },
    { LB_HASH_ON: 'path', LB_ALGORITHM: 'consistent-hash' },
    { LB_STICKY_LIFETIME: '1000', LB_STICKY_COOKIE: 'JSESSIONID', SESSION_SECRET: 'sixteen characters' },
    { HEALTH_PATH: '/up' },
    { BACKEND_START_PORT: '14004' },
    { BACKEND_COUNT: '2' },
    { ACCESS_LOG: 'json', ACCESS_LOG_SAMPLE: '0.1' },
  ])('%j is used', (env) => {
    expect(unusedIn(env, 'gateway')).toEqual([]);
    expect(unusedIn(env, 'up')).toEqual([]);
  });
});

describe('a variable for another process', () => {
  const cases: readonly (readonly [
    name: string,
    value: string,
    gateway: RegExp | null,
    cluster: RegExp | null,
  ])[] = [
    ['MAX_INSTANCES', '3', /the supervisor/, /the supervisor/],
    ['CPU_THRESHOLD_HIGH', '70', /the supervisor/, /the supervisor/],
    ['NOTIFY_WEBHOOK_URL', 'http://127.0.0.1/', /the supervisor/, /the supervisor/],
    // Of an application: its ecosystem file knows it, and not a process that was started alone.
    ['MYSQL_HOST', 'db', null, null],
    ['SESSION_SECRET', 'sixteen characters', /the supervisor and the services/, null],
    ['BACKEND_HOSTS', 'a:1', null, /the gateway/],
    ['LB_ALGORITHM', 'random', null, /the gateway/],
    ['HEALTH_CHECK_INTERVAL', '9000', null, /the supervisor/],
    ['START_PORT', '14004', null, null],
    ['INSTANCE_COUNT', '3', null, null],
    ['BALANCER_PORT', '14003', null, null],
    ['HA_DATA_DIR', 'data', null, null],
    ['LOG_LEVEL', 'debug', null, null],
  ];

  it.each(cases)('%s', (name, value, gateway, cluster) => {
    for (const [asker, said] of [
      ['gateway', gateway],
      ['cluster', cluster],
    ] as const) {
      const wanted = said === null ? [] : [expect.stringMatching(said)];
      expect(unusedIn({ [name]: value }, asker)).toEqual(wanted);
      // What PM2 started, and what stands in a file, is for a whole deployment.
      expect(unusedIn({ [name]: value }, asker, true)).toEqual([]);
      writeFileSync(dotEnv, `${name}=${value}\n`);
      expect(unusedIn({}, asker)).toEqual([]);
      rmSync(dotEnv);
    }
  });

  it('is told in one sentence with all the others, and never when it is empty', () => {
    expect(unusedIn({ MAX_INSTANCES: '3', MIN_INSTANCES: '1', SCALE_COOLDOWN: '' }, 'gateway')).toEqual([
      'environment: MAX_INSTANCES, MIN_INSTANCES are set and not used: meant for the supervisor, and this is a gateway that was started alone.',
    ]);
  });
});

describe('a name of a later version', () => {
  const NAMES =
    'NODE_NAME NODE_TYPE NODE_ADDRESS NODE_WEIGHT NODE_HEARTBEAT SYNC_FREQUENCY FLEET_NAME REDIS_PASSWORD REDIS_MASTER_NAME REDIS_CONN_POOL_SIZE SQL_DSN LOG_SQL_DSN CRYPTO_SECRET BATCH_UPDATE_ENABLED BATCH_UPDATE_INTERVAL FRONTEND_BASE_URL LB_WRITE_TO LB_WRITE_AFFINITY';

  it.each(NAMES.split(' '))('%s is told, without its value', (name) => {
    for (const asker of ['gateway', 'cluster', 'up', 'supervisor'] as const) {
      const told = unusedIn({ [name]: 'the value' }, asker);
      expect(told).toEqual([
        `environment: ${name} is set and not used: this version of Holdfast has no use for such a setting.`,
      ]);
    }
  });

  it('is told once in a deployment: by its supervisor', () => {
    writeFileSync(dotEnv, 'NODE_TYPE=slave\nSQL_DSN=root:secret@tcp(db)/x\n');
    expect(unusedIn({}, 'gateway', true)).toEqual([]);
    expect(unusedIn({}, 'supervisor', true)).toEqual([
      '.env: NODE_TYPE, SQL_DSN are set and not used: this version of Holdfast has no use for such a setting.',
    ]);
  });
});
