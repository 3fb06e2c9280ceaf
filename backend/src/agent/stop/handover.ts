/**
 * PM2's cluster mode: its daemon accepts the connections, and hands each to a worker over a channel. A worker that stops
 * tells the daemon to hand it no more, and until the daemon has read that, connections are on their way. A worker that
 * ended now would take them along: the daemon keeps such a connection open, and its client waits for an answer that
 * never comes. So a worker ends only after the daemon's word that nothing more is on its way. What arrives until then
 * goes back to the daemon, which hands it to another worker.
 *
 * The word is the acknowledgement for which `worker.disconnect()` waits before it closes the channel: it is behind
 * everything that the daemon had sent before.
 */
import type { Cluster, Worker } from 'node:cluster';

export class Handover {
  readonly #onOver: () => void;
  #hasBegun = false;

  /** `onOver` is called once after `begin`, as soon as nothing is on its way; not before `begin` has returned. */
  constructor(onOver: () => void) {
    this.#onOver = onOver;
  }

  /** Whether connections come from another process, which is still there. */
  get isDue(): boolean {
    return worker()?.isConnected() === true;
  }

  /** All servers of this process must have stopped listening. Idempotent. */
  begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    worker()?.once('disconnect', this.#onOver).disconnect();
  }
}

function worker(): Worker | undefined {
  return (process.getBuiltinModule('node:cluster') as unknown as Cluster).worker;
}
