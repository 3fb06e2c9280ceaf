import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { GroupClient } from '../../../../test/support/groupClient.js';
import { waitFor } from '../../../../test/support/waitFor.js';
import { GroupHub, MAX_GROUPS_PER_SOCKET, type GroupHubOptions } from './groupHub.js';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function setup(options: Partial<GroupHubOptions> = {}) {
  const hub = new GroupHub({ bus: null, ...options });
  const server = http.createServer();
  server.on('upgrade', (request, socket, head) => void hub.upgrade(request, socket, head));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => new Promise((resolve) => server.close(resolve)));
  cleanups.push(() => hub.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const connect = async (): Promise<GroupClient> => {
    const client = await GroupClient.connect(`${url}/ws`);
    cleanups.push(() => client.close());
    return client;
  };
  return { hub, url, connect };
}

describe('GroupHub', () => {
  it('delivers to the subscribers of the group, in order, until they leave it', async () => {
    const { hub, connect } = await setup();
    const [a, b, c] = [await connect(), await connect(), await connect()];
    await Promise.all([a.subscribe('g'), b.subscribe('g'), c.subscribe('other')]);
    for (let n = 0; n < 50; n += 1) a.send({ type: 'publish', group: 'g', data: n });
    await Promise.all([a.message(49), b.message(49)]);
    const data = (client: GroupClient) =>
      client.received.filter(({ type }) => type === 'message').map((m) => m.data);
    expect(data(b)).toEqual(Array.from({ length: 50 }, (_, n) => n));
    expect(data(a)).toEqual(data(b));
    expect(data(c)).toEqual([]);
    await b.ask({ type: 'unsubscribe', group: 'g' }, 'unsubscribed');
    expect(await a.ask({ type: 'publish', group: 'g', data: 'late' }, 'published')).toMatchObject({
      reach: 'instance',
    });
    await b.ask({ type: 'unsubscribe', group: 'never joined' }, 'error');
    expect(data(b)).toHaveLength(50);
    expect(hub.figures).toMatchObject({ sockets: 3, groups: 2 });
  });

  it('understands subscribe_group, group_message and unsubscribe_group; each client gets its own words', async () => {
    const { hub, connect } = await setup();
    const [own, other] = [await connect(), await connect()];
    await own.subscribe('g');
    await other.ask({ type: 'subscribe_group', group: 'g' }, 'subscribed');
    expect(await other.ask({ type: 'group_message', group: 'g', data: { n: 1 } }, 'published')).toEqual({
      type: 'published',
      group: 'g',
      reach: 'instance',
    });
    await own.ask({ type: 'publish', group: 'g', data: 2 }, 'published');
    const messages = ({ received }: GroupClient) =>
      received.filter(({ group, data }) => group === 'g' && data !== undefined);
    await waitFor(() => messages(other).length === 2, { what: 'both messages' });
    expect(messages(own)).toEqual([
      { type: 'message', group: 'g', data: { n: 1 } },
      { type: 'message', group: 'g', data: 2 },
    ]);
    expect(messages(other)).toEqual([
      { type: 'group_message', group: 'g', data: { n: 1 } },
      { type: 'group_message', group: 'g', data: 2 },
    ]);
    await other.ask({ type: 'unsubscribe_group', group: 'g' }, 'unsubscribed');
    await own.ask({ type: 'publish', group: 'g', data: 3 }, 'published');
    await own.message(3);
    expect(messages(other)).toHaveLength(2);
    expect(hub.figures).toMatchObject({ groups: 1 });
  });

  it('tells a client that sends too much, closes it with 1008, and keeps the others', async () => {
    const { hub, connect } = await setup({ frameRate: { perSecond: 1, burst: 5 } });
    const [calm, hasty] = [await connect(), await connect()];
    await calm.subscribe('g');
    for (let n = 0; n < 20; n += 1) hasty.send({ type: 'group_message', group: 'g', data: n });
    expect(await hasty.closed).toMatchObject({ code: 1008 });
    const last = hasty.received.at(-1);
    expect(last).toMatchObject({ type: 'error', code: 'rate.exceeded' });
    expect(last.message).toContain('1 frames a second (WSSendQPS), 5 at once (WSSendBurst)');
    // Five took effect, and none of those after the one that was too many.
    await calm.message(4);
    await calm.ask({ type: 'subscribe_group', group: 'h' }, 'subscribed');
    expect(calm.received.filter(({ type }) => type === 'message')).toHaveLength(5);
    expect(hub.figures).toMatchObject({ sockets: 1, hastyClients: 1 });
  });

  it('forgets groups and sockets that are gone', async () => {
    const { hub, connect } = await setup();
    const client = await connect();
    await client.subscribe('g');
    await client.subscribe('g'); // twice is once
    client.close();
    await waitFor(() => hub.figures.sockets === 0, { what: 'the socket to be forgotten' });
    expect(hub.figures.groups).toBe(0);
  });

  it.each([
    ['not json', 'not JSON'],
    [
      JSON.stringify({ type: 'shout' }),
      "'subscribe' | 'subscribe_group' | 'unsubscribe' | 'unsubscribe_group' | 'publish' | 'group_message'",
    ],
    [JSON.stringify({ type: 'subscribe' }), 'Required'],
    [JSON.stringify({ type: 'subscribe', group: 'a b' }), 'group'],
    [JSON.stringify({ type: 'subscribe', group: 'x'.repeat(65) }), 'group'],
    [JSON.stringify({ type: 'subscribe', group: 'g', extra: 1 }), 'extra'],
    ['null', 'object'],
  ])('answers %s with an error and stays connected', async (text, problem) => {
    const { connect } = await setup();
    const client = await connect();
    const answer = await client.ask(text, 'error');
    expect(answer.code).toBe('message.invalid');
    expect(answer.message).toContain(problem);
    await client.subscribe('still-here');
  });

  it('bounds groups per socket and bytes per frame', async () => {
    const { connect } = await setup();
    const client = await connect();
    for (let n = 0; n < MAX_GROUPS_PER_SOCKET; n += 1) client.send({ type: 'subscribe', group: `g${n}` });
    expect((await client.ask({ type: 'subscribe', group: 'more' }, 'error')).code).toBe('groups.too-many');
    await client.subscribe('g0'); // one it has already
    client.send({ type: 'publish', group: 'g0', data: 'x'.repeat(17 * 1024) });
    expect((await client.closed).code).toBe(1009);
  });

  it('bounds sockets, and knows no other path', async () => {
    const { url, connect } = await setup({ maxSockets: 1 });
    const refusal = (path: string) =>
      new Promise((resolve) => {
        const socket = new WebSocket(url.replace('http', 'ws') + path);
        socket.on('unexpected-response', (_request, response) => {
          response.resume();
          socket.terminate();
          resolve(response.statusCode);
        });
        socket.on('error', () => undefined);
      });
    expect(await refusal('/elsewhere')).toBe(404);
    await connect();
    expect(await refusal('/ws')).toBe(503);
  });

  it('cuts off a client that does not read, without a loss to the others', async () => {
    const { hub, connect } = await setup({ maxBufferedBytes: 64 * 1024 });
    const [reader, sleeper] = [await connect(), await connect()];
    await Promise.all([reader.subscribe('g'), sleeper.subscribe('g')]);
    sleeper.socket.pause();
    const data = 'x'.repeat(15 * 1024);
    // In bursts, each read by the other before the next: whoever is cut off is cut off for not reading.
    let sent = 0;
    while (hub.figures.slowClients === 0 && sent < 20_000) {
      for (let n = 0; n < 100; n += 1) reader.send({ type: 'publish', group: 'g', data });
      sent += 100;
      await waitFor(() => reader.received.filter((m) => m.type === 'published').length === sent, {
        what: 'the burst to be published',
        intervalMs: 1,
      });
    }
    expect(hub.figures.slowClients).toBe(1);
    await reader.ask({ type: 'publish', group: 'g', data: 'after' }, 'published');
    await reader.message('after');
    expect(reader.received.filter((m) => m.data === data)).toHaveLength(sent);
    expect(hub.figures.sockets).toBe(1);
  });

  it('cuts off a client that answers no ping, and keeps one that does', async () => {
    const { hub, connect } = await setup({ heartbeatMs: 50 });
    const lively = await connect();
    const dead = await connect();
    dead.socket.pause(); // reads nothing, so it never sees a ping
    await waitFor(() => hub.figures.sockets === 1, { what: 'the dead client to be cut' });
    await lively.subscribe('g');
  });

  it('says goodbye with 1001 and takes nobody new', async () => {
    const { hub, connect } = await setup();
    const client = await connect();
    await hub.close();
    expect(await client.closed).toMatchObject({
      code: 1001,
      reason: expect.stringContaining('connect again'),
    });
    await expect(connect()).rejects.toThrow(/503/);
  });
});
