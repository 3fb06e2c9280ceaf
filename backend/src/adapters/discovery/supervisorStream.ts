/**
 * The supervisor's event stream as one source follows it:
 *
 *   apart ──stream opened──▶ following ──stream ended, silent, or malformed──▶ apart
 *     └──refused, or no connection──▶ apart (after a pause that grows)
 */
import { request, type Agent, type ClientRequest, type IncomingMessage } from 'node:http';
import { messageOf } from '../../domain/errors.js';
import { GATEWAY_FIELD } from '../../domain/statistics/traffic.js';
import { fullJitterMs } from '../../lib/backoff.js';
import type { Clock } from '../../ports.js';
import { EventStreamReader, type ServerEvent } from './eventStream.js';
import { explainFailure } from './getJson.js';

export interface SupervisorStreamOptions {
  readonly target: URL;
  readonly agent: Agent;
  readonly headers: Readonly<Record<string, string>>;
  readonly clock: Clock;
  readonly random: () => number;
  /** A stream without a sign of life for so long is given up. */
  readonly silenceMs: number;
  readonly onOpen: () => void;
  readonly onEvent: (event: ServerEvent) => void;
  /** Once for each attempt. @param refused the supervisor answered, with another status than 200. */
  readonly onLost: (why: string, refused: boolean) => void;
}

const BACKOFF = { baseMs: 200, capMs: 5_000 };
/** A stream that lasted for so long was a good one: the next attempt follows at once. */
const GOOD_MS = 10_000;

export class SupervisorStream {
  readonly #options: SupervisorStreamOptions;
  #stream: ClientRequest | null = null;
  /** Since when the stream is open, monotonic; null: it is not. */
  #openSinceMs: number | null = null;
  #failures = 0;
  #closed = false;
  #cancelRetry: () => void = () => undefined;
  #cancelSilence: () => void = () => undefined;

  constructor(options: SupervisorStreamOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#openSinceMs !== null;
  }

  /** Attempts without success since the last stream. */
  get failures(): number {
    return this.#failures;
  }

  start(): void {
    const { target, agent, headers } = this.#options;
    const fields = { accept: 'text/event-stream', [GATEWAY_FIELD]: 'stream', ...headers };
    const stream = request(target, { agent, headers: fields });
    this.#stream = stream;
    this.#awaitSign(stream);
    stream.on('response', (answer) => this.#read(stream, answer));
    stream.on('error', (error) => this.#lost(stream, explainFailure(error, target)));
    stream.end();
  }

  close(): void {
    this.#closed = true;
    this.#cancelRetry();
    this.#leave();
  }

  #read(stream: ClientRequest, answer: IncomingMessage): void {
    answer.on('error', () => this.#lost(stream, 'the event stream broke off'));
    if (answer.statusCode !== 200) {
      answer.resume();
      this.#lost(stream, refusalText(answer.statusCode), true);
      return;
    }
    if (stream !== this.#stream) return;
    const { clock, onEvent, onOpen } = this.#options;
    const reader = new EventStreamReader(onEvent);
    answer.setEncoding('utf8');
    answer.on('data', (chunk: string) => {
      if (stream !== this.#stream) return;
      this.#awaitSign(stream);
      try {
        reader.push(chunk);
      } catch (error) {
        this.#lost(stream, messageOf(error));
      }
    });
    answer.on('end', () => this.#lost(stream, 'it ended the event stream'));
    this.#openSinceMs = clock.nowMs();
    onOpen();
  }

  #awaitSign(stream: ClientRequest): void {
    const { clock, silenceMs } = this.#options;
    this.#cancelSilence();
    this.#cancelSilence = clock.after(silenceMs, () =>
      this.#lost(stream, `it has been silent for ${Math.round(silenceMs / 1000)} s`),
    );
  }

  /** Once per stream. */
  #lost(stream: ClientRequest, why: string, refused = false): void {
    if (stream !== this.#stream) return;
    const { clock, random, onLost } = this.#options;
    const wasGood = this.#openSinceMs !== null && clock.nowMs() - this.#openSinceMs >= GOOD_MS;
    this.#leave();
    if (this.#closed) return;
    const attempt = wasGood ? 0 : this.#failures;
    this.#failures = attempt + 1;
    onLost(why, refused);
    const delayMs = BACKOFF.baseMs / 2 + fullJitterMs(attempt, BACKOFF, random);
    this.#cancelRetry = clock.after(delayMs, () => this.start());
  }

  #leave(): void {
    this.#cancelSilence();
    this.#openSinceMs = null;
    const stream = this.#stream;
    this.#stream = null;
    stream?.destroy();
  }
}

/** For people. */
export function refusalText(status: number | undefined): string {
  return `it answered ${status ?? 'nothing'}${status === 401 ? '; see haApiToken' : ''}`;
}
