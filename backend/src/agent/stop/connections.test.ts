/**
 * What node and ws keep on a connection is theirs to change; here it shows first, and by name, when they do. Everything
 * is real, in this process.
 */
import { once } from 'node:events';
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2';
import { connect, createServer as createNetServer, type AddressInfo, type Server } from 'node:net';
import { afterEach, expect, it } from 'vitest';
// oxlint-disable-next-line no-restricted-imports -- what it leaves on a connection is what is looked for
import { WebSocket, WebSocketServer } from 'ws';
import { acceptedConnections, listeningServers, protocolOf, type ServerSocket } from './connections.js';
import { TlsConnections } from './tlsConnections.js';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const open = new Set<ServerSocket>();
  server.on('connection', (socket: ServerSocket) => open.add(socket));
  cleanups.push(() => {
    if (server.listening) server.close();
    for (const socket of open) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

/** The connection of `server` that is open now. */
function connectionOf(server: Server): ServerSocket {
  const own = acceptedConnections(new TlsConnections()).filter((socket) => socket.server === server);
  expect(own).toHaveLength(1);
  return own[0]!;
}

it('HTTP/1: a request is under way until its answer is written out', async () => {
  const server = createServer();
  const port = await listen(server);
  const asked = once(server, 'request') as Promise<[IncomingMessage, ServerResponse]>;
  const answered = once(get({ port, host: '127.0.0.1' }), 'response') as Promise<[IncomingMessage]>;
  const [, response] = await asked;
  const connection = connectionOf(server);
  expect(protocolOf(connection)).toEqual({ kind: 'http', underWay: true });
  response.end('answer');
  const [answer] = await answered;
  answer.resume();
  await once(answer, 'end');
  expect(protocolOf(connection)).toEqual({ kind: 'http', underWay: false });
});

it('HTTP/1: it is still under way when it was ended and the client does not read', async () => {
  const server = createServer((_, response) => response.end(Buffer.alloc(64 * 1024 * 1024)));
  const port = await listen(server);
  const client = connect(port, '127.0.0.1').pause();
  cleanups.push(() => client.destroy());
  const asked = once(server, 'request') as Promise<[IncomingMessage, ServerResponse]>;
  client.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  const [, response] = await asked;
  expect(response.writableEnded).toBe(true);
  expect(protocolOf(connectionOf(server))).toEqual({ kind: 'http', underWay: true });
});

it('a WebSocket of ws, which can be told', async () => {
  const server = createServer();
  const port = await listen(server);
  const webSockets = new WebSocketServer({ server });
  const client = new WebSocket(`ws://127.0.0.1:${port}`);
  cleanups.push(() => client.terminate());
  const [[accepted]] = (await Promise.all([once(webSockets, 'connection'), once(client, 'open')])) as [
    [WebSocket],
    unknown,
  ];
  const protocol = protocolOf(connectionOf(server));
  expect(protocol).toMatchObject({ kind: 'websocket' });
  expect(protocol.kind === 'websocket' && protocol.websocket).toBe(accepted);
});

it('a session of HTTP/2', async () => {
  const server = createHttp2Server();
  const port = await listen(server as unknown as Server);
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  cleanups.push(() => session.destroy());
  const [[accepted]] = (await Promise.all([once(server, 'session'), once(session, 'connect')])) as [
    [unknown],
    unknown,
  ];
  const protocol = protocolOf(connectionOf(server as unknown as Server));
  expect(protocol.kind === 'http2' && protocol.session).toBe(accepted);
});

it('anything else', async () => {
  const server = createNetServer();
  const port = await listen(server);
  const accepted = once(server, 'connection');
  const client = connect(port, '127.0.0.1');
  cleanups.push(() => client.destroy());
  await accepted;
  expect(protocolOf(connectionOf(server))).toEqual({ kind: 'opaque' });
});

it('servers that listen are found', async () => {
  const server = createServer();
  await listen(server);
  expect(listeningServers([], [])).toContain(server);
  server.close();
  expect(listeningServers([], [server])).not.toContain(server);
});
