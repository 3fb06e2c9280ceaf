import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { GroupClient } from '../../support/groupClient.js';
import { redisAvailable, startRedis } from '../../support/redis.js';
import { call, Samples } from '../../support/sample.js';
import { waitFor } from '../../support/waitFor.js';

describe.skipIf(!redisAvailable)('several instances with Redis', () => {
  let redis: Awaited<ReturnType<typeof startRedis>>;
  let env: Record<string, string>;
  let folder: string;
  const samples = new Samples();
  const clients: GroupClient[] = [];
  const connect = async (url: string): Promise<GroupClient> => {
    const client = await GroupClient.connect(`${url}/ws`);
    clients.push(client);
    return client;
  };

  beforeAll(async () => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'holdfast-groups-'));
    redis = await startRedis();
    env = { REDIS_CONN_STRING: redis.url, WORDPECKER_DB: path.join(folder, 'words.db') };
  });
  afterAll(async () => {
    await redis.dispose();
    rmSync(folder, { recursive: true, force: true });
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await samples.dispose();
  });

  const healthy = (url: string) =>
    waitFor(async () => (await call('GET', `${url}/api/health`)).body.status === 'healthy', {
      what: 'Redis',
    });

  it('carry a message to the subscribers of every instance, once each', async () => {
    const [a, b] = await Promise.all([samples.start('backend', env), samples.start('backend', env)]);
    await Promise.all([healthy(a.url), healthy(b.url)]);
    const [onA, onB, elsewhere] = [await connect(a.url), await connect(b.url), await connect(b.url)];
    await Promise.all([onA.subscribe('birds'), onB.subscribe('birds'), elsewhere.subscribe('trees')]);
    expect(await onA.ask({ type: 'publish', group: 'birds', data: { n: 1 } }, 'published')).toEqual({
      type: 'published',
      group: 'birds',
      reach: 'cluster',
    });
    onA.send({ type: 'publish', group: 'birds', data: 'last' });
    await Promise.all([onA.message('last'), onB.message('last')]);
    const once = ({ received }: GroupClient) => received.filter(({ data }) => data?.n === 1).length;
    expect([once(onA), once(onB), once(elsewhere)]).toEqual([1, 1, 0]);
  });

  it('go on within each instance while Redis is away, and across them when it is back', async () => {
    const [a, b] = await Promise.all([samples.start('backend', env), samples.start('backend', env)]);
    await Promise.all([healthy(a.url), healthy(b.url)]);
    const [one, two, far] = [await connect(a.url), await connect(a.url), await connect(b.url)];
    await Promise.all([one.subscribe('g'), two.subscribe('g'), far.subscribe('g')]);

    await redis.kill();
    await waitFor(async () => (await call('GET', `${a.url}/api/health`)).body.status === 'degraded', {
      what: 'the outage to be seen',
    });
    expect((await call('GET', `${a.url}/api/health`)).status).toBe(200);
    const answer = await one.ask({ type: 'publish', group: 'g', data: 'alone' }, 'published');
    expect(answer.reach).toBe('instance');
    await two.message('alone');
    const figures = (await call('GET', `${a.url}/api/groups`)).body.data;
    expect(figures).toMatchObject({ sockets: 2, groups: 1, busDropped: 1 });

    await redis.start();
    await Promise.all([healthy(a.url), healthy(b.url)]);
    await waitFor(
      async () => {
        one.send({ type: 'publish', group: 'g', data: 'together again' });
        return far.received.some(({ data }) => data === 'together again');
      },
      { what: 'fan-out after the reconnect' },
    );
    expect(far.received.some(({ data }) => data === 'alone')).toBe(false);
  });

  it('are degraded, and stay up, while Redis is frozen', async () => {
    const { url } = await samples.start('backend', env);
    await healthy(url);
    const client = await connect(url);
    await client.subscribe('g');
    await redis.freeze();
    try {
      expect(await call('GET', `${url}/api/health`)).toMatchObject({
        status: 200,
        body: { status: 'degraded' },
      });
      client.send({ type: 'publish', group: 'g', data: 'still here' });
      await client.message('still here');
    } finally {
      redis.thaw();
    }
    await healthy(url);
  });

  it('start without Redis', async () => {
    await redis.kill();
    try {
      const { url, sample } = await samples.start('backend', env);
      expect((await call('GET', `${url}/health`)).status).toBe(200);
      expect((await call('GET', `${url}/api/health`)).body.status).toBe('degraded');
      sample.signal('SIGINT');
      expect(await sample.exited).toEqual({ code: 0, signal: null });
    } finally {
      await redis.start();
    }
  });

  it('share a login session, also with one that was started later', async () => {
    const first = await samples.start('backend', env);
    const login = await call('POST', `${first.url}/api/login`, { user: 'Ana' });
    const cookie = login.headers.get('set-cookie')?.split(';')[0] ?? '';
    await first.sample.dispose();
    const second = await samples.start('backend', env);
    expect((await call('GET', `${second.url}/api/me`, undefined, { cookie })).body.data.user).toBe('Ana');
    const stranger = await samples.start('backend', { ...env, SESSION_SECRET: 'another secret altogether' });
    expect((await call('GET', `${stranger.url}/api/me`, undefined, { cookie })).body.data.user).toBeNull();
  });
});
