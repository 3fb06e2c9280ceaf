/** Upgrades, sticky sessions, own pages, swaps and the graceful end of the gateway's worker. */
import { once } from 'node:events';
import { createServer as createHttpServer, Agent, request } from 'node:http';
import { createHmac } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import {
  atTearDown,
  client,
  echoPath,
  expectIdle,
  gateway,
  get,
  ok,
  tearDown,
  upstream,
  switching,
  upgrade,
} from '../../support/gatewayScene.js';
import { poolRow, snapshotOf, upstreamRow } from '../../support/gatewayWorker.js';
import { parseAnswers } from '../../support/rawHttp.js';
import { waitFor } from '../../support/waitFor.js';

afterEach(tearDown);

describe('an upgrade', () => {
  it('carries bytes both ways, also those that come early on either side', async () => {
    const up = await upstream(({ socket }, chunk) => {
      if (chunk.startsWith('GET')) socket.write(`${switching}early from upstream`);
      else socket.write(`<${chunk}>`);
    });
    const started = await gateway([up.port]);
    const one = client(started.port).send(`${upgrade()}early from client`);
    await one.until('<early from client>');
    expect(one.received).toBe(
      'HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nConnection: upgrade\r\n' +
        'Upgrade: websocket\r\n\r\nearly from upstream<early from client>',
    );
    expect(up.received).toContain('Connection: upgrade\r\nUpgrade: websocket\r\n');
    await one.send('ping').until('<ping>');
    expect(started.worker.stats().clients.upgraded).toBe(1);
    one.socket.end();
    await waitFor(() => up.connections[0]?.ended, { what: 'the half-close at the upstream' });
    await expectIdle(started);
  });

  it('keeps early bytes from an upstream that does not switch: they are the next request', async () => {
    const up = await upstream(echoPath);
    const { port } = await gateway([up.port]);
    const one = client(port).send(upgrade() + get('/next'));
    await one.until('/next');
    expect(parseAnswers(one.received).map(({ body }) => body)).toEqual(['/ws', '/next']);
  });

  it.each([
    ['no key', upgrade().replace(/Sec-WebSocket-Key.*\r\n/, '')],
    ['another version', upgrade().replace('13', '8')],
    ['no Connection: upgrade', upgrade().replace(', Upgrade', '')],
    ['a body', upgrade('Content-Length: 1\r\n').concat('x')],
    ['POST', upgrade().replace('GET', 'POST')],
    ['h2c', upgrade().replace('websocket', 'h2c')],
  ])('with %s is forwarded without the upgrade', async (_name, request) => {
    const up = await upstream(echoPath);
    const { port } = await gateway([up.port]);
    await client(port).send(request).until('/ws');
    expect(up.received.toLowerCase()).not.toMatch(/^(upgrade|connection):/m);
  });

  it('that nobody asked for is a bad answer', async () => {
    const up = await upstream(({ socket }) => socket.write(switching));
    const { port } = await gateway([up.port]);
    const [answer] = parseAnswers(await client(port).send(get('/', 'Connection: close\r\n')).untilEnded());
    expect(answer?.status).toBe(502);
  });

  it('works with a real client and server, large messages both ways', async () => {
    const server = createHttpServer();
    const sockets = new WebSocketServer({ server });
    sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(data)));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    atTearDown(() => {
      sockets.close();
      for (const socket of sockets.clients) socket.terminate();
      server.close();
    });
    const started = await gateway([(server.address() as { port: number }).port]);
    const socket = new WebSocket(`ws://127.0.0.1:${started.port}/chat`);
    atTearDown(() => socket.terminate());
    await once(socket, 'open');
    for (const size of [1, 70_000, 5_000_000]) {
      const message = Buffer.alloc(size, 'm');
      const answered = once(socket, 'message');
      socket.send(message);
      const [data] = (await answered) as [Buffer];
      expect(data.equals(message)).toBe(true);
    }
    socket.close(1000);
    await once(socket, 'close');
    await expectIdle(started);
  });

  it('keeps no request waiting, however many there are: the bound on requests is none on WebSockets', async () => {
    const up = await upstream((connection, chunk) => {
      if (chunk.startsWith('GET /ws')) connection.socket.write(switching);
      else echoPath(connection, chunk);
    });
    const started = await gateway([up.port], { maxInFlightPerUpstream: 2 });
    const sockets = [];
    for (let i = 0; i < 5; i += 1) {
      const socket = client(started.port).send(upgrade());
      await socket.until('101');
      sockets.push(socket);
    }
    expect(started.worker.stats().upstreams[0]).toMatchObject({ inFlight: 5 });
    await client(started.port).send(get('/served')).until('/served');
    for (const socket of sockets) socket.destroy();
    await expectIdle(started, 1);
  });

  it('stays when a swap changes others, and is closed over a window when its upstream leaves', async () => {
    const up = await upstream(({ socket }) => socket.write(switching));
    const other = await upstream(echoPath);
    const started = await gateway([up.port], {}, {}, { tunnelDrainMs: 100 });
    const one = client(started.port).send(upgrade());
    await one.until('101');
    started.worker.swap(snapshotOf(poolRow([up.port, other.port])));
    await client(started.port).send(get('/x')).send(get('/y')).until('x');
    expect(one.ended).toBe(false);
    started.worker.swap(snapshotOf(poolRow([other.port])));
    await one.untilEnded();
    expect(started.worker.stats().refusals['tunnel.drained']).toBe(1);
  });
});

describe('a sticky session', () => {
  const sticky = { cookieName: 'HFSESSION', lifetimeMs: 1_800_000, keys: ['new key', 'old key'] };

  it('stays with its upstream, and its cookie can be neither read nor forged', async () => {
    const ups = [
      await upstream(({ socket }) => socket.write(ok('0'))),
      await upstream(({ socket }) => socket.write(ok('1'))),
    ];
    const ports = ups.map(({ port }) => port);
    const started = await gateway(ports, {}, { sticky });
    const ask = async (cookie: string): Promise<{ body: string; set: string }> => {
      const text = await client(started.port)
        .send(get('/', `${cookie}Connection: close\r\n`))
        .untilEnded();
      const [answer] = parseAnswers(text);
      return { body: answer?.body ?? '', set: answer?.headers['set-cookie'] ?? '' };
    };
    const first = await ask('');
    expect(first.set).toMatch(
      /^HFSESSION=[\w-]{12}\.[0-9a-z]+\.[\w-]{8}\.[\w-]{22}; Path=\/; Max-Age=1800; HttpOnly; SameSite=Lax$/,
    );
    const value = first.set.slice(0, first.set.indexOf(';'));
    for (let i = 0; i < 6; i += 1)
      expect(await ask(`Cookie: a=b; ${value}\r\n`)).toEqual({ body: first.body, set: '' });
    const forged = value.slice(0, -1) + (value.endsWith('A') ? 'B' : 'A');
    expect((await ask(`Cookie: ${forged}\r\n`)).set).not.toBe('');

    // A key that was rotated out of first place still verifies; one that is gone does not.
    started.worker.swap(snapshotOf(poolRow(ports, { sticky: { ...sticky, keys: ['newest', 'new key'] } })));
    expect(await ask(`Cookie: ${value}\r\n`)).toEqual({ body: first.body, set: '' });
    started.worker.swap(snapshotOf(poolRow(ports, { sticky: { ...sticky, keys: ['newest'] } })));
    expect((await ask(`Cookie: ${value}\r\n`)).set).not.toBe('');

    // Its upstream is gone: another one, and a new cookie.
    const rest = ports.filter((_port, index) => String(index) !== first.body);
    started.worker.swap(snapshotOf(poolRow(rest, { sticky })));
    const moved = await ask(`Cookie: ${value}\r\n`);
    expect(moved.body).not.toBe(first.body);
    // The session is the same one: it is counted once, however often it moves.
    expect(moved.set.split('.')[2]).toBe(first.set.split('.')[2]);
    expect(new Set(started.worker.seen.take())).toHaveLength(1);
  });

  it('is known by a cookie of before cookies had ids', async () => {
    const up = await upstream(({ socket }) => socket.write(ok('0')));
    const started = await gateway([up.port], {}, { sticky });
    const key = (text: string): Buffer => createHmac('sha256', 'new key').update(text).digest();
    const name = key(`name\0main\0${'127.0.0.1'}:${up.port}`).subarray(0, 9).toString('base64url');
    const named = `${name}.${Math.ceil(Date.now() / 1_000 + 1_790).toString(36)}`;
    const signature = key(`session\0main\0${named}`).subarray(0, 16).toString('base64url');
    const lines = `Cookie: HFSESSION=${named}.${signature}\r\nConnection: close\r\n`;
    const text = await client(started.port).send(get('/', lines)).untilEnded();
    expect(text).not.toContain('Set-Cookie');
    expect(started.worker.seen.take()).toHaveLength(1);
  });

  it('is marked Secure behind a TLS proxy', async () => {
    const up = await upstream(echoPath);
    const started = await gateway([up.port], {}, { sticky }, { trustedProxies: ['127.0.0.1'] });
    const text = await client(started.port).send(get('/', 'X-Forwarded-Proto: https\r\n')).until('/');
    expect(text).toContain('; Secure\r\n');
  });
});

describe('pages of the gateway', () => {
  it('are its own, everything else belongs to the application', async () => {
    const up = await upstream(echoPath);
    const ownPages = {
      handles: (path: string) => path === '/lb' || path === '/broken',
      answer: async (page: {
        path: string;
        query: string;
        clientAddress: string;
        header(name: string): string | null;
      }) => {
        if (page.path === '/broken') throw new Error('boom');
        const body = `${page.query} ${page.clientAddress} ${page.header('authorization') ?? ''}`;
        return { status: 200, lines: 'X-Page: 1\r\n', contentType: 'text/plain', body };
      },
    };
    const { port } = await gateway([up.port], {}, {}, { ownPages });
    const one = client(port).send(
      get('/lb?a=b', 'Authorization: Bearer t\r\n') + get('/app') + get('/broken') + get('/end'),
    );
    await one.until('/end');
    const answers = parseAnswers(one.received);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 500, 200]);
    expect(answers[0]?.body).toBe('a=b 127.0.0.1 Bearer t');
    expect(up.received).not.toContain('/lb');
  });
});

describe('a gateway that points to itself', () => {
  it('says so instead of going round in circles', async () => {
    const first = await gateway([]);
    first.worker.swap(snapshotOf(poolRow([], { upstreams: [upstreamRow(first.port)] })));
    const [answer] = parseAnswers(
      await client(first.port).send(get('/', 'Connection: close\r\n')).untilEnded(),
    );
    expect(answer?.status).toBe(508);
  });
});

describe('draining', () => {
  it('finishes what is under way, says goodbye with the next answer, and refuses new connections', async () => {
    const up = await upstream((connection, chunk) => {
      if (!chunk.includes('/slow')) echoPath(connection, chunk);
    });
    // Connections that are idle go at the end of the window, not at a random moment of it.
    const started = await gateway([up.port], {}, {}, { random: () => 0.999 });
    const idle = client(started.port).send(get('/idle'));
    await idle.until('/idle');
    const busy = client(started.port).send(get('/slow'));
    await waitFor(() => up.received.includes('/slow'), { what: 'the slow request' });
    const drained = started.worker.drain({ timeoutMs: 60_000, windowMs: 60_000 });
    const late = client(started.port);
    await waitFor(() => late.closed, { what: 'a new connection to be refused' });
    expect(late.problem).toBe('ECONNREFUSED');
    // Before its turn in the window an idle connection may still bring one request.
    idle.received = '';
    idle.send(get('/goodbye'));
    expect(parseAnswers(await idle.untilEnded())[0]).toMatchObject({
      status: 200,
      headers: { connection: 'close' },
    });
    const slow = up.connections.find(({ received }) => received.includes('/slow'));
    slow?.socket.write(ok('done'));
    expect(parseAnswers(await busy.untilEnded())[0]).toMatchObject({
      body: 'done',
      headers: { connection: 'close' },
    });
    idle.destroy();
    busy.destroy();
    expect(await drained).toBe(true);
    await waitFor(() => up.openConnections === 0, { what: 'the upstream connections to be closed' });
  });

  it('cuts what takes longer than allowed, and says so', async () => {
    const up = await upstream(() => {});
    const started = await gateway([up.port]);
    const busy = client(started.port).send(get('/slow'));
    await waitFor(() => up.received.includes('/slow'), { what: 'the slow request' });
    expect(await started.worker.drain({ timeoutMs: 50, windowMs: 10 })).toBe(false);
    await busy.untilEnded();
    await waitFor(() => up.openConnections === 0, { what: 'the upstream connections to be closed' });
  });
});

describe('a real client and a real server', () => {
  it('agree on 2 000 requests of all kinds, 32 at a time, over kept connections', async () => {
    let served = 0;
    const server = createHttpServer((incoming, response) => {
      served += 1;
      const pieces: Buffer[] = [];
      incoming.on('data', (piece: Buffer) => pieces.push(piece));
      incoming.on('end', () => {
        const body = Buffer.concat(pieces);
        response.setHeader('X-Length', body.length);
        if (incoming.url?.includes('chunked') === true) response.write(body.subarray(0, 10));
        response.end(incoming.url?.includes('chunked') === true ? body.subarray(10) : body);
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const agent = new Agent({ keepAlive: true, maxSockets: 32 });
    atTearDown(() => {
      agent.destroy();
      server.close();
      server.closeAllConnections();
    });
    const started = await gateway([(server.address() as { port: number }).port]);
    const ask = (index: number): Promise<void> =>
      new Promise((resolve, reject) => {
        const body = Buffer.alloc((index * 7_919) % 200_000, String(index % 10));
        const outgoing = request(
          { port: started.port, agent, method: 'POST', path: index % 2 === 0 ? '/plain' : '/chunked' },
          (response) => {
            const pieces: Buffer[] = [];
            response.on('data', (piece: Buffer) => pieces.push(piece));
            response.on('error', reject);
            response.on('end', () => {
              if (Buffer.concat(pieces).equals(body)) resolve();
              else reject(new Error(`request ${index} got another body than it sent`));
            });
          },
        );
        outgoing.on('error', reject);
        if (index % 3 === 0) outgoing.setHeader('Content-Length', body.length);
        outgoing.write(body.subarray(0, body.length / 2));
        outgoing.end(body.subarray(body.length / 2));
      });
    const queue = Array.from({ length: 2_000 }, (_, index) => index);
    const lanes = Array.from({ length: 32 }, async () => {
      for (let index = queue.pop(); index !== undefined; index = queue.pop()) await ask(index);
    });
    await Promise.all(lanes);
    expect(served).toBe(2_000);
    expect(started.worker.stats().upstreams[0]?.counters.connectionsOpened).toBeLessThanOrEqual(64);
  });
});
