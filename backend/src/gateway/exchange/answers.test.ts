/** What an upstream answers, and what clients hear of it: the same in HTTP/1.1, through TLS, and in HTTP/2. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PROTOCOLS, Stage, type Heard, type Line, type Reply } from '../../../../test/support/protocols.js';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterAll(() => stage.close());

const OK = 'HTTP/1.1 200 OK\r\n';
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`;
/** An answer that ends with its connection. */
const closing =
  (text: string): Reply =>
  ({ socket }) =>
    socket.end(text, 'latin1');
/** An answer that comes byte by byte, as far as the network lets it. */
const dribbled =
  (text: string): Reply =>
  async ({ socket }) => {
    for (const byte of text) {
      socket.write(byte, 'latin1');
      await new Promise((resolve) => setImmediate(resolve));
    }
  };

/** Names that Node's HTTP/2 allows in one line (kSingleValueHeaders in its source), but for those that frame a message. */
const SAID_ONCE = [
  'access-control-allow-credentials',
  'access-control-max-age',
  'access-control-request-method',
  'age',
  'authorization',
  'content-location',
  'content-md5',
  'content-range',
  'content-type',
  'date',
  'dnt',
  'etag',
  'expires',
  'from',
  'host',
  'if-modified-since',
  'if-range',
  'if-unmodified-since',
  'last-modified',
  'location',
  'max-forwards',
  'range',
  'referer',
  'retry-after',
  'tk',
  'upgrade-insecure-requests',
  'user-agent',
  'x-content-type-options',
];
/** Of them, those that are lists. */
const LISTS = ['content-encoding', 'content-language', 'if-match', 'if-none-match'];

interface Expected extends Partial<Omit<Heard, 'lines'>> {
  /** Exactly these lines of these names, in this order. */
  readonly lines?: readonly Line[];
  /** No line of these names. */
  readonly without?: readonly string[];
  /** In HTTP/2, where that is another thing: no line of these names either. */
  readonly notInHttp2?: readonly string[];
}

const whole = (body: string, more: Expected = {}): Expected => ({ status: 200, end: 'whole', body, ...more });

const ANSWERS: readonly (readonly [string, Reply, Expected])[] = [
  // A name that only looks like one that decides is an ordinary name.
  [
    'Content_Length that is shorter than the body',
    closing(`${OK}Content_Length: 5\r\n\r\nhello world`),
    whole('hello world', { lines: [['content_length', '5']] }),
  ],
  [
    'Content_Length beside the real one',
    `${OK}Content_Length: 5\r\nContent-Length: 11\r\n\r\nhello world`,
    whole('hello world', { lines: [['content_length', '5']] }),
  ],
  [
    'Transfer_Encoding',
    `${OK}Transfer_Encoding: chunked\r\nContent-Length: 11\r\n\r\nhello world`,
    whole('hello world', { lines: [['transfer_encoding', 'chunked']] }),
  ],
  [
    'Keep_Alive, Proxy_Authenticate and HTTP2_Settings',
    `${OK}Keep_Alive: 1\r\nProxy_Authenticate: 2\r\nHTTP2_Settings: 3\r\nContent-Length: 1\r\n\r\na`,
    whole('a', { lines: [['keep_alive', '1'], ['proxy_authenticate', '2'], ['http2_settings', '3']] }),
  ], // prettier-ignore
  // Lines are passed on as they came.
  [
    'several lines of names that are lists, and of names that are none',
    `${OK}X: 1\r\nLink: <a>\r\nX: \r\nSet-Cookie: a=1\r\nLink: <b>, <c>\r\nX: 3, 4\r\nSet-Cookie: b=2\r\nContent-Length: 1\r\n\r\na`,
    whole('a', {
      lines: [['x', '1'], ['x', ''], ['x', '3, 4'], ['link', '<a>'], ['link', '<b>, <c>'], ['set-cookie', 'a=1'], ['set-cookie', 'b=2']],
    }),
  ], // prettier-ignore
  [
    'lines of one name in an interim answer',
    `HTTP/1.1 103 Early Hints\r\nLink: <a>\r\nLink: <b>\r\n\r\n${OK}Content-Length: 1\r\n\r\na`,
    whole('a', { interim: [103] }),
  ],
  // Trailers
  [
    'trailers of which some mean something in a head',
    `${CHUNKED}5\r\nhello\r\n0\r\nX-Request-Id: abc\r\nX-Sum: 1\r\ntraceparent: 00\r\nVia: 1.1 a\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Port: 1\r\nConnection: close\r\nKeep-Alive: 1\r\nSet-Cookie: a=b\r\nContent-Type: a/b\r\nUpgrade: x\r\nTE: x\r\nContent_Length: 5\r\nX-Sum: 2\r\n\r\n`,
    whole('hello', { trailers: [['x-sum', '1'], ['x-sum', '2']] }),
  ], // prettier-ignore
  [
    'trailers that say where a message goes or ends',
    `${CHUNKED}5\r\nhello\r\n0\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\nHost: a\r\nX-Sum: 1\r\n\r\n`,
    whole('hello', { trailers: [['x-sum', '1']] }),
  ],
  [
    'such trailers, byte by byte',
    dribbled(`${CHUNKED}5\r\nhello\r\n0\r\nX-Request-Id: abc\r\nX-Sum: 1\r\nVia: 1.1 a\r\n\r\n`),
    whole('hello', { trailers: [['x-sum', '1']] }),
  ],
  // Chunk lines
  [
    'whitespace around chunk extensions',
    `${CHUNKED}5 ; a=b\r\nhello\r\n1\t;\ta = "b c" ; d\r\n!\r\n0 ;e\r\n\r\n`,
    whole('hello!'),
  ],
  ['whitespace around chunk extensions, byte by byte', dribbled(`${CHUNKED}5 ; a=b\r\nhello\r\n0 ;e\r\n\r\n`), whole('hello')],
  // Statuses without a body
  ['a 204 with Content-Length: 0', 'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n', { status: 204, body: '', end: 'whole', without: ['content-length'] }],
  ['a 204 with another', 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n', { status: 204, body: '', end: 'whole', without: ['content-length'] }],
  ['a 304 with one', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n', { status: 304, body: '', end: 'whole', lines: [['content-length', '5']] }],
  ['a 100 with one', `HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n${OK}Content-Length: 1\r\n\r\na`, whole('a', { interim: [100] })],
  ['a 103 with one', `HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n${OK}Content-Length: 1\r\n\r\na`, whole('a', { interim: [103] })],
  ['a 205 with a body', 'HTTP/1.1 205 Reset Content\r\nContent-Length: 5\r\n\r\nhello', { status: 205, body: '', end: 'whole', lines: [['content-length', '0']] }],
  ['a 205 with an empty body', 'HTTP/1.1 205 Reset Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', { status: 205, body: '', end: 'whole', lines: [['content-length', '0']] }],
  ['a 205 that ends with its connection', closing('HTTP/1.1 205 Reset Content\r\n\r\n'), { status: 205, body: '', end: 'whole', lines: [['content-length', '0']] }],
  // Statuses of no RFC, and odd but valid fields
  ...[299, 399, 599].map((status): readonly [string, Reply, Expected] => [
    `a ${status}`,
    `HTTP/1.1 ${status} \r\nContent-Length: 1\r\n\r\na`,
    { status, body: 'a', end: 'whole' },
  ]),
  ['names and bytes that are rare', `${OK}x!#$%&'*+.^_\`|~9: \xe9\t\xff\r\nHost: x\r\n__proto__: y\r\nContent-Length: 1\r\n\r\na`, whole('a', { lines: [['host', 'x'], ['__proto__', 'y']] })],
  ['a content coding in two lines', `${OK}Content-Encoding: a\r\nContent-Encoding: b\r\nContent-Length: 1\r\n\r\na`, whole('a')],
  // 426 says what is required
  [
    'a 426',
    'HTTP/1.1 426 Upgrade Required\r\nUpgrade: TLS/1.0, HTTP/1.1\r\nConnection: Upgrade\r\nContent-Length: 1\r\n\r\na',
    { status: 426, body: 'a', end: 'whole', lines: [['upgrade', 'TLS/1.0, HTTP/1.1'], ['connection', 'upgrade, close']], notInHttp2: ['upgrade', 'connection'] },
  ],
  ['an offer to upgrade that is none', `${OK}Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 1\r\n\r\na`, whole('a', { without: ['upgrade'] })],
  ...[600, 999].map((status): readonly [string, Reply, Expected] => [
    `a ${status}, which is no status`,
    `HTTP/1.1 ${status} \r\nContent-Length: 1\r\n\r\na`,
    { status: 502, end: 'whole' },
  ]),
  // Many interim answers
  ...[40, 400].map((count): readonly [string, Reply, Expected] => [
    `${count} interim answers`,
    `${'HTTP/1.1 102 Processing\r\n\r\n'.repeat(count)}${OK}Content-Length: 1\r\n\r\na`,
    whole('a', { interim: Array.from({ length: count }, () => 102) }),
  ]),
  ['interim answers without end', 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(10_000), { status: 502, end: 'whole' }],
  ['a Date that is none', `${OK}dAtE: \r\nContent-Length: 1\r\n\r\na`, whole('a', { lines: [['date', '']] })],
  ['a Date', `${OK}Date: Tue, 15 Nov 1994 08:12:31 GMT\r\nContent-Length: 1\r\n\r\na`, whole('a', { lines: [['date', 'Tue, 15 Nov 1994 08:12:31 GMT']] })],
]; // prettier-ignore

function check(heard: Heard, expected: Expected, isHttp2: boolean): void {
  const { lines, without = [], notInHttp2 = [], ...rest } = expected;
  const none = isHttp2 ? [...without, ...notInHttp2] : without;
  expect(heard).toMatchObject(rest);
  const names = new Set((lines ?? []).map(([name]) => name).filter((name) => !none.includes(name)));
  // The order within a name counts, that between names does not (RFC 9110 section 5.3).
  for (const name of names) {
    const of = (all: readonly Line[]): Line[] => all.filter((line) => line[0] === name);
    expect(of(heard.lines)).toEqual(of(lines ?? []));
  }
  for (const name of none) expect(heard.lines.map(([each]) => each)).not.toContain(name);
}

describe.each(PROTOCOLS)('an answer that reaches a client through %s', (protocol) => {
  it.each(ANSWERS)('is what it is: %s', async (_name, reply, expected) => {
    stage.reply = reply;
    check(await stage.ask(protocol), expected, protocol === 'HTTP/2');
    // Nothing of it is taken for the next one.
    stage.reply = `${OK}Content-Length: 4\r\n\r\nnext`;
    expect(await stage.ask(protocol)).toMatchObject({ status: 200, body: 'next', end: 'whole' });
  });

  it.each<readonly [string, string, string]>([
    ['a length', `${OK}Content-Length: 1\r\n\r\na`, 'GET'],
    ['no body for HEAD', `${OK}Content-Length: 1\r\n\r\n`, 'HEAD'],
    ['chunks, and a date behind them', `${CHUNKED}1\r\na\r\n0\r\nDate: x\r\n\r\n`, 'GET'],
    ['an end with its connection', 'HTTP/1.0 200 OK\r\n\r\na', 'GET'],
    ['an interim one before it', `HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n${OK}Content-Length: 0\r\n\r\n`, 'GET'],
    ['no body', 'HTTP/1.1 204 No Content\r\n\r\n', 'GET'],
    ['304', 'HTTP/1.1 304 Not Modified\r\n\r\n', 'GET'],
    ['404', 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n', 'GET'],
    ['500', 'HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n', 'GET'],
    ['names that are longer or shorter', `${OK}Dat: x\r\nDates: x\r\nX-Date: x\r\nContent-Length: 0\r\n\r\n`, 'GET'],
    ['a date that was for one hop', `${OK}Connection: Date\r\nDate: x\r\nContent-Length: 0\r\n\r\n`, 'GET'],
  ])('without a date gets that of its reception: %s', async (_name, text, method) => {
    stage.reply = ({ socket }) => {
      if (text.startsWith('HTTP/1.0')) socket.end(text);
      else socket.write(text);
    };
    const beforeMs = Math.floor(Date.now() / 1_000) * 1_000;
    const { status, lines } = await stage.ask(protocol, { method });
    expect(status).toBe(Number(/^(?:HTTP\S+ 1[^]*?\r\n\r\n)?HTTP\S+ (\d+)/.exec(text)?.[1]));
    const dates = lines.filter(([name]) => name === 'date').map(([, value]) => value);
    expect(dates).toEqual([expect.stringMatching(/^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/)]);
    expect(Date.parse(dates[0] ?? '')).toBeGreaterThanOrEqual(beforeMs);
    expect(Date.parse(dates[0] ?? '')).toBeLessThanOrEqual(Date.now());
  }); // prettier-ignore

  it('to HEAD keeps what it says of a body that does not come', async () => {
    stage.reply = `${OK}Content-Length: 5\r\n\r\n`;
    const heard = await stage.ask(protocol, { method: 'HEAD' });
    expect(heard).toMatchObject({ status: 200, body: '' });
    expect(heard.lines).toContainEqual(['content-length', '5']);
  });

  it.each([...SAID_ONCE, ...LISTS])(
    'with two lines of %s keeps them, as far as Node sends two',
    async (name) => {
      stage.reply = `HTTP/1.1 302 Found\r\n${name}: one\r\nX: 1\r\n${name}: two\r\nContent-Length: 0\r\n\r\n`;
      const { status, lines } = await stage.ask(protocol);
      expect(status).toBe(302);
      const values = lines.filter((line) => line[0] === name).map(([, value]) => value);
      // The option that lifts this (strictSingleValueFields) is in Node 24.
      const isLimited = protocol === 'HTTP/2' && Number.parseInt(process.versions.node, 10) < 24;
      const fewer = LISTS.includes(name) ? ['one, two'] : ['one'];
      expect(values).toEqual(isLimited ? fewer : ['one', 'two']);
    },
  );

  it('with two such lines in an interim answer and in its trailers comes as a whole', async () => {
    stage.reply =
      `HTTP/1.1 103 Early Hints\r\nLocation: one\r\nLocation: two\r\n\r\n` +
      `${CHUNKED}1\r\na\r\n0\r\nETag: one\r\nETag: two\r\n\r\n`;
    const { trailers, ...heard } = await stage.ask(protocol);
    expect(heard).toMatchObject(whole('a', { interim: [103] }));
    expect(trailers[0]).toEqual(['etag', 'one']);
  });
});
