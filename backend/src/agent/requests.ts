/**
 * Counts the HTTP requests of the process, on its main thread, through the channels that node:http itself publishes.
 * Nothing of the application is wrapped, and no listener is added to its objects.
 *
 *   http.server.request.start     → under way
 *   http.server.response.finish   → finished: status, time
 *   its socket is gone by then    → aborted; found by `sweep`, because there is no channel for it
 *
 * What is under way is held in a list, and node:http holds the same objects for as long: until the answer is finished or
 * the socket closed, and at most a sweep longer. The list is bounded; what does not fit is counted and otherwise ignored.
 * Two readings of the clock would be half of what this costs, so of a service that answers thousands a second only a
 * sample is timed; all are counted. What is not timed began, as far as ages go, at the reading before, a moment ago.
 *
 * Upgrades (WebSockets) never begin here, and probes of Holdfast are left out: they would make a service that does
 * nothing look alive.
 */
import diagnostics from 'node:diagnostics_channel';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { nowMs } from './clock.js';
import { bucketOf } from './latency.js';
import { add, METHODS, PATH_BYTES, RECENT, RECENT_FIELDS, read, SLOT, type SharedMemory } from './memory.js';
import { UnderWayList, type UnderWay } from './underWay.js';

/** Requests under way that are followed; more are counted as dropped. */
const MOST_UNDER_WAY = 10_000;
/** Servers whose connections are counted. */
const MOST_SERVERS = 32;
/** More than so many begun from one sweep to the next (about 2 000 a second), and only every eighth is timed. */
const MANY_PER_SWEEP = 500;
const TIMED_OF_MANY = 8;
/** Unanswered for longer than this is overdue. */
const OVERDUE_MS = 2_000;
const QUESTION_MARK = '?'.charCodeAt(0);
/** How Holdfast's own requests name themselves (adapters/probes/http.ts). */
const PROBE = 'holdfast-probe';

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly server: Server;
}

export class RequestWatch {
  readonly #memory: SharedMemory;
  readonly #numbers: Float64Array;
  readonly #underWay = new UnderWayList();
  readonly #servers: WeakRef<Server>[] = [];
  #lastServer: Server | null = null;
  /** One request in so many is timed. */
  #stride = 1;
  #begunBefore = 0;
  /** The last reading of the clock. */
  #atMs = 0;

  constructor(memory: SharedMemory) {
    this.#memory = memory;
    this.#numbers = memory.numbers;
  }

  /** Subscribes. Loads nothing: an application without HTTP pays nothing. */
  start(): void {
    diagnostics.subscribe(
      'http.server.request.start',
      this.#guarded((exchange) => this.#begin(exchange)),
    );
    diagnostics.subscribe(
      'http.server.response.finish',
      this.#guarded((exchange) => this.#finish(exchange)),
    );
  }

  /** Looks at all that is under way: a few times a second. */
  sweep(): void {
    const atMs = nowMs();
    const begun = read(this.#numbers, SLOT.begun);
    this.#stride = begun - this.#begunBefore > MANY_PER_SWEEP ? TIMED_OF_MANY : 1;
    this.#begunBefore = begun;
    this.#atMs = atMs;
    let unanswered = 0;
    let overdue = 0;
    let oldestAtMs = 0;
    for (const underWay of this.#underWay) {
      const { request, response, startedAtMs } = underWay;
      if (request.socket?.destroyed !== false) {
        this.#forget(underWay);
        add(this.#numbers, SLOT.aborted, 1);
      } else if (!response.headersSent) {
        unanswered += 1;
        if (atMs - startedAtMs > OVERDUE_MS) overdue += 1;
        if (oldestAtMs === 0) oldestAtMs = startedAtMs; // the first is the oldest
      }
    }
    this.#lastServer = null; // a closed server is not to be kept
    this.#numbers[SLOT.unanswered] = unanswered;
    this.#numbers[SLOT.unansweredOverdue] = overdue;
    this.#numbers[SLOT.oldestUnansweredAtMs] = oldestAtMs;
    this.#countConnections();
  }

  /** HTTP servers that have had a request and still exist. */
  servers(): Server[] {
    return this.#servers.flatMap((reference) => reference.deref() ?? []);
  }

  /** To the requests under way, in the order in which these began. */
  *responses(): IterableIterator<ServerResponse> {
    for (const { response } of this.#underWay) yield response;
  }

  #begin({ request, response, server }: Exchange): void {
    const number = read(this.#numbers, SLOT.begun);
    const isTimed = number % this.#stride === 0;
    const startedAtMs = isTimed ? this.#now() : this.#atMs;
    add(this.#numbers, SLOT.steps, 1);
    if (request.headers['user-agent'] === PROBE) return;
    if (server !== this.#lastServer) this.#meet(server);
    if (this.#underWay.size >= MOST_UNDER_WAY) {
      add(this.#numbers, SLOT.dropped, 1);
      return;
    }
    this.#underWay.add({ request, response, startedAtMs, number, isTimed });
    this.#numbers[SLOT.active] = this.#underWay.size;
    this.#note(number, startedAtMs, request);
  }

  /** Where the hang watch finds it: now, because this request may be the one that blocks. */
  #note(number: number, startedAtMs: number, request: IncomingMessage): void {
    const { recent, paths } = this.#memory;
    const place = number % RECENT;
    const at = place * RECENT_FIELDS;
    recent[at] = startedAtMs;
    recent[at + 1] = METHODS.indexOf(request.method ?? '');
    recent[at + 2] = 0;
    writePath(paths, place * (PATH_BYTES + 1), request.url ?? '');
    this.#numbers[SLOT.begun] = number + 1;
  }

  #finish({ response }: Exchange): void {
    add(this.#numbers, SLOT.steps, 1);
    const underWay = this.#underWay.find(response);
    if (underWay === null) return; // a probe, or one that did not fit
    this.#forget(underWay);
    if (underWay.isTimed) {
      const elapsedMs = this.#now() - underWay.startedAtMs;
      add(this.#numbers, SLOT.latencySumMs, elapsedMs);
      add(this.#memory.latency, bucketOf(elapsedMs), 1);
    }
    const statusClass = Math.floor(response.statusCode / 100);
    add(this.#numbers, SLOT.finished, 1);
    if (statusClass >= 1 && statusClass <= 5) add(this.#numbers, SLOT.statuses + statusClass - 1, 1);
    this.#numbers[SLOT.lastFinishedAtMs] = this.#atMs;
  }

  /** Reads the clock, which is half of what a request costs here. The main thread gets on, too: see mainThread.ts. */
  #now(): number {
    this.#atMs = nowMs();
    this.#numbers[SLOT.lastStepAtMs] = this.#atMs;
    return this.#atMs;
  }

  #forget(underWay: UnderWay): void {
    const { number } = underWay;
    this.#underWay.remove(underWay);
    this.#numbers[SLOT.active] = this.#underWay.size;
    // Its place belongs to a later request by now if 64 have begun since.
    if (read(this.#numbers, SLOT.begun) - number <= RECENT) {
      this.#memory.recent[(number % RECENT) * RECENT_FIELDS + 2] = 1;
    }
  }

  #meet(server: Server): void {
    this.#lastServer = server;
    const known = this.servers();
    if (known.includes(server)) return;
    if (known.length >= MOST_SERVERS) {
      add(this.#numbers, SLOT.dropped, 1);
      return;
    }
    this.#servers.splice(0, this.#servers.length, ...[...known, server].map((one) => new WeakRef(one)));
  }

  #countConnections(): void {
    let total = 0;
    for (const server of this.servers()) {
      // Answered in this turn or the next: the figure of a moment ago is good enough.
      server.getConnections((error, count) => {
        if (error === null) total += count;
        this.#numbers[SLOT.connections] = total;
      });
    }
  }

  /** An error of ours must never become one of the application's request. */
  #guarded(handle: (exchange: Exchange) => void): (message: unknown) => void {
    return (message) => {
      try {
        handle(message as Exchange);
      } catch {
        add(this.#numbers, SLOT.dropped, 1);
      }
    };
  }
}

/** Without query, which may hold secrets. Written by hand, because a path is short and a call into node is not. */
function writePath(paths: Uint8Array, start: number, url: string): void {
  const most = Math.min(url.length, PATH_BYTES);
  let length = 0;
  for (; length < most; length += 1) {
    const code = url.charCodeAt(length);
    if (code === QUESTION_MARK) break;
    paths[start + 1 + length] = code;
  }
  paths[start] = length;
}
