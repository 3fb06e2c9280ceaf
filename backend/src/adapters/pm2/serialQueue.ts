import { HoldfastError } from '../../domain/errors.js';

/** Work per key, one at a time in the order of the calls; different keys run side by side. */
export class SerialQueue {
  readonly #queues = new Map<string, { tail: Promise<unknown>; depth: number }>();
  readonly #maxDepth: number;

  /** @param maxDepth how much may wait or run per key; more is refused with `pm2.overloaded`. */
  constructor(maxDepth = 256) {
    this.#maxDepth = maxDepth;
  }

  /** Runs `work` after everything queued for `key` before, whether that succeeded or not. */
  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const queue = this.#queues.get(key) ?? { tail: Promise.resolve(), depth: 0 };
    if (queue.depth >= this.#maxDepth) return Promise.reject(overloaded(key, this.#maxDepth));
    this.#queues.set(key, queue);
    queue.depth += 1;
    const result = queue.tail.then(work);
    queue.tail = result
      .catch(() => undefined)
      .finally(() => {
        queue.depth -= 1;
        if (queue.depth === 0) this.#queues.delete(key);
      });
    return result;
  }
}

function overloaded(key: string, maxDepth: number): HoldfastError {
  return new HoldfastError('pm2.overloaded', `${maxDepth} operations on ${key} are waiting already.`, {
    status: 503,
    retryable: true,
  });
}
