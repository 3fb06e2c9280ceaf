/**
 * From an accepted socket to a TLS connection.
 *
 *   handshaking ──▶ secure: handed over          handshaking ──▶ failed, too late, or pushed out by newer ones
 *
 * A handshake costs a signature, and a client that never ends it costs memory until its time is up. So there is a
 * bound to them, and when it is reached the oldest goes: an honest handshake takes milliseconds, the oldest of a
 * thousand is not one of them. What fails is counted, not logged: anybody can make it fail as often as they like.
 */
import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { GatewayContext } from '../shared/context.js';
import type { Timed } from '../shared/deadlines.js';
import type { Peer } from '../shared/forwarded.js';
import { TlsContexts, type TlsMaterial } from './contexts.js';

/** At a time, in one worker. */
const MOST_HANDSHAKES = 1_000;

export interface HandshakeOwner {
  /** `socket` has had its handshake, and nothing else yet. */
  onSecure(socket: TLSSocket, peer: Peer): void;
  /** It came to nothing; the socket is gone. */
  onHandshakeFailed(peer: Peer): void;
}

interface Handshake extends Timed {
  readonly socket: Socket;
  readonly peer: Peer;
  readonly onClose: () => void;
  /** Why it was ended from here; '' when it was not. */
  code: string;
}

export class Handshakes {
  readonly #context: GatewayContext;
  readonly #owner: HandshakeOwner;
  readonly #server: Server;
  /** By the other end of the TCP connection, because node:tls does not say which socket became which. Oldest first. */
  readonly #pending = new Map<string, Handshake>();
  #contexts: TlsContexts;

  /** @param protocols for ALPN, the most wanted first. */
  constructor(
    material: TlsMaterial,
    protocols: readonly string[],
    context: GatewayContext,
    owner: HandshakeOwner,
  ) {
    this.#context = context;
    this.#owner = owner;
    this.#contexts = new TlsContexts(material);
    this.#server = createServer({
      ...this.#contexts.defaults,
      ALPNProtocols: [...protocols],
      SNICallback: (name, done) => this.#choose(name, done),
    });
    this.#server.on('secureConnection', (socket) => this.#onSecure(socket));
    // The socket closes, and that is where it is counted.
    this.#server.on('tlsClientError', (_error, socket) => socket.destroy());
  }

  /** Other certificates or keys, for handshakes from now on. */
  update(material: TlsMaterial): void {
    this.#contexts = new TlsContexts(material);
    this.#server.setSecureContext(this.#contexts.defaults);
  }

  /** Begins a handshake. Ends in exactly one call of the owner. */
  begin(socket: Socket, peer: Peer): void {
    const { deadlines, limits } = this.#context;
    const key = keyOf(socket);
    const handshake: Handshake = {
      socket,
      peer,
      code: '',
      deadlineMs: deadlines.nowMs + limits.headTimeoutMs,
      onDeadline: () => cut(handshake, 'tls.timeout'),
      onClose: () => {
        this.#forget(key, handshake);
        this.#context.refusals.count(handshake.code === '' ? 'tls.failed' : handshake.code);
        this.#owner.onHandshakeFailed(peer);
      },
    };
    deadlines.add(handshake);
    this.#pending.set(key, handshake);
    socket.on('close', handshake.onClose);
    if (this.#pending.size > MOST_HANDSHAKES) {
      const [oldest] = this.#pending.values();
      if (oldest !== undefined) cut(oldest, 'limit.handshakes');
    }
    this.#server.emit('connection', socket);
  }

  /** Cuts those under way. */
  close(): void {
    for (const handshake of this.#pending.values()) cut(handshake, 'tls.stopped');
  }

  #choose(name: string, done: Parameters<NonNullable<SniCallback>>[1]): void {
    let found: ReturnType<TlsContexts['find']>;
    try {
      found = this.#contexts.find(name);
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    done(null, found ?? undefined);
  }

  #onSecure(socket: TLSSocket): void {
    const key = keyOf(socket);
    const handshake = this.#pending.get(key);
    if (handshake === undefined) {
      socket.on('error', () => undefined);
      socket.destroy(); // closed in the same moment
      return;
    }
    this.#forget(key, handshake);
    // TLS knows no reset, and Node refuses it; the connection that carries it can be reset.
    socket.resetAndDestroy = () => {
      handshake.socket.resetAndDestroy();
      return socket.destroy();
    };
    this.#owner.onSecure(socket, handshake.peer);
  }

  #forget(key: string, handshake: Handshake): void {
    if (this.#pending.get(key) === handshake) this.#pending.delete(key);
    this.#context.deadlines.delete(handshake);
    handshake.socket.off('close', handshake.onClose);
  }
}

type SniCallback = Exclude<Parameters<typeof createServer>[0], undefined | (() => void)>['SNICallback'];

function cut(handshake: Handshake, code: string): void {
  handshake.code = code;
  handshake.socket.destroy();
}

/** While both ends are open no other connection has it. */
function keyOf(socket: Socket): string {
  return `${socket.remotePort} ${socket.remoteAddress} ${socket.localPort} ${socket.localAddress}`;
}
