/**
 * After PM2's daemon became a new one it may not know our own process. Tried at every list until it is settled: else
 * the machine would be left with a supervisor that nobody restarts.
 */
import { messageOf } from '../../domain/errors.js';
import type { ManagedProcess } from '../../domain/model.js';
import type { Logger } from '../../ports.js';

export interface HandOverOptions {
  /** Starts a successor where one is needed. Rejects when it could not; it is called again then. */
  readonly onDaemonReplaced: (processes: readonly ManagedProcess[]) => Promise<void>;
  readonly logger: Logger;
}

export class HandOver {
  readonly #options: HandOverOptions;
  #isDue = false;

  constructor(options: HandOverOptions) {
    this.#options = options;
  }

  daemonReplaced(): void {
    this.#isDue = true;
  }

  /** Never rejects. */
  async review(processes: readonly ManagedProcess[]): Promise<void> {
    if (!this.#isDue) return;
    const { onDaemonReplaced, logger } = this.#options;
    try {
      await onDaemonReplaced(processes);
      this.#isDue = false;
    } catch (thrown) {
      logger.warn('no successor under the new daemon yet', { problem: messageOf(thrown) });
    }
  }
}
