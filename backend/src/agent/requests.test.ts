/** Against real HTTP servers of this process: what of their requests ends up in shared memory. */
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { viewMainThread } from './mainThread.js';
import { read, sharedMemory, SLOT } from './memory.js';
import { RequestWatch } from './requests.js';

// One for the whole file: nobody ever unsubscribes.
const memory = sharedMemory();
const watch = new RequestWatch(memory);
beforeAll(() => watch.start());

let server: Server;
let port: number;
let handle: (incoming: IncomingMessage, answer: ServerResponse) => void;
let before: Float64Array;

beforeEach(async () => {
  handle = (_, answer) => answer.end('ok');
  server = createServer((incoming, answer) => handle(incoming, answer));
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  ({ port } = server.address() as AddressInfo);
  before = memory.numbers.slice();
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  watch.sweep();
  expect([...watch.responses()].length).toBe(0);
});

/** How much a count has grown since the test began. */
const grown = (slot: number): number => read(memory.numbers, slot) - read(before, slot);
const now = (slot: number): number => read(memory.numbers, slot);
const until = (condition: () => void): Promise<void> =>
  vi.waitFor(condition, { timeout: 10_000, interval: 5 });

function ask(path: string, headers: Record<string, string> = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port, path, headers, agent: false }, (answer) => {
      answer.resume();
      answer.on('end', () => resolve(answer.statusCode ?? 0));
    });
    call.on('error', reject);
    call.end();
  });
}

it('counts what is finished: how many, with which status, how long', async () => {
  handle = (incoming, answer) => {
    answer.statusCode = Number(incoming.url?.slice(1));
    answer.end();
  };
  for (const status of [200, 204, 302, 404, 500, 503]) expect(await ask(`/${status}`)).toBe(status);
  await until(() => expect(grown(SLOT.finished)).toBe(6));
  const classes = [0, 1, 2, 3, 4].map((place) => grown(SLOT.statuses + place));
  expect(classes).toEqual([0, 2, 1, 1, 2]);
  expect(grown(SLOT.latencySumMs)).toBeGreaterThan(0);
  expect(memory.latency.reduce((sum, count) => sum + count, 0)).toBe(now(SLOT.finished));
  expect(now(SLOT.active)).toBe(0);
});

it('knows what is under way, what of it is unanswered, and for how long', async () => {
  const held: ServerResponse[] = [];
  handle = (incoming, answer) => {
    held.push(answer);
    if (incoming.url === '/stream') answer.write('first');
  };
  const answers = [ask('/slow?token=secret'), ask('/stream')];
  await until(() => expect(held).toHaveLength(2));
  watch.sweep();
  expect([now(SLOT.active), now(SLOT.unanswered)]).toEqual([2, 1]);
  expect(now(SLOT.oldestUnansweredAtMs)).toBeGreaterThan(0);
  const seen = viewMainThread(memory, 0).requests();
  expect(seen.map(({ method, path }) => `${method} ${path}`)).toEqual(
    expect.arrayContaining(['GET /slow', 'GET /stream']),
  );
  for (const answer of held) answer.end();
  expect(await Promise.all(answers)).toEqual([200, 200]);
  await until(() => expect(now(SLOT.active)).toBe(0));
  watch.sweep();
  expect([now(SLOT.unanswered), now(SLOT.oldestUnansweredAtMs)]).toEqual([0, 0]);
  expect(viewMainThread(memory, 0).requests()).toEqual([]);
});

it('counts what its client gave up', async () => {
  const incoming: string[] = [];
  handle = ({ url }) => void incoming.push(url ?? '');
  const call = request({ host: '127.0.0.1', port, path: '/never', agent: false });
  call.on('error', () => undefined);
  call.end();
  await until(() => expect(incoming).toEqual(['/never']));
  call.destroy();
  await until(() => {
    watch.sweep();
    expect(grown(SLOT.aborted)).toBe(1);
  });
  expect(grown(SLOT.finished)).toBe(0);
});

it('counts what the application cut off, also requests that waited behind it on the connection', async () => {
  handle = (incoming, answer) => void (incoming.url === '/first' && setImmediate(() => answer.destroy()));
  const client = connect(port, '127.0.0.1');
  client.on('error', () => undefined);
  client.write('GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n');
  await until(() => {
    watch.sweep();
    expect(grown(SLOT.aborted)).toBe(2);
  });
  client.destroy();
});

it('leaves out probes of Holdfast', async () => {
  expect(await ask('/health', { 'user-agent': 'holdfast-probe' })).toBe(200);
  expect(await ask('/other', { 'user-agent': 'holdfast-probe/2 but somebody else' })).toBe(200);
  await until(() => expect(grown(SLOT.finished)).toBe(1));
  expect(grown(SLOT.begun)).toBe(1);
});

it('leaves out upgrades', async () => {
  server.on('upgrade', (_, socket) => socket.end('HTTP/1.1 101 Switching Protocols\r\n\r\n'));
  const client = connect(port, '127.0.0.1');
  let heard = '';
  client.on('data', (chunk) => (heard += chunk.toString()));
  client.write('GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  await until(() => expect(heard).toContain('101'));
  expect(grown(SLOT.begun)).toBe(0);
  client.destroy();
});

it('counts open connections, of servers that have had a request', async () => {
  const client = connect(port, '127.0.0.1');
  client.on('error', () => undefined);
  client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await until(() => expect(grown(SLOT.finished)).toBe(1));
  await until(() => {
    watch.sweep();
    expect(now(SLOT.connections)).toBe(1);
  });
  expect(watch.servers()).toContain(server);
  client.destroy();
  await until(() => {
    watch.sweep();
    expect(now(SLOT.connections)).toBe(0);
  });
});

it('adds no listener and no property to what belongs to the application', async () => {
  const shapes: unknown[] = [];
  const shape = (object: object): unknown => [
    Object.getOwnPropertyNames(object).sort(),
    Object.getOwnPropertySymbols(object).map(String).sort(),
  ];
  handle = (incoming, answer) => {
    shapes.push([
      shape(incoming),
      shape(answer),
      answer.eventNames().map((name) => answer.listenerCount(name)),
    ]);
    answer.end();
  };
  await ask('/followed');
  await ask('/left-out', { 'user-agent': 'holdfast-probe' });
  expect(shapes[0]).toEqual(shapes[1]);
});

it('times a sample of very many, and counts all', async () => {
  const many = async (): Promise<void> => {
    const finished = now(SLOT.finished);
    const client = connect(port, '127.0.0.1');
    client.on('error', () => undefined);
    client.resume();
    client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(800));
    await until(() => expect(now(SLOT.finished) - finished).toBe(800));
    client.destroy();
  };
  const timed = (): number => memory.latency.reduce((sum, count) => sum + count, 0);
  watch.sweep();
  const before = timed();
  await many();
  expect(timed() - before).toBe(800);
  watch.sweep();
  await many();
  expect(timed() - before).toBe(900);
  watch.sweep();
  watch.sweep();
  await ask('/one');
  await until(() => expect(timed() - before).toBe(901));
});

it('follows ten thousand at most', async () => {
  const held: ServerResponse[] = [];
  handle = (_, answer) => void held.push(answer);
  const client = connect(port, '127.0.0.1');
  client.on('error', () => undefined);
  client.resume();
  client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(10_100));
  await until(() => expect(held).toHaveLength(10_100));
  expect([...watch.responses()].length).toBe(10_000);
  expect(grown(SLOT.dropped)).toBe(100);
  for (const answer of held) answer.end();
  await until(() => expect(grown(SLOT.finished)).toBe(10_000));
  client.destroy();
});
