/**
 * /ws: clients subscribe to groups and publish to them. A message reaches every subscriber on this instance
 * directly, and those on the other instances through the bus, when there is one. Delivery is at most once:
 * nobody gets what was published while they were away.
 *
 * Everything a client can make grow is bounded: sockets, groups per socket, bytes per frame, and what waits to
 * be sent to a client that does not read (it is cut off, the others must not pay for it), and, where that is set, the
 * frames it sends (frameRate.ts).
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { RawData, WebSocket, WebSocketServer } from 'ws';
import { isCrossSite } from '../lib/origin.js';
import type { GroupBus } from './groupBus.js';
import { FrameBucket, type FrameRate } from './frameRate.js';
import { decode, DELIVERED_AS, MAX_FRAME_BYTES, type DeliveryType, type ServerMessage } from './protocol.js';

export interface GroupHubOptions {
  /** null: messages stay within this instance. */
  readonly bus: GroupBus | null;
  /** A client that answers no ping for this long is cut off. Default 30 s. */
  readonly heartbeatMs?: number;
  /** Bytes that may wait for one client. Default 1 MiB. */
  readonly maxBufferedBytes?: number;
  /** Default 5000. More are refused with 503. */
  readonly maxSockets?: number;
  /** Frames that a client may send; one that sends more is told and closed with 1008. Default: no limit. */
  readonly frameRate?: FrameRate | null;
}

export const MAX_GROUPS_PER_SOCKET = 50;
/** How long a client may take to answer our close. */
const CLOSE_TIMEOUT_MS = 1000;

interface Client {
  /** With the name under which it gets their messages. */
  readonly groups: Map<string, DeliveryType>;
  /** null: it may send as much as it likes. */
  readonly bucket: FrameBucket | null;
  /** False since the last ping until a pong comes. */
  alive: boolean;
}

export class GroupHub {
  #server: Promise<WebSocketServer> | null = null;
  readonly #bus: GroupBus | null;
  readonly #maxBufferedBytes: number;
  readonly #maxSockets: number;
  readonly #frameRate: FrameRate | null;
  readonly #clients = new Map<WebSocket, Client>();
  readonly #groups = new Map<string, Set<WebSocket>>();
  readonly #heartbeat: NodeJS.Timeout;
  #closing = false;
  #slowClients = 0;
  #hastyClients = 0;

  constructor(options: GroupHubOptions) {
    this.#bus = options.bus;
    this.#maxBufferedBytes = options.maxBufferedBytes ?? 1024 * 1024;
    this.#maxSockets = options.maxSockets ?? 5000;
    this.#frameRate = options.frameRate ?? null;
    this.#bus?.onMessage((group, data) => this.#deliver(group, data));
    this.#heartbeat = setInterval(() => this.#beat(), options.heartbeatMs ?? 30_000);
    this.#heartbeat.unref();
  }

  get figures() {
    return {
      sockets: this.#clients.size,
      groups: this.#groups.size,
      slowClients: this.#slowClients,
      hastyClients: this.#hastyClients,
      busDropped: this.#bus?.dropped ?? 0,
    };
  }

  /** For the HTTP server's `upgrade` event. */
  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy());
    if (request.url?.split('?')[0] !== '/ws') return refuse(socket, '404 Not Found');
    // Browsers let every page open a WebSocket to anywhere, with the cookies of that place.
    if (isCrossSite(request)) return refuse(socket, '403 Forbidden');
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
    const rate = this.#frameRate;
    const bucket = rate === null ? null : new FrameBucket(rate, performance.now());
    const client: Client = { groups: new Map(), bucket, alive: true };
    this.#clients.set(socket, client);
    socket.on('error', () => socket.terminate()); // ws has sent the fitting close code, e.g. 1009
    socket.on('pong', () => (client.alive = true));
    socket.on('message', (data, isBinary) => this.#onFrame(socket, client, data, isBinary));
    socket.on('close', () => {
      this.#clients.delete(socket);
      for (const group of client.groups.keys()) this.#unsubscribe(socket, group);
    });
  }

  #onFrame(socket: WebSocket, client: Client, data: RawData, isBinary: boolean): void {
    // What follows the frame that was too many was sent before the client could know.
    if (socket.readyState !== socket.OPEN) return;
    if (client.bucket?.take(performance.now()) === false) return this.#cutOff(socket);
    const decoded = isBinary ? ({ ok: false, problem: 'binary frame' } as const) : decode(String(data));
    if (!decoded.ok) return this.#send(socket, error('message.invalid', decoded.problem));
    const { message } = decoded;
    const { group } = message;
    switch (message.type) {
      case 'publish':
      case 'group_message':
        return void this.#publish(socket, group, message.data);
      case 'unsubscribe':
      case 'unsubscribe_group':
        if (client.groups.delete(group)) this.#unsubscribe(socket, group);
        return this.#send(socket, { type: 'unsubscribed', group });
      case 'subscribe':
      case 'subscribe_group':
        if (!client.groups.has(group) && client.groups.size >= MAX_GROUPS_PER_SOCKET) {
          const text = `a connection subscribes to at most ${MAX_GROUPS_PER_SOCKET} groups: leave one first`;
          return this.#send(socket, error('groups.too-many', text));
        }
        client.groups.set(group, DELIVERED_AS[message.type]);
        return void this.#subscribe(socket, group);
    }
  }

  #cutOff(socket: WebSocket): void {
    const { perSecond = 0, burst = 0 } = this.#frameRate ?? {};
    this.#hastyClients += 1;
    const limit = `${perSecond} frames a second (WSSendQPS), ${burst} at once (WSSendBurst)`;
    this.#send(socket, error('rate.exceeded', `more than ${limit}: the connection is closed`));
    socket.close(1008, 'too many frames: connect again, and send fewer');
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
    for (const member of this.#groups.get(group) ?? []) {
      const type = this.#clients.get(member)?.groups.get(group);
      if (type !== undefined) this.#send(member, { type, group, data });
    }
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
