/**
 * What a gateway worker counts, as it tells its primary. Plain data that crosses a process boundary. Counters only
 * grow, from 0 at the worker's start; gauges say what is now. Bounded: a row for each upstream of the snapshot, and
 * for one that left only until its last request is finished.
 */
import type { Histogram } from './histogram.js';

/** Final answers by class of their status: 1xx (101, an upgrade), 2xx, 3xx, 4xx, 5xx. */
export type AnswerClasses = readonly [number, number, number, number, number];

/** Counters of one upstream in one pool, of one worker or of several added up. */
export interface UpstreamCounters {
  readonly answers: AnswerClasses;
  /** Attempts that brought no answer: refused, timed out, closed too early, not HTTP. */
  readonly failures: number;
  /** Attempts here that were repeated, here or elsewhere. */
  readonly retries: number;
  /** Times that it was taken out because of its traffic. */
  readonly ejections: number;
  /** Connections opened to it. */
  readonly connectionsOpened: number;
  /** From the pick to the end of the answer; upgrades and failed attempts are not in it. */
  readonly latency: Histogram;
}

export interface UpstreamStats {
  readonly pool: string;
  /** host:port. */
  readonly id: string;
  readonly counters: UpstreamCounters;
  /** Requests under way there, upgraded connections included. */
  readonly inFlight: number;
  /** Open connections to it, idle ones included. */
  readonly connections: number;
  /** How much longer it stays out because of its traffic, ms; 0 when it is not. */
  readonly ejectedForMs: number;
}

export interface WorkerStats {
  readonly upstreams: readonly UpstreamStats[];
  readonly clients: {
    /** Open now. */
    readonly connections: number;
    /** Of them, upgraded (WebSocket). */
    readonly upgraded: number;
    readonly accepted: number;
    /** Answers that clients got, whoever gave them. */
    readonly answers: AnswerClasses;
  };
  /**
   * Answers that the gateway gave in an upstream's place, and connections that it closed, by its own code
   * (`limit.head-size`, `upstream.none`, …): a fixed set of codes.
   */
  readonly refusals: Readonly<Record<string, number>>;
  /** Access-log lines that could not be kept. */
  readonly accessLogDropped: number;
  /** Marks (distinctCount) of sessions that it has seen since its last report. */
  readonly seen: readonly number[];
}
