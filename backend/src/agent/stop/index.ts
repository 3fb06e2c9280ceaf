/**
 * The graceful stop of an application that has none of its own. PM2 asks a process to end with SIGINT, and kills it
 * `kill_timeout` later; without a handler, node ends at once and resets every request under way.
 *
 *   watching ──signal, application has a handler──▶ out of the way, for good
 *      └─────signal, it has none──▶ draining ──another signal, it has a handler for that──▶ out of the way, for good
 *                                      └─────done, time over, or any other signal──▶ the signal's own effect
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
  #drain: Drain | null = null;

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
      if (this.#handlers?.handles(signal) === true) this.#leave(signal);
      else if (this.#drain !== null) this.#end(signal);
      else this.#begin(signal);
    } catch {
      this.#end(signal);
    }
  }

  #leave(signal: StopSignal): void {
    this.#unwatch();
    this.#drain?.cancel();
    this.#context.announce({ type: 'stopping', signal, draining: false });
  }

  #begin(signal: StopSignal): void {
    this.#context.announce({ type: 'stopping', signal, draining: true });
    this.#drain = new Drain(this.#context, this.#tls, () => this.#end(signal));
    this.#drain.begin();
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
