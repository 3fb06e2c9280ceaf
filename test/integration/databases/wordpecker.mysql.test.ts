import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { recordingLog } from '../../../examples/wordpecker/src/lib/testing/recordingLog.js';
import { MysqlStore } from '../../../examples/wordpecker/src/store/mysqlStore.js';
import { mariadbAvailable, mysqlEnvironment, startMariadb, type Mariadb } from '../../support/mariadb.js';
import { call, Samples } from '../../support/sample.js';
import { waitFor } from '../../support/waitFor.js';
import { wordStoreContract } from '../../support/wordStoreContract.js';

describe.skipIf(!mariadbAvailable)('word lists in MariaDB', () => {
  let mariadb: Mariadb;
  const samples = new Samples();
  beforeAll(async () => {
    mariadb = await startMariadb();
  });
  afterAll(() => mariadb.dispose());
  afterEach(() => samples.dispose());

  describe('MysqlStore', () => {
    wordStoreContract(() => new MysqlStore(mariadb.login, recordingLog()));
  });

  it('is shared by instances that start at the same time', async () => {
    const env = mysqlEnvironment(mariadb.login);
    const [a, b] = await Promise.all([samples.start('backend', env), samples.start('backend', env)]);
    const made = await call('POST', `${a.url}/api/lists`, { name: 'shared' });
    expect(made.status).toBe(201);
    expect((await call('GET', `${b.url}/api/lists/${made.body.data.id}`)).body.data.name).toBe('shared');
  });

  it('starts without its database, answers 503 until it is there, and again when it was killed', async () => {
    await mariadb.kill();
    const { sample, url } = await samples.start('backend', mysqlEnvironment(mariadb.login));
    await expectOutage(url);
    await mariadb.start();
    await expectService(url);
    await mariadb.kill();
    await expectOutage(url);
    await mariadb.start();
    await expectService(url);
    sample.signal('SIGINT');
    expect(await sample.exited).toEqual({ code: 0, signal: null });
    expect(sample.stderr).not.toContain(mariadb.login.password);
  });

  it('does not hang with a database that is frozen, and leaves in time', async () => {
    const { sample, url } = await samples.start('backend', mysqlEnvironment(mariadb.login));
    await expectService(url);
    await mariadb.freeze();
    try {
      const health = await call('GET', `${url}/api/health`);
      expect(health.status).toBe(503);
      expect((await call('GET', `${url}/health`)).status).toBe(200);
      const refused = await call('GET', `${url}/api/lists`);
      expect(refused).toMatchObject({ status: 503, body: { error: { code: 'store.unavailable' } } });
      sample.signal('SIGTERM');
      expect(await sample.exited).toEqual({ code: 0, signal: null });
    } finally {
      mariadb.thaw();
    }
  });
});

async function expectOutage(url: string): Promise<void> {
  const lists = await call('GET', `${url}/api/lists`);
  expect(lists).toMatchObject({
    status: 503,
    body: { success: false, error: { code: 'store.unavailable' } },
  });
  expect(lists.headers.get('retry-after')).toBe('1');
  expect(await call('GET', `${url}/api/health`)).toMatchObject({
    status: 503,
    body: { status: 'unhealthy' },
  });
  // The instance itself is fine: restarting it would bring no database back.
  expect((await call('GET', `${url}/health`)).status).toBe(200);
}

async function expectService(url: string): Promise<void> {
  await waitFor(async () => (await call('GET', `${url}/api/lists`)).status === 200, { what: 'the database' });
  expect(await call('GET', `${url}/api/health`)).toMatchObject({ status: 200, body: { status: 'healthy' } });
}
