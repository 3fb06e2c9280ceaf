/**
 * Whether what was written to a socket is being taken, however slowly.
 *
 *   full ──look──▶ something moved: all its time again      full ──look──▶ nothing moved for as long as it may: still
 *
 * "Drained" is the end of a long way and says nothing about it: of what waits in the socket's stream, in libuv's queue and
 * in the kernel's buffer, megabytes may have to go before it comes. So each look asks all three for how far they are.
 * Nothing is looked at on the path of a request; the first look comes when a quarter of the time has passed.
 */
import { Socket } from 'node:net';
import { unsentBytes } from '../../lib/unsentBytes.js';
import type { ClientSocket } from './clientSocket.js';
import type { Deadlines } from './deadlines.js';

const LOOKS = 4;
/** Until the kernel's last answer is here. */
const ANSWER_MS = 100;

/** What node:net does not document, and uses itself for its time-outs. */
interface Handle {
  readonly writeQueueSize?: number;
  /** The TCP handle behind TLS. */
  readonly _parent?: Handle;
}

/** Bytes in libuv's queue for a TCP or TLS socket. */
export function queuedBytes(socket: Socket): number {
  const handle = (socket as unknown as { readonly _handle: Handle | null })._handle;
  return (handle?.writeQueueSize ?? 0) + (handle?._parent?.writeQueueSize ?? 0);
}

export class Standstill {
  readonly #socket: ClientSocket;
  readonly #deadlines: Deadlines;
  #allowedMs = 0;
  #stillSinceMs = 0;
  #lastChance = false;
  /** When to look next. */
  #dueMs = 0;
  /** Bytes that have left the stream, and bytes queued below it, at the last look; null: there was none. */
  #passed: number | null = null;
  #queued = 0;
  /** In the kernel's buffer at the last look; null: not known. */
  #unsent: number | null = null;

  constructor(socket: ClientSocket, deadlines: Deadlines) {
    this.#socket = socket;
    this.#deadlines = deadlines;
  }

  /** From now on it is waited for, for `allowedMs` while nothing moves. @returns when to look (monotonic, ms). */
  begin(allowedMs: number): number {
    const { nowMs } = this.#deadlines;
    this.#allowedMs = allowedMs;
    this.#stillSinceMs = nowMs;
    this.#lastChance = false;
    this.#passed = null;
    this.#unsent = null;
    this.#dueMs = nowMs + allowedMs / LOOKS;
    return this.#dueMs;
  }

  /** @returns when to look again; null: it has stood still for as long as it may. */
  look(): number | null {
    const { nowMs } = this.#deadlines;
    const stepMs = this.#allowedMs / LOOKS;
    // A process that was itself held up for so long moved nothing, and can't say that the other side did not want to.
    const wasHeldUp = nowMs - this.#dueMs > stepMs;
    if (this.#hasMoved() || wasHeldUp) {
      this.#stillSinceMs = nowMs;
      this.#lastChance = false;
    }
    void this.#askKernel();
    const endsMs = this.#stillSinceMs + this.#allowedMs;
    if (nowMs >= endsMs && this.#lastChance) return null;
    this.#lastChance = nowMs >= endsMs;
    this.#dueMs = this.#lastChance ? nowMs + ANSWER_MS : Math.min(nowMs + stepMs, endsMs);
    return this.#dueMs;
  }

  /** Like `look`; the first time it begins. */
  lookOrBegin(allowedMs: number): number | null {
    return this.#allowedMs === 0 ? this.begin(allowedMs) : this.look();
  }

  /** The socket of the connection. */
  get #carrier(): Socket | null {
    const { carrier } = this.#socket;
    return carrier ?? (this.#socket instanceof Socket ? this.#socket : null);
  }

  #hasMoved(): boolean {
    const carrier = this.#carrier;
    const passed = this.#socket.takenBytes ?? (carrier?.bytesWritten ?? 0) - this.#socket.writableLength;
    const queued = carrier === null ? 0 : queuedBytes(carrier);
    const hasMoved = this.#passed !== null && (passed !== this.#passed || queued < this.#queued);
    this.#passed = passed;
    this.#queued = queued;
    return hasMoved;
  }

  async #askKernel(): Promise<void> {
    const carrier = this.#carrier;
    // A stream of HTTP/2 may wait for its own window while its connection is idle, or busy with others.
    if (carrier === null || (carrier !== this.#socket && queuedBytes(carrier) === 0)) return;
    const { localPort, remotePort } = carrier;
    if (localPort === undefined || remotePort === undefined) return;
    const unsent = await unsentBytes(localPort, remotePort, this.#deadlines.nowMs);
    if (unsent !== null && this.#unsent !== null && unsent < this.#unsent) {
      this.#stillSinceMs = this.#deadlines.nowMs;
      this.#lastChance = false;
    }
    this.#unsent = unsent;
  }
}
