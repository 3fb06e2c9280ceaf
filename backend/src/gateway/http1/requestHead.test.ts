import { describe, expect, it } from 'vitest';
import { CHUNKED } from './framing.js';
import { frame, LIMITS } from './testing/frame.js';
import { parseRequestHead, RequestHead } from './requestHead.js';

/** Parses the head made of a request line and field lines. */
function parse(...lines: string[]): RequestHead | string {
  const head = new RequestHead();
  return parseRequestHead(lines.map((line) => `${line}\r\n`).join(''), LIMITS, head)?.code ?? head;
}

const GET = 'GET / HTTP/1.1';
const HOST = 'Host: a';

describe('a request head that is refused', () => {
  it.each([
    // Request line
    ['head.malformed', ['', HOST]],
    ['head.malformed', ['GET', HOST]],
    ['head.malformed', ['GET /', HOST]],
    ['head.malformed', ['GET  / HTTP/1.1', HOST]],
    ['head.malformed', ['GET /  HTTP/1.1', HOST]],
    ['head.malformed', ['GET / HTTP/1.1 ', HOST]],
    ['head.malformed', [' GET / HTTP/1.1', HOST]],
    ['head.malformed', ['GET\t/ HTTP/1.1', HOST]],
    ['head.malformed', ['G(T / HTTP/1.1', HOST]],
    ['head.malformed', ['GET /a b HTTP/1.1', HOST]],
    ['head.malformed', ['GET /a\x00b HTTP/1.1', HOST]],
    ['head.malformed', ['GET /a\x7fb HTTP/1.1', HOST]],
    ['head.malformed', ['GET /a\xe9 HTTP/1.1', HOST]],
    ['head.malformed', ['GET /a#b HTTP/1.1', HOST]],
    ['head.malformed', ['GET / http/1.1', HOST]],
    ['head.malformed', ['GET / ICE/1.1', HOST]],
    ['head.malformed', ['GET / HTTP/11', HOST]],
    ['version.unsupported', ['GET / HTTP/2.0', HOST]],
    ['version.unsupported', ['GET / HTTP/1.2', HOST]],
    ['version.unsupported', ['GET / HTTP/0.9', HOST]],
    ['method.unknown', ['FOO / HTTP/1.1', HOST]],
    ['method.unknown', ['get / HTTP/1.1', HOST]],
    ['method.not-allowed', ['CONNECT a:80 HTTP/1.1', HOST]],
    // Targets
    ['target.invalid', ['GET * HTTP/1.1', HOST]],
    ['target.invalid', ['GET a:80 HTTP/1.1', HOST]],
    ['target.invalid', ['GET ftp://a/ HTTP/1.1', HOST]],
    ['target.invalid', ['GET http:///x HTTP/1.1', HOST]],
    ['target.invalid', ['GET http://u:p@a/ HTTP/1.1', HOST]],
    ['target.too-long', [`GET /${'a'.repeat(LIMITS.maxTargetBytes)} HTTP/1.1`, HOST]],
    // Host
    ['host.invalid', [GET]],
    ['host.invalid', [GET, HOST, HOST]],
    ['host.invalid', [GET, 'Host: a', 'host: b']],
    ['host.invalid', [GET, 'Host:']],
    ['host.invalid', [GET, 'Host: a b']],
    ['host.invalid', [GET, 'Host: a/b']],
    ['host.invalid', [GET, 'Host: u@a']],
    ['host.invalid', [GET, 'Host: a:port']],
    ['host.invalid', [GET, 'Host: a, b']],
    ['host.invalid', [GET, 'Host: a\xe9']],
    ['host.invalid', ['GET http://b/ HTTP/1.1', HOST]],
    // Field lines
    ['head.malformed', [GET, HOST, 'X : y']],
    ['head.malformed', [GET, HOST, ': y']],
    ['head.malformed', [GET, HOST, 'X']],
    ['head.malformed', [GET, HOST, ' X: y']],
    ['head.malformed', [GET, HOST, 'X: y', ' folded']],
    ['head.malformed', [GET, HOST, 'X: y', '\tfolded']],
    ['head.malformed', [GET, HOST, 'X: a\x00b']],
    ['head.malformed', [GET, HOST, 'X: a\x7fb']],
    ['head.malformed', [GET, HOST, 'X: a\rb']],
    ['head.malformed', [GET, HOST, 'X: a\nY: b']],
    ['head.malformed', [GET, HOST, 'X\x00: y']],
    ['head.malformed', [GET, HOST, 'X\xe9: y']],
    ['head.malformed', [GET, HOST, 'X[0]: y']],
    ['head.malformed', [GET, '', HOST]],
    ['head.too-many-fields', [GET, HOST, ...Array.from({ length: 100 }, () => 'X: y')]],
    // Content-Length
    ['framing.ambiguous', [GET, HOST, 'Content-Length: 1', 'Content-Length: 1']],
    ['framing.ambiguous', [GET, HOST, 'Content-Length: 1', 'content-length: 2']],
    ['framing.ambiguous', [GET, HOST, 'Content-Length:']],
    ['framing.ambiguous', [GET, HOST, 'Content-Length: +1']],
    ['framing.ambiguous', [GET, HOST, 'Content-Length: -1']],
    ['framing.ambiguous', [GET, HOST, 'Content-Length: 0x1']],
    ['framing.ambiguous', [GET, HOST, 'Content-Length: 1e1']],
    ['framing.ambiguous', [GET, HOST, 'Content-Length: 1.0']],
    ['framing.ambiguous', [GET, HOST, 'Content-Length: 1, 1']],
    ['framing.ambiguous', [GET, HOST, 'Content-Length: 1 1']],
    ['framing.ambiguous', [GET, HOST, 'Content-Length: 1;']],
    ['framing.ambiguous', [GET, HOST, 'Content-Length: "1"']],
    ['framing.ambiguous', [GET, HOST, 'Content-Length: \xb2']],
    ['framing.ambiguous', [GET, HOST, 'Content-Length: 1\t']],
    ['framing.ambiguous', [GET, HOST, 'Content-Length: 9007199254740993']],
    ['framing.ambiguous', [GET, HOST, 'Content_Length: 1']],
    ['head.malformed', [GET, HOST, 'Content-Length : 1']],
    // Transfer-Encoding
    ['framing.ambiguous', [GET, HOST, 'Transfer-Encoding: chunked', 'Content-Length: 1']],
    ['framing.ambiguous', [GET, HOST, 'Content-Length: 1', 'Transfer-Encoding: chunked']],
    ['framing.ambiguous', [GET, HOST, 'Content-Length: 0', 'Transfer-Encoding: identity']],
    ['framing.ambiguous', [GET, HOST, 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked']],
    ['framing.ambiguous', [GET, HOST, 'Transfer-Encoding: identity', 'Transfer-Encoding: chunked']],
    ['framing.ambiguous', [GET, HOST, 'Transfer-Encoding: identity']],
    ['framing.ambiguous', [GET, HOST, 'Transfer-Encoding: gzip, chunked']],
    ['framing.ambiguous', [GET, HOST, 'Transfer-Encoding: chunked, gzip']],
    ['framing.ambiguous', [GET, HOST, 'Transfer-Encoding: chunked, chunked']],
    ['framing.ambiguous', [GET, HOST, 'Transfer-Encoding: xchunked']],
    ['framing.ambiguous', [GET, HOST, 'Transfer-Encoding: chunkedx']],
    ['framing.ambiguous', [GET, HOST, 'Transfer-Encoding: chunked;a=b']],
    ['framing.ambiguous', [GET, HOST, 'Transfer-Encoding: "chunked"']],
    ['framing.ambiguous', [GET, HOST, 'Transfer-Encoding: chunked\t']],
    ['framing.ambiguous', [GET, HOST, 'Transfer-Encoding:']],
    ['framing.ambiguous', [GET, HOST, 'Transfer_Encoding: chunked']],
    ['framing.ambiguous', ['POST / HTTP/1.0', HOST, 'Transfer-Encoding: chunked']],
    ['head.malformed', [GET, HOST, 'Transfer-Encoding\t: chunked']],
    ['head.malformed', [GET, HOST, 'Transfer-Encoding: \x0bchunked']],
    ['head.malformed', [GET, HOST, 'X: y\rTransfer-Encoding: chunked']],
    ['head.malformed', [GET, HOST, 'X: y\nTransfer-Encoding: chunked']],
    // Connection and Expect
    ['head.malformed', [GET, HOST, 'Connection: Content-Length']],
    ['head.malformed', [GET, HOST, 'Connection: close, host']],
    ['head.malformed', [GET, HOST, 'Connection: transfer-encoding']],
    ['head.malformed', [GET, HOST, 'Connection: a b']],
    ['expect.unknown', [GET, HOST, 'Expect: 100-continue, x']],
    ['expect.unknown', [GET, HOST, 'Expect: 100-continue', 'Expect: 100-continue']],
  ])('%s: %j', (code, lines) => {
    expect(parse(...lines)).toBe(code);
  });
});

describe('a request head that is accepted', () => {
  const accepted = (...lines: string[]): RequestHead => {
    const head = parse(...lines);
    if (typeof head === 'string') throw new Error(`refused: ${head}`);
    return head;
  };

  it.each(['GET', 'POST', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS'])(
    'is framed the same whatever its method: %s',
    (method) => {
      const line = `${method} / HTTP/1.1`;
      expect(accepted(line, HOST).bodyLength).toBe(0);
      expect(accepted(line, HOST, 'Content-Length: 0')).toMatchObject({
        bodyLength: 0,
        hasContentLength: true,
      });
      expect(accepted(line, HOST, 'Content-Length: 007').bodyLength).toBe(7);
      expect(accepted(line, HOST, 'transfer-ENCODING:  ChunKed ').bodyLength).toBe(CHUNKED);
    },
  );

  it('has the target that goes to the upstream', () => {
    expect(accepted('GET http://A:80/x?y HTTP/1.1', 'Host: a:80')).toMatchObject({
      target: '/x?y',
      host: 'A:80',
    });
    expect(accepted('GET http://a HTTP/1.1', HOST).target).toBe('/');
    expect(accepted('GET https://a?q HTTP/1.1', HOST).target).toBe('/?q');
    expect(accepted('OPTIONS * HTTP/1.1', HOST).target).toBe('*');
    expect(accepted('GET http://a/ HTTP/1.0').host).toBe('a');
    expect(accepted('GET / HTTP/1.0').host).toBe('');
    expect(accepted('GET /{|}"<>^`\\%zz HTTP/1.1', HOST).target).toBe('/{|}"<>^`\\%zz');
  });

  it.each(['a', 'a.b-c_d.', '1.2.3.4:80', '[::1]', '[::1]:8080', 'a:', 'xn--4ca'])(
    'has the host %s',
    (host) => {
      expect(accepted(GET, `Host: ${host}`).host).toBe(host);
    },
  );

  it('keeps what goes on, in order and as it was written', () => {
    const kept = ['x-a:  b \t', 'Cookie: a=b', 'X-Empty:', 'Accept: \xe9', 'sec-weird_Name!: 1'];
    expect(accepted(GET, HOST, ...kept).lines).toBe(kept.map((line) => `${line}\r\n`).join(''));
  });

  it('loses what is for one hop only, however it is listed', () => {
    const head = accepted(
      GET, HOST, 'A: 1', 'Connection: x-one', 'Connection: X-Two, close ,,', 'X-One: 1', 'B: 2', 'x-two: 2', 'Keep-Alive: 5',
      'Proxy-Connection: x', 'Proxy-Authorization: x', 'Proxy-Authenticate: x', 'TE: x', 'Trailer: x', 'Upgrade: x', 'C: 3',
    ); // prettier-ignore
    expect(head.lines).toBe('A: 1\r\nB: 2\r\nC: 3\r\n');
    expect(head).toMatchObject({ close: true, persistent: false, acceptsTrailers: false, webSocket: false });
  });

  it('is decided by no name that only looks like one that decides', () => {
    const head = accepted(
      GET, HOST, 'X_Forwarded_For: 1.2.3.4', 'X_Forwarded-Proto: https', 'X_Forwarded_Port: 1', 'X_Real_IP: 1', 'X_Request_Id: a',
      'Idempotency_Key: a', 'Max_Forwards: 0', 'Keep_Alive: 1', 'Connection: Upgrade', 'Upgrade: websocket',
      'Sec_WebSocket_Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec_WebSocket_Version: 13', 'Set_Cookie: a', 'x_own: 1',
    ); // prettier-ignore
    expect(head).toMatchObject({
      forwardedFor: null, forwardedProto: null, forwardedOther: '', realIp: null, requestId: null, hasIdempotencyKey: false,
      maxForwards: null, webSocket: false,
      lines: 'Idempotency_Key: a\r\nSec_WebSocket_Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec_WebSocket_Version: 13\r\nSet_Cookie: a\r\nx_own: 1\r\n',
    }); // prettier-ignore
  });

  it('names its host in its target, whatever Host says of the scheme’s own port', () => {
    expect(accepted('GET http://a:80/p HTTP/1.1', 'Host: a').host).toBe('a:80');
    expect(accepted('GET http://a/p HTTP/1.1', 'Host: A:80').host).toBe('a');
    expect(accepted('GET https://a:443/p HTTP/1.1', 'Host: a').host).toBe('a:443');
    expect(accepted('GET http://[::1]:80/p HTTP/1.1', 'Host: [::1]').host).toBe('[::1]:80');
    expect(parse('GET http://a:443/p HTTP/1.1', 'Host: a')).toBe('host.invalid');
    expect(parse('GET https://a:80/p HTTP/1.1', 'Host: a')).toBe('host.invalid');
  });

  it('asks about the server as a whole with OPTIONS and no path', () => {
    expect(accepted('OPTIONS http://a HTTP/1.1', HOST).target).toBe('*');
    expect(accepted('OPTIONS http://a/ HTTP/1.1', HOST).target).toBe('/');
    expect(accepted('OPTIONS http://a?q HTTP/1.1', HOST).target).toBe('/?q');
  });

  it('says whether its connection goes on', () => {
    expect(accepted(GET, HOST).persistent).toBe(true);
    expect(accepted(GET, HOST, 'Connection: Close').persistent).toBe(false);
    expect(accepted('GET / HTTP/1.0').persistent).toBe(false);
    expect(accepted('GET / HTTP/1.0', 'Connection: Keep-Alive').persistent).toBe(true);
    expect(accepted('GET / HTTP/1.0', 'Connection: keep-alive, close').persistent).toBe(false);
  });
});

describe('a stream of requests', () => {
  const outcome = (text: string): unknown => frame([Buffer.from(text, 'latin1')]).outcome;

  it.each([
    'GET / HTTP/1.1\nHost: a\n\n',
    'GET / HTTP/1.1\r\nHost: a\n',
    'GET / HTTP/1.1\r\nHost: a\r\r\n',
    '\nGET / HTTP/1.1\r\n',
    '\r\n\r\n\r\nGET / HTTP/1.1\r\n',
    '\x16\x03\x01\x02\x00',
    'GET / HT\x00',
    '{"json":1}',
  ])('is refused as soon as it can be no request: %j', (text) => {
    expect(outcome(text)).toHaveProperty('refused');
  });

  it('may have two empty lines between its requests', () => {
    const request = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
    expect(frame([Buffer.from(`${request}\r\n\r\n${request}`)]).requests).toHaveLength(2);
  });

  it('is refused when a head is longer than allowed, complete or not', () => {
    const head = `GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(LIMITS.maxHeadBytes)}`;
    expect(outcome(head)).toEqual({ refused: 'head.too-large' });
    expect(outcome(`${head}\r\n\r\n`)).toEqual({ refused: 'head.too-large' });
  });
});

describe("the cookie of the control API's session", () => {
  const linesOf = (...lines: string[]): string => (parse(GET, HOST, ...lines) as RequestHead).lines;

  it.each([
    ['alone', ['Accept: */*', 'Cookie: holdfast_session=x', 'A: b'], 'Accept: */*\r\nA: b\r\n'],
    ['beside others', ['A: b', 'cookie: s=1; holdfast_session=x; t=2'], 'A: b\r\nCookie: s=1; t=2\r\n'],
    ['over TLS', ['Cookie: __Host-holdfast_session=x'], ''],
    [
      'in one of several fields',
      ['Cookie: a=1', 'Cookie: holdfast_session=x', 'Cookie: b=2'],
      'Cookie: a=1\r\nCookie: b=2\r\n',
    ],
  ])('does not go on: %s', (_, lines, expected) => {
    expect(linesOf(...lines)).toBe(expected);
  });

  it('others go on as they came', () => {
    expect(linesOf('cookie:a=1;b=2 ', 'X: y')).toBe('cookie:a=1;b=2 \r\nX: y\r\n');
  });
});

describe('a WebSocket handshake', () => {
  const asks = (...upgrades: string[]): boolean => {
    const head = parse(
      GET,
      HOST,
      'Connection: Upgrade',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      ...upgrades.map((value) => `Upgrade: ${value}`),
    );
    if (typeof head === 'string') throw new Error(head);
    return head.webSocket;
  };

  it.each([
    ['websocket'],
    ['WebSocket'],
    ['h2c, websocket'],
    ['websocket\t,foo/2'],
    [',websocket,'],
    ['h2c', 'websocket'],
  ])('is one that offers %j %s', (...upgrades) => {
    expect(asks(...upgrades)).toBe(true);
  });

  it.each([['websockets'], ['x-websocket'], ['websocket/13'], ['web socket'], ['h2c'], [''], ['h2c', 'foo']])(
    'is none that offers %j %s',
    (...upgrades) => {
      expect(asks(...upgrades)).toBe(false);
    },
  );
});
