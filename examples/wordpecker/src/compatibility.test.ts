/** Names and defaults that other tools and instructions use, and that work here exactly as they are written (README.md). */
import { expect, it } from 'vitest';
import { GroupClient } from '../../../test/support/groupClient.js';
import { call } from '../../../test/support/sample.js';
import { backend } from './backendService.js';
import { EnvReader } from './lib/env.js';
import { startInProcess } from './lib/testing/startInProcess.js';
import { readMysqlSettings } from './store/mysqlSettings.js';

async function withBackend(
  env: Readonly<Record<string, string>>,
  use: (url: string) => Promise<void>,
): Promise<void> {
  const service = await startInProcess(backend, env);
  try {
    await use(service.url);
  } finally {
    await service.stop();
  }
}

it('MYSQL_*: any of them chooses MySQL, and those that are not set have defaults', () => {
  const settings = readMysqlSettings(new EnvReader({ MYSQL_HOST: 'db' }), false);
  expect(settings).toEqual({ host: 'db', port: 13_306, user: 'root', password: '', database: 'kiro_api' });
  const hostOf = (isContainer: boolean) =>
    readMysqlSettings(new EnvReader({ MYSQL_PORT: '13306' }), isContainer)?.host;
  expect([hostOf(true), hostOf(false)]).toEqual(['host.docker.internal', '127.0.0.1']);
});

it('subscribe_group, group_message, unsubscribe_group: messages of a group under these names', async () => {
  await withBackend({}, async (url) => {
    const client = await GroupClient.connect(`${url}/ws`);
    await client.ask({ type: 'subscribe_group', group: 'room' }, 'subscribed');
    const message = await client.ask(
      { type: 'group_message', group: 'room', data: 'hello' },
      'group_message',
    );
    expect(message).toEqual({ type: 'group_message', group: 'room', data: 'hello' });
    await client.ask({ type: 'unsubscribe_group', group: 'room' }, 'unsubscribed');
    client.close();
  });
});

it('WSSendQPS, WSSendBurst: a client that sends more gets an error and is closed with 1008', async () => {
  await withBackend({ WSSendQPS: '2', WSSendBurst: '3' }, async (url) => {
    const client = await GroupClient.connect(`${url}/ws`);
    for (let n = 0; n < 10; n += 1) client.send({ type: 'group_message', group: 'room', data: n });
    expect(await client.closed).toMatchObject({ code: 1008 });
    expect(client.received.at(-1)).toMatchObject({ type: 'error', code: 'rate.exceeded' });
  });
});

it('JWT_SECRET: signs sessions for all instances, before SESSION_SECRET', async () => {
  const secret = { JWT_SECRET: 'the secret of all instances' };
  let cookie = '';
  await withBackend({ ...secret, SESSION_SECRET: 'of the first instance' }, async (url) => {
    const { headers } = await call('POST', `${url}/api/login`, { user: 'ana' });
    cookie = headers.get('set-cookie')?.split(';')[0] ?? '';
  });
  await withBackend({ ...secret, SESSION_SECRET: 'of the second instance' }, async (url) => {
    const { body } = await call('GET', `${url}/api/me`, undefined, { cookie });
    expect(body).toMatchObject({ data: { user: 'ana' } });
  });
});
