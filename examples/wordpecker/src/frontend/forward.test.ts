import express from 'express';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { call } from '../../../../test/support/sample.js';
import { createApp, finishApp } from '../lib/app.js';
import { recordingLog } from '../lib/testing/recordingLog.js';
import { createForwarder } from './forward.js';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

async function listen(server: net.Server): Promise<URL> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    server.close();
    if (server instanceof http.Server) server.closeAllConnections();
  });
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
}

async function forwardTo(target: URL, timeoutMs?: number): Promise<string> {
  const app = createApp();
  const forwarder = createForwarder({ target, ...(timeoutMs !== undefined && { timeoutMs }) });
  cleanups.push(() => forwarder.close());
  app.use('/api', forwarder.handle);
  finishApp(app, recordingLog());
  const url = await listen(http.createServer(app));
  return url.origin;
}

describe('forwarder', () => {
  it('passes method, path, query, body and answer through, and says for whom', async () => {
    const app = express();
    app.use(express.text({ type: '*/*' }));
    app.use((request, response) => {
      response.status(418).setHeader('x-answer', 'yes');
      response.json({
        method: request.method,
        url: request.url,
        body: request.body,
        headers: request.headers,
      });
    });
    const url = await forwardTo(await listen(http.createServer(app)));
    const answer = await call(
      'PUT',
      `${url}/api/a%20b?q=1`,
      { n: 1 },
      { 'x-forwarded-for': '198.51.100.4', te: 'gzip' },
    );
    expect(answer.status).toBe(418);
    expect(answer.headers.get('x-answer')).toBe('yes');
    expect(answer.body).toMatchObject({ method: 'PUT', url: '/api/a%20b?q=1', body: '{"n":1}' });
    const { headers } = answer.body;
    expect(headers['x-forwarded-for']).toBe('198.51.100.4, 127.0.0.1');
    expect(headers['x-forwarded-proto']).toBe('http');
    expect(headers['x-forwarded-host']).toBe(new URL(url).host);
    expect(headers.te).toBeUndefined();
  });

  it('drops hop-by-hop headers both ways, those that Connection names too', async () => {
    let seen: http.IncomingHttpHeaders = {};
    const target = await listen(
      http.createServer((request, response) => {
        seen = request.headers;
        response.setHeader('Connection', 'keep-alive, x-private');
        response.setHeader('X-Private', '1').setHeader('X-Public', '1').end();
      }),
    );
    const url = await forwardTo(target);
    const headers = await new Promise<http.IncomingHttpHeaders>((resolve, reject) => {
      const options = { headers: { connection: 'close, x-mine', 'x-mine': '1', 'x-other': '1' } };
      http
        .get(`${url}/api/x`, options, (answer) => {
          answer.resume();
          resolve(answer.headers);
        })
        .on('error', reject);
    });
    expect(seen['x-mine']).toBeUndefined();
    expect(seen['x-other']).toBe('1');
    expect(headers['x-private']).toBeUndefined();
    expect(headers['x-public']).toBe('1');
  });

  it('streams: the first part arrives while the backend still holds back the rest', async () => {
    let finish: () => void = () => undefined;
    const target = await listen(
      http.createServer((_request, response) => {
        response.write('first');
        finish = () => response.end('last');
      }),
    );
    const response = await fetch(`${await forwardTo(target)}/api/stream`);
    const reader = response.body?.getReader();
    expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe('first');
    finish();
    expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe('last');
  });

  it('answers 502 when nobody listens and 504 when the backend is silent', async () => {
    const gone = net.createServer();
    const target = await listen(gone);
    await new Promise((resolve) => gone.close(resolve));
    expect(await call('GET', `${await forwardTo(target)}/api/x`)).toMatchObject({
      status: 502,
      body: { error: { code: 'backend.unreachable' } },
    });
    const silent = await listen(http.createServer(() => undefined));
    expect(await call('GET', `${await forwardTo(silent, 50)}/api/x`)).toMatchObject({
      status: 504,
      body: { error: { code: 'backend.timeout' } },
    });
  });

  it('breaks off an answer that the backend broke off', async () => {
    const target = await listen(
      http.createServer((_request, response) => {
        response.writeHead(200, { 'content-length': '100' });
        response.write('half', () => response.destroy());
      }),
    );
    const response = await fetch(`${await forwardTo(target)}/api/x`);
    await expect(response.text()).rejects.toThrow();
  });

  it('tells the backend when the client left', async () => {
    let clientLeft: () => void = () => undefined;
    const left = new Promise<void>((resolve) => (clientLeft = resolve));
    const abort = new AbortController();
    const target = await listen(
      http.createServer((_request, response) => {
        response.once('close', clientLeft);
        abort.abort();
      }),
    );
    const url = await forwardTo(target);
    await expect(fetch(`${url}/api/x`, { signal: abort.signal })).rejects.toThrow();
    await left;
  });

  it('repeats a GET, and no POST, when a kept connection turns out to be dead', async () => {
    // Answers the first request of a connection and cuts it at the second, as one that had just expired.
    let requests = 0;
    const target = await listen(
      net.createServer((socket) => {
        let onThisConnection = 0;
        socket.on('error', () => undefined);
        socket.on('data', () => {
          requests += 1;
          onThisConnection += 1;
          if (onThisConnection === 1) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
          else socket.destroy();
        });
      }),
    );
    const url = await forwardTo(target);
    expect((await call('GET', `${url}/api/1`)).status).toBe(200);
    expect((await call('GET', `${url}/api/2`)).status).toBe(200);
    expect(requests).toBe(3);
    expect((await call('GET', `${url}/api/3`)).status).toBe(200);
    expect((await call('POST', `${url}/api/4`)).status).toBe(502);
  });
});
