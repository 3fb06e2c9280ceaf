/** Real servers, and the queue of the kernel, in this process. */
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import { connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { ClosingPorts } from './closingPorts.js';

const servers: Server[] = [];
const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) if (server.listening) server.close();
});

async function serve(where: { host: string } | { path: string }): Promise<Server> {
  const server = createServer((_, response) => response.end('answer'));
  servers.push(server);
  server.on('connection', (socket) => sockets.push(socket));
  server.listen('host' in where ? { port: 0, ...where } : where);
  await once(server, 'listening');
  return server;
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

async function answer(port: number, host: string): Promise<string> {
  const [response] = await once(get({ port, host, agent: false }), 'response');
  const [body] = await once(response.setEncoding('latin1'), 'data');
  return String(body);
}

/** Resolves once no port is being closed any more. */
async function closed(ports: ClosingPorts): Promise<void> {
  while (ports.isUnderWay) await new Promise((resolve) => setImmediate(resolve));
}

/**
 * Calls `asked` in the moment in which connections stay in the queue: after the event loop has accepted what waited, and
 * before `ports` looks.
 */
function closeBehind(ports: ClosingPorts, server: Server, asked: () => void): void {
  setImmediate(asked);
  ports.close(server);
}

const WHERE = [
  { listens: '127.0.0.1', asked: '127.0.0.1' },
  { listens: '0.0.0.0', asked: '127.0.0.1' },
  { listens: '::', asked: '127.0.0.1' },
  { listens: '::1', asked: '::1' },
];

describe.runIf(process.platform === 'linux')('a port that is closed', () => {
  it.each(WHERE)('on $listens: answers what its kernel had accepted', async ({ listens, asked }) => {
    const server = await serve({ host: listens });
    const ports = new ClosingPorts();
    let answered: Promise<string> | null = null;
    closeBehind(ports, server, () => (answered = answer(portOf(server), asked)));
    expect(ports.isUnderWay).toBe(true);
    await closed(ports);
    expect(server.listening).toBe(false);
    expect(await answered).toBe('answer');
  });

  it('is refused from then on', async () => {
    const server = await serve({ host: '127.0.0.1' });
    const port = portOf(server);
    const ports = new ClosingPorts();
    ports.close(server);
    ports.close(server);
    await closed(ports);
    await expect(once(connect(port, '127.0.0.1'), 'connect')).rejects.toThrow('ECONNREFUSED');
  });

  it('stays open when the stop is called off', async () => {
    const server = await serve({ host: '127.0.0.1' });
    const ports = new ClosingPorts();
    ports.close(server);
    ports.cancel();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(server.listening).toBe(true);
    const answers = Array.from({ length: 20 }, () => answer(portOf(server), '127.0.0.1'));
    expect(await Promise.all(answers)).toEqual(answers.map(() => 'answer'));
  });
});

it('what has no port of its own is closed at once', async () => {
  const ports = new ClosingPorts();
  const unix = await serve({ path: join(tmpdir(), `closing-${process.pid}.sock`) });
  const inherited = createServer();
  servers.push(inherited);
  const owner = await serve({ host: '127.0.0.1' });
  inherited.listen(owner);
  await once(inherited, 'listening');
  ports.close(unix);
  ports.close(inherited);
  expect([ports.isUnderWay, unix.listening, inherited.listening]).toEqual([false, false, false]);
});

it('leaves the connections alone that are there, idle ones included', async () => {
  const server = await serve({ host: '127.0.0.1' });
  const client = connect(portOf(server), '127.0.0.1').setEncoding('latin1');
  sockets.push(client);
  client.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  await once(client, 'data');
  const ports = new ClosingPorts();
  ports.close(server);
  await closed(ports);
  client.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  expect(String((await once(client, 'data'))[0])).toContain('200 OK');
});
