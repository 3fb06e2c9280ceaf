/** Against a server that speaks the daemon's protocol as badly as one can; the real daemon is in test/integration. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { waitFor } from '../../../../test/support/waitFor.js';
import { decodeArgument, encodeFrame, FrameSplitter } from './frames.js';
import { RpcClient } from './rpcClient.js';

type Call = { method: string; args: unknown[] };
type Reply = (answer: unknown) => void;

let folder: string;
let socketPath: string;
let server: Server | null;
let sockets: Set<Socket>;
let client: RpcClient;

function listen(onCall: (call: Call, reply: Reply, socket: Socket) => void): Promise<void> {
  const created = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    const splitter = new FrameSplitter(1024 * 1024);
    socket.on('data', (chunk: Buffer) => {
      for (const frame of splitter.push(chunk)) {
        const [call, id] = frame.map(decodeArgument) as [Call, unknown];
        onCall(call, (answer) => void socket.write(encodeFrame([answer, id])), socket);
      }
    });
  });
  server = created;
  return new Promise((resolve) => created.listen(socketPath, resolve));
}

async function shut(): Promise<void> {
  for (const socket of sockets) socket.destroy();
  const closing = server;
  server = null;
  if (closing !== null) await new Promise((resolve) => closing.close(resolve));
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-rpc-'));
  socketPath = join(folder, 'rpc.sock');
  sockets = new Set();
  server = null;
  client = new RpcClient({ socketPath, timeoutMs: 2_000, maxInFlight: 4, maxFrameBytes: 100_000 });
});

afterEach(async () => {
  client.close();
  await shut();
  rmSync(folder, { recursive: true });
});

describe('RpcClient', () => {
  it('gives every call its own answer, in whatever order they come', async () => {
    const waiting: [Call, Reply][] = [];
    await listen((call, reply) => {
      waiting.push([call, reply]);
      if (waiting.length < 3) return;
      for (const [{ method, args }, answer] of waiting.reverse()) answer({ args: [{ method, got: args }] });
    });
    const answers = await Promise.all(['a', 'b', 'c'].map((method) => client.call(method, { of: method })));
    expect(answers).toEqual(['a', 'b', 'c'].map((method) => ({ method, got: [{ of: method }] })));
  });

  it('passes on what the daemon refuses', async () => {
    await listen((_call, reply) => reply({ error: '7 id unknown', stack: 'Error: …' }));
    await expect(client.call('deleteProcessId', 7)).rejects.toMatchObject({
      code: 'pm2.refused',
      message: expect.stringContaining('7 id unknown') as string,
    });
  });

  it('says at once that nobody listens', async () => {
    await expect(client.call('ping', {})).rejects.toMatchObject({ code: 'pm2.unreachable', retryable: true });
  });

  it('times out, and ignores an answer that comes later', async () => {
    let late: Reply = () => undefined;
    await listen((call, reply) => {
      if (call.method === 'slow') late = reply;
      else reply({ args: ['quick'] });
    });
    await expect(client.call('slow', {}, 20)).rejects.toMatchObject({ code: 'pm2.timeout', status: 503 });
    late({ args: ['too late'] });
    expect(await client.call('quick', {})).toBe('quick');
  });

  it('rejects what is pending when the socket closes in the middle of an answer', async () => {
    await listen((_call, _reply, socket) => {
      const frame = encodeFrame([{ args: ['x'.repeat(1_000)] }, 1]);
      socket.write(frame.subarray(0, 100), () => socket.destroy());
    });
    const calls = await Promise.allSettled([client.call('a', {}), client.call('b', {})]);
    for (const call of calls)
      expect(call).toMatchObject({ status: 'rejected', reason: { code: 'pm2.unreachable' } });
  });

  it.each([
    ['garbage', Buffer.from('<html>not PM2</html>')],
    ['a frame beyond the limit', Buffer.from([0x12, 0x7f, 0, 0, 0])],
    ['broken JSON', encodeFrame([Buffer.from('j:{"args":'), 1])],
    ['an answer without a number', encodeFrame([{ args: [] }, 'not-a-number'])],
    ['an empty frame', Buffer.from([0x10])],
  ])('rejects with pm2.bad-answer on %s and connects anew', async (_name, bytes) => {
    let connections = 0;
    await listen((_call, reply, socket) => {
      connections += 1;
      if (connections === 1) socket.write(bytes);
      else reply({ args: ['fine'] });
    });
    await expect(client.call('a', {})).rejects.toMatchObject({ code: 'pm2.bad-answer' });
    const answer = await waitFor(() => client.call('a', {}), { what: 'an answer on a new connection' });
    expect(answer).toBe('fine');
  });

  it.each([[null], ['text'], [{}], [{ args: 'no list' }]])('rejects the answer %j', async (answer) => {
    await listen((_call, reply) => reply(answer));
    await expect(client.call('a', {})).rejects.toMatchObject({ code: 'pm2.bad-answer' });
  });

  it('ignores an answer to a call it never made', async () => {
    await listen((_call, reply, socket) => {
      socket.write(encodeFrame([{ args: ['stray'] }, 999]));
      reply({ args: ['mine'] });
    });
    expect(await client.call('a', {})).toBe('mine');
  });

  it('refuses to pile up calls on a daemon that does not answer, until it does', async () => {
    const held: Reply[] = [];
    await listen((call, reply) => {
      if (call.method === 'quick') reply({ args: ['quick'] });
      else held.push(reply);
    });
    const slow = [1, 2, 3, 4].map((number) => client.call('slow', number, 20));
    for (const call of slow) await expect(call).rejects.toMatchObject({ code: 'pm2.timeout' });
    await expect(client.call('quick', {})).rejects.toMatchObject({
      code: 'pm2.timeout',
      message: expect.stringContaining('4 earlier calls') as string,
    });
    for (const reply of held) reply({ args: [] });
    expect(await waitFor(() => client.call('quick', {}), { what: 'room again' })).toBe('quick');
  });

  it('tells when the connection goes and comes back by itself', async () => {
    await listen((_call, reply) => reply({ args: [] }));
    const events: string[] = [];
    client.on('open', () => events.push('open'));
    client.on('lost', () => events.push('lost'));
    await client.call('a', {});
    await shut();
    await waitFor(() => events.length === 2, { what: 'the loss' });
    await listen((_call, reply) => reply({ args: [] }));
    await waitFor(() => events.length === 3, { what: 'the reconnection' });
    expect(events).toEqual(['open', 'lost', 'open']);
  });

  it('rejects what is pending when it is closed, and everything after that', async () => {
    await listen(() => client.close());
    await expect(client.call('a', {})).rejects.toMatchObject({ code: 'pm2.unreachable' });
    await expect(client.call('a', {})).rejects.toMatchObject({ code: 'pm2.unreachable' });
  });
});
