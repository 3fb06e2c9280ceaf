/**
 * The graceful stop of an application that has none of its own. PM2 asks a process to end with SIGINT, and kills it
 * `kill_timeout` later; without a handler, node ends at once and resets every request under way.
 *
 *   watching ──signal, application has a handler──▶ out of the way, for good
 *      └─────signal, it has none──▶ draining ──done, time over, or a second signal──▶ the signal's own effect
 *
 * An application with a handler of its own (also one added later, also with `once`) sees no difference: from its first
 * signal on nothing of this is left, so that ending itself with the same signal works as ever. One without ends by that
 * very signal, as it would have, only later. What PM2 can be told to send instead of a signal, the message `shutdown`,
 * is for applications that wait for it: nothing happens here.
 */
import type { GracefulStopContext } from '../seams.js';
import { Drain } from './drain.js';
import { Handlers, watchSignal, type StopSignal } from './signals.js';
import { TlsConnections } from './tlsConnections.js';

/** SIGINT is what PM2 sends; SIGTERM where PM2_KILL_SIGNAL says so, and what everybody else sends. */
const SIGNALS: readonly StopSignal[] = ['SIGINT', 'SIGTERM'];

const { kill } = process;

/** To be called once, before the application is loaded. Where signals can't be watched, signals do what they always did. */
export function installGracefulStop(context: GracefulStopContext): void {
  new GracefulStop(context).install();
}

class GracefulStop {
  readonly #context: GracefulStopContext;
  readonly #tls = new TlsConnections();
  #handlers: Handlers | null = null;
  #watches: (() => void)[] = [];
  #draining = false;

  constructor(context: GracefulStopContext) {
    this.#context = context;
  }

  install(): void {
    try {
      for (const signal of SIGNALS) this.#watches.push(watchSignal(signal, () => this.#on(signal)));
      this.#handlers = new Handlers();
      this.#tls.follow();
    } catch {
      this.#unwatch();
    }
  }

  #on(signal: StopSignal): void {
    try {
      if (this.#draining) this.#end(signal);
      else if (this.#handlers?.handles(signal) === true) this.#leave(signal);
      else this.#drain(signal);
    } catch {
      this.#end(signal);
    }
  }

  #leave(signal: StopSignal): void {
    this.#unwatch();
    this.#context.announce({ type: 'stopping', signal, draining: false });
  }

  #drain(signal: StopSignal): void {
    this.#draining = true;
    this.#context.announce({ type: 'stopping', signal, draining: true });
    new Drain(this.#context, this.#tls, () => this.#end(signal)).begin();
  }

  /** With the watches closed the signal means again what it means without us. */
  #end(signal: StopSignal): void {
    this.#unwatch();
    kill.call(process, process.pid, signal);
  }

  #unwatch(): void {
    for (const close of this.#watches.splice(0)) close();
  }
}
