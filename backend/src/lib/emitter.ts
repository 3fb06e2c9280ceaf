/**
 * A typed, synchronous event emitter whose emitters can't be hurt by their listeners.
 *
 * node:events throws in the emitter when a listener throws, and turns an unheard `error` into a crash. Here the
 * owner of some state emits *after* it changed, and whatever its listeners do (throw, reject, subscribe,
 * unsubscribe, emit again) the owner goes on: failures are counted and handed to `onListenerError`.
 *
 * Order: listeners of the type in the order of their subscription, then those of `onAny`. Who subscribes during an
 * emission hears the next one; who unsubscribes during an emission is not called any more.
 */

type Call = (type: string, payload: unknown) => unknown;

interface Subscription {
  readonly call: Call;
  active: boolean;
}

const NOBODY: readonly Subscription[] = [];

/** @typeParam Events a map from event name to payload. */
export class Emitter<Events extends object> {
  // Copy on write: an emission iterates over the array it found.
  readonly #byType = new Map<string, readonly Subscription[]>();
  #toAny: readonly Subscription[] = NOBODY;
  #listenerErrors = 0;
  readonly #onListenerError: ((error: unknown, type: string) => void) | undefined;

  /** @param onListenerError told of every listener that threw or rejected; may itself throw without harm. */
  constructor(onListenerError?: (error: unknown, type: string) => void) {
    this.#onListenerError = onListenerError;
  }

  /** How many times a listener threw or rejected. */
  get listenerErrors(): number {
    return this.#listenerErrors;
  }

  /** Calls `listener` at every emission of `type`. Returns the unsubscribe, which is idempotent. */
  on<K extends keyof Events & string>(type: K, listener: (payload: Events[K]) => void): () => void {
    const subscription: Subscription = {
      call: (_type, payload) => listener(payload as Events[K]),
      active: true,
    };
    this.#byType.set(type, [...(this.#byType.get(type) ?? NOBODY), subscription]);
    return () => {
      subscription.active = false;
      const rest = (this.#byType.get(type) ?? NOBODY).filter((other) => other !== subscription);
      if (rest.length === 0) this.#byType.delete(type);
      else this.#byType.set(type, rest);
    };
  }

  /** Calls `listener` at every emission. Returns the unsubscribe, which is idempotent. */
  onAny(listener: <K extends keyof Events & string>(type: K, payload: Events[K]) => void): () => void {
    const subscription: Subscription = { call: listener as Call, active: true };
    this.#toAny = [...this.#toAny, subscription];
    return () => {
      subscription.active = false;
      this.#toAny = this.#toAny.filter((other) => other !== subscription);
    };
  }

  /** Calls every listener, now. Never throws. */
  emit<K extends keyof Events & string>(type: K, payload: Events[K]): void {
    const toAny = this.#toAny;
    for (const subscription of this.#byType.get(type) ?? NOBODY) this.#deliver(subscription, type, payload);
    for (const subscription of toAny) this.#deliver(subscription, type, payload);
  }

  #deliver(subscription: Subscription, type: string, payload: unknown): void {
    if (!subscription.active) return;
    try {
      const result = subscription.call(type, payload);
      // An async listener is legal where a void one is asked for; its rejection must not end the process.
      if (result instanceof Promise) result.catch((error: unknown) => this.#failed(error, type));
    } catch (error) {
      this.#failed(error, type);
    }
  }

  #failed(error: unknown, type: string): void {
    this.#listenerErrors += 1;
    try {
      this.#onListenerError?.(error, type);
    } catch {
      // Whoever reports errors has failed as well; the counter still tells.
    }
  }
}
