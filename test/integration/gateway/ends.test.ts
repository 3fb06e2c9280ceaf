/** How connections and requests end when a client is slow, sends too much, or the gateway is on its way out. */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { tcpSockets } from '../../../backend/src/adapters/net/tcpSockets.js';
import { Peer, TrustedPeers } from '../../../backend/src/gateway/shared/forwarded.js';
import {
  atTearDown,
  client,
  echoPath,
  expectIdle,
  gateway,
  get,
  ok,
  switching,
  tearDown,
  upgrade,
  upstream,
} from '../../support/gatewayScene.js';
import { poolRow, snapshotOf, type TestWorker } from '../../support/gatewayWorker.js';
import { parseAnswers, type RawClient } from '../../support/rawHttp.js';
import { waitFor } from '../../support/waitFor.js';

afterEach(tearDown);

/** Far more than `lingerMs` of these tests (50). */
const A_WHILE_MS = 300;
const aWhile = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, A_WHILE_MS));

/** A client's connection through which nothing leaves until it may. */
class NarrowSocket extends Duplex {
  text = '';
  ended = false;
  wasCut = false;
  #open = false;
  #held: (() => void) | null = null;

  /** @param highWater bytes that may wait before its user is to stop. */
  constructor(highWater = 65_536) {
    super({ highWaterMark: highWater, allowHalfOpen: true });
    this.on('finish', () => (this.ended = true));
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const take = (): void => {
      this.text += chunk.toString('latin1');
      done();
    };
    if (this.#open) take();
    else this.#held = take;
  }

  /** Takes one piece. */
  step(): void {
    const take = this.#held;
    this.#held = null;
    take?.();
  }

  /** From now on it takes everything at once. */
  open(): void {
    this.#open = true;
    this.#held?.();
  }

  resetAndDestroy(): void {
    this.wasCut = true;
    this.destroy();
  }
}

function through(socket: NarrowSocket, { worker }: TestWorker): NarrowSocket {
  const peer = new Peer('127.0.0.1', false, new TrustedPeers([]));
  expect(worker.admit(peer, socket)).toBe(true);
  worker.serve(socket, peer);
  return socket;
}

describe('a client that is slow with the last answer', () => {
  it('gets all of it, however long after the upstream is done', async () => {
    const up = await upstream(({ socket }) => socket.write(ok('x'.repeat(5_000))));
    const started = await gateway([up.port]);
    const slow = through(new NarrowSocket(), started);
    slow.push(get('/', 'Connection: close\r\n'));
    await waitFor(() => slow.writableLength > 0, { what: 'the answer' });
    await aWhile();
    slow.open();
    await waitFor(() => slow.ended, { what: 'the end' });
    expect(parseAnswers(slow.text)[0]?.body).toHaveLength(5_000);
    expect(slow.wasCut).toBe(false);
    await expectIdle(started);
  });

  it('is waited for as long as it goes on, longer than it may stand still', async () => {
    const pieces = ['a', 'b', 'c', 'd'];
    const up = await upstream(({ socket }) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n');
      pieces.forEach((piece, i) => setTimeout(() => socket.write(piece), 20 * (i + 1)));
    });
    const started = await gateway([up.port], { bodyTimeoutMs: 800 });
    const slow = through(new NarrowSocket(), started);
    slow.push(get('/', 'Connection: close\r\n'));
    await waitFor(() => started.worker.stats().upstreams[0]?.inFlight === 0 && slow.writableLength > 4, {
      what: 'the whole answer',
    });
    const begunMs = performance.now();
    const stepping = setInterval(() => slow.step(), 400);
    atTearDown(() => clearInterval(stepping));
    await waitFor(() => slow.ended || slow.wasCut, { what: 'the end' });
    expect(performance.now() - begunMs).toBeGreaterThan(800);
    expect([parseAnswers(slow.text)[0]?.body, slow.wasCut]).toEqual(['abcd', false]);
  });

  it('and takes nothing at all is cut, so that a part is not taken for the whole', async () => {
    const up = await upstream(({ socket }) => {
      socket.write('HTTP/1.1 200 OK\r\n\r\nuntil the end of the connection');
      socket.end();
    });
    const started = await gateway([up.port], { bodyTimeoutMs: 80 });
    const stuck = through(new NarrowSocket(), started);
    stuck.push(get('/'));
    await waitFor(() => stuck.destroyed, { what: 'its end' });
    expect([stuck.wasCut, stuck.ended]).toEqual([true, false]);
    await expectIdle(started);
  });

  it('and goes on sending is read for a while; what comes beyond that waits on its side', async () => {
    const up = await upstream(echoPath);
    const started = await gateway([up.port], { lingerMs: 500 });
    const eager = through(new NarrowSocket(), started);
    eager.open();
    eager.push(get('/', 'Connection: close\r\n'));
    await waitFor(() => eager.ended, { what: 'the end of our side' });
    const piece = Buffer.alloc(2 ** 20);
    let taken = 0;
    while (!eager.isPaused() && taken < 64) {
      eager.push(piece);
      taken += 1;
      await new Promise((resolve) => setImmediate(resolve));
    }
    // More than 16 MB; not reset for it, which would overtake the answer.
    expect([taken, eager.destroyed]).toEqual([17, false]);
    await waitFor(() => eager.destroyed, { what: 'its end' });
    await expectIdle(started);
  });

  it('and has ended its side gets what it asked for before', async () => {
    const up = await upstream(echoPath);
    const started = await gateway([up.port]);
    const slow = through(new NarrowSocket(10), started);
    slow.push(get('/first') + get('/second'));
    await waitFor(() => slow.writableNeedDrain && up.received.includes('/first'), { what: 'the first' });
    slow.push(null);
    await aWhile();
    slow.open();
    await waitFor(() => slow.ended, { what: 'the end' });
    expect(parseAnswers(slow.text).map(({ body }) => body)).toEqual(['/first', '/second']);
    await expectIdle(started);
  });
});

it('a WebSocket whose upstream dies: what was sent before still goes to a client that is slow', async () => {
  const up = await upstream(({ socket }) => socket.write(`${switching}the last words`));
  const started = await gateway([up.port]);
  const slow = through(new NarrowSocket(), started);
  slow.push(upgrade());
  await waitFor(() => started.worker.stats().clients.upgraded === 1, { what: 'the upgrade' });
  up.connections[0]!.socket.resetAndDestroy();
  await waitFor(() => started.worker.stats().clients.upgraded === 0, { what: 'the end of its upstream' });
  await aWhile();
  expect(slow.destroyed).toBe(false);
  slow.open();
  await waitFor(() => slow.ended, { what: 'the end' });
  expect(slow.text).toMatch(/the last words$/);
  await expectIdle(started);
});

describe('a client that sends while it is answered', () => {
  const SENT_BYTES = 64 << 20;

  /** Sends much more than the kernel keeps; answers how much more is taken in the course of many pieces of the answer. */
  async function takenInTime(one: RawClient, piece: Buffer): Promise<number> {
    let sent = 0;
    const send = (): void => {
      for (let room = true; room && sent < SENT_BYTES; sent += piece.length) room = one.socket.write(piece);
    };
    one.socket.on('drain', send);
    send();
    const taken = (): number => sent - one.socket.writableLength;
    await waitFor(() => one.received.length > 0, { what: 'the answer to begin' });
    let before = -1;
    let looks = 0;
    await waitFor(
      () => {
        const now = taken();
        looks = now === before && now > 0 ? looks + 1 : 0;
        before = now;
        return looks === 5;
      },
      { what: 'it to be held', intervalMs: 50, deadlineMs: 20_000 },
    );
    expect(before).toBeLessThan(SENT_BYTES / 2);
    const seen = one.received.length;
    await waitFor(() => one.received.length > seen + 100, { what: 'a hundred pieces more' });
    return taken() - before;
  }

  /** One byte every 2 ms, without end. */
  function dribble(socket: { write(text: string): unknown; destroyed: boolean }): void {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    const timer = setInterval(() => {
      if (socket.destroyed) clearInterval(timer);
      else socket.write('1\r\nx\r\n');
    }, 2);
  }

  it('requests behind an endless answer: they wait in the client, not in memory', async () => {
    const up = await upstream(({ socket, received }) => {
      if (received.split('GET ').length === 2) dribble(socket);
    });
    const started = await gateway([up.port]);
    const one = client(started.port).send(get('/endless'));
    expect(await takenInTime(one, Buffer.from(get('/more').repeat(1_700)))).toBeLessThan(500_000);
    one.destroy();
    await expectIdle(started);
  });

  it.each([
    ['nothing', false],
    ['all', true],
  ])(
    'requests one after the other, and reads %s of the answers: no more wait than may',
    async (_name, reads) => {
      const up = await upstream(echoPath);
      const started = await gateway([up.port]);
      const one = through(new NarrowSocket(10_000), started);
      if (reads) one.open();
      const request = get('/more');
      const more = request.repeat(1_700);
      let sent = 0;
      const sending = setInterval(() => {
        for (; sent < SENT_BYTES && one.readableLength < more.length; sent += more.length) one.push(more);
      }, 1);
      atTearDown(() => clearInterval(sending));
      await aWhile();
      const forwarded = up.received.split('GET /more').length - 1;
      expect(forwarded).toBeGreaterThan(20);
      expect(sent - forwarded * request.length).toBeLessThan(500_000);
      one.destroy();
      await expectIdle(started);
    },
  );

  it('a body that the upstream does not read: it waits in the client, not in memory', async () => {
    const up = await upstream((connection) => {
      connection.socket.pause();
      dribble(connection.socket);
    });
    const started = await gateway([up.port]);
    const one = client(started.port).send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${1 << 30}\r\n\r\n`);
    expect(await takenInTime(one, Buffer.alloc(65_536, 'b'))).toBeLessThan(500_000);
    one.destroy();
    await expectIdle(started);
  });
});

describe('an upload that is answered before it is complete', () => {
  const PIECE = 'x'.repeat(65_536);
  const PIECES = 128;
  const head = `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${PIECES * PIECE.length}\r\n\r\n`;
  const upload = (one: RawClient): RawClient => {
    one.send(head);
    for (let sent = 0; sent < PIECES; sent += 1) one.send(PIECE);
    return one;
  };

  /** Answers at once and closes, with most of the request unread. */
  async function hasty(): Promise<number> {
    const server = createServer((_request, response) => {
      response.writeHead(413, { connection: 'close', 'content-length': 3 }).end('big');
    });
    return portOf(server);
  }

  it('gets the answer, though the upstream closes without reading the rest', async () => {
    const started = await gateway([await hasty()], { lingerMs: 2_000 });
    for (let i = 0; i < 40; i += 1) {
      const received = await upload(client(started.port)).untilEnded();
      expect(parseAnswers(received)).toMatchObject([{ status: 413, body: 'big' }]);
    }
    expect(started.worker.stats().upstreams[0]).toMatchObject({ counters: { failures: 0 } });
  });

  it('gets it, too, when it reads nothing before it has sent everything', async () => {
    const started = await gateway([await hasty()], { lingerMs: 5_000 });
    const one = upload(client(started.port, { paused: true }));
    await waitFor(() => one.socket.writableLength === 0, { what: 'all of it to be sent' });
    expect(parseAnswers(await one.read().untilEnded())).toMatchObject([{ status: 413, body: 'big' }]);
  });
});

describe('after a 100 Continue', () => {
  it('the gateway’s own error is still an answer', async () => {
    const up = await upstream(({ socket }, chunk) => {
      if (chunk.includes('Expect')) socket.write('HTTP/1.1 100 Continue\r\n\r\n');
      else socket.destroy();
    });
    const started = await gateway([up.port]);
    const one = client(started.port);
    one.send('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n');
    await one.until('100 Continue');
    one.send('abc');
    expect(await one.untilEnded()).toMatch(
      /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 502 .*upstream\.failed/s,
    );
    expect(one.problem).toBe('');
    await expectIdle(started);
  });

  it('so is a body that does not end', async () => {
    const up = await upstream(({ socket }, chunk) => {
      if (chunk.includes('Expect')) socket.write('HTTP/1.1 100 Continue\r\n\r\n');
    });
    const started = await gateway([up.port], { bodyTimeoutMs: 500 });
    const one = client(started.port);
    one.send('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\nabc');
    expect(await one.untilEnded()).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 408 .*body\.timeout/s);
    await expectIdle(started);
  });
});

it('a request that was held and then finds no room is told so after the time for that', async () => {
  const up = await upstream(() => {});
  const started = await gateway([], {
    holdMs: 5_000,
    queueTimeoutMs: 100,
    maxInFlightPerUpstream: 1,
    lingerMs: 50,
  });
  const first = client(started.port).send(get('/1', 'Connection: close\r\n'));
  const second = client(started.port).send(get('/2', 'Connection: close\r\n'));
  await waitFor(() => started.worker.stats().clients.connections === 2, { what: 'both' });
  await aWhile(); // until both are held
  started.worker.swap(snapshotOf(poolRow([up.port])));
  expect(await Promise.race([second.untilEnded(), first.untilEnded()])).toContain('queue.timeout');
});

describe('a graceful stop', () => {
  it('does not wait for the next request on a connection whose answer ends after it began', async () => {
    const up = await upstream(({ socket }) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha'));
    const started = await gateway([up.port]);
    const one = client(started.port).send(get('/'));
    await one.until('ha');
    const drained = started.worker.drain({ timeoutMs: 4_000, windowMs: 0 });
    up.connections[0]?.socket.write('lf');
    expect(await one.untilEnded()).toContain('half');
    expect(await drained).toBe(true);
  });

  it('ends a request that lies unread where nothing listens any more, and waits for one that was read', async () => {
    // As PM2's daemon keeps a connection whose instance has ended.
    const unread = createTcpServer({ pauseOnConnect: true });
    const accepted = once(unread, 'connection') as Promise<[Socket]>;
    const answers: ServerResponse[] = [];
    const slow = createServer((_request, response) => void answers.push(response));
    const ports = [await portOf(unread), await portOf(slow)];
    const started = await gateway(ports, {}, {}, { sockets: () => tcpSockets() });
    const [one, other] = [client(started.port).send(get('/')), client(started.port).send(get('/'))];
    const [connection] = await accepted;
    atTearDown(() => void connection.destroy());
    await waitFor(() => answers.length === 1, { what: 'the other to be read' });
    const drained = started.worker.drain({ timeoutMs: 60_000, windowMs: 0 });
    unread.close();
    slow.close();
    const first = await Promise.race([one.untilEnded(), other.untilEnded()]);
    expect(first).toMatch(/^HTTP\/1\.1 502 .*its process has ended/s);
    answers[0]!.end('slow');
    const both = await Promise.all([one.untilEnded(), other.untilEnded()]);
    expect(both.filter((text) => parseAnswers(text)[0]?.body === 'slow')).toHaveLength(1);
    expect(await drained).toBe(true);
  });
});

async function portOf(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  atTearDown(() => void server.close());
  return (server.address() as AddressInfo).port;
}
