/**
 * Hostile clients against the built gateway. What each attack may cost at most is memory, by the figure that stands in
 * its test; what it may never cost is a request of somebody else, a connection that is left behind, or a worker.
 * The figures are printed at the end. HOLDFAST_UPLOAD_MB sets the size of the large upload (default 200).
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAnswers } from '../../support/rawHttp.js';
import { Siege, untilClosed } from '../../support/siege.js';
import { waitFor } from '../../support/waitFor.js';

const HEAD_TIMEOUT_MS = 6_000;
const BODY_TIMEOUT_MS = 2_000;
const LARGE_ANSWER_BYTES = 16 * 2 ** 20;
const UPLOAD_BYTES = Number(process.env['HOLDFAST_UPLOAD_MB'] ?? 200) * 2 ** 20;
const PIECE = Buffer.alloc(65_536, 'x');
const GET = 'GET /small HTTP/1.1\r\nHost: a.example\r\n\r\n';

let siege: Siege;
let uploaded = 0;

beforeAll(async () => {
  siege = await Siege.lay(application, {
    LB_HEAD_TIMEOUT: String(HEAD_TIMEOUT_MS),
    LB_BODY_TIMEOUT: String(BODY_TIMEOUT_MS),
    LB_MAX_CONNECTIONS: '12000',
    LB_RESPONSE_TIMEOUT: '3000',
  });
  siege.server.on('upgrade', (_request, socket: Socket) => {
    socket.on('error', () => socket.destroy());
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    socket.pipe(socket);
  });
});
afterAll(async () => {
  console.table(siege.figures);
  await siege.lift();
});

function application(request: IncomingMessage, response: ServerResponse): void {
  request.on('error', () => undefined);
  switch (request.url) {
    case '/large':
      sendLarge(response);
      return;
    case '/slow-upload':
      void readSlowly(request).then(() => response.end('done'));
      return;
    case '/dribble':
      void dribble(response);
      return;
    default:
      request.resume();
      request.on('end', () => response.end('small'));
  }
}

function sendLarge(response: ServerResponse): void {
  response.setHeader('content-length', LARGE_ANSWER_BYTES);
  let left = LARGE_ANSWER_BYTES;
  const write = (): void => {
    while (left > 0 && !response.destroyed) {
      left -= PIECE.length;
      if (!response.write(PIECE)) break;
    }
    if (left <= 0) response.end();
  };
  response.on('drain', write);
  write();
}

/** Not at all at first, and then a megabyte at a time with a pause behind each. */
async function readSlowly(request: IncomingMessage): Promise<void> {
  uploaded = 0;
  await pause(1_500);
  let sinceRest = 0;
  for await (const piece of request) {
    uploaded += (piece as Buffer).length;
    sinceRest += (piece as Buffer).length;
    if (sinceRest < 2 ** 20) continue;
    sinceRest = 0;
    await pause(5);
  }
}

/** A byte at a time, so that a client that leaves does so in the middle. */
async function dribble(response: ServerResponse): Promise<void> {
  for (const byte of 'a rather small answer' + ' and a little more of it'.repeat(4)) {
    if (response.destroyed) return;
    response.write(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  response.end();
}

const pause = (durationMs: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, durationMs));

/** Descriptors that this process may have; the gateway, started by it, has the same. */
function mostDescriptors(): number {
  return Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 1_024);
}

describe('connections that are held', () => {
  it('slowloris: heads that come a byte at a time end with 408 when their time is up', async () => {
    await siege.endures('500 slow heads', 24, async () => {
      const sockets = Array.from({ length: 500 }, () => siege.open());
      const answers = sockets.map((socket) => untilClosed(socket));
      const head = 'GET / HTTP/1.1\r\nHost: a\r\n' + 'X-Again: 1\r\n'.repeat(1_000);
      let at = 0;
      const timer = setInterval(() => {
        for (const socket of sockets) if (socket.writable) socket.write(head[at] ?? 'x');
        at += 1;
      }, 100);
      try {
        for (const answer of await Promise.all(answers)) expect(answer).toMatch(/^HTTP\/1\.1 408 /);
      } finally {
        clearInterval(timer);
      }
    });
  });

  it('10 000 that say nothing, or half a head, are held cheaply and closed', async () => {
    const count = Math.min(10_000, mostDescriptors() - 2_000);
    await siege.endures(`${count} silent connections`, 72, async () => {
      const sockets: Socket[] = [];
      // One address may have 1 000, so they come from many.
      for (let i = 0; i < count; i += 1) {
        const socket = siege.open(`127.0.2.${1 + Math.floor(i / 900)}`);
        sockets.push(socket);
        if (i % 2 === 0) socket.write('GET / HTTP/1.1\r\nHost: a\r\nX-Half: ');
        if (i % 500 === 499) await once(socket, 'connect');
      }
      await siege.home.until(
        'most of them to be open at once',
        ({ traffic }) => traffic.clientConnections > 0.9 * count,
        20_000,
      );
      await Promise.all(sockets.map((socket) => untilClosed(socket, 30_000)));
    });
  });

  it('more than one address may have are turned away, and only they', async () => {
    await siege.endures('1 200 from one address', 24, async () => {
      const sockets = Array.from({ length: 1_200 }, () => siege.open('127.0.3.1'));
      let refused = 0;
      for (const socket of sockets) {
        socket.once('data', (chunk: Buffer) => {
          if (chunk.toString().includes('limit.connections-per-ip')) refused += 1;
        });
      }
      await waitFor(() => refused === 200, { what: '200 of them to be refused' });
      expect(sockets.filter(({ destroyed }) => !destroyed).length).toBeGreaterThanOrEqual(1_000);
    });
  });

  it('slow bodies: requests that never complete end, and so do theirs at the upstream', async () => {
    await siege.endures('300 slow bodies', 24, async () => {
      const answers = Array.from({ length: 300 }, () => {
        const socket = siege.open();
        socket.write('POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\na beginning');
        return untilClosed(socket);
      });
      for (const answer of await Promise.all(answers)) expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    });
  });

  it('slow readers: answers wait where they come from', async () => {
    await siege.endures('100 clients that do not read 16 MB each', 48, async () => {
      const sockets = Array.from({ length: 100 }, () => {
        const socket = siege.open();
        socket.pause();
        socket.write('GET /large HTTP/1.1\r\nHost: a\r\n\r\n');
        return socket;
      });
      await siege.home.until('the gateway to be tired of them', ({ refusals }) =>
        refusals.some(({ code, total }) => code === 'client.slow' && total >= sockets.length),
      );
    });
  });
});

describe('too much', () => {
  it('header bombs: 431 long before they are through', async () => {
    await siege.endures('100 heads of 8 MB', 24, async () => {
      const line = `X-Bomb: ${'x'.repeat(1_000)}\r\n`;
      const answers = Array.from({ length: 100 }, async (_, i) => {
        const socket = siege.open();
        const answer = untilClosed(socket);
        // Half of them one endless line.
        socket.write(`GET / HTTP/1.1\r\nHost: a\r\n${i % 2 === 0 ? '' : 'X-Bomb: '}`);
        const piece = i % 2 === 0 ? line.repeat(64) : 'x'.repeat(65_536);
        for (let sent = 0; sent < 8 * 2 ** 20 && socket.writable; sent += piece.length) {
          if (!socket.write(piece)) await drained(socket);
        }
        return answer;
      });
      for (const answer of await Promise.all(answers)) {
        // Who goes on sending may be reset before it has read the answer.
        if (answer !== '') expect(answer).toMatch(/^HTTP\/1\.1 431 /);
      }
    });
  });

  it(`an endless chunked upload to an upstream that reads slowly waits in the client`, async () => {
    // It levels off at 57 MB (400 MB: 50, 700: 56, 1 000: 57): the young space, and buffers that wait to be collected.
    await siege.endures(`${UPLOAD_BYTES / 2 ** 20} MB to a slow upstream`, 48, async () => {
      const socket = siege.open();
      const answer = untilClosed(socket, 300_000);
      socket.write(
        'PUT /slow-upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n',
      );
      const chunk = Buffer.concat([Buffer.from('10000\r\n'), PIECE, Buffer.from('\r\n')]);
      for (let sent = 0; sent < UPLOAD_BYTES; sent += PIECE.length) {
        if (!socket.write(chunk)) await drained(socket);
      }
      socket.write('0\r\n\r\n');
      expect(await answer).toMatch(/^HTTP\/1\.1 200 [^]*done/);
      expect(uploaded).toBe(UPLOAD_BYTES);
    });
  }, 300_000);

  it('a flood of pipelined requests is read only as fast as it is answered, and answered in order', async () => {
    const count = 50_000;
    await siege.endures(`${count} pipelined requests, unread at first`, 24, async () => {
      const socket = siege.open();
      socket.pause();
      let answered = 0;
      let received = '';
      const flood = (async () => {
        for (let i = 0; i < count; i += 100) {
          if (!socket.write(GET.repeat(100))) await drained(socket);
        }
      })();
      await untilStill(() => socket.bytesWritten - socket.writableLength);
      socket.on('data', (chunk: Buffer) => {
        received += chunk.toString('latin1');
        const end = received.lastIndexOf('HTTP/1.1 ');
        const complete = received.endsWith('small') ? received.length : end;
        const answers = parseAnswers(received.slice(0, Math.max(0, complete)));
        received = received.slice(Math.max(0, complete));
        answered += answers.length;
        for (const { status, body } of answers) {
          if (status !== 200 || body !== 'small') throw new Error(`answer ${answered} was ${status} ${body}`);
        }
      });
      socket.resume();
      await flood;
      await waitFor(() => answered === count, { what: 'every answer', deadlineMs: 30_000 });
    });
  });
});

describe('clients that leave', () => {
  const POST =
    'POST /small HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n';

  it('at any byte of their request', async () => {
    await siege.endures(`a reset at each of ${POST.length} bytes of a request`, 24, async () => {
      await eachInParallel(POST.length + 1, async (length) => {
        const socket = siege.open();
        await once(socket, 'connect');
        await new Promise((resolve) => void socket.write(POST.slice(0, length), resolve));
        socket.resetAndDestroy();
      });
    });
  });

  it('at any byte of an answer that comes byte by byte', async () => {
    const whole = await dribbled(Number.POSITIVE_INFINITY);
    expect(whole).toMatch(/^HTTP\/1\.1 200 [^]*0\r\n\r\n$/);
    await siege.endures(`a reset at each of ${whole.length} bytes of an answer`, 24, () =>
      eachInParallel(whole.length, async (length) => {
        expect((await dribbled(length)).length).toBeGreaterThanOrEqual(length);
      }),
    );
  });

  /** Reads so many bytes of an answer, or all of it, and resets the connection. */
  async function dribbled(length: number): Promise<string> {
    const socket = siege.open();
    let received = '';
    socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
    socket.write('GET /dribble HTTP/1.1\r\nHost: a\r\n\r\n');
    await waitFor(() => received.length >= length || received.endsWith('0\r\n\r\n'), {
      what: `${length} bytes of an answer`,
      intervalMs: 1,
    });
    socket.resetAndDestroy();
    return received;
  }
});

describe('nonsense', () => {
  it('instead of HTTP is refused, whatever it is', async () => {
    const random = new Uint8Array(4_096).map((_, index) => (index * 7_919) % 256);
    const nonsense: readonly (string | Uint8Array)[] = [
      random,
      '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      'SSH-2.0-OpenSSH_9.2\r\n',
      '\0'.repeat(100),
      'GET / HTTP/1.1\nHost: a\n\n',
      'GET /\r\n\r\n',
      `${'A'.repeat(70_000)}`,
      'PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n',
      'GET http://[::1 HTTP/1.1\r\nHost: [::1\r\n\r\n',
    ];
    await siege.endures(`${nonsense.length * 20} connections with nonsense`, 24, async () => {
      const answers = Array.from({ length: nonsense.length * 20 }, (_, index) => {
        const socket = siege.open();
        socket.write(nonsense[index % nonsense.length]!);
        return untilClosed(socket);
      });
      for (const answer of await Promise.all(answers))
        expect(answer).toMatch(/^(HTTP\/1\.1 (4\d\d|505|501) |$)/);
    });
  });

  it('as a WebSocket handshake, or right behind one, leaves nothing behind', async () => {
    const upgrade = (lines: string, method = 'GET'): string =>
      `${method} /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${lines}\r\n`;
    const KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
    const VERSION = 'Sec-WebSocket-Version: 13\r\n';
    const handshakes = [
      upgrade(''),
      upgrade(KEY),
      upgrade(VERSION),
      upgrade(`${KEY}Sec-WebSocket-Version: 99\r\n`),
      upgrade(`Sec-WebSocket-Key: short\r\n${VERSION}`),
      upgrade(`${KEY}${VERSION}Content-Length: 3\r\n`) + 'abc',
      upgrade(`${KEY}${VERSION}`, 'POST'),
      upgrade(`${KEY}${VERSION}Upgrade: h2c\r\n`),
      upgrade(`${KEY}${VERSION}Transfer-Encoding: chunked\r\n`) + '0\r\n\r\n',
      upgrade(KEY + VERSION) + '\xff\x00\xff garbage instead of frames',
      upgrade(KEY + VERSION) + GET,
    ];
    await siege.endures('440 broken WebSocket handshakes', 24, async () => {
      await eachInParallel(handshakes.length * 40, async (index) => {
        const socket = siege.open();
        let received = '';
        socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
        socket.write(handshakes[index % handshakes.length]!, 'latin1');
        await waitFor(() => received.startsWith('HTTP/1.1 '), { what: 'an answer', intervalMs: 5 });
        if (index % 2 === 0) socket.resetAndDestroy();
        else socket.destroy();
      });
    });
  });
});

/** It can take more, or never will. */
function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      socket.off('drain', settle).off('close', settle);
      resolve();
    };
    socket.once('drain', settle).once('close', settle);
    if (socket.destroyed) settle();
  });
}

/** Waits until a figure has not changed for half a second: what was to come has come. */
async function untilStill(figure: () => number): Promise<void> {
  let last = figure();
  let sinceMs = performance.now();
  await waitFor(
    () => {
      if (figure() !== last) sinceMs = performance.now();
      last = figure();
      return performance.now() - sinceMs > 500;
    },
    { what: 'standstill' },
  );
}

/** Every index from 0 on, 40 at a time. */
async function eachInParallel(count: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const index = next;
      next += 1;
      await work(index);
    }
  };
  await Promise.all(Array.from({ length: 40 }, worker));
}
