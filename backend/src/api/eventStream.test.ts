import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { beforeEach, describe, expect, it } from 'vitest';
import { startHarness, until } from './testing/harness.js';
import type { Harness, HarnessOptions } from './testing/harness.js';

let harness: Harness;
const sockets: Socket[] = [];

async function start(limits: HarnessOptions['limits'] = {}): Promise<Harness> {
  harness = await startHarness({ limits });
  return harness;
}

beforeEach(() => async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await harness.close();
});

interface Reader {
  readonly socket: Socket;
  text(): string;
  ended(): boolean;
}

/** Follows the stream on a bare socket, so that a test decides when it reads. */
function follow(query = '', headers = ''): Promise<Reader> {
  return new Promise((resolve, reject) => {
    let text = '';
    let ended = false;
    const socket = connect(harness.port, '127.0.0.1');
    sockets.push(socket);
    socket.on('error', reject).on('close', () => (ended = true));
    socket.on('data', (chunk) => {
      const first = text === '';
      text += chunk.toString();
      if (first) resolve({ socket, text: () => text, ended: () => ended });
    });
    socket.write(`GET /api/ha/stream${query} HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`);
  });
}

const emit = (service: string) =>
  harness.controlPlane.emit('service.reset', service, { service, by: 'test' });
const idOf = (event: { at: string; seq: number }) => `${Date.parse(event.at)}-${event.seq}`;
const seqsIn = (reader: Reader) => [...reader.text().matchAll(/"seq":(\d+)/g)].map(([, seq]) => Number(seq));

describe('the event stream', () => {
  it('sends events as frames, as they happen', async () => {
    await start();
    const reader = await follow();
    expect(reader.text()).toMatch(/^HTTP\/1.1 200 OK\r\n/);
    expect(reader.text()).toContain('Content-Type: text/event-stream; charset=utf-8\r\n');
    const event = emit('words');
    await until('the frame arrives', () => /data: .*\n\n/.test(reader.text()));
    expect(reader.text()).toContain(
      `event: service.reset\nid: ${idOf(event)}\ndata: ${JSON.stringify(event)}\n\n`,
    );
  });

  it('can be of one service only', async () => {
    await start();
    const reader = await follow('?service=web');
    emit('words');
    const event = emit('web');
    await until('the frame arrives', () => reader.text().includes('data:'));
    expect(seqsIn(reader)).toEqual([event.seq]);
  });

  it('beats, so that a silent line is told from a dead one', async () => {
    await start({ streamHeartbeatMs: 5 });
    const reader = await follow();
    await until('two heartbeats', () => reader.text().split(': still here\n\n').length > 2);
  });

  it('stops listening to the control plane with its last reader', async () => {
    await start();
    const readers = [await follow(), await follow()];
    expect(harness.controlPlane.listeners).toBe(1);
    readers[0]?.socket.destroy();
    readers[1]?.socket.destroy();
    await until('nobody listens', () => harness.controlPlane.listeners === 0);
    await follow();
    expect(harness.controlPlane.listeners).toBe(1);
  });

  it('refuses one client more than it serves, and takes it when one left', async () => {
    await start({ streamClients: 2 });
    const first = await follow();
    await follow();
    const { status, json, headers } = await harness.call('GET', '/api/ha/stream');
    expect([status, json.error?.code, headers['retry-after']]).toEqual([503, 'stream.full', '10']);
    first.socket.destroy();
    await until('its place is free', () => harness.log.some(({ fields }) => fields['status'] === 200));
    expect((await follow()).text()).toContain('200 OK');
  });
});

it('keeps places for gateways that show the token, and no others', async () => {
  harness = await startHarness({
    settings: { token: 'right', sessionSecret: 'x' },
    limits: { streamClients: 2, gatewayStreams: 2 },
  });
  const token = 'Authorization: Bearer right\r\n';
  const asGateway = `${token}X-Holdfast-Gateway: stream\r\n`;
  await follow('', token);
  await follow('', token);
  const statusOf = async (reader: Promise<Reader>) => (await reader).text().slice(9, 12);
  expect(await statusOf(follow('', token))).toBe('503');
  expect(await statusOf(follow('', 'X-Holdfast-Gateway: stream\r\n'))).toBe('401');
  expect(await statusOf(follow('', asGateway))).toBe('200');
  expect(await statusOf(follow('', asGateway))).toBe('200');
  expect(await statusOf(follow('', asGateway))).toBe('503');
});

it('without a token, what only says that it is a gateway has no place of one', async () => {
  await start({ streamClients: 1 });
  await follow('', 'X-Holdfast-Gateway: stream\r\n');
  expect((await follow('', 'X-Holdfast-Gateway: stream\r\n')).text()).toMatch(/ 503 /);
});

describe('resuming', () => {
  it('gives what was missed, once, then goes on', async () => {
    await start();
    const events = [emit('words'), emit('web'), emit('words')];
    const reader = await follow('', `Last-Event-ID: ${idOf(events[0] ?? emit('words'))}\r\n`);
    const live = emit('web');
    await until('the live one arrives', () => seqsIn(reader).includes(live.seq));
    expect(seqsIn(reader)).toEqual([2, 3, 4]);
    expect(reader.text()).not.toContain('stream.gap');
  });

  it('has nothing to give to who missed nothing', async () => {
    await start();
    const last = emit('words');
    const reader = await follow('', `Last-Event-ID: ${idOf(last)}\r\n`);
    const live = emit('words');
    await until('the live one arrives', () => seqsIn(reader).length > 0);
    expect(seqsIn(reader)).toEqual([live.seq]);
  });

  it.each(['1000-1', 'nonsense', '99999999999999999999-1'])('says that %s leaves a gap', async (id) => {
    await start();
    emit('words');
    const reader = await follow('', `Last-Event-ID: ${id}\r\n`);
    await until('the gap is told', () => reader.text().includes('event: stream.gap\ndata: {}\n\n'));
  });

  it('says so when more was missed than is replayed', async () => {
    await start({ streamReplayEvents: 3 });
    const first = emit('words');
    for (let n = 0; n < 5; n += 1) emit('words');
    const reader = await follow('', `Last-Event-ID: ${idOf(first)}\r\n`);
    await until('all arrived', () => seqsIn(reader).length >= 3);
    expect(seqsIn(reader)).toEqual([4, 5, 6]);
    expect(reader.text()).toContain('stream.gap');
  });
});

describe('a reader that does not read', () => {
  it('is cut off at its limit and counted; the others miss nothing', async () => {
    await start({ streamBufferBytes: 64 * 1024 });
    const slow = await follow();
    slow.socket.pause();
    const good = await follow();
    const by = 'x'.repeat(16 * 1024);
    const dropped = () => harness.log.some(({ message }) => message.includes('too slow'));
    let sent = 0;
    // Kernel buffers take some megabytes first; the good reader is given the time to read.
    while (!dropped() && sent < 4_000) {
      harness.controlPlane.emit('service.reset', 'words', { service: 'words', by });
      sent += 1;
      await until('the good reader has read', () => good.text().length > sent * by.length);
    }
    expect(dropped()).toBe(true);
    const { text } = await harness.call('GET', '/metrics');
    expect(text).toContain('holdfast_api_stream_dropped_total 1\n');
    expect(text).toContain('holdfast_api_stream_clients 1\n');
    slow.socket.resume();
    await until('the slow one is closed', slow.ended);
    expect(good.ended()).toBe(false);
    expect(seqsIn(good)).toHaveLength(sent);
  });
});

describe('shutdown', () => {
  it('ends every stream with a comment, at once', async () => {
    await start();
    const reader = await follow();
    const startedMs = performance.now();
    await harness.api.close({ graceMs: 10_000 });
    await until('it is closed', reader.ended);
    expect(reader.text()).toContain(': the supervisor is stopping\n\n');
    expect(harness.controlPlane.listeners).toBe(0);
    expect(performance.now() - startedMs).toBeLessThan(5_000);
  });
});
