import { connect, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { afterEach, expect, it } from 'vitest';
import { startHarness, until, type Harness, type HarnessOptions } from './testing/harness.js';

const TOKEN = 'a-right-token-of-some-length';
const RIGHT = `Authorization: Bearer ${TOKEN}\r\n`;

let harness: Harness;
const clients: Client[] = [];
afterEach(async () => {
  for (const { socket } of clients.splice(0)) socket.destroy();
  await harness.close();
});

async function start(
  limits: NonNullable<HarnessOptions['limits']>,
  token: string | null = TOKEN,
  host = '127.0.0.1',
): Promise<void> {
  harness = await startHarness({ settings: { token, sessionSecret: 'x', host }, limits });
}

/** Addresses of this machine that are not loopback: a client that connects from there counts as one from another machine. */
const ELSEWHERE = Object.values(networkInterfaces())
  .flatMap((each) => each ?? [])
  .filter(({ internal, address }) => !internal && !address.startsWith('fe80'));
const elsewhereBy = (family: string): string | undefined =>
  ELSEWHERE.find((each) => each.family === family)?.address;

class Client {
  readonly socket: Socket;
  text = '';
  closed = false;

  constructor(from: string) {
    const host = from.startsWith('127.') ? '127.0.0.1' : from;
    this.socket = connect({ port: harness.port, host, localAddress: from });
    this.socket.on('data', (chunk: Buffer) => (this.text += chunk.toString()));
    this.socket.on('error', () => undefined).on('close', () => (this.closed = true));
    clients.push(this);
  }

  get answers(): number {
    return this.text.split('HTTP/1.1 ').length - 1;
  }

  async asks(path: string, fields = ''): Promise<this> {
    const before = this.answers;
    this.socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n${fields}\r\n`);
    await until(`an answer to ${path}`, () => this.closed || this.answers > before);
    return this;
  }
}

const open = (count: number, from = '127.0.0.1') => Array.from({ length: count }, () => new Client(from));
const status = (): Promise<number> =>
  harness
    .call('GET', '/api/ha/status', { headers: { authorization: `Bearer ${TOKEN}` } })
    .then(({ status }) => status);

it('however many connections without the token there are, from however many loopback addresses, one with it is served', async () => {
  await start({ loopbackConnections: 8 });
  const crowd = [...open(20), ...open(20, '127.0.0.9')];
  for (const each of crowd) await each.asks('/healthz');
  expect(crowd.filter(({ closed }) => !closed)).toHaveLength(8);
  for (let call = 0; call < 20; call += 1) expect(await status()).toBe(200);
  const { text } = await harness.call('GET', '/metrics', { headers: { authorization: `Bearer ${TOKEN}` } });
  expect(text).toMatch(/holdfast_api_connections_closed_total\{bound="address"\} (3[2-9]|[4-9]\d)/);
  expect(text).toMatch(/holdfast_api_connections\{caller="unauthenticated"\} \d/);
  expect(harness.log.filter(({ message }) => message.includes('showed no token were closed'))).toHaveLength(
    1,
  );
});

it.each(['IPv4', 'IPv6'])(
  'a crowd from elsewhere, by %s, has the places of its address, and none of this machine (needs such an address)',
  async (family) => {
    const from = elsewhereBy(family);
    if (from === undefined) return;
    await start({ connections: 12, connectionsPerAddress: 8, loopbackConnections: 4 }, TOKEN, '::');
    const local = await new Client('127.0.0.1').asks('/healthz');
    const crowd = open(30, from);
    for (const each of crowd) await each.asks('/healthz');
    expect(crowd.filter(({ closed }) => !closed)).toHaveLength(8);
    for (let call = 0; call < 10; call += 1) {
      expect(await status()).toBe(200);
      const operator = await new Client(from).asks('/api/ha/status', RIGHT);
      expect([operator.answers, operator.closed]).toEqual([1, false]);
      operator.socket.destroy();
    }
    await local.asks('/healthz');
    expect([local.answers, local.closed]).toEqual([2, false]);
  },
);

it('one that has shown the token stays, whatever comes after it', async () => {
  await start({ loopbackConnections: 8 });
  const operator = await new Client('127.0.0.1').asks('/api/ha/status', RIGHT);
  const crowd = open(30);
  for (const each of crowd) await each.asks('/healthz');
  await operator.asks('/api/ha/status', RIGHT);
  expect([operator.answers, operator.closed]).toEqual([2, false]);
});

it('a connection that says nothing makes room, too, and after those that have had an answer', async () => {
  await start({ loopbackConnections: 3 });
  const silent = new Client('127.0.0.1');
  await until('it is accepted', () => silent.socket.remotePort !== undefined);
  const answered = await new Client('127.0.0.1').asks('/healthz');
  await new Client('127.0.0.1').asks('/healthz');
  await new Client('127.0.0.1').asks('/healthz');
  await until('one is closed', () => answered.closed);
  expect(silent.closed).toBe(false);
  const others = open(3);
  await until('the silent one is closed', () => silent.closed);
  expect(others.filter(({ closed }) => !closed).length).toBeGreaterThan(0);
});

it('one without the token ends after so many answers; one with it does not', async () => {
  await start({ unauthenticatedRequests: 3 });
  const client = new Client('127.0.0.1');
  for (let call = 0; call < 3; call += 1) await client.asks('/healthz');
  await until('it is closed', () => client.closed);
  expect([client.answers, client.text.match(/Connection: close/g)?.length]).toEqual([3, 1]);
  const operator = new Client('127.0.0.1');
  for (let call = 0; call < 2; call += 1) await operator.asks('/healthz');
  for (let call = 0; call < 5; call += 1) await operator.asks('/api/ha/status', RIGHT);
  expect([operator.answers, operator.closed]).toEqual([7, false]);
});

it('requests without the token are refused cheaply when they come too often; those with it never are', async () => {
  await start({ unauthenticatedPerSecond: 5, unauthenticatedRequests: 1_000 });
  const statuses: number[] = [];
  for (let call = 0; call < 40; call += 1) statuses.push((await harness.call('GET', '/healthz')).status);
  expect(statuses.slice(0, 10)).toEqual(Array.from({ length: 10 }, () => 200));
  expect(statuses.filter((each) => each === 429).length).toBeGreaterThan(10);
  for (let call = 0; call < 30; call += 1) expect(await status()).toBe(200);
  expect((await harness.call('POST', '/api/session', { body: { token: TOKEN } })).status).toBe(200);
});

it('without a token a call that is under way keeps its connection', async () => {
  await start({ loopbackConnections: 4 }, null);
  const reader = await new Client('127.0.0.1').asks('/api/ha/stream');
  const crowd = open(20);
  for (const each of crowd) await each.asks('/healthz');
  expect(reader.closed).toBe(false);
  expect((await harness.call('GET', '/api/ha/status')).status).toBe(200);
});
