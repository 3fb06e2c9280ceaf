import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { EventRecord } from '../domain/events.js';
import { ApiClient } from './apiClient.js';

let server: Server | undefined;

afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function serve(listener: RequestListener): Promise<string> {
  const created = createServer(listener);
  server = created;
  await new Promise<void>((resolve) => created.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(created.address() as AddressInfo).port}`;
}

/** Listens and closes again: nothing answers there. */
async function deadUrl(): Promise<string> {
  const url = await serve(() => undefined);
  await new Promise((resolve) => server?.close(resolve));
  return url;
}

const json = (status: number, body: unknown): RequestListener => {
  return (_request, response) => void response.writeHead(status).end(JSON.stringify(body));
};

describe('ApiClient', () => {
  it('returns the data of an answer, and presents the token', async () => {
    let seen: string | undefined;
    const url = await serve((request, response) => {
      seen = request.headers.authorization;
      json(200, { success: true, data: { running: true } })(request, response);
    });
    const answer = await new ApiClient({ url, token: 'secret', local: null }).get('/api/ha/status');
    expect(answer).toEqual({ status: 200, data: { running: true } });
    expect(seen).toBe('Bearer secret');
  });

  it('sends a body as JSON', async () => {
    const url = await serve((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => {
        json(202, { success: true, data: [request.headers['content-type'], JSON.parse(body)] })(
          request,
          response,
        );
      });
    });
    const answer = await new ApiClient({ url, token: null, local: null }).post('/x', { a: 1 });
    expect(answer).toEqual({ status: 202, data: ['application/json', { a: 1 }] });
  });

  it('throws the refusal in the API’s own words', async () => {
    const url = await serve(
      json(422, { success: false, error: { code: 'scale.above-max', message: 'Too many.' } }),
    );
    const refused = new ApiClient({ url, token: null, local: null }).post('/x', {});
    await expect(refused).rejects.toMatchObject({
      code: 'scale.above-max',
      message: 'Too many.',
      status: 422,
    });
  });

  it('accepts data under another status only where the caller expects it', async () => {
    const url = await serve(json(503, { success: true, data: { status: 'unhealthy' } }));
    const client = new ApiClient({ url, token: null, local: null });
    await expect(client.get('/x', { accept: [503] })).resolves.toMatchObject({ status: 503 });
    await expect(client.get('/x')).rejects.toMatchObject({ status: 503 });
  });

  it.each([
    ['text', (_request: unknown, response: { end(text: string): void }) => response.end('<html>')],
    [
      'JSON of somebody else',
      (_request: unknown, response: { end(text: string): void }) => response.end('[1]'),
    ],
  ])('says that what answers with %s is not Holdfast', async (_name, listener) => {
    const url = await serve(listener);
    const client = new ApiClient({ url, token: null, local: null });
    await expect(client.get('/x')).rejects.toMatchObject({ code: 'supervisor.unreachable' });
    await expect(client.get('/x')).rejects.toThrow(/is not a Holdfast supervisor; see HA_HOST and HA_PORT/);
    await expect(client.isUp()).resolves.toBe(false);
  });

  it('names the address when nothing answers', async () => {
    const url = await deadUrl();
    await expect(new ApiClient({ url, token: null, local: null }).get('/x')).rejects.toThrow(
      `The supervisor at ${url} does not answer`,
    );
    await expect(new ApiClient({ url, token: null, local: null }).isUp()).resolves.toBe(false);
  });

  it('gives up on an answer that does not come', async () => {
    const url = await serve(() => undefined);
    await expect(
      new ApiClient({ url, token: null, local: null }).get('/x', { timeoutMs: 50 }),
    ).rejects.toThrow(/no answer in time/);
  });

  it('gives up on an answer whose body never ends', async () => {
    const url = await serve((_request, response) => void response.writeHead(200).write('{'));
    const call = new ApiClient({ url, token: null, local: null }).get('/x', { timeoutMs: 100 });
    await expect(call).rejects.toMatchObject({ code: 'supervisor.unreachable' });
  });

  it('counts a refusal as a sign of life', async () => {
    const url = await serve(
      json(401, { success: false, error: { code: 'auth.required', message: 'Token?' } }),
    );
    await expect(new ApiClient({ url, token: null, local: null }).isUp()).resolves.toBe(true);
  });

  it('reads events however the bytes are cut', async () => {
    const first = { seq: 1, type: 'management.started', service: null, data: { by: 'ä' } };
    const second = { seq: 2, type: 'management.stopped', service: null, data: { by: 'b' } };
    const bytes = Buffer.from(
      `: hello\n\nid: 1\nevent: x\ndata: ${JSON.stringify(first)}\n\n: still here\n\ndata:${JSON.stringify(second)}\n\n`,
    );
    const url = await serve((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      // Byte by byte, also through the middle of a character.
      for (const byte of bytes) response.write(Buffer.from([byte]));
      response.end();
    });
    const seen: EventRecord[] = [];
    for await (const event of await new ApiClient({ url, token: null, local: null }).events(
      new AbortController().signal,
    ))
      seen.push(event);
    expect(seen).toEqual([first, second]);
  });

  it('does not open a stream that is refused', async () => {
    const url = await serve(json(503, { success: false, error: { code: 'stream.full', message: 'Full.' } }));
    const opening = new ApiClient({ url, token: null, local: null }).events(new AbortController().signal);
    await expect(opening).rejects.toThrow(/answered HTTP 503/);
  });
});
