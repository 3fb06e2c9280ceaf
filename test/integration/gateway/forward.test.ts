/** The gateway's worker between raw clients and raw upstreams: every byte of both hops is looked at. */
import { afterEach, describe, expect, it } from 'vitest';
import {
  client,
  DATE,
  echoPath,
  expectIdle,
  gateway,
  get,
  ok,
  tearDown,
  upstream,
} from '../../support/gatewayScene.js';
import { parseAnswers } from '../../support/rawHttp.js';
import { waitFor } from '../../support/waitFor.js';

afterEach(tearDown);

describe('what upstreams get', () => {
  it('is the request, with hop-by-hop fields removed and forwarded fields put in', async () => {
    const up = await upstream(echoPath);
    const { port } = await gateway([up.port]);
    await client(port)
      .send(
        'GET /a?b=%20c HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: x\r\nConnection: keep-alive, X-Secret\r\n' +
          'X-Secret: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authorization: Basic x\r\nTE: gzip, trailers\r\nTrailer: Z\r\n' +
          'Upgrade: h2c\r\nHTTP2-Settings: AAA\r\nX-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n' +
          'X-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\nX_Forwarded_For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n' +
          'Accept: */*\r\n\r\n',
      )
      .until('/a?b=%20c');
    const lines = up.received.split('\r\n');
    expect(lines.slice(0, 4)).toEqual([
      'GET /a?b=%20c HTTP/1.1',
      'Host: shop.example:8080',
      'User-Agent: x',
      'Accept: */*',
    ]);
    expect(lines.slice(4, 10)).toEqual([
      'Connection: TE',
      'TE: trailers',
      'X-Forwarded-For: 127.0.0.1',
      'X-Forwarded-Proto: http',
      'X-Forwarded-Host: shop.example:8080',
      'X-Real-IP: 127.0.0.1',
    ]);
    expect(lines[10]).toMatch(/^X-Request-Id: [0-9a-f]{32}$/);
    expect(lines[11]).toBe(`traceparent: 00-${lines[10]?.slice(14)}-${lines[11]?.slice(49, 65)}-00`);
    expect(lines.slice(12)).toEqual(['Via: 1.1 holdfast', '', '']);
  });

  it('names the client that a trusted proxy saw, and not what that client claimed', async () => {
    const up = await upstream(echoPath);
    const { port } = await gateway([up.port], {}, {}, { trustedProxies: ['127.0.0.0/8', '10.0.0.0/8'] });
    await client(port)
      .send(
        get(
          '/x',
          'X-Forwarded-For: 6.6.6.6, 203.0.113.9\r\nX-Forwarded-For: 10.1.2.3\r\nX-Forwarded-Proto: https\r\n' +
            'X-Forwarded-Host: shop.example\r\nX-Request-Id: abc-1\r\nForwarded: for=203.0.113.9\r\n',
        ),
      )
      .until('/x');
    expect(up.received).toContain('X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.1.2.3, 127.0.0.1\r\n');
    expect(up.received).toContain('X-Real-IP: 203.0.113.9\r\n');
    expect(up.received).toContain('X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n');
    expect(up.received).toContain('X-Request-Id: abc-1\r\n');
    expect(up.received).toContain('Forwarded: for=203.0.113.9, for=127.0.0.1;proto=http\r\n');
  });

  it('keeps a valid traceparent and takes its trace id for the request id', async () => {
    const up = await upstream(echoPath);
    const { port } = await gateway([up.port]);
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    await client(port)
      .send(get('/t', `traceparent: 00-${trace}-00f067aa0ba902b7-01\r\n`))
      .until('/t');
    expect(up.received).toContain(
      `X-Request-Id: ${trace}\r\ntraceparent: 00-${trace}-00f067aa0ba902b7-01\r\n`,
    );
  });

  it('is one request on one connection after the other: connections are reused', async () => {
    const up = await upstream(echoPath);
    const { port } = await gateway([up.port]);
    const one = client(port);
    for (let i = 0; i < 20; i += 1) {
      one.send(get(`/n${i};`));
      await one.until(`/n${i};`);
    }
    expect(up.connections).toHaveLength(1);
  });
});

describe('an OPTIONS with Max-Forwards', () => {
  const options = (target: string, left: number): string =>
    `OPTIONS ${target} HTTP/1.1\r\nHost: a\r\nMax-Forwards: ${left}\r\n\r\n`;

  it('goes one hop further each time, and ends at the gateway when it may go no further', async () => {
    const up = await upstream(echoPath);
    const first = await gateway([up.port], {}, {}, { viaName: 'second' });
    const { port } = await gateway([first.port], {}, {}, { viaName: 'first' });
    const ask = async (target: string, left: number) => {
      const text = await client(port)
        .send(options(target, left).replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'))
        .untilEnded();
      return parseAnswers(text)[0];
    };
    expect(await ask('/x', 2)).toMatchObject({ status: 200, body: '/x' });
    expect(up.received).toContain('Max-Forwards: 0\r\n');
    const seen = up.received;
    // The second gateway answers, then the first; the service hears of neither.
    for (const left of [1, 0]) {
      const answer = await ask('*', left);
      expect(answer).toMatchObject({ status: 204 });
      expect(answer?.headers['allow']).toContain('OPTIONS');
    }
    expect(up.received).toBe(seen);
    expect(first.worker.stats().clients.answers[1]).toBe(2);
  });
});

describe('what clients get', () => {
  it('is the answer, with hop-by-hop fields removed', async () => {
    const up = await upstream(({ socket }) =>
      socket.write(
        `HTTP/1.1 201 Made it\r\n${DATE}Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nETag: "x"\r\n` +
          'Trailer: Z\r\nContent-Length: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nhi',
      ),
    );
    const { port } = await gateway([up.port]);
    expect(await client(port).send(get('/')).until('hi')).toBe(
      `HTTP/1.1 201 Made it\r\n${DATE}ETag: "x"\r\nContent-Length: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nhi`,
    );
  });

  it('comes in the order of the requests, however they were pipelined', async () => {
    const up = await upstream(echoPath);
    const { port } = await gateway([up.port]);
    const paths = Array.from({ length: 50 }, (_, i) => `/p${i}`);
    const one = client(port).send(
      `${paths.map((path) => get(path)).join('')}${get('/last', 'Connection: close\r\n')}`,
    );
    const answers = parseAnswers(await one.untilEnded());
    expect(answers.map(({ body }) => body)).toEqual([...paths, '/last']);
    expect(answers.at(-1)?.headers['connection']).toBe('close');
  });

  it.each([
    ['HEAD', 'HEAD', `HTTP/1.1 200 OK\r\n${DATE}Content-Length: 500\r\n\r\n`],
    ['204', 'GET', `HTTP/1.1 204 No Content\r\n${DATE}\r\n`],
    ['304', 'GET', `HTTP/1.1 304 Not Modified\r\n${DATE}Content-Length: 500\r\n\r\n`],
  ])('has no body after %s, and the connection goes on', async (_name, method, answer) => {
    const up = await upstream(({ socket }, chunk) => {
      socket.write(chunk.includes('/second') ? ok('second') : answer);
    });
    const { port } = await gateway([up.port]);
    const one = client(port).send(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`);
    await one.until('\r\n\r\n');
    expect(await one.send(get('/second')).until('second')).toBe(answer + ok('second'));
    expect(up.connections).toHaveLength(1);
  });

  it('passes chunks on as they are, trailers included, byte by byte or at once', async () => {
    const body = '5;a="b;c"\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 7\r\n\r\n';
    const answer = `HTTP/1.1 200 OK\r\n${DATE}Transfer-Encoding: chunked\r\n\r\n${body}`;
    const up = await upstream(({ socket }, chunk) => {
      if (chunk.includes('/at-once')) socket.write(answer);
      else {
        void (async () => {
          for (const byte of answer) {
            socket.write(byte);
            await new Promise((resolve) => setImmediate(resolve));
          }
        })();
      }
    });
    const { port } = await gateway([up.port]);
    const one = client(port).send(get('/at-once'));
    expect(await one.until('X-Sum: 7\r\n\r\n')).toBe(answer);
    one.received = '';
    expect(await one.send(get('/bytewise')).until('X-Sum: 7\r\n\r\n')).toBe(answer);
    expect(up.connections).toHaveLength(1);
  });

  it('is decoded for HTTP/1.0, and ends with the connection', async () => {
    const up = await upstream(({ socket }) => {
      socket.write(`HTTP/1.1 200 OK\r\n${DATE}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`);
      setImmediate(() => socket.write('1;x\r\n!\r\n0\r\n\r\n'));
    });
    const { port } = await gateway([up.port]);
    const received = await client(port).send('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n').untilEnded();
    expect(received).toBe(`HTTP/1.1 200 OK\r\n${DATE}Connection: close\r\n\r\nhello!`);
    expect(up.received).toMatch(/^GET \/ HTTP\/1\.1\r\nHost: 127\.0\.0\.1:\d+\r\n/);
    expect(up.received).toContain('Via: 1.0 holdfast\r\n');
  });

  it('keeps an HTTP/1.0 connection open when it is asked to and can', async () => {
    const up = await upstream(echoPath);
    const { port } = await gateway([up.port]);
    const request = 'GET /k HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n';
    const one = client(port).send(request);
    await one.until('/k');
    await one.send(request.replace('/k', '/again')).until('/again');
    expect(parseAnswers(one.received).map(({ headers }) => headers['connection'])).toEqual([
      'keep-alive',
      'keep-alive',
    ]);
  });

  it('of an upstream that ends its answers by closing, ends by closing', async () => {
    const up = await upstream(({ socket }) => socket.end(`HTTP/1.0 200 OK\r\n${DATE}\r\nall of it`));
    const { port } = await gateway([up.port]);
    expect(await client(port).send(get('/')).untilEnded()).toBe(
      `HTTP/1.1 200 OK\r\n${DATE}Connection: close\r\n\r\nall of it`,
    );
  });

  it('shows interim answers and the final one; HTTP/1.0 only the final one', async () => {
    const hints = 'HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n';
    const up = await upstream(({ socket }) => socket.write(`${hints}${hints}${ok('x')}`));
    const { port } = await gateway([up.port]);
    expect(await client(port).send(get('/')).until('\r\n\r\nx')).toBe(`${hints}${hints}${ok('x')}`);
    expect(await client(port).send('GET / HTTP/1.0\r\n\r\n').untilEnded()).toBe(
      ok('x').replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'),
    );
  });
});

describe('request bodies', () => {
  it.each([
    ['of known length', 'Content-Length: 11\r\n\r\nhello world'],
    ['in chunks', 'Transfer-Encoding: chunked\r\n\r\nb;x=1\r\nhello world\r\n0\r\nX-T: 1\r\n\r\n'],
  ])('%s arrive as they were sent, wherever they were cut', async (_name, rest) => {
    const up = await upstream((connection) => {
      if (connection.received.endsWith(rest.slice(rest.indexOf('\r\n\r\n'))))
        connection.socket.write(ok('got it'));
    });
    const { port } = await gateway([up.port]);
    const text = `DELETE /d HTTP/1.1\r\nHost: a\r\n${rest}`;
    for (let cut = 1; cut < text.length; cut += 1) {
      const one = client(port).send(text.slice(0, cut));
      await new Promise((resolve) => setImmediate(resolve));
      await one.send(text.slice(cut)).until('got it');
      one.destroy();
    }
    for (const { received } of up.connections) {
      const framing = rest.slice(0, rest.indexOf('\r\n'));
      for (const message of received.split('DELETE ').slice(1)) {
        expect(message).toContain(`${framing}\r\n`);
        expect(message.endsWith(rest.slice(rest.indexOf('\r\n\r\n')))).toBe(true);
      }
    }
  });

  it('wait for 100 Continue when the client does', async () => {
    const up = await upstream((connection, chunk) => {
      if (chunk.includes('Expect: 100-continue')) connection.socket.write('HTTP/1.1 100 Continue\r\n\r\n');
      if (connection.received.endsWith('body')) connection.socket.write(ok('thanks'));
    });
    const { port } = await gateway([up.port]);
    const one = client(port).send(
      'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n',
    );
    await one.until('100 Continue\r\n\r\n');
    expect(await one.send('body').until('thanks')).toBe(`HTTP/1.1 100 Continue\r\n\r\n${ok('thanks')}`);
  });

  it('are not sent when the upstream refuses before, and the connection ends', async () => {
    const up = await upstream(({ socket }) =>
      socket.write(`HTTP/1.1 413 No\r\n${DATE}Content-Length: 0\r\n\r\n`),
    );
    const started = await gateway([up.port]);
    const received = await client(started.port)
      .send('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n')
      .untilEnded();
    expect(received).toBe(`HTTP/1.1 413 No\r\n${DATE}Content-Length: 0\r\nConnection: close\r\n\r\n`);
    await expectIdle(started);
    await waitFor(() => up.openConnections === 0, {
      what: 'the upstream connection to be closed, not reused',
    });
  });

  it('and answers stream at the same time', async () => {
    const up = await upstream(({ socket }, chunk) => {
      if (chunk.startsWith('POST')) socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
      for (const match of chunk.matchAll(/ping(\d)/g)) socket.write(`5\r\npong${match[1]}\r\n`);
      if (chunk.endsWith('0\r\n\r\n')) socket.write('0\r\n\r\n');
    });
    const { port } = await gateway([up.port]);
    const one = client(port).send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
    await one.until('\r\n\r\n');
    for (let i = 0; i < 5; i += 1) await one.send(`5\r\nping${i}\r\n`).until(`pong${i}`);
    one.send('0\r\n\r\n');
    expect(await one.untilEnded()).toMatch(/Connection: close\r\n\r\n[^]*0\r\n\r\n$/);
  });

  it('malformed in the middle cut the request off from its upstream and are refused', async () => {
    const up = await upstream(() => {});
    const started = await gateway([up.port]);
    const one = client(started.port).send(
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n',
    );
    await waitFor(() => up.received.endsWith('abc\r\n'), { what: 'the first chunk at the upstream' });
    one.send('3\nabc\r\n');
    expect(parseAnswers(await one.untilEnded())[0]).toMatchObject({
      status: 400,
      headers: { connection: 'close' },
    });
    await expectIdle(started);
    await waitFor(() => up.openConnections === 0, { what: 'the upstream connection to be cut' });
    expect(up.received.endsWith('abc\r\n')).toBe(true);
  });
});
