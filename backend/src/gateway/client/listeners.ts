/**
 * Where clients come in, and what happens before their first request.
 *
 *   plain port:  accepted ─▶ (PROXY header) ─▶ admitted ─▶ served
 *   TLS port:    accepted ─▶ (PROXY header) ─▶ admitted ─▶ handshake ─┬─ http/1.1 ─▶ served
 *                                                                     └─ h2 ─▶ each of its streams: admitted ─▶ served
 *
 * Who is admitted holds a place, in all and by its address, until it is gone; a stream of HTTP/2 is what a connection
 * is in HTTP/1.1 and holds one like it.
 */
import { createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { ClientSocket } from '../shared/clientSocket.js';
import type { GatewayContext } from '../shared/context.js';
import { withoutMapping } from '../../domain/network/network.js';
import { Peer, type TrustedPeers } from '../shared/forwarded.js';
import { Http2Connection, type Http2Owner } from '../http2/connection.js';
import { ProxyHeaderWait } from '../proxyProtocol/headerWait.js';
import { acceptWithSharedReads } from './sharedReads.js';
import type { TlsMaterial } from '../tls/contexts.js';
import { Handshakes, type HandshakeOwner } from '../tls/handshakes.js';
import { HIGH_WATER_BYTES } from '../upstreams/upstreamConnection.js';

export interface ListenersOptions {
  /** Whose forwarded fields are believed. */
  readonly trust: TrustedPeers;
  /** Who begins every connection with a PROXY header. */
  readonly proxies: TrustedPeers;
  /** Whether TLS clients may speak HTTP/2. */
  readonly http2: boolean;
}

export interface Reception {
  /** A place for one more connection of `peer`. @returns false when it was refused, and told so if it can be told. */
  admit(peer: Peer, socket: ClientSocket | null): boolean;
  /** Gives the place back. */
  leave(peer: Peer): void;
  /** Serves an admitted client; gives its place back when it is gone. */
  serve(socket: ClientSocket, peer: Peer): void;
}

export class Listeners implements HandshakeOwner, Http2Owner {
  readonly #context: GatewayContext;
  readonly #reception: Reception;
  readonly #options: ListenersOptions;
  readonly #servers = new Set<Server>();
  /** From proxies that have not sent their header yet. */
  readonly #unannounced = new Set<Socket>();
  readonly #http2 = new Set<Http2Connection>();
  #handshakes: Handshakes | null = null;
  /** Connections, so far. */
  accepted = 0;

  constructor(context: GatewayContext, reception: Reception, options: ListenersOptions) {
    this.#context = context;
    this.#reception = reception;
    this.#options = options;
  }

  /** Rejects with the system's error (EADDRINUSE, EACCES, …). @returns the port. */
  listen(options: ListenOptions): Promise<number> {
    // In front of a PROXY header bytes must be put back, which a socket with shared reads can't.
    const sharesReads = this.#options.proxies.isEmpty;
    return this.#open(options, sharesReads, (socket, address) => this.#receive(socket, address));
  }

  /** Like `listen`, for TLS. Once. */
  listenTls(options: ListenOptions, material: TlsMaterial): Promise<number> {
    const protocols = this.#options.http2 ? ['h2', 'http/1.1'] : ['http/1.1'];
    const handshakes = new Handshakes(material, protocols, this.#context, this);
    this.#handshakes = handshakes;
    return this.#open(options, false, (socket, address) => this.#receiveTls(handshakes, socket, address));
  }

  /** Other certificates or ticket keys, for connections from now on. */
  updateTls(material: TlsMaterial): void {
    this.#handshakes?.update(material);
  }

  /** Connections of HTTP/2, open now. */
  get http2Connections(): number {
    return this.#http2.size;
  }

  /** On them, under way now. */
  get streams(): number {
    let streams = 0;
    for (const connection of this.#http2) streams += connection.streams;
    return streams;
  }

  /** Accepts nobody any more. */
  stopListening(): void {
    for (const server of this.#servers) server.close();
    this.#servers.clear();
    for (const socket of this.#unannounced) socket.destroy();
  }

  /** Tells HTTP/2 clients to go elsewhere, evenly over the window. */
  drain(windowMs: number, random: () => number): void {
    const { nowMs } = this.#context.deadlines;
    for (const connection of this.#http2) connection.leaveBy(nowMs + random() * windowMs);
  }

  /** Ends everything at once that is not served yet, and HTTP/2 connections with all that is on them. */
  close(): void {
    this.stopListening();
    this.#handshakes?.close();
    for (const connection of this.#http2) connection.destroy();
  }

  onSecure(socket: TLSSocket, peer: Peer): void {
    if (socket.alpnProtocol !== 'h2') {
      this.#reception.serve(socket, peer);
      return;
    }
    const http2Peer = new Peer(peer.address, true, this.#options.trust, true);
    const connection = new Http2Connection(socket, http2Peer, this.#context, this);
    this.#http2.add(connection);
    // Its handshake was under way when the others were told.
    if (this.#context.draining) connection.leaveBy(this.#context.deadlines.nowMs);
  }

  onHandshakeFailed(peer: Peer): void {
    this.#reception.leave(peer);
  }

  onStream(socket: ClientSocket, peer: Peer): void {
    if (this.#reception.admit(peer, socket)) this.#reception.serve(socket, peer);
  }

  onHttp2Closed(connection: Http2Connection): void {
    this.#http2.delete(connection);
    this.#reception.leave(connection.peer);
  }

  #open(
    options: ListenOptions,
    sharesReads: boolean,
    onClient: (socket: Socket, address: string) => void,
  ): Promise<number> {
    const server = createServer(
      { allowHalfOpen: true, noDelay: true, highWaterMark: HIGH_WATER_BYTES },
      (socket) => this.#accept(socket, onClient),
    );
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(options, () => {
        server.off('error', reject);
        // Accepting may fail for a moment (EMFILE); those who are connected go on.
        server.on('error', () => this.#context.refusals.count('accept.failed'));
        this.#servers.add(server);
        if (sharesReads) acceptWithSharedReads(server);
        const address = server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : 0);
      });
    });
  }

  #accept(socket: Socket, onClient: (socket: Socket, address: string) => void): void {
    this.accepted += 1;
    const { remoteAddress } = socket;
    if (remoteAddress === undefined) {
      socket.destroy(); // gone before it was looked at
      return;
    }
    const address = withoutMapping(remoteAddress);
    if (!this.#options.proxies.trusts(address)) {
      onClient(socket, address);
      return;
    }
    if (this.#unannounced.size >= this.#context.limits.maxConnections) {
      this.#context.refusals.count('limit.connections');
      socket.destroy();
      return;
    }
    this.#unannounced.add(socket);
    const wait = new ProxyHeaderWait(
      socket,
      this.#context,
      (client) => {
        this.#unannounced.delete(socket);
        onClient(socket, client?.address ?? address);
      },
      () => this.#unannounced.delete(socket),
    );
    wait.begin();
  }

  #receive(socket: Socket, address: string): void {
    const peer = new Peer(address, false, this.#options.trust);
    if (!this.#reception.admit(peer, socket)) return;
    this.#reception.serve(socket, peer);
    if (socket.isPaused()) socket.resume(); // a header was read from it before
  }

  #receiveTls(handshakes: Handshakes, socket: Socket, address: string): void {
    const peer = new Peer(address, true, this.#options.trust);
    // Before its handshake nothing can be said to it.
    if (this.#reception.admit(peer, null)) handshakes.begin(socket, peer);
    else socket.destroy();
  }
}
