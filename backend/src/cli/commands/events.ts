/** `events`: what happened, and with --follow what happens. */
import type { EventRecord } from '../../domain/events.js';
import { HoldfastError, messageOf } from '../../domain/errors.js';
import type { StatusView } from '../../domain/views/controlPlane.js';
import { parse, UsageError, wholeNumber, type Command } from '../command.js';
import type { CliContext } from '../context.js';
import { pause } from '../deployment.js';
import { eventLine } from '../render.js';
import { unknownService } from '../services.js';

/** The API gives no more at once. */
const MOST_EVENTS = 1_000;
const RECONNECT_MS = 1_000;
/** Of those shown last, so that none is shown twice after a new connection. */
const KEYS_REMEMBERED = 2_000;

export const events: Command = {
  summary: 'what happened, and with --follow what happens',
  usage: `Usage: npx holdfast events [--service NAME] [--since TIME] [--limit N] [--follow] [--json]

What the supervisor did and saw, newest last.

    npx holdfast events --service my-api --since 10m
    npx holdfast events --follow

  --service NAME  only of this service
  --since TIME    nothing older: 90s, 10m, 2h, 3d, or a time such as 2026-11-30T12:00:00Z
  --limit N       at most so many, 1 to ${MOST_EVENTS} (default 20, with --since ${MOST_EVENTS})
  --follow, -f    go on with what happens from now on, until Ctrl-C
  --json          one JSON object a line, for machines
  --help          this text`,
  toleratesMistakes: true,

  async run(args, context) {
    const values = parse(args, {
      service: { type: 'string' },
      since: { type: 'string' },
      limit: { type: 'string' },
      follow: { type: 'boolean', short: 'f', default: false },
      json: { type: 'boolean', default: false },
    });
    const sinceMs = values.since === undefined ? null : readSince(values.since, Date.now());
    const standard = sinceMs === null ? 20 : MOST_EVENTS;
    const limit = values.limit === undefined ? standard : wholeNumber('limit', values.limit, MOST_EVENTS);
    const reader = new EventReader(context, { service: values.service ?? null, json: values.json });
    const shown = await reader.showHistory(sinceMs, limit);
    if (shown === 0) await reader.explainNone();
    if (values.follow) await reader.follow();
    return 0;
  },
};

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * "10m" before `nowMs`, or a time of its own. @returns milliseconds since 1970.
 * @throws UsageError for anything else.
 */
export function readSince(text: string, nowMs: number): number {
  const [, amount, unit] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text) ?? [];
  if (amount !== undefined) return nowMs - Number(amount) * UNITS[unit as keyof typeof UNITS];
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(time)) return time;
  throw new UsageError(
    `--since is "${text}"; it must be an age such as 90s, 10m, 2h or 3d, or a time such as 2026-11-30T12:00:00Z.`,
  );
}

class EventReader {
  readonly #context: CliContext;
  readonly #service: string | null;
  readonly #json: boolean;
  readonly #shown = new Set<string>();
  #lastAtMs = Date.now();

  constructor(context: CliContext, { service, json }: { service: string | null; json: boolean }) {
    this.#context = context;
    this.#service = service;
    this.#json = json;
  }

  /** @returns how many there were. */
  async showHistory(sinceMs: number | null, limit: number): Promise<number> {
    const query = new URLSearchParams({ limit: String(limit) });
    if (sinceMs !== null) query.set('since', String(Math.max(0, Math.floor(sinceMs))));
    if (this.#service !== null) query.set('service', this.#service);
    const { data } = await this.#context.api.get<{ events: readonly EventRecord[] }>(
      `/api/ha/events?${query}`,
    );
    for (const record of data.events) this.#show(record);
    return data.events.length;
  }

  /** A name that nothing is known of is a mistake; one without events is none. */
  async explainNone(): Promise<void> {
    const { api, terminal } = this.#context;
    if (this.#service !== null) {
      const { services } = (await api.get<StatusView>('/api/ha/status')).data;
      const names = services.map(({ name }) => name);
      if (!names.includes(this.#service)) throw unknownService(this.#service, names);
    }
    if (!this.#json) terminal.line('No events.');
  }

  /** Shows live events until the process is ended; a supervisor that goes away is waited for. */
  async follow(): Promise<never> {
    for (;;) {
      try {
        const stream = await this.#context.api.events(new AbortController().signal);
        // What happened between the history and the stream.
        await this.showHistory(this.#lastAtMs, MOST_EVENTS);
        for await (const record of stream) {
          if (this.#service === null || record.service === this.#service) this.#show(record);
        }
        this.#context.terminal.warning('The supervisor ended the connection; waiting for it.');
      } catch (error) {
        const isAway = !(error instanceof HoldfastError) || error.code === 'supervisor.unreachable';
        if (!isAway) throw error;
        this.#context.terminal.progress(`waiting for the supervisor: ${messageOf(error)}`);
      }
      await pause(RECONNECT_MS);
    }
  }

  #show(record: EventRecord): void {
    // A supervisor counts anew in each of its lives.
    const key = `${record.at} ${record.seq}`;
    if (this.#shown.has(key)) return;
    this.#shown.add(key);
    const [oldest] = this.#shown;
    if (this.#shown.size > KEYS_REMEMBERED && oldest !== undefined) this.#shown.delete(oldest);
    this.#lastAtMs = Date.parse(record.at);
    if (this.#json) this.#context.terminal.json(record, 0);
    else this.#context.terminal.line(eventLine(record));
  }
}
