/**
 * Hearing a signal without being seen, and knowing whether the application hears it, too.
 *
 * `process.on('SIGINT', …)` would be seen: signal-exit, which is in very many dependency trees, counts the listeners and
 * leaves the process running when there is one besides its own. So this takes the watcher that node itself puts below
 * `process.on`, once more: libuv tells every watcher of a signal. It does not keep the process alive.
 *
 * While it watches, the signal's default action (the process ends) does not happen. Whoever closes the watch has it back,
 * unless the application listens.
 */
import { createHook } from 'node:async_hooks';
import { constants } from 'node:os';

export type StopSignal = 'SIGINT' | 'SIGTERM';

interface SignalWatcher {
  onsignal: (number: number) => void;
  start(signal: number): number;
  unref(): void;
  close(): void;
}

type WatcherClass = new () => SignalWatcher;

const { setImmediate } = globalThis;

/** Calls `onSignal` for each; returns what ends the watch. Throws where node does not offer such a watcher. */
export function watchSignal(signal: StopSignal, onSignal: () => void): () => void {
  const Watcher = watcherClass();
  const watcher = new Watcher();
  watcher.unref();
  watcher.onsignal = onSignal;
  const problem = watcher.start(constants.signals[signal]);
  if (problem !== 0) {
    watcher.close();
    throw new Error(`${signal} can't be watched (libuv error ${problem})`);
  }
  let open = true;
  return () => {
    if (open) watcher.close();
    open = false;
  };
}

let known: WatcherClass | null = null;

/**
 * Node has no name for it, but shows every handle that is made to whoever asks (async_hooks). So one is made by listening
 * for a moment, to a signal that nobody else listens to and that does nothing by itself.
 */
function watcherClass(): WatcherClass {
  known ??= seeWatcherClass('SIGURG');
  return known;
}

function seeWatcherClass(signal: NodeJS.Signals): WatcherClass {
  const seen: object[] = [];
  const hook = createHook({
    init(_id, type, _trigger, resource) {
      if (type === 'SIGNALWRAP') seen.push(resource);
    },
  });
  const listener = (): void => {};
  hook.enable();
  try {
    process.on(signal, listener);
  } finally {
    hook.disable();
    process.off(signal, listener);
  }
  const [watcher] = seen;
  if (watcher === undefined) throw new Error('node shows no watcher of signals');
  return watcher.constructor as WatcherClass;
}

/**
 * Whether the application has a handler of its own for a signal, asked while the signal is being told. Its handler may
 * have had its turn before us, and one that was added with `once` is gone by then: what was removed in this very turn of
 * the event loop still counts.
 */
export class Handlers {
  readonly #justRemoved = new Set<string | symbol>();

  constructor() {
    process.on('removeListener', (event) => {
      if (event !== 'SIGINT' && event !== 'SIGTERM') return;
      this.#justRemoved.add(event);
      setImmediate(() => this.#justRemoved.delete(event));
    });
  }

  handles(signal: StopSignal): boolean {
    return this.#justRemoved.has(signal) || process.listenerCount(signal) > 0;
  }
}
