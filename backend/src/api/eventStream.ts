/**
 * Live events for browsers and scripts, as server-sent events (WHATWG HTML, "Server-sent events").
 *
 * A frame's id is `<time>-<seq>`: `seq` alone starts over with the supervisor, the event's time does not. A
 * client that comes back with `Last-Event-ID` first gets what it missed, as far as the history and
 * `streamReplayEvents` reach; where that is not certain to be everything, a `stream.gap` frame says so first.
 *
 * Gateways have places of their own, so that no number of other readers keeps a failover from them.
 *
 * Nothing waits for a reader. Frames go to the socket at once, and a reader whose unsent bytes exceed
 * `streamBufferBytes` is cut off and counted; it may resume. One subscription and one timer serve all clients,
 * and neither exists while there are none.
 */
import { outgoingJson } from './outgoing.js';
import type { Response } from 'express';
import { HoldfastError } from '../domain/errors.js';
import type { EventRecord } from '../domain/events.js';
import type { ControlPlane } from '../domain/views/controlPlane.js';
import type { Logger } from '../ports.js';
import type { ApiLimits } from './settings.js';

/** `gateway`: a gateway that showed the token, or a program of this user; `other`: everything else. */
export type ReaderKind = 'gateway' | 'other';

interface Client {
  readonly response: Response;
  readonly kind: ReaderKind;
  /** Only events about this service, or null for all. */
  readonly service: string | null;
}

interface Position {
  readonly atMs: number;
  readonly seq: number;
}

const EVENT_ID = /^(\d{1,15})-(\d{1,15})$/;

export class EventStream {
  readonly #controlPlane: Pick<ControlPlane, 'events' | 'subscribe'>;
  readonly #limits: ApiLimits;
  readonly #logger: Logger;
  readonly #clients = new Set<Client>();
  #stopListening: (() => void) | null = null;
  #dropped = 0;
  #closed = false;

  constructor(controlPlane: Pick<ControlPlane, 'events' | 'subscribe'>, limits: ApiLimits, logger: Logger) {
    this.#controlPlane = controlPlane;
    this.#limits = limits;
    this.#logger = logger;
  }

  get clients(): number {
    return this.#clients.size;
  }

  /** Readers cut off because they were too slow. */
  get dropped(): number {
    return this.#dropped;
  }

  /** @throws HoldfastError 503 `stream.full` or `stream.closing`. */
  admit(kind: ReaderKind): void {
    if (this.#closed) {
      throw new HoldfastError('stream.closing', 'The supervisor is stopping.', {
        status: 503,
        retryable: true,
      });
    }
    const { gatewayStreams, streamClients } = this.#limits;
    const followers = [...this.#clients].filter((client) => client.kind === kind).length;
    if (followers >= (kind === 'gateway' ? gatewayStreams : streamClients)) {
      throw new HoldfastError(
        'stream.full',
        `${followers} clients follow the event stream already, as many as are served. Close one, or poll GET /api/ha/events.`,
        { status: 503, retryable: true, details: { retryAfterSeconds: 10 } },
      );
    }
  }

  /** Takes over `response` until the client leaves, is dropped, or `close` is called. */
  open(
    response: Response,
    { kind, service, lastEventId }: Pick<Client, 'kind' | 'service'> & { lastEventId: string | undefined },
  ): void {
    response.writeHead(200);
    response.write('retry: 2000\n\n');
    const client: Client = { response, kind, service };
    for (const frame of this.#missed(service, lastEventId)) response.write(frame);
    this.#clients.add(client);
    response.once('close', () => this.#remove(client));
    this.#stopListening ??= this.#listen();
  }

  /** Ends every stream, with a comment that says why. */
  close(): void {
    this.#closed = true;
    for (const client of this.#clients) {
      client.response.end(': the supervisor is stopping\n\n');
      this.#remove(client);
    }
  }

  #listen(): () => void {
    const unsubscribe = this.#controlPlane.subscribe((event) => this.#broadcast(event));
    const heartbeat = setInterval(() => {
      for (const client of this.#clients) this.#send(client, ': still here\n\n');
    }, this.#limits.streamHeartbeatMs);
    heartbeat.unref();
    return () => {
      clearInterval(heartbeat);
      unsubscribe();
    };
  }

  #broadcast(event: EventRecord): void {
    const frame = frameOf(event);
    for (const client of this.#clients) {
      if (client.service === null || client.service === event.service) this.#send(client, frame);
    }
  }

  #send(client: Client, frame: string): void {
    const unsentBytes = client.response.writableLength;
    if (unsentBytes <= this.#limits.streamBufferBytes) {
      client.response.write(frame);
      return;
    }
    this.#dropped += 1;
    this.#logger.warn('A reader of the event stream was too slow and was cut off', { unsentBytes });
    this.#remove(client);
    client.response.destroy();
  }

  #remove(client: Client): void {
    this.#clients.delete(client);
    if (this.#clients.size > 0) return;
    this.#stopListening?.();
    this.#stopListening = null;
  }

  #missed(service: string | null, lastEventId: string | undefined): string[] {
    if (lastEventId === undefined || lastEventId === '') return [];
    const from = positionOf(lastEventId);
    if (from === null) return [gapFrame()];
    const limit = this.#limits.streamReplayEvents;
    const found = this.#controlPlane.events({
      sinceMs: from.atMs,
      limit,
      ...(service === null ? {} : { service }),
    });
    const frames = found.filter((event) => isAfter(event, from)).map(frameOf);
    // While the history still holds the event that the client had last, it holds all that followed.
    return found.some((event) => isAt(event, from)) ? frames : [gapFrame(), ...frames];
  }
}

function frameOf(event: EventRecord): string {
  return `event: ${event.type}\nid: ${Date.parse(event.at)}-${event.seq}\ndata: ${outgoingJson(event)}\n\n`;
}

/** Between the last event a client had and the next one it gets, some may be missing. */
function gapFrame(): string {
  return 'event: stream.gap\ndata: {}\n\n';
}

function positionOf(eventId: string): Position | null {
  const [, atMs, seq] = EVENT_ID.exec(eventId) ?? [];
  return atMs === undefined || seq === undefined ? null : { atMs: Number(atMs), seq: Number(seq) };
}

function isAt(event: EventRecord, position: Position): boolean {
  return Date.parse(event.at) === position.atMs && event.seq === position.seq;
}

/** Within one millisecond `seq` decides. */
function isAfter(event: EventRecord, position: Position): boolean {
  const atMs = Date.parse(event.at);
  return atMs > position.atMs || (atMs === position.atMs && event.seq > position.seq);
}
