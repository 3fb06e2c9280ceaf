/**
 * What is open in this process: its servers, and the connections they have accepted. Found by looking at the process
 * when it is asked to stop, so that nothing has to be followed before: node lists what keeps its event loop turning.
 *
 * In PM2's cluster mode the listening handle is the daemon's, and what the server has instead is not in that list; such
 * a server is found through its connections, or because it has had a request (`known`).
 */
import type { Server as HttpServer, ServerResponse } from 'node:http';
import type * as Net from 'node:net';
import { isTlsServer, type TlsConnections } from './tlsConnections.js';

/** What node keeps on a connection of a server; the names are its own, and old. */
export interface ServerSocket extends Net.Socket {
  readonly server?: Net.Server | null;
  /** The HTTP/1 parser; gone after an upgrade. */
  readonly parser?: object | null;
  /** The answer that is being written to it. */
  readonly _httpMessage?: ServerResponse | null;
}

/** A WebSocket as the package `ws`, and what builds on it, leaves it on its connection. */
export interface WebSocketLike {
  close(code: number): void;
}

/** A session of node:http2. */
interface SessionLike {
  close(): void;
  goaway(): void;
}

export type Protocol =
  | { readonly kind: 'http'; readonly underWay: boolean }
  | { readonly kind: 'http2'; readonly session: SessionLike }
  | { readonly kind: 'websocket'; readonly websocket: WebSocketLike }
  | { readonly kind: 'opaque' };

const net = (): typeof Net => process.getBuiltinModule('node:net');

/** Connections that servers of this process have accepted, at the level of HTTP: TLS taken off. */
export function acceptedConnections(tls: TlsConnections): ServerSocket[] {
  const plain = activeHandles().filter(
    (handle): handle is ServerSocket =>
      handle instanceof net().Socket && isServer(serverOf(handle)) && !isTlsServer(serverOf(handle) ?? {}),
  );
  return [...plain, ...tls.open()].filter((socket) => !socket.destroyed);
}

/** Servers that still accept connections. */
export function listeningServers(
  connections: readonly ServerSocket[],
  known: readonly object[],
): Net.Server[] {
  const servers = new Set<unknown>([...activeHandles(), ...connections.map(serverOf), ...known]);
  return [...servers].filter(isServer).filter((server) => server.listening);
}

/** What a connection speaks now. */
export function protocolOf(socket: ServerSocket): Protocol {
  if (socket.parser !== null && socket.parser !== undefined) {
    const { _httpMessage: answer } = socket;
    const underWay = (answer !== null && answer !== undefined) || socket.writableLength > 0;
    return { kind: 'http', underWay };
  }
  for (const key of Reflect.ownKeys(socket)) {
    const value: unknown = Reflect.get(socket, key);
    if (typeof value !== 'object' || value === null) continue;
    if (isSession(value)) return { kind: 'http2', session: value };
    if (isWebSocket(key, value)) return { kind: 'websocket', websocket: value };
  }
  return { kind: 'opaque' };
}

function isSession(value: object): value is SessionLike {
  return (
    typeof (value as SessionLike).goaway === 'function' && typeof (value as SessionLike).close === 'function'
  );
}

function isWebSocket(key: string | symbol, value: object): value is WebSocketLike {
  if (typeof key !== 'symbol' || key.description !== 'websocket') return false;
  return typeof (value as WebSocketLike).close === 'function';
}

function isServer(value: unknown): value is Net.Server {
  return value instanceof net().Server;
}

function serverOf(socket: Net.Socket): Net.Server | HttpServer | null {
  return (socket as ServerSocket).server ?? null;
}

function activeHandles(): readonly unknown[] {
  const { _getActiveHandles: list } = process as unknown as { _getActiveHandles?: () => unknown[] };
  return list === undefined ? [] : list.call(process);
}
