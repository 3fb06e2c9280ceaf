/**
 * The places for TCP connections, so that callers without the token can't keep those with it out:
 *
 *   new ──▶ unauthenticated ──a request shows the token or a session──▶ authenticated
 *
 * A network (domain/network/network.ts) has so many unauthenticated connections, and loopback has places of its own. Where they are
 * taken, a new connection gets the place of another unauthenticated one of the same network: of the oldest one that has had
 * an answer, or else of the oldest one. Where all places are taken, the network with
 * most unauthenticated connections gives one up. So a new connection always has the time to show its token, and one that
 * has shown it stays. An unauthenticated connection ends after so many answers.
 *
 * Without a token every caller is unauthenticated; a call that is under way there keeps its connection.
 */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { LOOPBACK_NETWORK, networkOf } from '../domain/network/network.js';
import type { ApiLimits } from './settings.js';

export type ClosedFor = 'address' | 'total';

interface Place {
  readonly network: string;
  authenticated: boolean;
  answers: number;
  /** It ends with the answer that is under way: it has had as many as it may. */
  isLast: boolean;
  underWay: ServerResponse | null;
}

export interface ConnectionsOptions {
  readonly limits: Pick<
    ApiLimits,
    'connections' | 'connectionsPerAddress' | 'loopbackConnections' | 'unauthenticatedRequests'
  >;
  /** Whether a token tells callers apart. */
  readonly hasToken: boolean;
  /** An unauthenticated connection of `network` was closed, for want of places. */
  readonly onClosed: (network: string, reason: ClosedFor) => void;
}

export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #places = new Map<Socket, Place>();
  /** The unauthenticated ones by network, oldest first. */
  readonly #unauthenticated = new Map<string, Set<Socket>>();
  #onLoopback = 0;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#places.size;
  }

  get authenticated(): number {
    let others = 0;
    for (const sockets of this.#unauthenticated.values()) others += sockets.size;
    return this.#places.size - others;
  }

  /** All that are open. */
  get sockets(): readonly Socket[] {
    return [...this.#places.keys()];
  }

  /** Gives a new connection a place, or closes it where there is none. */
  open(socket: Socket): void {
    const network = networkOf(socket.remoteAddress ?? '');
    if (!this.#makeRoom(network)) {
      socket.destroy();
      return;
    }
    this.#places.set(socket, { network, authenticated: false, answers: 0, isLast: false, underWay: null });
    const peers = this.#unauthenticated.get(network) ?? new Set();
    this.#unauthenticated.set(network, peers.add(socket));
    if (network === LOOPBACK_NETWORK) this.#onLoopback += 1;
    socket.once('close', () => this.#forget(socket));
  }

  /** A request of the connection begins. */
  asks(socket: Socket, response: ServerResponse): void {
    const place = this.#places.get(socket);
    if (place === undefined) return;
    place.underWay = response;
    response.once('close', () => {
      place.answers += 1;
      if (place.underWay === response) place.underWay = null;
    });
    const { unauthenticatedRequests } = this.#options.limits;
    if (place.authenticated || place.answers + 1 < unauthenticatedRequests) return;
    place.isLast = true;
    response.setHeader('Connection', 'close');
  }

  /** A request of the connection showed the token, or a session. */
  authenticate(socket: Socket): void {
    const place = this.#places.get(socket);
    if (place === undefined || place.authenticated) return;
    place.authenticated = true;
    this.#leaveNetwork(socket, place.network);
    if (place.isLast) place.underWay?.removeHeader('Connection');
  }

  /** @returns false when no connection can be closed for a new one of `network`. */
  #makeRoom(network: string): boolean {
    const { limits } = this.#options;
    const isLocal = network === LOOPBACK_NETWORK;
    const mostHere = isLocal ? limits.loopbackConnections : limits.connectionsPerAddress;
    if ((this.#unauthenticated.get(network)?.size ?? 0) >= mostHere)
      return this.#closeOne(network, 'address');
    const taken = isLocal ? this.#onLoopback : this.#places.size - this.#onLoopback;
    if (taken < (isLocal ? limits.loopbackConnections : limits.connections)) return true;
    const largest = isLocal ? network : this.#largestNetwork();
    return this.#closeOne(largest, 'total');
  }

  /** The network, other than loopback, with most unauthenticated connections. */
  #largestNetwork(): string {
    let [largest, most] = ['', 0];
    for (const [network, { size }] of this.#unauthenticated)
      if (network !== LOOPBACK_NETWORK && size > most) [largest, most] = [network, size];
    return largest;
  }

  #closeOne(network: string, reason: ClosedFor): boolean {
    const closable = [...(this.#unauthenticated.get(network) ?? [])].filter((socket) =>
      this.#mayClose(socket),
    );
    const [chosen] = [...closable.filter((socket) => this.#places.get(socket)?.answers !== 0), ...closable];
    this.#options.onClosed(network, reason);
    if (chosen === undefined) return false;
    this.#forget(chosen);
    chosen.destroy();
    return true;
  }

  #mayClose(socket: Socket): boolean {
    const underWay = this.#places.get(socket)?.underWay ?? null;
    return this.#options.hasToken || underWay === null || underWay.writableEnded;
  }

  #forget(socket: Socket): void {
    const place = this.#places.get(socket);
    if (place === undefined) return;
    this.#places.delete(socket);
    if (place.network === LOOPBACK_NETWORK) this.#onLoopback -= 1;
    if (!place.authenticated) this.#leaveNetwork(socket, place.network);
  }

  #leaveNetwork(socket: Socket, network: string): void {
    const peers = this.#unauthenticated.get(network);
    peers?.delete(socket);
    if (peers?.size === 0) this.#unauthenticated.delete(network);
  }
}
