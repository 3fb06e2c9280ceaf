/** What a client asks, and what the upstream gets of it: the same in HTTP/1.1, through TLS, and in HTTP/2. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  heardFrom,
  heardFromStream,
  PROTOCOLS,
  Stage,
  type Asked,
  type Heard,
  type Line,
  type Protocol,
} from '../../../../test/support/protocols.js';
import { poolRow, snapshotOf, upstreamRow } from '../../../../test/support/gatewayWorker.js';
import { RawUpstream } from '../../../../test/support/rawHttp.js';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';

let stranger: Stage;
let believed: Stage;
beforeAll(async () => {
  stranger = await Stage.start();
  believed = await Stage.start({}, { trustedProxies: ['127.0.0.1', '10.0.0.0/8'] });
});
afterAll(() => Promise.all([stranger.close(), believed.close()]));

/** The head and body that the upstream got of a request, and what the client heard. */
async function sent(stage: Stage, protocol: Protocol, asked: Asked): Promise<{ heard: Heard; got: string }> {
  stage.reply = OK;
  const before = stage.upstream.received.length;
  const heard = await stage.ask(protocol, asked);
  return { heard, got: stage.upstream.received.slice(before) };
}

/** Of an HTTP/1.1 head, the lines of a name. */
function linesOf(got: string, name: string): string[] {
  return [...got.matchAll(new RegExp(`^${name}: (.*)\r$`, 'gim'))].map(([, value = '']) => value);
}

describe.each(PROTOCOLS)('a request that comes through %s', (protocol) => {
  it.each<readonly [string, Line, readonly string[]]>([
    ['x-forwarded-for', ['X_Forwarded_For', '6.6.6.6'], ['127.0.0.1']],
    ['x-forwarded-proto', ['X_Forwarded-Proto', 'gopher'], [protocol === 'HTTP/1.1' ? 'http' : 'https']],
    ['x-real-ip', ['X_Real_IP', '6.6.6.6'], ['127.0.0.1']],
    ['x_forwarded_for', ['X_Forwarded_For', '6.6.6.6'], []],
    ['x_forwarded_port', ['X_Forwarded_Port', '1'], []],
    ['x_request_id', ['X_Request_ID', 'abc'], []],
    ['proxy_authorization', ['Proxy_Authorization', 'x'], []],
    ['idempotency_key', ['Idempotency_Key', 'x'], ['x']],
    ['sec_websocket_key', ['Sec_WebSocket_Key', 'x'], ['x']],
    ['content_type', ['Content_Type', 'x'], ['x']],
  ])('is told %s by that name alone: %j', async (name, line, expected) => {
    const { got } = await sent(believed, protocol, { lines: [line] });
    expect(linesOf(got, name)).toEqual(expected);
    expect(got).not.toContain('6.6.6.6');
  });

  it('that is refused says what is allowed, and when', async () => {
    const { heard } = await sent(stranger, protocol, { method: 'TRACE' });
    expect(heard.status).toBe(405);
    expect(heard.lines.map(([name]) => name)).toEqual(expect.arrayContaining(['allow', 'date']));
  });

  it.each([
    ['the scheme’s own port', protocol === 'HTTP/1.1' ? 80 : 443, 200],
    ['another port', 8080, 400],
  ])('for a host that is named twice, once with %s', async (_name, port, status) => {
    const scheme = protocol === 'HTTP/1.1' ? 'http' : 'https';
    const asked: Asked =
      protocol === 'HTTP/2'
        ? { host: `a.example:${port}`, lines: [['host', 'a.example']] }
        : { path: `${scheme}://a.example:${port}/p` };
    const { heard, got } = await sent(stranger, protocol, asked);
    expect(heard.status).toBe(status);
    if (status === 200) expect(linesOf(got, 'host')).toEqual([`a.example:${port}`]);
  });

  it('goes round in circles only when Via has the very name', async () => {
    const via = (value: string): Asked => ({ lines: [['via', value]] });
    expect((await sent(stranger, protocol, via('1.1 holdfast2, 1.1 x (holdfast)'))).heard.status).toBe(200);
    expect((await sent(stranger, protocol, via('1.1 a, 2.0 holdfast'))).heard.status).toBe(508);
  });

  it.each([
    ['https, https', null, 'https'],
    ['http, https', null, 'https'],
    ['https, http', null, 'http'],
    ['https, http', '1.2.3.4, 10.0.0.1', 'https'],
    ['https, http', '1.2.3.4, 5.6.7.8', 'http'],
    ['https', '1.2.3.4, 10.0.0.1', 'https'],
    ['HTTPS', '1.2.3.4', 'https'],
    ['https,', '1.2.3.4', 'https'],
    [', https,, ', '1.2.3.4, ,10.0.0.1,', 'https'],
    ['https, http', '1.2.3.4,, 10.0.0.1', 'https'],
  ])('X-Forwarded-Proto %j with X-Forwarded-For %j is %s', async (proto, chain, expected) => {
    const lines: Line[] = [['X-Forwarded-Proto', proto]];
    if (chain !== null) lines.push(['X-Forwarded-For', chain]);
    const { got } = await sent(believed, protocol, { lines });
    expect(linesOf(got, 'x-forwarded-proto')).toEqual([protocol === 'HTTP/1.1' ? expected : 'https']);
  });

  it.each(['1.2.3.4', '1.2.3.4,', ', 1.2.3.4,, ', '9.9.9.9, 1.2.3.4,,10.0.0.1,'])(
    'X-Forwarded-For %j names its client, whatever is empty in it',
    async (chain) => {
      const { got } = await sent(believed, protocol, { lines: [['X-Forwarded-For', chain.trimEnd()]] });
      expect(linesOf(got, 'x-real-ip')).toEqual(['1.2.3.4']);
    },
  );

  it('X-Forwarded-Host, too, is a list', async () => {
    const lines: Line[] = [
      ['X-Forwarded-Host', 'one.example,two.example'],
      ['X-Forwarded-For', '1.2.3.4, 10.0.0.1'],
    ];
    const { got } = await sent(believed, protocol, { lines });
    expect(linesOf(got, 'x-forwarded-host')).toEqual(['one.example']);
  });
});

describe.each(['HTTP/1.1', 'TLS'] as const)('a request in HTTP/1.1 through %s', (protocol) => {
  it.each([
    ['OPTIONS', 'http://a.example', 'OPTIONS * HTTP/1.1'],
    ['OPTIONS', 'http://a.example/', 'OPTIONS / HTTP/1.1'],
    ['OPTIONS', 'http://a.example?x', 'OPTIONS /?x HTTP/1.1'],
    ['GET', 'http://a.example', 'GET / HTTP/1.1'],
  ])('%s %s goes on as %s', async (method, path, line) => {
    expect((await sent(stranger, protocol, { method, path })).got).toMatch(line);
  });

  it.each([
    ['5 ; a=b\r\nhello\r\n0\r\n\r\n', '5\r\nhello\r\n0\r\n\r\n'],
    ['5;a=b\r\nhello\r\n0\t; c\r\n\r\n', '5;a=b\r\nhello\r\n0\r\n\r\n'],
    ['5\r\nhello\r\n0\r\nX-Request-Id: a\r\nX-Sum: 1\r\nX_Forwarded_For: 1.2.3.4\r\nAuthorization: x\r\n\r\n', '5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n'],
  ])('with the body %j goes on with %j', async (chunked, expected) => {
    const { heard, got } = await sent(stranger, protocol, { method: 'POST', chunked });
    expect(heard.status).toBe(200);
    expect(got.slice(got.indexOf('\r\n\r\n') + 4)).toBe(expected);
  }); // prettier-ignore
});

describe('a request in HTTP/2', () => {
  const crumbs = (count: number): Asked => ({
    lines: Array.from({ length: count }, (_, index): Line => ['cookie', `c${String(index % 100).padStart(2, '0')}=${index % 10}`]),
  }); // prettier-ignore

  it.each([
    ['as many as a head has lines', 100, 200],
    ['more than a head may have lines', 150, 200],
    ['all that a head has room for', 2_000, 200],
    ['more than that', 2_600, 431],
  ])('has a cookie in crumbs: %s', async (_name, count, status) => {
    const { heard, got } = await sent(stranger, 'HTTP/2', crumbs(count));
    expect(heard.status).toBe(status);
    if (status === 200) expect(linesOf(got, 'cookie')[0]?.split('; ')).toHaveLength(count);
  });

  it('has no more other lines than in HTTP/1.1', async () => {
    const lines = (count: number): Asked => ({
      lines: Array.from({ length: count }, (): Line => ['x', 'y']),
    });
    expect((await sent(stranger, 'HTTP/2', lines(90))).heard.status).toBe(200);
    expect((await sent(stranger, 'HTTP/2', lines(150))).heard.status).toBe(431);
  });

  it('has its trailers passed on as they came, line by line', async () => {
    const before = stranger.upstream.received.length;
    stranger.reply = OK;
    const session = await stranger.openHttp2();
    const stream = session.request({ ':method': 'POST' }, { endStream: false, waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': ['1', '2'], via: 'x' }));
    stream.end('hello');
    await heardFromStream(stream);
    session.destroy();
    const got = stranger.upstream.received.slice(before);
    expect(got).toMatch(/\r\n0\r\nx-sum: 1\r\nx-sum: 2\r\n\r\n$/);
  });
});

describe('consistent-hash on a field that the gateway writes itself', () => {
  it.each([
    ['x-forwarded-for', true],
    ['X-Real-IP', true],
    ['x-request-id', true],
    ['forwarded', true],
    ['traceparent', true],
    ['x-forwarded-port', true],
    ['x-tenant', true],
    ['cookie', true],
  ])('%s of a trusted peer', async (name) => {
    const ups = await Promise.all(
      Array.from({ length: 4 }, () => RawUpstream.start(({ socket }) => void socket.write(OK))),
    );
    const pool = poolRow([], {
      algorithm: 'consistent-hash',
      hashOn: `header:${name}`,
      upstreams: ups.map(({ port }) => upstreamRow(port)),
    });
    believed.worker.swap(snapshotOf(pool));
    const value = (index: number): string =>
      /for|ip$/i.test(name) && name !== 'forwarded' ? `9.9.9.${index}`
      : name === 'traceparent' ? `00-${'a'.repeat(31)}${index}-${'b'.repeat(16)}-00`
      : `v=${index}`; // prettier-ignore
    const field = name === 'X-Real-IP' ? 'X-Forwarded-For' : name;
    for (let round = 0; round < 6; round += 1) await believed.ask('HTTP/1.1', { lines: [[field, value(1)]] });
    const busy = ups.filter(({ received }) => received !== '');
    await Promise.all(ups.map((up) => up.close()));
    expect(busy).toHaveLength(1);
  });
});

it('CONNECT is refused with what is allowed', async () => {
  const socket = stranger.open('HTTP/1.1');
  socket.write('CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n');
  const heard = await heardFrom(socket);
  expect(heard).toMatchObject({ status: 405 });
  expect(heard.lines.map(([name]) => name)).toContain('allow');
});
