/** What an upstream answers to a WebSocket's handshake, and what clients hear of it in each protocol. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  heardFromStream,
  PROTOCOLS,
  Stage,
  type Line,
  type Protocol,
  type Reply,
} from '../../../../test/support/protocols.js';
import { acceptFor } from './accept.js';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';

let stage: Stage;
beforeAll(async () => {
  const keys = ['a'.repeat(32)];
  const sticky = { cookieName: 'S', lifetimeMs: 1_800_000, keys };
  stage = await Stage.start({}, {}, { sticky });
});
afterAll(() => stage.close());

const switching = (accept: (key: string) => string, lines = ''): Reply => {
  return ({ socket, received }) => {
    const key = /^sec-websocket-key: (.*)\r$/im.exec(received.slice(received.lastIndexOf('GET ')))?.[1] ?? '';
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${lines}` +
        `Sec-WebSocket-Accept: ${accept(key)}\r\n\r\n`,
    );
  };
};

interface Opened {
  readonly status: number;
  readonly lines: readonly Line[];
}

/** The head of the answer to a handshake; the WebSocket is given up then. */
async function open(protocol: Protocol, lines: readonly Line[] = []): Promise<Opened> {
  if (protocol === 'HTTP/2') {
    const session = await stage.openHttp2();
    const stream = session.request(
      {
        ':method': 'CONNECT',
        ':protocol': 'websocket',
        ':path': '/ws',
        'sec-websocket-version': '13',
        ...Object.fromEntries(lines),
      },
      { endStream: false },
    );
    stream.on('response', () => setImmediate(() => session.destroy()));
    return heardFromStream(stream);
  }
  const socket = stage.open(protocol);
  const fields = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  socket.write(
    `GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
      `Sec-WebSocket-Key: ${KEY}\r\n${fields}\r\n`,
  );
  const text = await new Promise<string>((resolve) => {
    let received = '';
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1');
      if (received.includes('\r\n\r\n')) socket.destroy();
    });
    socket.on('close', () => resolve(received));
  });
  const [statusLine = '', ...rest] = text.slice(0, text.indexOf('\r\n\r\n')).split('\r\n');
  return {
    status: Number(statusLine.split(' ')[1]),
    lines: rest.map((line): Line => [
      line.slice(0, line.indexOf(':')).toLowerCase(),
      line.split(': ')[1] ?? '',
    ]),
  };
}

describe.each(PROTOCOLS)('a handshake through %s', (protocol) => {
  const isHttp2 = protocol === 'HTTP/2';

  it('opens, and binds the client to its upstream like any other answer', async () => {
    stage.reply = switching(acceptFor);
    const { status, lines } = await open(protocol);
    expect(status).toBe(isHttp2 ? 200 : 101);
    const cookie = lines.find(([name]) => name === 'set-cookie')?.[1] ?? '';
    expect(cookie).toMatch(/^S=/);
    expect(cookie.includes('Secure')).toBe(protocol !== 'HTTP/1.1');
    const again = await open(protocol, [['cookie', cookie.split(';')[0] ?? '']]);
    expect(again.lines.filter(([name]) => name === 'set-cookie')).toEqual([]);
  });

  it('opens although the upstream says how long its 101 is', async () => {
    stage.reply = switching(acceptFor, 'Content-Length: 0\r\n');
    const { status, lines } = await open(protocol);
    expect(status).toBe(isHttp2 ? 200 : 101);
    expect(lines.map(([name]) => name)).not.toContain('content-length');
  });

  // Over HTTP/1.1 the client knows the key and judges for itself.
  it.each([
    ['another key', (): string => acceptFor(KEY.toLowerCase())],
    ['nothing', (): string => ''],
  ])('that is accepted for %s', async (_name, accept) => {
    stage.reply = switching(accept);
    expect((await open(protocol)).status).toBe(isHttp2 ? 502 : 101);
  });

  // In HTTP/2 each of these would say that it is open (RFC 8441 section 5).
  it.each([200, 201, 204, 206, 299])('that is answered with %s', async (status) => {
    const length = status === 204 ? '' : 'Content-Length: 2\r\n';
    stage.reply = `HTTP/1.1 ${status} Fine\r\n${length}\r\n${length === '' ? '' : 'ok'}`;
    const failures = (): number => stage.worker.stats().upstreams[0]?.counters.failures ?? -1;
    const before = failures();
    for (let time = 0; time < 8; time += 1)
      expect((await open(protocol)).status).toBe(isHttp2 ? 502 : status);
    // It is no fault of the upstream.
    expect(failures()).toBe(before);
  });

  it.each([302, 400, 403, 426, 503])('that is refused with %s', async (status) => {
    stage.reply = `HTTP/1.1 ${status} No\r\nContent-Length: 2\r\n\r\nno`;
    expect((await open(protocol)).status).toBe(status);
  });
});
