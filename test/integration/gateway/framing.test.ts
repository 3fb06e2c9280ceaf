/**
 * Smuggling, tried over real sockets: every spelling of a body's length that two readers could understand differently,
 * with a second request hidden where one of them would find it. Each is refused, or it is one message to everybody:
 * what the client was answered, what Node and what nginx behind the gateway received must be the same requests.
 * (The parser alone is held against Node's on far more inputs in backend/src/gateway/http1/differential.test.ts.)
 */
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { poolRow, startWorker, type TestWorker } from '../../support/gatewayWorker.js';
import { nginxAvailable, startCountingNginx, type CountingNginx } from '../../support/nginx.js';
import { parseAnswers } from '../../support/rawHttp.js';
import { waitFor } from '../../support/waitFor.js';

const AT_A_TIME = 32;

let node: Server;
let nginx: CountingNginx;
const seenByNode: string[] = [];
const gateways: TestWorker[] = [];

beforeAll(async () => {
  node = createServer((request, response) => {
    request.on('error', () => undefined);
    request.resume();
    request.on('end', () => {
      seenByNode.push(`${request.method} ${request.url}`);
      response.end('ok');
    });
  });
  await new Promise<void>((resolve) => void node.listen(0, '127.0.0.1', resolve));
  const ports = [(node.address() as AddressInfo).port];
  if (nginxAvailable) {
    nginx = await startCountingNginx();
    ports.push(nginx.port);
  }
  for (const port of ports)
    gateways.push(await startWorker(poolRow([port]), { maxConnectionsPerIp: 10_000 }));
});
afterAll(async () => {
  for (const { worker } of gateways) worker.close();
  node.closeAllConnections();
  await new Promise((resolve) => node.close(resolve));
  await nginx?.dispose();
});

interface Sent {
  /** Its part of every path, to tell it from the others. */
  readonly id: string;
  readonly name: string;
  readonly bytes: string;
}

/** What became of one input at one gateway. */
interface Outcome {
  /** Answers from behind the gateway. */
  readonly forwarded: number;
  /** The gateway's own answer, which is the last one; null when there is none. */
  readonly refusal: number | null;
}

/** Sends everything at once, ends its side, and reads to the end. */
function send(port: number, { name, bytes }: Sent): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    let received = '';
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.setTimeout(10_000, () => socket.destroy(new Error(`${name}: the connection was not closed`)));
    socket.on('data', (chunk) => (received += chunk.toString('latin1')));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // A request that ends in the middle is cut.
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error);
    });
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      const answers = parseAnswers(received);
      const own = answers.filter(({ body }) => body.includes('"success":false'));
      if (own.length > 1 || (own.length === 1 && !answers.at(-1)!.body.includes('"success":false'))) {
        reject(new Error(`${name}: the gateway went on after a refusal:\n${received}`));
        return;
      }
      resolve({ forwarded: answers.length - own.length, refusal: own[0]?.status ?? null });
    });
    socket.end(bytes, 'latin1');
  });
}

/** Sends all of them to every gateway. @returns outcomes by gateway, in the order of the inputs. */
async function sendAll(inputs: readonly Sent[]): Promise<Outcome[][]> {
  const all: Outcome[][] = [];
  for (const { port } of gateways) {
    const outcomes: Outcome[] = [];
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < inputs.length) {
        const index = next;
        next += 1;
        outcomes[index] = await send(port, inputs[index]!);
      }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, worker));
    all.push(outcomes);
  }
  return all;
}

/** Requests by input, sorted: those of one input may end in any order when a body is thrown away. */
function requestsOf(seen: readonly string[], { id }: Sent): string[] {
  return seen.filter((line) => line.includes(`/${id}/`)).toSorted();
}

/** Everybody agrees on every input; returns how many requests each of them was. */
async function agree(inputs: readonly Sent[]): Promise<Outcome[]> {
  const [first, second] = await sendAll(inputs);
  if (first === undefined) throw new Error('there is no gateway');
  for (const [index, input] of inputs.entries()) {
    const seen = requestsOf(seenByNode, input);
    const text = JSON.stringify(input.bytes);
    expect(seen.length, `${input.name}: answers and requests at Node, ${text}`).toBe(first[index]!.forwarded);
    if (second === undefined) continue;
    expect(second[index], `${input.name}: what the client got, ${text}`).toEqual(first[index]);
  }
  if (second !== undefined) await nginxAgrees(inputs);
  return first;
}

async function nginxAgrees(inputs: readonly Sent[]): Promise<void> {
  // It writes its log when a request is over, which is after the client has its answer.
  const expected = inputs.reduce((sum, input) => sum + requestsOf(seenByNode, input).length, 0);
  const ids = new Set(inputs.map(({ id }) => id));
  const logged = (): string[] => nginx.requests().filter((line) => ids.has(line.split('/')[1] ?? ''));
  await waitFor(() => logged().length >= expected, { what: `${expected} requests in nginx's log` });
  const seen = logged();
  for (const input of inputs) {
    expect(requestsOf(seen, input), `${input.name}: nginx and Node, ${JSON.stringify(input.bytes)}`).toEqual(
      requestsOf(seenByNode, input),
    );
  }
}

let inputs = 0;

/** A request with these field lines and body, and an innocent one behind it on the same connection. */
function request(name: string, lines: string, body: string, method = 'POST'): Sent {
  inputs += 1;
  const id = `i${String(inputs).padStart(5, '0')}`;
  return {
    id,
    name,
    bytes:
      `${method} /${id}/first HTTP/1.1\r\nHost: a.example\r\n${lines}\r\n${body.replaceAll('$id', id)}` +
      `GET /${id}/last HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n`,
  };
}

const HIDDEN = 'GET /$id/smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n';
/** Its length, in hexadecimal. */
const HIDDEN_BYTES = HIDDEN.replaceAll('$id', 'i00000').length.toString(16);
const CHUNKED = 'Transfer-Encoding: chunked\r\n';

describe('is one message, and the next one is the next', () => {
  it.each([
    ['no body', 'GET', '', ''],
    ['a body of 5', 'POST', 'Content-Length: 5\r\n', 'hello'],
    ['a body that looks like a request', 'POST', `Content-Length: 5\r\n`, 'GET /'],
    ['an empty body', 'POST', 'Content-Length: 0\r\n', ''],
    ['chunks', 'POST', CHUNKED, '5\r\nhello\r\n0\r\n\r\n'],
    ['chunks in capitals', 'POST', 'TRANSFER-ENCODING: CHUNKED\r\n', '5\r\nhello\r\n0\r\n\r\n'],
    ['a chunk that looks like an end', 'POST', CHUNKED, '7\r\n0\r\n\r\nGE\r\n0\r\n\r\n'],
    ['a hidden request as a chunk', 'POST', CHUNKED, `${HIDDEN_BYTES}\r\n${HIDDEN}\r\n0\r\n\r\n`],
    ['chunk extensions', 'POST', CHUNKED, '5;a=b;c="d e"\r\nhello\r\n0;z\r\n\r\n'],
    ['a chunk size with leading zeros', 'POST', CHUNKED, '0005\r\nhello\r\n0000\r\n\r\n'],
    ['trailers', 'POST', `${CHUNKED}Trailer: X-Sum\r\n`, '5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n'],
    ['a chunked GET', 'GET', CHUNKED, '5\r\nhello\r\n0\r\n\r\n'],
    ['a chunked DELETE', 'DELETE', CHUNKED, '5\r\nhello\r\n0\r\n\r\n'],
    ['a GET with a length', 'GET', 'Content-Length: 5\r\n', 'hello'],
    ['OPTIONS with a length', 'OPTIONS', 'Content-Length: 5\r\n', 'hello'],
    ['TE, which is no length', 'POST', 'TE: chunked\r\nContent-Length: 5\r\n', 'hello'],
    ['an empty line before the next', 'POST', 'Content-Length: 5\r\n', 'hello\r\n'],
  ])('%s', async (name, method, lines, body) => {
    const [outcome] = await agree([request(name, lines, body, method)]);
    expect(outcome).toEqual({ forwarded: 2, refusal: null });
  });
});

describe('is refused, and so is everything behind it', () => {
  it.each([
    ['a length and chunks', `Content-Length: 6\r\n${CHUNKED}`, `0\r\n\r\nX${HIDDEN}`],
    ['chunks and a length', `${CHUNKED}Content-Length: 6\r\n`, `0\r\n\r\nX${HIDDEN}`],
    ['two lengths that differ', 'Content-Length: 5\r\nContent-Length: 0\r\n', `hello${HIDDEN}`],
    ['two lengths that agree', 'Content-Length: 5\r\nContent-Length: 5\r\n', 'hello'],
    ['a list of lengths', 'Content-Length: 5, 5\r\n', 'hello'],
    ['a length with a sign', 'Content-Length: +5\r\n', 'hello'],
    ['a negative length', 'Content-Length: -5\r\n', 'hello'],
    ['a hexadecimal length', 'Content-Length: 0x5\r\n', 'hello'],
    ['a length with a space', 'Content-Length: 5 0\r\n', 'hello'],
    ['an empty length', 'Content-Length:\r\n', 'hello'],
    ['a length beyond 2^53', 'Content-Length: 18446744073709551621\r\n', 'hello'],
    ['a space before the colon', 'Content-Length : 5\r\n', 'hello'],
    ['a tab before the colon', `Transfer-Encoding\t: chunked\r\n`, `0\r\n\r\n${HIDDEN}`],
    ['an underscore', 'Content_Length: 5\r\n', 'hello'],
    ['Transfer_Encoding', 'Transfer_Encoding: chunked\r\n', `0\r\n\r\n${HIDDEN}`],
    ['identity', 'Transfer-Encoding: identity\r\nContent-Length: 5\r\n', 'hello'],
    ['chunked twice', `${CHUNKED}${CHUNKED}`, `0\r\n\r\n${HIDDEN}`],
    ['chunked, then identity', 'Transfer-Encoding: chunked, identity\r\n', `0\r\n\r\n${HIDDEN}`],
    ['gzip, chunked', 'Transfer-Encoding: gzip, chunked\r\n', `0\r\n\r\n${HIDDEN}`],
    ['xchunked', 'Transfer-Encoding: xchunked\r\n', `0\r\n\r\n${HIDDEN}`],
    ['chunked with a vertical tab', 'Transfer-Encoding: \x0bchunked\r\n', `0\r\n\r\n${HIDDEN}`],
    ['chunked with a NUL', 'Transfer-Encoding: chunked\0\r\n', `0\r\n\r\n${HIDDEN}`],
    ['chunked with a parameter', 'Transfer-Encoding: chunked;q=1\r\n', `0\r\n\r\n${HIDDEN}`],
    ['"chunked"', 'Transfer-Encoding: "chunked"\r\n', `0\r\n\r\n${HIDDEN}`],
    ['an empty coding', 'Transfer-Encoding:\r\nContent-Length: 5\r\n', 'hello'],
    ['a folded coding', 'Transfer-Encoding:\r\n chunked\r\n', `0\r\n\r\n${HIDDEN}`],
    ['a folded line', 'X-Y: a\r\n b\r\nContent-Length: 5\r\n', 'hello'],
    ['a line that begins with a space', ` ${CHUNKED}`, `0\r\n\r\n${HIDDEN}`],
    ['a bare LF', 'X-Y: a\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${HIDDEN}`],
    ['a bare CR', 'X-Y: a\rTransfer-Encoding: chunked\r\n', `0\r\n\r\n${HIDDEN}`],
    ['a NUL in a name', 'X\0Y: a\r\n', ''],
    ['a length that is said to end here', 'Connection: Content-Length\r\nContent-Length: 5\r\n', 'hello'],
    ['a coding that is said to end here', `Connection: Transfer-Encoding\r\n${CHUNKED}`, '0\r\n\r\n'],
    ['two hosts', 'Host: b.example\r\n', ''],
  ])('%s', async (name, lines, body) => {
    const [outcome] = await agree([request(name, lines, body)]);
    expect(outcome).toEqual({ forwarded: 0, refusal: 400 });
  });

  it.each([
    ['a size that overflows', 'fffffffffffffffff\r\nhello\r\n0\r\n\r\n'],
    ['a size with a sign', '+5\r\nhello\r\n0\r\n\r\n'],
    ['a size with 0x', '0x5\r\nhello\r\n0\r\n\r\n'],
    ['a size with a space before it', ' 5\r\nhello\r\n0\r\n\r\n'],
    ['a size with a space behind it', '5 \r\nhello\r\n0\r\n\r\n'],
    ['no size', '\r\nhello\r\n0\r\n\r\n'],
    ['a negative size', '-1\r\nhello\r\n0\r\n\r\n'],
    ['a bare LF behind the size', '5\nhello\r\n0\r\n\r\n'],
    ['a bare LF behind the data', '5\r\nhello\n0\r\n\r\n'],
    ['a chunk longer than its size', '5\r\nhelloX\r\n0\r\n\r\n'],
    ['a chunk shorter than its size', '6\r\nhello\r\n0\r\n\r\n'],
    ['a bare LF in an extension', `5;a\nb\r\nhello\r\n0\r\n\r\n${HIDDEN}`],
    ['a malformed extension', '5;=\r\nhello\r\n0\r\n\r\n'],
    ['an endless extension', `5;a=${'b'.repeat(5_000)}\r\nhello\r\n0\r\n\r\n`],
    ['a length among the trailers', `0\r\nContent-Length: 5\r\n\r\n${HIDDEN}`],
    ['a folded trailer', `0\r\nX-Y: a\r\n b\r\n\r\n${HIDDEN}`],
    ['a bare LF at the end', `0\r\n\n${HIDDEN}`],
  ])('chunks with %s', async (name, body) => {
    const [outcome] = await agree([request(name, CHUNKED, body)]);
    expect(outcome).toEqual({ forwarded: 0, refusal: 400 });
  });
});

/** Whether any other outcome than a refusal is right. TE says what the client can read, not how long this is. */
function isUnambiguous(length: string, coding: string): boolean {
  const isCoding = coding !== '' && !coding.startsWith('TE:');
  if (length !== '' && (isCoding || !/^content-length: (5|0|05)\r\n$/i.test(length))) return false;
  return !isCoding || /^transfer-encoding: \t?chunked\r\n$/i.test(coding);
}

describe('every spelling of a length with every spelling of a coding', () => {
  const values = [
    '5',
    '0',
    '05',
    '+5',
    '-5',
    '5,5',
    '5 5',
    '0x5',
    '5\0',
    '\x0b5',
    '',
    '99999999999999999999',
  ];
  const names = [
    'Content-Length:',
    'Content-Length :',
    'content-length:',
    'Content_Length:',
    ' Content-Length:',
  ];
  const codings = [
    ...[
      'chunked',
      'Chunked',
      'xchunked',
      'chunked\0',
      '\x0bchunked',
      'chunked, identity',
      'identity, chunked',
    ],
    ...[
      'identity',
      '"chunked"',
      'chunked;x',
      'chunked,',
      ',chunked',
      'gzip',
      'chunked\tx',
      '\tchunked',
      'chun\r\n ked',
      '',
    ],
  ];
  const codingNames = [
    'Transfer-Encoding:',
    'Transfer-Encoding :',
    'transfer-encoding:',
    'Transfer_Encoding:',
    'TE:',
  ];
  const lengths = ['', ...names.flatMap((name) => values.map((value) => `${name} ${value}\r\n`))];
  const transferCodings = [
    '',
    ...codingNames.flatMap((name) => codings.map((value) => `${name} ${value}\r\n`)),
  ];
  const bodies = [`hello`, `5\r\nhello\r\n0\r\n\r\n`, `0\r\n\r\n${HIDDEN}`];

  it(
    `is refused or one message (${lengths.length * transferCodings.length} pairs)`,
    { timeout: 240_000 },
    async () => {
      const pairs = lengths.flatMap((length, row) =>
        transferCodings.map((coding, column) => {
          const lines = (row + column) % 2 === 0 ? length + coding : coding + length;
          const sent = request(JSON.stringify(lines), lines, bodies[(row + column) % bodies.length]!);
          return { length, coding, sent };
        }),
      );
      const outcomes = await agree(pairs.map(({ sent }) => sent));
      for (const [index, { length, coding, sent }] of pairs.entries()) {
        if (!isUnambiguous(length, coding))
          expect(outcomes[index], sent.name).toEqual({ forwarded: 0, refusal: 400 });
      }
      expect(outcomes.some(({ forwarded }) => forwarded === 2)).toBe(true);
      expect(outcomes.some(({ refusal }) => refusal === 400)).toBe(true);
      await waitFor(
        () =>
          gateways.every(({ worker }) => {
            const { upstreams, clients } = worker.stats();
            return clients.connections === 0 && upstreams.every(({ inFlight }) => inFlight === 0);
          }),
        { what: 'nothing to be left behind' },
      );
    },
  );
});
