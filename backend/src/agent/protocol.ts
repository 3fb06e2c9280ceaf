/**
 * What agent and supervisor say to each other over the unix socket of the deployment (`<data>/run/agents.sock`).
 *
 * Both ways one JSON object a line (UTF-8, `\n`), at most MAX_LINE_BYTES long. The agent opens the connection and says
 * `hello`; the supervisor answers `welcome`; from then on the agent sends `figures` a few times a second, and the rest
 * when it happens. Nothing is acknowledged: what is lost is lost, the next figures are a quarter of a second away.
 *
 * A side that gets a line it can't understand counts and drops it; a line that is too long ends the connection. A
 * message of an unknown type, and unknown fields of a known one, are ignored: that is how the two grow apart and still
 * talk. `protocol` changes only when that is not enough; a supervisor that gets another number says so in its log once
 * and ends the connection, and the agent tries again with a growing pause.
 *
 * The supervisor does not import this file: it validates what arrives (adapters/agents), because an agent is whatever
 * connects. test/integration/agent holds the two together.
 */

/* Only types: what ES modules (tests) may import of this CommonJS project. The numbers are in limits.ts. */

/** First on every connection. */
export interface Hello {
  readonly type: 'hello';
  readonly protocol: number;
  readonly pid: number;
  /** Version of Holdfast that the agent came with. */
  readonly agent: string;
  /** process.version */
  readonly node: string;
  /** Wall clock, ms since the epoch. */
  readonly startedAtMs: number;
}

/** Of the last interval, unless said otherwise. null: not known. */
export interface Figures {
  readonly type: 'figures';
  /** Grows by one per message of this process; what does not grow is a replay and is dropped. */
  readonly seq: number;
  /** Since the main thread last ran its heartbeat, or began or finished a request; normally below two beats (100 ms). */
  readonly beatAgeMs: number;
  /** Event-loop utilisation of the main thread, 0 to 1; 1 while it is blocked. */
  readonly elu: number;
  /** How late the heartbeats were, ms; one that is overdue is among them. */
  readonly delayP50Ms: number | null;
  readonly delayP99Ms: number | null;
  readonly delayMaxMs: number | null;
  readonly rssBytes: number;
  /** Of the main isolate. */
  readonly heapUsedBytes: number | null;
  /** Of old objects (`--max-old-space-size`): without the room that V8 adds for young ones. */
  readonly heapLimitBytes: number | null;
  /** Heap used right after the last major garbage collection: what is really alive. null before the first one. */
  readonly liveHeapBytes: number | null;
  /** Major garbage collections since the start of the process; several within one turn of the loop are one. */
  readonly majorGcs: number;
  /** Outside the JavaScript heap: buffers and what bindings hold. */
  readonly externalBytes: number | null;
  /** HTTP requests begun and not finished (1xx and upgrades not counted); long answers are among them. */
  readonly active: number;
  /** Those among them whose answer has not begun: no head was written yet. Probes of Holdfast are not among them. */
  readonly unanswered: number;
  /** Age of the oldest unanswered one. null: there is none. */
  readonly oldestUnansweredMs: number | null;
  /** How many unanswered ones are older than two seconds. */
  readonly unansweredOverdue: number;
  /** Since a request (not a probe) last finished. null: none ever did. */
  readonly sinceFinishedMs: number | null;
  /** Finished since the start of the process. */
  readonly finished: number;
  /** Aborted by their client, or cut off by the application, before they were finished; since the start. */
  readonly aborted: number;
  /** Finished ones by class of status since the start: 1xx, 2xx, 3xx, 4xx, 5xx. */
  readonly statuses: readonly [number, number, number, number, number];
  /**
   * Times to finish since the last `figures`, sparse: [bucket, count, bucket, count, …]. Bucket b holds what is above
   * bound b − 1 and not above bound b of the series 0.1 · 10^(b/10) ms, rounded as in domain/statistics/histogram.ts. Of all
   * requests up to about 2 000 a second, of every eighth beyond: shares are right, counts are those of the sample.
   */
  readonly latency: readonly number[];
  /** Sum of those times (of the sample, then), ms. */
  readonly latencySumMs: number;
  /** Open connections of HTTP servers. */
  readonly connections: number;
  /** A debugger is attached or may be (its port is open): silence of the main thread means nothing then. */
  readonly debugged: boolean;
  /** What the agent had to leave out since its start: messages while not connected, failures of its own. */
  readonly dropped: number;
}

/** The main thread has been silent for the hang time-out. Sent once per silence, then again if the stack came later. */
export interface Hang {
  readonly type: 'hang';
  /** Same number for all messages of one silence. */
  readonly hang: number;
  readonly silentMs: number;
  /** In JavaScript (its stack was taken) or in native code that lets nobody in until it returns. */
  readonly where: 'javascript' | 'native' | 'unknown';
  /** Innermost first, "blockHere (/app/server.js:10:5)". Empty when nothing is known. */
  readonly stack: readonly string[];
  /** One sentence for people: "blocked for 1.0 s in blockHere (/app/server.js:10:5)". */
  readonly detail: string;
  /** Requests it was busy with, oldest first, at most 10: method and path without query. */
  readonly requests: readonly { readonly method: string; readonly path: string; readonly ageMs: number }[];
}

/** It goes on: how long it was silent after all. */
export interface Recovered {
  readonly type: 'recovered';
  readonly hang: number;
  readonly silentMs: number;
}

/** A Node.js diagnostic report or a sampling heap profile; environment, command line and addresses are removed. */
export interface Attachment {
  readonly type: 'attachment';
  /** `report` belongs to a hang; `heap-profile` is sent from time to time while the heap is nearly full. */
  readonly kind: 'report' | 'heap-profile';
  readonly content: unknown;
}

/** It was asked to stop and now lets its requests finish; what follows is its end. */
export interface Stopping {
  readonly type: 'stopping';
  readonly signal: string;
  /** Whether the agent drains (the application has no handler of its own). */
  readonly draining: boolean;
}

/** Where TCP servers of the process listen: after every welcome, and when one begins to or can't. */
export interface Listening {
  readonly type: 'listening';
  readonly addresses: readonly { readonly address: string; readonly port: number }[];
  /** The last address that it could not listen on. */
  readonly refused: { readonly code: string; readonly address: string; readonly port: number } | null;
}

export type AgentMessage = Hello | Figures | Hang | Recovered | Attachment | Stopping | Listening;

/** The supervisor's answer to `hello`; sent again when a setting changed. */
export interface Welcome {
  readonly type: 'welcome';
  readonly protocol: number;
  /** Silence of the main thread that counts as a hang. */
  readonly hangTimeoutMs: number;
  /** Between two `figures`. */
  readonly intervalMs: number;
  /** From SIGINT to SIGKILL: a drain ends clearly before. */
  readonly killTimeoutMs: number;
}
