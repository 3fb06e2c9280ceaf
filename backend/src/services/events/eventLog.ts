/**
 * The one way for facts to leave the control plane: numbers them, keeps them, logs them, tells the notifiers and
 * whoever listens. None of these can hurt the one who emits.
 */
import type { EventMap, EventRecord, EventType } from '../../domain/events.js';
import { severityOf } from '../../domain/events.js';
import { messageOf } from '../../domain/errors.js';
import { scrubber } from '../../lib/secrets/ofProcess.js';
import type { Clock, History, Logger, Notifier } from '../../ports.js';

export interface EventLogOptions {
  readonly clock: Clock;
  readonly history: History;
  readonly notifiers: readonly Notifier[];
  readonly logger: Logger;
}

export class EventLog {
  readonly #options: EventLogOptions;
  readonly #listeners = new Set<(event: EventRecord) => void>();
  #seq: number;

  constructor(options: EventLogOptions) {
    this.#options = options;
    // Numbers go on where the previous life ended, so that a stream resumed by number misses nothing.
    this.#seq = options.history.query({ limit: 1 }).at(-1)?.seq ?? 0;
  }

  emit<T extends EventType>(type: T, given: EventMap[T]): void {
    // Once, for all that hear of it: history, streams, notifications, answers.
    const data = scrubber.json(given) as EventMap[T];
    const { clock, history, notifiers, logger } = this.#options;
    const service = 'service' in data ? data.service : null;
    const event: EventRecord<T> = {
      seq: ++this.#seq,
      type,
      at: new Date(clock.wallMs()).toISOString(),
      service,
      data,
    };
    logger[severityOf(type)](type, { ...data });
    this.#safely(() => history.append(event));
    for (const notifier of notifiers) this.#safely(() => notifier.notify(event));
    for (const listener of this.#listeners) this.#safely(() => listener(event));
  }

  subscribe(listener: (event: EventRecord) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  query(filter: { sinceMs?: number; service?: string; limit: number }): readonly EventRecord[] {
    return this.#options.history.query(filter);
  }

  #safely(run: () => void): void {
    try {
      run();
    } catch (thrown) {
      this.#options.logger.error('somebody who is told of events failed', { problem: messageOf(thrown) });
    }
  }
}
