/**
 * Posts what people should know to a URL, as JSON: warnings, errors and recoveries.
 *
 *   notify ──▶ queue (bounded, the oldest goes first) ──▶ one sender at a time ──▶ done
 *                                                           │  ▲
 *                                        no or a 5xx answer ▼  │ up to 3 tries, jittered pause
 *
 * The caller never waits. A burst of one kind about one instance (a crash loop) is told once; the next one told says
 * how many were held back. An outage of the receiver is logged once, and once more when it is over. The URL usually
 * contains a secret and is shown as its origin only.
 */
import { hostname } from 'node:os';

import { messageOf } from '../../domain/errors.js';
import { severityOf, type EventRecord } from '../../domain/events.js';
import { fullJitterMs } from '../../lib/backoff.js';
import { RingBuffer } from '../../lib/ringBuffer.js';
import { visible } from '../../lib/visible.js';
import type { Clock, Logger, Notifier } from '../../ports.js';

export interface WebhookOptions {
  readonly url: string;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Notifications that may wait. Default 100. */
  readonly capacity?: number;
  /** Of one try, from connecting to the last byte of the answer. Default 5000. */
  readonly timeoutMs?: number;
  /** Longest pause before the second try; twice that before the third. Default 1000. */
  readonly backoffBaseMs?: number;
  /** How long the same is not told again. Default 60000. */
  readonly quietMs?: number;
}

/** What is posted. */
interface Notification {
  /** One line for people; chat services show it. */
  readonly text: string;
  readonly severity: 'info' | 'warn' | 'error';
  readonly node: string;
  readonly event: EventRecord;
  /** Events of the same kind held back since the last one told. */
  readonly suppressed: number;
}

type Attempt =
  { readonly ok: true } | { readonly ok: false; readonly problem: string; readonly retry: boolean };

const MOST_TRIES = 3;
const MOST_BURSTS = 500;
const LARGEST_ANSWER_BYTES = 64 * 1024;
/** How long a closing supervisor waits for what is under way. */
const CLOSE_GRACE_MS = 2_000;

export class WebhookNotifier implements Notifier {
  readonly #options: WebhookOptions;
  readonly #origin: string;
  readonly #queue: RingBuffer<Notification>;
  /** When each kind was last told, and what was held back since. Oldest first. */
  readonly #bursts = new Map<string, { toldAtMs: number; suppressed: number }>();
  readonly #abort = new AbortController();
  #sending: Promise<void> | null = null;
  #closed = false;
  #dropped = 0;
  #failing = false;

  constructor(options: WebhookOptions) {
    this.#options = options;
    this.#origin = new URL(options.url).origin;
    this.#queue = new RingBuffer(options.capacity ?? 100);
  }

  notify(event: EventRecord): void {
    const severity = severityOf(event.type);
    if (severity === 'info' && event.type !== 'service.recovered') return;
    if (this.#closed) {
      this.#dropped += 1;
      return;
    }
    const suppressed = this.#takeTurn(event);
    if (suppressed === null) return;
    const node = hostname();
    const notification = {
      text: toText(event, severity, node, suppressed),
      severity,
      node,
      event,
      suppressed,
    };
    if (this.#queue.push(notification) !== undefined) this.#dropped += 1;
    this.#sending ??= this.#sendAll();
  }

  /** Notifications that nobody received. */
  dropped(): number {
    return this.#dropped;
  }

  /** Gives what is under way two seconds, then lets go; what was not sent is counted. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    const cancel = this.#options.clock.after(CLOSE_GRACE_MS, () => this.#abort.abort());
    await this.#sending;
    cancel();
  }

  /** null: the same was told a moment ago. Otherwise how many were held back since then. */
  #takeTurn(event: EventRecord): number | null {
    const key = burstKey(event);
    const nowMs = this.#options.clock.nowMs();
    const burst = this.#bursts.get(key);
    if (burst !== undefined && nowMs - burst.toldAtMs < (this.#options.quietMs ?? 60_000)) {
      burst.suppressed += 1;
      return null;
    }
    this.#bursts.delete(key);
    this.#bursts.set(key, { toldAtMs: nowMs, suppressed: 0 });
    const [oldest] = this.#bursts.keys();
    if (this.#bursts.size > MOST_BURSTS && oldest !== undefined) this.#bursts.delete(oldest);
    return burst?.suppressed ?? 0;
  }

  async #sendAll(): Promise<void> {
    // Not in the caller's turn.
    await Promise.resolve();
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      const outcome = this.#abort.signal.aborted
        ? ({ ok: false, problem: 'the supervisor is stopping', retry: false } as const)
        : await this.#sendOne(next);
      if (!outcome.ok) this.#dropped += 1;
      this.#logChange(outcome);
    }
    // In the same turn in which the queue was found empty: whoever queues later starts a new sender.
    this.#sending = null;
  }

  async #sendOne(notification: Notification): Promise<Attempt> {
    const { clock, backoffBaseMs: baseMs = 1_000 } = this.#options;
    for (let tried = 1; ; tried += 1) {
      const outcome = await this.#post(notification);
      if (outcome.ok || !outcome.retry || tried >= MOST_TRIES || this.#abort.signal.aborted) return outcome;
      const pauseMs = fullJitterMs(tried - 1, { baseMs, capMs: 30_000 }, Math.random);
      await new Promise<void>((resolve) => {
        const cancel = clock.after(pauseMs, () => {
          this.#abort.signal.removeEventListener('abort', stop);
          resolve();
        });
        const stop = (): void => {
          cancel();
          resolve();
        };
        this.#abort.signal.addEventListener('abort', stop, { once: true });
      });
    }
  }

  async #post(notification: Notification): Promise<Attempt> {
    try {
      // Loaded when there is something to tell: it takes 20 MB.
      const { default: axios } = await import('axios');
      const deadline = AbortSignal.timeout(this.#options.timeoutMs ?? 5_000);
      const { status } = await axios.post(this.#options.url, notification, {
        signal: AbortSignal.any([deadline, this.#abort.signal]),
        maxRedirects: 0,
        maxContentLength: LARGEST_ANSWER_BYTES,
        responseType: 'text',
        validateStatus: null,
      });
      if (status >= 200 && status < 300) return { ok: true };
      const retry = status >= 500 || status === 408 || status === 429;
      return { ok: false, problem: `HTTP ${status}`, retry };
    } catch (error) {
      const tooLate = (error as { code?: unknown }).code === 'ERR_CANCELED';
      return { ok: false, problem: tooLate ? 'no answer in time' : messageOf(error), retry: true };
    }
  }

  #logChange(outcome: Attempt): void {
    const { logger } = this.#options;
    if (outcome.ok && this.#failing) {
      logger.info('notifications are delivered again', { to: this.#origin, undelivered: this.#dropped });
    } else if (!outcome.ok && !this.#failing) {
      logger.warn('a notification could not be delivered', { to: this.#origin, problem: outcome.problem });
    }
    this.#failing = !outcome.ok;
  }
}

function burstKey({ type, service, data }: EventRecord): string {
  const { instance } = data as { instance?: { pmId?: unknown } };
  return `${type} ${service ?? ''} ${String(instance?.pmId ?? '')}`;
}

/** `[error] service.quarantined on web-1: service=shop reason="…"` */
function toText(event: EventRecord, severity: string, node: string, suppressed: number): string {
  const details = Object.entries(event.data).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  const more = suppressed === 0 ? '' : ` (and ${suppressed} more like it before)`;
  return visible(`[${severity}] ${event.type} on ${node}: ${details.join(' ')}${more}`).slice(0, 1_000);
}
