/** What is known of an instance from inside, where it carries an agent. All times of the supervisor's clock are monotonic. */
import type { InstanceId } from '../model.js';

/** One look from inside, a few times a second. null: not known. */
export interface AgentFigures {
  /** When it arrived (Clock.nowMs). */
  readonly atMs: number;
  readonly beatAgeMs: number;
  /** Event-loop utilisation of the main thread, 0–100. */
  readonly eluPercent: number;
  readonly delayP50Ms: number | null;
  readonly delayP99Ms: number | null;
  readonly delayMaxMs: number | null;
  readonly rssBytes: number;
  readonly heapUsedBytes: number | null;
  /** Of old objects: without the room that V8 adds for young ones. */
  readonly heapLimitBytes: number | null;
  /** Right after the last major garbage collection; null before the first. */
  readonly liveHeapBytes: number | null;
  readonly majorGcs: number;
  readonly externalBytes: number | null;
  readonly active: number;
  readonly unanswered: number;
  readonly oldestUnansweredMs: number | null;
  readonly unansweredOverdue: number;
  readonly sinceFinishedMs: number | null;
  /** Since the start of the process. */
  readonly finished: number;
  readonly aborted: number;
  readonly statuses: readonly [number, number, number, number, number];
  /** Times to finish since the figures before: [bucket of domain/statistics/histogram, count, …]; a sample of very many. */
  readonly latency: readonly number[];
  readonly latencySumMs: number;
  readonly connections: number;
  /** A debugger may hold it: its silence means nothing. */
  readonly debugged: boolean;
  readonly dropped: number;
}

/** A main thread that has been silent for the hang time-out. */
export interface Hang {
  /** The same for every message of one silence. */
  readonly hang: number;
  readonly silentMs: number;
  readonly where: 'javascript' | 'native' | 'unknown';
  /** Innermost first; empty when it is not known. */
  readonly stack: readonly string[];
  /** One sentence. */
  readonly detail: string;
  readonly requests: readonly { readonly method: string; readonly path: string; readonly ageMs: number }[];
}

/** What came with a hang or a full heap: already bounded, without environment and command line. */
export interface AgentAttachment {
  readonly kind: 'report' | 'heap-profile';
  readonly atWallMs: number;
  readonly content: unknown;
}

/** Everything remembered of one instance from inside: what a black box is filled with. */
export interface AgentRecord {
  readonly id: InstanceId;
  readonly agentVersion: string;
  readonly nodeVersion: string;
  /** Oldest first, the last 60 s. */
  readonly figures: readonly AgentFigures[];
  readonly hang: Hang | null;
  readonly attachments: readonly AgentAttachment[];
}

/** Whether its agent speaks. silent: connected, but nothing was heard for two seconds. */
export type AgentPresence = 'connected' | 'silent' | 'absent';
