/** What a gateway does when another user of the machine takes the port of an instance. The other user needs root. */
import { once } from 'node:events';
import { createServer, get, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { poolRow, snapshotOf, startWorker, upstreamRow } from '../../../../test/support/gatewayWorker.js';
import { canBeStranger, portOwners, stranger, type Stranger } from '../../../../test/support/stranger.js';
import type { PortOwners, PortVerdict } from '../../ports.js';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const owner = { pid: process.pid, userIds: [process.getuid?.() ?? 0] };

async function instance(port = 0, name = 'ours'): Promise<{ port: number; end(): Promise<void> }> {
  const server: Server = createServer((_, response) => response.end(name)).listen(port, '127.0.0.1');
  await once(server, 'listening');
  const end = async (): Promise<void> => {
    if (!server.listening) return;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  ends.push(end);
  return { port: (server.address() as AddressInfo).port, end };
}

async function ask(port: number): Promise<{ status: number; body: string }> {
  const [response] = (await once(get({ port, host: '127.0.0.1', agent: false }), 'response')) as [
    IncomingMessage,
  ];
  let body = '';
  for await (const chunk of response.setEncoding('utf8')) body += String(chunk);
  return { status: response.statusCode!, body };
}

async function gateway(ports: readonly number[], owners: PortOwners = portOwners): Promise<number> {
  const upstreams = ports.map((port) => upstreamRow(port, { owner }));
  const { worker, port } = await startWorker(poolRow([], { upstreams }), {}, { portOwners: owners });
  ends.push(() => worker.close());
  return port;
}

async function takeover(instanceAt: { port: number; end(): Promise<void> }): Promise<Stranger> {
  const waiting = stranger(instanceAt.port);
  await instanceAt.end();
  const one = await waiting.listening;
  ends.push(() => one.leave());
  return one;
}

describe.runIf(canBeStranger)('a stranger on the port of an instance', () => {
  it('gets no request; another instance does, and the instance again when it is back', async () => {
    const [first, second] = [await instance(0, 'first'), await instance(0, 'second')];
    const port = await gateway([first.port, second.port]);
    expect(new Set([(await ask(port)).body, (await ask(port)).body])).toEqual(new Set(['first', 'second']));
    const one = await takeover(first);
    for (let count = 0; count < 10; count += 1) expect((await ask(port)).body).toBe('second');
    expect(await one.requests()).toBe(0);
    await one.leave();
    await instance(first.port, 'first again');
    await second.end();
    expect((await ask(port)).body).toBe('first again');
  });

  it('gets none either where it is all there is', async () => {
    const only = await instance();
    const port = await gateway([only.port]);
    expect((await ask(port)).body).toBe('ours');
    const one = await takeover(only);
    for (let count = 0; count < 10; count += 1) expect((await ask(port)).status).toBeGreaterThanOrEqual(502);
    expect(await one.requests()).toBe(0);
  });
});

describe('a connection to a port', () => {
  const answering = (...verdicts: readonly PortVerdict[]) => {
    const asked: number[] = [];
    const check = (_: string, port: number): PortVerdict => {
      asked.push(port);
      return verdicts[Math.min(asked.length, verdicts.length) - 1]!;
    };
    return { asked, owners: { check } };
  };

  it('is opened anew when another listener was found meanwhile, and only the new one carries the request', async () => {
    const only = await instance();
    const { asked, owners } = answering('new', 'same');
    expect((await ask(await gateway([only.port], owners))).body).toBe('ours');
    expect(asked).toHaveLength(2);
  });

  it('is given up when the listener changes all the time', async () => {
    const only = await instance();
    const { asked, owners } = answering('new');
    expect((await ask(await gateway([only.port], owners))).status).toBe(502);
    expect(asked.length % 3).toBe(0);
  });

  it('is used where the system does not tell to whom it belongs, and where its source does not say it', async () => {
    const only = await instance();
    const { owners } = answering('unknown');
    expect((await ask(await gateway([only.port], owners))).body).toBe('ours');
    const { asked, owners: never } = answering({ userId: 1 });
    const { worker, port } = await startWorker(poolRow([only.port]), {}, { portOwners: never });
    ends.push(() => worker.close());
    expect((await ask(port)).body).toBe('ours');
    expect(asked).toEqual([]);
    worker.swap(snapshotOf(poolRow([], { upstreams: [upstreamRow(only.port, { owner })] })));
    expect((await ask(port)).body).toBe('ours');
  });
});
