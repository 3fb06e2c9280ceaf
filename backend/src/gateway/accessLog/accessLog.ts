/**
 * A worker's end of the access log. Workers don't write the file: two writers of one rotated file can tear each
 * other's lines and rotate twice. They hand whole batches of lines to the primary, who alone appends and rotates.
 *
 *   record ─▶ sampled? ─▶ line ─▶ buffer ──64 KiB, or 200 ms after the first──▶ primary ─▶ rotating file
 *                                    ▲                                             │
 *                                    └──────────── one batch at a time ◀── taken ──┘
 *
 * While the primary is busy with a batch, lines wait in bounded memory; what does not fit is dropped and counted.
 */
import type { RequestRecord } from '../shared/requestRecord.js';
import type { Clock } from '../../ports.js';
import { FORMATTERS, type AccessLogFormat, type LineFormatter } from './lines.js';

export interface AccessLogSettings {
  readonly format: AccessLogFormat;
  /** Share of requests that are logged, 0–1. */
  readonly sample: number;
}

export interface AccessLogOptions extends AccessLogSettings {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Hands a batch over: whole lines, separated by line feeds. `taken` is to be called when it has arrived. */
  readonly send: (batch: string) => void;
}

const BATCH_CHARACTERS = 64 * 1024;
/** Characters that may wait; a line is longer than this only in theory. */
export const MOST_WAITING_CHARACTERS = 1024 * 1024;
const FLUSH_MS = 200;
/** What the primary has not taken by then is lost: it has other worries. */
const CLOSE_MS = 500;

export class AccessLog {
  readonly #options: AccessLogOptions;
  readonly #format: LineFormatter;
  #lines: string[] = [];
  #characters = 0;
  #underWay = 0;
  #onAllTaken: (() => void) | null = null;
  #isScheduled = false;
  #dropped = 0;

  constructor(options: AccessLogOptions) {
    this.#options = options;
    this.#format = FORMATTERS[options.format];
  }

  /** Lines that could not be kept. */
  get dropped(): number {
    return this.#dropped;
  }

  /** A request is over. Never throws, never waits. */
  record(record: RequestRecord): void {
    const { sample, random, clock } = this.#options;
    if (sample < 1 && random() >= sample) return;
    const line = this.#format(record, clock.wallMs());
    if (this.#characters + line.length > MOST_WAITING_CHARACTERS) {
      this.#dropped += 1;
      return;
    }
    this.#lines.push(line);
    this.#characters += line.length + 1;
    if (this.#characters >= BATCH_CHARACTERS) this.flush();
    else this.#schedule();
  }

  /** A batch that was sent has arrived. */
  taken(): void {
    this.#underWay = Math.max(0, this.#underWay - 1);
    if (this.#underWay === 0) this.#onAllTaken?.();
    if (this.#characters >= BATCH_CHARACTERS) this.flush();
    else if (this.#lines.length > 0) this.#schedule();
  }

  /** Sends what waits, unless a batch is under way. */
  flush(): void {
    if (this.#underWay === 0) this.#send();
  }

  /** The worker ends: sends what waits in any case, and resolves when it has arrived, or after CLOSE_MS. */
  async close(): Promise<void> {
    this.#send();
    if (this.#underWay === 0) return;
    await new Promise<void>((resolve) => {
      const cancel = this.#options.clock.after(CLOSE_MS, resolve);
      this.#onAllTaken = () => {
        cancel();
        resolve();
      };
    });
  }

  #send(): void {
    if (this.#lines.length === 0) return;
    const batch = this.#lines.join('\n');
    this.#lines = [];
    this.#characters = 0;
    this.#underWay += 1;
    this.#options.send(batch);
  }

  #schedule(): void {
    if (this.#isScheduled || this.#underWay > 0) return;
    this.#isScheduled = true;
    this.#options.clock.after(FLUSH_MS, () => {
      this.#isScheduled = false;
      this.flush();
    });
  }
}
