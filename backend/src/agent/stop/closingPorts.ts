/**
 * Closes ports without losing a connection. The kernel completes connections by itself and keeps them in a queue until
 * the server accepts them; a port that is closed resets those in its queue, although each of their clients has been told
 * that it is connected, and may have sent its request already. With many new connections some are always in there.
 *
 * So the queue is made as short as it can be (a backlog of 0 is a queue of one), and is then filled by a connection of
 * our own. When that one got in, it is the only one in there, and the port can be closed: nothing else is reset. While
 * another connection is in there, ours does not get in; the event loop then accepts what waits, and it is tried again. A
 * client that finds the queue full is not refused: its kernel tries again a second later (RFC 6298, section 2), and is
 * then refused, or served by the next process on this port.
 *
 * Linux alone: elsewhere a backlog of 0 means something else, and a port is closed as node closes it.
 */
import type { Cluster } from 'node:cluster';
import type * as Net from 'node:net';
import { nowMs } from '../clock.js';

// As they were before the application.
const { setImmediate } = globalThis;
const { nextTick } = process;

/** A queue that is never found empty is given up so long after the first try. */
const LATEST_CLOSE_MS = 250;
/** node's own backlog. */
const BACKLOG = 511;

/** What node keeps behind a server that has opened a port itself; the names are its own, and old. */
interface PortHandle {
  listen(backlog: number): number;
}

interface Closing {
  readonly server: Net.Server;
  readonly handle: PortHandle;
  readonly address: Net.AddressInfo;
  readonly startedAtMs: number;
}

const net = (): typeof Net => process.getBuiltinModule('node:net');

export class ClosingPorts {
  readonly #closing = new Map<Net.Server, Closing>();

  /** Whether a port is still being closed. */
  get isUnderWay(): boolean {
    return this.#closing.size > 0;
  }

  /**
   * Ends listening, within LATEST_CLOSE_MS, and leaves the connections that are there alone. Idempotent. What has no port
   * of its own (a Unix socket, a worker of a cluster, a socket that another process has opened) is closed at once.
   */
  close(server: Net.Server): void {
    if (this.#closing.has(server)) return;
    const handle = ownPort(server);
    if (handle === null) return stopListening(server);
    const address = server.address() as Net.AddressInfo;
    const closing = { server, handle, address, startedAtMs: nowMs() };
    handle.listen(0);
    this.#closing.set(server, closing);
    setImmediate(() => this.#try(closing));
  }

  /** Ports that are not yet closed stay open. */
  cancel(): void {
    for (const { handle } of this.#closing.values()) handle.listen(BACKLOG);
    this.#closing.clear();
  }

  /** Right after the event loop has accepted what waited. */
  #try(closing: Closing): void {
    if (this.#closing.get(closing.server) !== closing) return;
    const { address, port } = closing.address;
    const plug = net().connect({ port, host: reachable(address) });
    plug.on('error', () => {});
    // The call that connects is made in the next tick, and nothing is accepted before the one after it.
    nextTick(() => {
      if (this.#closing.get(closing.server) === closing) {
        if (isConnected(plug) || nowMs() - closing.startedAtMs >= LATEST_CLOSE_MS) {
          this.#closing.delete(closing.server);
          stopListening(closing.server);
        } else {
          setImmediate(() => this.#try(closing));
        }
      }
      plug.destroy();
    });
  }
}

/**
 * Accepts no more connections, and leaves those that are there alone: `close` of an HTTP server also destroys what it
 * takes for idle, among it connections whose last answer is not yet written out.
 */
function stopListening(server: Net.Server): void {
  net().Server.prototype.close.call(server);
}

/** Of a server that has opened its port itself: for no other process a shorter queue. */
function ownPort(server: Net.Server): PortHandle | null {
  if (process.platform !== 'linux') return null;
  const { _handle: handle, _connectionKey: key } = server as unknown as {
    _handle?: PortHandle | null;
    _connectionKey?: string;
  };
  const { isWorker } = process.getBuiltinModule('node:cluster') as unknown as Cluster;
  if (isWorker || typeof handle?.listen !== 'function') return null;
  // `4:0.0.0.0:3000`, `6:::1:3000`; of an inherited socket there is no family, of a Unix socket it is -1.
  return key !== undefined && /^[46]:/.test(key) ? handle : null;
}

function reachable(address: string): string {
  if (address === '0.0.0.0') return '127.0.0.1';
  return address === '::' ? '::1' : address;
}

/** Asked of the kernel: node itself learns of a connection only when the event loop has turned. */
function isConnected(socket: Net.Socket): boolean {
  const { _handle: handle } = socket as unknown as { _handle?: { getpeername?(out: object): number } | null };
  return handle?.getpeername?.({}) === 0;
}
