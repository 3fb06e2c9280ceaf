/**
 * Our framing against Node's own parser (llhttp) in strict mode, on generated and mutated requests: of what we take for a
 * complete request, Node must take what we send on for the same request, with the same body, at the same place. Being
 * stricter is fine; sending on what it rejects or cutting elsewhere is how requests are smuggled.
 *
 * `HOLDFAST_FUZZ_INPUTS` sets how many (default 50 000), `HOLDFAST_FUZZ_SEED` where to begin (printed on failure).
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Duplex } from 'node:stream';
import { afterAll, describe, expect, it } from 'vitest';
import { frame, type Framed, type FramedRequest } from './testing/frame.js';

const INPUTS = Number(process.env['HOLDFAST_FUZZ_INPUTS'] ?? 50_000);
const SEED = Number(process.env['HOLDFAST_FUZZ_SEED'] ?? 20_261_120);

/** mulberry32: small, seedable, good enough to choose mutations. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const SEEDS = [
  'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /a?b=c HTTP/1.1\r\nHost: a:80\r\nAccept: */*\r\nCookie: a=b\r\n\r\n',
  'POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello',
  'DELETE /d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'PUT /s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3 ; x=y\r\nabc\r\n0\r\nVia: a\r\nX-T: 1\r\n\r\n',
  'PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n',
  'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n',
  'HEAD http://a/x HTTP/1.1\r\nHost: a\r\n\r\n',
  'OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
  'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  'POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi',
];

const LINES = [
  'Content-Length: 5', 'Content-Length: 0', 'Content-Length: 05', 'Content-Length: +5', 'Content-Length: 5, 5',
  'Content-Length: 5 5', 'Content-Length:\t5 ', 'Content-Length : 5', 'Content-Length: -1', 'Content-Length: 0x5',
  'Content-Length: 99999999999999999999', 'Content-Length:', 'content-length: 3', 'Content_Length: 5',
  'Transfer-Encoding: chunked', 'Transfer-Encoding: Chunked', 'Transfer-Encoding: xchunked',
  'Transfer-Encoding: chunked, identity', 'Transfer-Encoding: identity, chunked', 'Transfer-Encoding : chunked',
  'Transfer-Encoding:\x0bchunked', 'Transfer-Encoding: chunked;q=1', 'Transfer-Encoding: "chunked"',
  'Transfer-Encoding:', 'Transfer-Encoding: chunked,', 'Transfer-Encoding: ,chunked', 'Transfer-Encoding: gzip, chunked',
  ' Transfer-Encoding: chunked', 'Transfer-Encoding\x00: chunked', 'TE: chunked', 'Foo: bar\r\n baz', 'Foo: bar\n',
  'Foo', ': x', 'Foo: \x7f', 'Foo: \x80\xff', 'Foo: a\rb', 'F(oo: x', 'Host: b', 'Host:', 'Connection: close',
  'Connection: keep-alive', 'Connection: Content-Length', 'Connection: Transfer-Encoding', 'Upgrade: h2c',
  'Expect: 100-continue', 'Expect: nothing', 'X: y',
]; // prettier-ignore

const FRAGMENTS = [
  '\r\n', '\n', '\r', '\0', ' ', '\t', ':', ',', ';', '0', '5', 'A', 'f', '-', '+', '"', '\\', '\x80', '\xff', '\r\n\r\n',
  '0\r\n\r\n', '5\r\nhello\r\n', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'GET ', '#', '%00', '\x0b', '\x7f', 'ffffffffffffffff',
]; // prettier-ignore

function mutate(random: () => number): Buffer {
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
  let text = Array.from({ length: 1 + Math.floor(random() * 3) }, () => pick(SEEDS)).join('');
  for (let edits = Math.floor(random() * 4); edits > 0; edits -= 1) {
    const at = Math.floor(random() * (text.length + 1));
    const lineEnds = [...text.matchAll(/\r\n/g)].map(({ index }) => index);
    const lineEnd = pick(lineEnds.length === 0 ? [0] : lineEnds);
    switch (Math.floor(random() * 7)) {
      case 0:
        text = text.slice(0, at) + pick(FRAGMENTS) + text.slice(at);
        break;
      case 1:
        text = text.slice(0, at) + text.slice(at + 1 + Math.floor(random() * 3));
        break;
      case 2:
        text = text.slice(0, at) + String.fromCharCode(Math.floor(random() * 256)) + text.slice(at + 1);
        break;
      case 3:
      case 4:
        text = `${text.slice(0, lineEnd)}\r\n${pick(LINES)}${text.slice(lineEnd)}`;
        break;
      case 5:
        text = text.slice(0, lineEnd) + pick(FRAGMENTS) + text.slice(lineEnd + 2);
        break;
      default:
        text = text.slice(0, at) + text.slice(Math.floor(random() * text.length));
    }
  }
  return Buffer.from(text, 'latin1');
}

/** A socket of no network: gives its input and swallows what it is answered. */
class Wire extends Duplex {
  override _read(): void {
    // Its input is pushed by the test.
  }

  override _write(_chunk: unknown, _encoding: string, done: () => void): void {
    done();
  }
}

interface Seen {
  method: string;
  url: string;
  body: string;
  complete: boolean;
}

let seen: Seen[] = [];
let rejected = false;
const onRequest = (incoming: IncomingMessage, response: ServerResponse): void => {
  const one: Seen = { method: incoming.method ?? '', url: incoming.url ?? '', body: '', complete: false };
  seen.push(one);
  incoming.on('data', (piece: Buffer) => {
    one.body += piece.toString('latin1');
  });
  incoming.on('end', () => {
    one.complete = true;
    response.end();
  });
  incoming.on('error', () => {});
};
const server = createServer({ insecureHTTPParser: false, requireHostHeader: true }, onRequest);
server.on('checkContinue', onRequest);
server.on('checkExpectation', onRequest);
server.on('clientError', (_error, socket) => {
  rejected = true;
  socket.destroy();
});
afterAll(() => server.close());

/** What Node makes of exactly the bytes that we take for so many requests; null when it rejects something. */
async function nodeFrames(input: Buffer): Promise<Seen[] | null> {
  seen = [];
  rejected = false;
  const wire = new Wire();
  wire.on('error', () => {});
  server.emit('connection', wire);
  wire.push(input);
  const own = seen;
  // Streams deliver over some turns of the loop; when nothing has changed for a few, that was all.
  for (let quiet = 0, last = -1; quiet < 3;) {
    await new Promise((resolve) => setImmediate(resolve));
    const progress = own.reduce(
      (sum, { body, complete }) => sum + body.length + (complete ? 1_000_000 : 1),
      0,
    );
    quiet = progress === last ? quiet + 1 : 0;
    last = progress;
  }
  wire.destroy();
  return rejected ? null : own;
}

/** Why something is refused may depend on where it was cut; whether it is may not. */
function expectSame(cut: Framed, whole: Framed): void {
  expect(cut.requests).toEqual(whole.requests);
  if (typeof whole.outcome === 'object') expect(cut.outcome).toHaveProperty('refused');
  else expect(cut.outcome).toBe(whole.outcome);
}

/** Behind a request for an upgrade Node does not read on; what follows is compared no further. */
function untilUpgrade(requests: readonly FramedRequest[]): readonly FramedRequest[] {
  const at = requests.findIndex(({ head }) => head.upgrade);
  return at === -1 ? requests : requests.slice(0, at + 1);
}

/** Node shows a URL as it came; we send on its path: / for http://a, /?x for http://a?x, * for OPTIONS http://a. */
const sameRequest = (ours: FramedRequest, node: Seen | undefined): boolean =>
  node?.complete === true &&
  ours.head.method === node.method &&
  (node.url.endsWith(ours.head.target.replace(/^\/(?=\?|$)/, '')) ||
    (ours.head.target === '*' && /^https?:\/\/[^/?]+$/i.test(node.url))) &&
  ours.body === node.body;

describe('our framing and that of Node’s parser', () => {
  it(
    `agree on ${INPUTS} inputs, seed ${SEED}: what we accept, Node accepts as the same`,
    { timeout: 3_600_000 },
    async () => {
      const random = generator(SEED);
      let accepted = 0;
      let refused = 0;
      for (let round = 0; round < INPUTS; round += 1) {
        const input = mutate(random);
        const ours = frame([input]);
        const cut = Math.floor(random() * input.length);
        expectSame(frame([input.subarray(0, cut), input.subarray(cut)]), ours);
        if (typeof ours.outcome === 'object') refused += 1;
        if (ours.requests.length === 0) continue;
        accepted += 1;
        const compared = untilUpgrade(ours.requests);
        const passed = compared.map((request) => request.passed).join('');
        const theirs = await nodeFrames(Buffer.from(passed, 'latin1'));
        const agrees =
          theirs?.length === compared.length &&
          compared.every((request, index) => sameRequest(request, theirs[index]));
        if (!agrees) {
          throw new Error(
            `round ${round}: ${JSON.stringify(input.toString('latin1'))}\nours: ${JSON.stringify(
              ours.requests.map(({ head, body }) => [head.method, head.target, body]),
            )}\nnode: ${JSON.stringify(theirs)}`,
          );
        }
      }
      // The generator must neither be so tame nor so wild that nothing is tested.
      expect(accepted).toBeGreaterThan(INPUTS / 3);
      expect(refused).toBeGreaterThan(INPUTS / 4);
    },
  );
});
