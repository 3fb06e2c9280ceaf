/** Against real sockets: a supervisor that is there, is not, goes, talks nonsense, or is somebody else. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MAX_LINE_BYTES, PROTOCOL } from './limits.js';
import type { Figures, Hello, Stopping, Welcome } from './protocol.js';
import { Transport } from './transport.js';

const HELLO: Hello = { type: 'hello', protocol: PROTOCOL, pid: 7, agent: '1', node: 'v20', startedAtMs: 1 };
const WELCOME: Welcome = {
  type: 'welcome',
  protocol: PROTOCOL,
  hangTimeoutMs: 1_000,
  intervalMs: 250,
  killTimeoutMs: 10_000,
};
const STOPPING: Stopping = { type: 'stopping', signal: 'SIGINT', draining: true };
const FIGURES = { type: 'figures', seq: 1 } as Figures;

let folder: string;
let path: string;
let server: Server | null = null;
let connections: Socket[] = [];
let heard = '';
let welcomes: Welcome[] = [];
let transport: Transport;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-transport-'));
  path = join(folder, 'agents.sock');
  heard = '';
  welcomes = [];
  connections = [];
  // The shortest pauses there are, so that nobody waits.
  transport = new Transport({
    path,
    hello: HELLO,
    onWelcome: (welcome) => welcomes.push(welcome),
    random: () => 0,
  });
});
afterEach(async () => {
  transport.close();
  await hangUp();
  rmSync(folder, { recursive: true, force: true });
});

/** `greet`: what the supervisor says to a connection. */
async function listen(greet: string | null = JSON.stringify(WELCOME)): Promise<void> {
  const created = createServer((socket) => {
    connections.push(socket);
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => (heard += text));
    socket.on('error', () => undefined);
    if (greet !== null) socket.write(`${greet}\n`);
  });
  server = created;
  await new Promise<void>((resolve) => {
    created.listen(path, resolve);
  });
}

async function hangUp(): Promise<void> {
  for (const socket of connections) socket.destroy();
  const closing = server;
  server = null;
  if (closing !== null) {
    await new Promise<void>((resolve) => {
      closing.close(() => resolve());
    });
  }
}

const messages = (): unknown[] =>
  heard.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
const until = (condition: () => void): Promise<void> =>
  vi.waitFor(condition, { timeout: 10_000, interval: 5 });

it('says hello, and talks once it is welcome', async () => {
  await listen();
  transport.start();
  await until(() => expect(transport.isTalking).toBe(true));
  transport.offer(FIGURES);
  transport.send(STOPPING);
  await until(() => expect(messages()).toEqual([HELLO, FIGURES, STOPPING]));
  expect(welcomes).toEqual([WELCOME]);
  expect(transport.dropped).toBe(0);
});

it('waits for a supervisor, keeps what matters for it, and drops figures', async () => {
  transport.start();
  transport.offer(FIGURES);
  transport.send(STOPPING);
  expect(transport.dropped).toBe(1);
  await listen();
  await until(() => expect(messages()).toEqual([HELLO, STOPPING]));
});

it('keeps at most sixteen messages, the newest', async () => {
  for (let hang = 1; hang <= 20; hang += 1) transport.send({ type: 'recovered', hang, silentMs: 1 });
  expect(transport.dropped).toBe(4);
  await listen();
  transport.start();
  await until(() => expect(messages()).toHaveLength(17));
  expect(messages()[1]).toMatchObject({ hang: 5 });
});

it('keeps at most as many bytes as two of the longest lines', () => {
  const content = 'x'.repeat(MAX_LINE_BYTES - 100);
  for (let kept = 0; kept < 2; kept += 1) transport.send({ type: 'attachment', kind: 'report', content });
  expect(transport.dropped).toBe(0);
  transport.send({ type: 'attachment', kind: 'report', content });
  expect(transport.dropped).toBe(1);
});

it('sends no line that is longer than the other side takes', async () => {
  await listen();
  transport.start();
  await until(() => expect(transport.isTalking).toBe(true));
  transport.send({ type: 'attachment', kind: 'report', content: 'ü'.repeat(MAX_LINE_BYTES / 2) });
  expect(transport.dropped).toBe(1);
  transport.send(STOPPING);
  await until(() => expect(messages()).toEqual([HELLO, STOPPING]));
});

it('comes back to a supervisor that went', async () => {
  await listen();
  transport.start();
  await until(() => expect(transport.isTalking).toBe(true));
  await hangUp();
  await until(() => expect(transport.isTalking).toBe(false));
  await listen();
  await until(() => expect(transport.isTalking).toBe(true));
  expect(messages()).toEqual([HELLO, HELLO]);
});

it('drops figures for a supervisor that does not read', async () => {
  await listen();
  transport.start();
  await until(() => expect(transport.isTalking).toBe(true));
  connections[0]?.pause();
  const large = { ...FIGURES, padding: 'x'.repeat(8_192) };
  await until(() => {
    for (let sent = 0; sent < 100; sent += 1) transport.offer(large);
    expect(transport.dropped).toBeGreaterThan(0);
  });
});

it('takes new settings at any time, in pieces', async () => {
  await listen();
  transport.start();
  await until(() => expect(transport.isTalking).toBe(true));
  const line = `${JSON.stringify({ ...WELCOME, intervalMs: 500 })}\n`;
  connections[0]?.write(line.slice(0, 20));
  setImmediate(() => connections[0]?.write(line.slice(20)));
  await until(() => expect(welcomes).toHaveLength(2));
  expect(welcomes[1]?.intervalMs).toBe(500);
});

describe('does not talk to', () => {
  it.each([
    ['another version', JSON.stringify({ ...WELCOME, protocol: PROTOCOL + 1 })],
    ['settings that would harm', JSON.stringify({ ...WELCOME, intervalMs: 0 })],
    ['settings that are none', JSON.stringify({ ...WELCOME, hangTimeoutMs: '1000' })],
    ['a line without end', 'x'.repeat(65 * 1024 + 1) + 'y'.repeat(1024 * 1024)],
  ])('%s', async (_, greeting) => {
    await listen(greeting);
    transport.start();
    await until(() => expect(connections.length).toBeGreaterThan(1)); // tries again
    expect(transport.isTalking).toBe(false);
    expect(transport.dropped).toBeGreaterThan(0);
    expect(welcomes).toEqual([]);
  });

  it('what is no socket', async () => {
    writeFileSync(path, 'a file of somebody');
    transport.start();
    rmSync(path);
    await listen();
    await until(() => expect(transport.isTalking).toBe(true));
  });
});

it('ignores what it does not understand', async () => {
  await listen();
  transport.start();
  await until(() => expect(transport.isTalking).toBe(true));
  connections[0]?.write('not json\n[]\n7\nnull\n{"type":"later"}\n');
  connections[0]?.write(`${JSON.stringify({ ...WELCOME, more: 'unknown' })}\n`);
  await until(() => expect(welcomes).toHaveLength(2));
  expect(transport.isTalking).toBe(true);
  expect(transport.dropped).toBe(3); // what is no message at all
});
