/** How things end that do not end by themselves: clients can tell a part from the whole, and the right side is blamed. */
import { afterEach, describe, expect, it } from 'vitest';
import {
  heardFrom,
  heardFromStream,
  PROTOCOLS,
  Stage,
  type Heard,
  type Protocol,
} from '../../../../test/support/protocols.js';
import { waitFor } from '../../../../test/support/waitFor.js';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

let stages: Stage[] = [];
async function stage(...options: Parameters<typeof Stage.start>): Promise<Stage> {
  const started = await Stage.start(...options);
  stages.push(started);
  return started;
}
afterEach(async () => {
  await Promise.all(stages.map((each) => each.close()));
  stages = [];
});

describe('a gateway that stops before an answer is complete', () => {
  it.each(
    PROTOCOLS.flatMap((protocol) =>
      (
        [
          ['a length', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nrow 1'],
          ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nrow 1\r\n'],
          ['its connection', 'HTTP/1.0 200 OK\r\n\r\nrow 1'],
          ['its connection, in HTTP/1.1', 'HTTP/1.1 200 OK\r\n\r\nrow 1'],
        ] as const
      ).map(([framing, reply]) => [protocol, framing, reply] as const),
    ),
  )('%s: one that ends with %s is cut', async (protocol, _framing, reply) => {
    const on = await stage();
    on.reply = reply;
    const heard = on.ask(protocol);
    await waitFor(() => on.upstream.received.includes('\r\n\r\n'), { what: 'the request' });
    await on.worker.drain({ timeoutMs: 200, windowMs: 0 });
    expect(await heard).toMatchObject({ status: 200, body: 'row 1', end: 'cut' });
  });

  it.each(['HTTP/1.1', 'TLS'] as const)(
    '%s: one that was complete has come to a good end',
    async (protocol) => {
      const on = await stage();
      on.reply = OK;
      const socket = on.open(protocol);
      socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      const heard = heardFrom(socket);
      await waitFor(() => on.worker.stats().clients.answers[1] === 1, { what: 'the answer' });
      await on.worker.drain({ timeoutMs: 200, windowMs: 0 });
      expect(await heard).toMatchObject({ status: 200, body: 'ok', end: 'whole' });
    },
  );
});

describe('Expect: 100-continue', () => {
  /** Sends the body when it is told to go on. */
  async function upload(on: Stage, protocol: Protocol, sendsBody = true): Promise<Heard> {
    if (protocol === 'HTTP/2') {
      const session = await on.openHttp2();
      const stream = session.request(
        { ':method': 'POST', expect: '100-continue', 'content-length': '5' },
        { endStream: false },
      );
      if (sendsBody) stream.on('continue', () => stream.end('hello'));
      const heard = await heardFromStream(stream);
      session.destroy();
      return heard;
    }
    const socket = on.open(protocol);
    socket.on('data', (chunk: Buffer) => {
      if (sendsBody && chunk.toString().startsWith('HTTP/1.1 100')) socket.write('hello');
    });
    socket.write(
      'POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n',
    );
    return heardFrom(socket);
  }

  it('the upstream may take as long to say 100 as to answer', async () => {
    const on = await stage({ bodyTimeoutMs: 1_000, responseTimeoutMs: 60_000 });
    on.reply = ({ socket }) => {
      setTimeout(() => socket.write('HTTP/1.1 100 Continue\r\n\r\n'), 1_500);
      socket.on('data', (chunk: Buffer) => {
        if (chunk.toString().includes('hello')) socket.write(OK);
      });
    };
    const all = await Promise.all(PROTOCOLS.map((protocol) => upload(on, protocol)));
    for (const heard of all) expect(heard).toMatchObject({ interim: [100], status: 200, body: 'ok' });
  });

  it('an upstream that says neither 100 nor anything else is to blame', async () => {
    const on = await stage({ bodyTimeoutMs: 60_000, responseTimeoutMs: 100, maxAttempts: 1 });
    on.reply = '';
    for (const protocol of PROTOCOLS) expect((await upload(on, protocol)).status).toBe(504);
  });

  it('a client that sends nothing after 100 is', async () => {
    const on = await stage({ bodyTimeoutMs: 100, responseTimeoutMs: 60_000 });
    on.reply = 'HTTP/1.1 100 Continue\r\n\r\n';
    for (const protocol of PROTOCOLS) expect((await upload(on, protocol, false)).status).toBe(408);
  });
});

describe('an upstream that answers and then takes no more of the request', () => {
  it('is to blame for it, not the client', async () => {
    const on = await stage({ bodyTimeoutMs: 200, streamTimeoutMs: 60_000 });
    on.reply = ({ socket }) => {
      socket.pause();
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf');
    };
    const { worker } = on;
    const client = on.open('HTTP/1.1');
    client.on('error', () => undefined);
    client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n');
    const piece = Buffer.alloc(1_000_000);
    const send = (): void => {
      while (!client.destroyed && client.write(piece)) continue;
    };
    client.on('drain', send);
    send();
    await waitFor(() => client.destroyed || client.closed, { what: 'the cut', deadlineMs: 30_000 });
    expect(worker.stats().refusals).toMatchObject({ 'upstream.stalled': 1 });
  });
});
