/**
 * One connection to an upstream, lent to one exchange at a time.
 *
 *   connecting ──▶ busy ◀──▶ idle
 *       │           │         │
 *       └───────────┴─────────┴──▶ closed
 *
 * While idle it is still read: an upstream that closes it is noticed at once, and one that talks without being asked
 * has lost the thread and is not spoken to again.
 *
 * All connections read into one shared buffer, which saves an allocation of 64 KB per read (a tenth of the cost of a
 * small request). So what a user is given is valid only during the call: who keeps a part of it copies that part.
 */
import type { Socket } from 'node:net';
import { isSelf, refusedBySelf } from '../../lib/selfConnection.js';
import type { PortVerdict } from '../../ports.js';
import type { Deadlines, Timed } from '../shared/deadlines.js';
import { UpstreamSocket } from './upstreamSocket.js';

/**
 * Bytes that may wait in one direction before the other side is paused. More than one read brings (64 KB): a socket
 * counts a write in before it finds that the kernel takes it at once, and would say "full" after every one.
 */
export const HIGH_WATER_BYTES = 131_072;

const sharedBuffer = Buffer.allocUnsafeSlow(65_536);

export interface UpstreamAddress {
  readonly host: string;
  readonly port: number;
  /** To whom the port belongs, asked after connecting: nothing is sent to a stranger. Absent: nothing is asked. */
  vouch?(): PortVerdict;
}

/** What listens there may change while one connects; more often than that it does not. */
const MOST_DIALS = 3;

/** The user of the connection. */
export interface ConnectionUser {
  onConnected(connection: UpstreamConnection): void;
  /** `chunk` is valid only during the call. */
  onUpstreamBytes(chunk: Buffer): void;
  /** It can take more bytes again. */
  onUpstreamDrain(): void;
  /** It will send nothing more. */
  onUpstreamEnd(): void;
  /** It is gone; the connection is not lent any more. `connected` is false when it never came about. */
  onUpstreamGone(problem: string, connected: boolean): void;
}

/** The owner of the connection. */
export interface ConnectionOwner {
  /** It is connected. */
  onOpened(): void;
  /** Once per connection. `wasOpening`: it never came about. */
  onClosed(connection: UpstreamConnection, wasOpening: boolean): void;
}

export class UpstreamConnection implements Timed {
  socket: Socket;
  deadlineMs: number;
  /** It has carried a complete exchange before. */
  reused = false;
  #state: 'connecting' | 'busy' | 'idle' | 'closed' = 'connecting';
  #user: ConnectionUser | null;
  #problem = '';
  /** Something came from the upstream since it was lent. */
  #answered = false;
  #abandoned = false;
  #retired = false;
  readonly #owner: ConnectionOwner;
  readonly #deadlines: Deadlines;

  readonly #target: UpstreamAddress;
  #dials = 0;

  constructor(
    target: UpstreamAddress,
    connectTimeoutMs: number,
    owner: ConnectionOwner,
    user: ConnectionUser,
    deadlines: Deadlines,
  ) {
    this.#owner = owner;
    this.#user = user;
    this.#deadlines = deadlines;
    this.deadlineMs = deadlines.nowMs + connectTimeoutMs;
    deadlines.add(this);
    this.#target = target;
    this.socket = this.#dial();
  }

  #dial(): Socket {
    this.#dials += 1;
    const { host, port } = this.#target;
    const socket = UpstreamSocket.connect({
      host,
      port,
      noDelay: true,
      allowHalfOpen: true,
      highWaterMark: HIGH_WATER_BYTES,
      onread: { buffer: sharedBuffer, callback: (bytes) => this.#onData(sharedBuffer.subarray(0, bytes)) },
    });
    socket.on('connect', () => {
      // Asked for its own end first, which rules it out: each answer is a system call, and kept by the socket.
      if (socket.localPort === port && isSelf(socket)) socket.destroy(refusedBySelf(socket));
      else this.#onDialled();
    });
    socket.on('drain', () => this.#user?.onUpstreamDrain());
    socket.on('end', () => this.#onEnd());
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#problem = error.code ?? error.message;
    });
    socket.on('close', () => this.#close(this.#problem === '' ? 'closed' : this.#problem));
    return socket;
  }

  /** Whether it can carry another request. */
  get usable(): boolean {
    return !this.#retired && this.#state !== 'closed' && this.socket.writable && !this.socket.destroyed;
  }

  /** It is lent, and nothing has come from the upstream since. */
  get isUnanswered(): boolean {
    return this.#state === 'busy' && !this.#answered;
  }

  /** Lends an idle connection. */
  lend(user: ConnectionUser): void {
    this.#state = 'busy';
    this.#user = user;
    this.#answered = false;
    this.deadlineMs = Number.POSITIVE_INFINITY;
  }

  /** Takes it back after a complete exchange; it waits for the next one until `idleMs` have passed. */
  rest(idleMs: number): void {
    this.#state = 'idle';
    this.#user = null;
    this.reused = true;
    this.deadlineMs = this.#deadlines.nowMs + idleMs;
    if (this.socket.isPaused()) this.socket.resume();
  }

  /** Ends it at once, without telling its user. */
  destroy(): void {
    this.#user = null;
    this.#close('closed by the gateway');
  }

  /** Ends it after the exchange that is under way. */
  retire(): void {
    this.#retired = true;
  }

  /** The process at the other end is gone: unless an answer has begun by `atMs`, there will be none. */
  abandon(atMs: number): void {
    if (this.#answered || this.#state === 'closed') return;
    this.#abandoned = true;
    this.deadlineMs = Math.min(this.deadlineMs, atMs);
  }

  onDeadline(): void {
    if (this.#abandoned && this.#state === 'busy') {
      this.#abandoned = false;
      this.deadlineMs = Number.POSITIVE_INFINITY;
      if (!this.#answered) this.#close('its process has ended');
      return;
    }
    this.#close(this.#state === 'connecting' ? 'connect timed out' : 'idle for too long');
  }

  #onDialled(): void {
    if (this.#state !== 'connecting') return;
    const verdict = this.#target.vouch?.() ?? 'unknown';
    if (typeof verdict === 'object') {
      this.#close(`its port is held by a process of another user (uid ${verdict.userId})`);
    } else if (verdict === 'new' && this.#dials < MOST_DIALS) {
      this.socket.removeAllListeners();
      this.socket.on('error', () => undefined).destroy();
      this.socket = this.#dial();
    } else if (verdict === 'new') {
      this.#close('what listens at its port changes all the time');
    } else {
      this.#onConnect();
    }
  }

  #onConnect(): void {
    if (this.#state !== 'connecting') return;
    this.#state = 'busy';
    if (!this.#abandoned) this.deadlineMs = Number.POSITIVE_INFINITY;
    this.#user?.onConnected(this);
    this.#owner.onOpened();
  }

  /** @returns true: go on reading, unless the socket was paused meanwhile. */
  #onData(chunk: Buffer): boolean {
    this.#answered = true;
    if (this.#user === null) this.#close('it spoke without being asked');
    else this.#user.onUpstreamBytes(chunk);
    return true;
  }

  #onEnd(): void {
    if (this.#user === null) this.#close('closed');
    else this.#user.onUpstreamEnd();
  }

  #close(problem: string): void {
    if (this.#state === 'closed') return;
    const connected = this.#state !== 'connecting';
    this.#state = 'closed';
    this.deadlineMs = Number.POSITIVE_INFINITY;
    this.#deadlines.delete(this);
    this.socket.destroy();
    const user = this.#user;
    this.#user = null;
    this.#owner.onClosed(this, !connected);
    user?.onUpstreamGone(problem, connected);
  }
}
