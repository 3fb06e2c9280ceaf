/**
 * Where the parts of the agent meet. It lives in two threads of the application's process:
 *
 *   main thread   host.ts: a heartbeat, figures of requests and of the heap (all written to shared memory), the graceful
 *                 stop and the breadcrumbs. Runs inside the application, so every callback swallows its errors.
 *   agent thread  thread.ts: the socket to the supervisor, the figures it sends, and the hang watch, which works from
 *                 shared memory alone and therefore goes on while the main thread is blocked.
 *
 * Times are ms of `nowMs` (clock.ts): monotonic and the same in both threads.
 */
import type { ServerResponse } from 'node:http';
import type { Attachment, Hang, Recovered, Stopping, Welcome } from './protocol.js';

/** What the supervisor has said last, or the defaults. */
export type Settings = Omit<Welcome, 'type' | 'protocol'>;

/** A request that the main thread has begun and not finished. */
export interface RequestUnderWay {
  readonly method: string;
  /** Without query. */
  readonly path: string;
  readonly ageMs: number;
}

/** The main thread as seen from shared memory: may be asked at any time, also while it is blocked. */
export interface MainThreadView {
  /**
   * Heartbeats so far: turns of the event loop, and requests begun or finished (mainThread.ts). 0: the application's
   * first synchronous part (loading its modules) still runs, which may take as long as it likes: no hang is judged.
   */
  beats(): number;
  /** Since the last heartbeat; since the preload where there was none yet. */
  beatAgeMs(): number;
  /** At the last heartbeat a debugger was attached, or its port was open. */
  debugged(): boolean;
  /** At the last heartbeat, bytes; 0 before the first. */
  heapUsedBytes(): number;
  heapLimitBytes(): number;
  /** Memory outside the heap that belongs to its objects, bytes. */
  externalBytes(): number;
  /** Of the last 64 begun those that are not finished, oldest first, at most 10. Probes are not among them. */
  requests(): readonly RequestUnderWay[];
}

/** Shared bytes that belong to the breadcrumbs alone; what they mean is theirs to say. Zeros at first. */
export interface BreadcrumbMemory {
  /** 4 numbers. */
  readonly state: Float64Array;
  /** 8 KiB of text. */
  readonly text: Uint8Array;
}

/** What the hang watch gets, in the agent thread. */
export interface HangWatchContext {
  readonly main: MainThreadView;
  readonly breadcrumbs: BreadcrumbMemory;
  /** As of now: ask each time. */
  settings(): Settings;
  /** Whether a supervisor listens. Without one nobody may be disturbed: no stack, no report is taken. */
  isConnected(): boolean;
  /** Queued while there is no connection (bounded), never throws. */
  send(message: Hang | Recovered | Attachment): void;
}

export interface HangWatch {
  /** Called every TICK_MS by the agent thread; gaps between calls say that this thread itself was held up. */
  tick(): void;
}

export const TICK_MS = 50;

/** What the graceful stop gets, on the main thread. */
export interface GracefulStopContext {
  /** As of now: ask each time. */
  settings(): Settings;
  /** HTTP servers that have answered a request since the start (bounded); one without requests is not known here. */
  servers(): readonly object[];
  /** Answers to the HTTP requests under way, in the order in which the requests began; probes of Holdfast are left out. */
  responses(): Iterable<ServerResponse>;
  /** What the event loop hears now may have waited so long for it, ms, because the loop was busy. 0 before it turns. */
  heardAfterMs(): number;
  /** Passed to the supervisor by the agent thread. */
  announce(message: Stopping): void;
}
