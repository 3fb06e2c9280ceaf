/**
 * /ws: clients subscribe to groups and publish to them. A message reaches every subscriber on this instance
 * directly, and those on the other instances through the bus, when there is one. Delivery is at most once:
 * nobody gets what was published while they were away.
 *
 * Everything a client can make grow is bounded: sockets, groups per socket, bytes per frame, and what waits to
 * be sent to a client that does not read (it is cut off, the others must not pay for it).
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { RawData, WebSocket, WebSocketServer } from 'ws';
import type { GroupBus } from './groupBus.js';
import { decode, MAX_FRAME_BYTES, type ServerMessage } from './protocol.js';

export interface GroupHubOptions {
  /** null: messages stay within this instance. */
  readonly bus: GroupBus | null;
  /** A client that answers no ping for this long is cut off. Default 30 s. */
  readonly heartbeatMs?: number;
  /** Bytes that may wait for one client. Default 1 MiB. */
  readonly maxBufferedBytes?: number;
  /** Default 5000. More are refused with 503. */
  readonly maxSockets?: number;
}

export const MAX_GROUPS_PER_SOCKET = 50;
/** How long a client may take to answer our close. */
const CLOSE_TIMEOUT_MS = 1000;

interface Client {
  readonly groups: Set<string>;
  /** False since the last ping until a pong comes. */
  alive: boolean;
}

export class GroupHub {
  #server: Promise<WebSocketServer> | null = null;
  readonly #bus: GroupBus | null;
  readonly #maxBufferedBytes: number;
  readonly #maxSockets: number;
  readonly #clients = new Map<WebSocket, Client>();
  readonly #groups = new Map<string, Set<WebSocket>>();
  readonly #heartbeat: NodeJS.Timeout;
  #closing = false;
  #slowClients = 0;

  constructor(options: GroupHubOptions) {
    this.#bus = options.bus;
    this.#maxBufferedBytes = options.maxBufferedBytes ?? 1024 * 1024;
    this.#maxSockets = options.maxSockets ?? 5000;
    this.#bus?.onMessage((group, data) => this.#deliver(group, data));
    this.#heartbeat = setInterval(() => this.#beat(), options.heartbeatMs ?? 30_000);
    this.#heartbeat.unref();
  }

  get figures(): { sockets: number; groups: number; slowClients: number; busDropped: number } {
    return {
      sockets: this.#clients.size,
      groups: this.#groups.size,
      slowClients: this.#slowClients,
      busDropped: this.#bus?.dropped ?? 0,
    };
  }

  /** For the HTTP server's `upgrade` event. */
  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy());
    if (request.url?.split('?')[0] !== '/ws') return refuse(socket, '404 Not Found');
    this.#server ??= openServer();
    const server = await this.#server;
    if (this.#closing || this.#clients.size >= this.#maxSockets)
      return refuse(socket, '503 Service Unavailable');
    server.handleUpgrade(request, socket, head, (webSocket) => this.#accept(webSocket));
  }

  /** Closes every socket with 1001 (going away); resolves when they are gone. It cuts, after a second, those
   * that do not answer. */
  async close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#heartbeat);
    await Promise.all([...this.#clients.keys()].map(sayGoodbye));
  }

  #accept(socket: WebSocket): void {
    const client: Client = { groups: new Set(), alive: true };
    this.#clients.set(socket, client);
    socket.on('error', () => socket.terminate()); // ws has sent the fitting close code, e.g. 1009
    socket.on('pong', () => (client.alive = true));
    socket.on('message', (data, isBinary) => this.#onFrame(socket, client, data, isBinary));
    socket.on('close', () => {
      this.#clients.delete(socket);
      for (const group of client.groups) this.#unsubscribe(socket, group);
    });
  }

  #onFrame(socket: WebSocket, client: Client, data: RawData, isBinary: boolean): void {
    const decoded = isBinary ? ({ ok: false, problem: 'binary frame' } as const) : decode(String(data));
    if (!decoded.ok) return this.#send(socket, error('message.invalid', decoded.problem));
    const { message } = decoded;
    if (message.type === 'publish') return void this.#publish(socket, message.group, message.data);
    if (message.type === 'unsubscribe') {
      if (client.groups.delete(message.group)) this.#unsubscribe(socket, message.group);
      return this.#send(socket, { type: 'unsubscribed', group: message.group });
    }
    if (!client.groups.has(message.group) && client.groups.size >= MAX_GROUPS_PER_SOCKET) {
      const text = `a connection subscribes to at most ${MAX_GROUPS_PER_SOCKET} groups: leave one first`;
      return this.#send(socket, error('groups.too-many', text));
    }
    client.groups.add(message.group);
    void this.#subscribe(socket, message.group);
  }

  async #publish(socket: WebSocket, group: string, data: unknown): Promise<void> {
    this.#deliver(group, data);
    const sent = (await this.#bus?.publish(group, data)) ?? false;
    this.#send(socket, { type: 'published', group, reach: sent ? 'cluster' : 'instance' });
  }

  async #subscribe(socket: WebSocket, group: string): Promise<void> {
    const members = this.#groups.get(group);
    if (members === undefined) this.#groups.set(group, new Set([socket]));
    else members.add(socket);
    // Answered when the other instances' messages come too: whoever reads it may rely on it.
    await this.#bus?.join(group);
    this.#send(socket, { type: 'subscribed', group });
  }

  #unsubscribe(socket: WebSocket, group: string): void {
    const members = this.#groups.get(group);
    members?.delete(socket);
    if (members?.size !== 0) return;
    this.#groups.delete(group);
    this.#bus?.leave(group);
  }

  #deliver(group: string, data: unknown): void {
    for (const member of this.#groups.get(group) ?? []) this.#send(member, { type: 'message', group, data });
  }

  #send(socket: WebSocket, message: ServerMessage): void {
    if (socket.readyState !== socket.OPEN) return;
    if (socket.bufferedAmount > this.#maxBufferedBytes) {
      this.#slowClients += 1;
      socket.terminate(); // a close frame would only wait behind what it does not read
      return;
    }
    socket.send(JSON.stringify(message));
  }

  #beat(): void {
    for (const [socket, client] of this.#clients) {
      if (!client.alive) {
        socket.terminate();
        continue;
      }
      client.alive = false;
      socket.ping();
    }
  }
}

/** Loads the package at the first client: an instance without WebSockets is up sooner and smaller. */
async function openServer(): Promise<WebSocketServer> {
  const { WebSocketServer: Server } = await import('ws');
  return new Server({ noServer: true, maxPayload: MAX_FRAME_BYTES, clientTracking: false });
}

function sayGoodbye(socket: WebSocket): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => socket.terminate(), CLOSE_TIMEOUT_MS);
    socket.once('close', () => {
      clearTimeout(cut);
      resolve();
    });
    socket.close(1001, 'instance is stopping: connect again');
  });
}

function error(code: string, message: string): ServerMessage {
  return { type: 'error', code, message };
}

function refuse(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
