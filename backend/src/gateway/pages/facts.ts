/** What the pages are told by the primary, who owns membership, checks and workers. Pulled, never pushed. */
import type { GatewaySnapshot, UpstreamSnapshot } from '../../domain/upstreams/pool.js';
import type { CertificateFact } from '../tls/certificates.js';

export interface GatewayFacts {
  /** Holdfast's version. */
  readonly version: string;
  /** Wall clock, ms. */
  readonly startedAtMs: number;
  /** The one that workers are to have. */
  readonly snapshot: GatewaySnapshot;
  /** Those that live, in a stable order. */
  readonly workers: readonly WorkerFact[];
  /** Workers that ended without being asked to, so far. */
  readonly workerRestarts: number;
  /** Where an upstream comes from and how its last active check went, by its id (host:port). */
  readonly upstreams: ReadonlyMap<string, UpstreamFact>;
  /** Where upstreams come from: one for each pool. */
  readonly sources: readonly SourceFact[];
  /** What is wrong and stays so until somebody acts, a sentence each: a refused configuration, say. */
  readonly problems: readonly string[];
  /** Those that TLS is served with; none without TLS. */
  readonly certificates: readonly CertificateFact[];
  /** Lines that the file of the access log could not keep. */
  readonly accessLogDropped: number;
}

export interface WorkerFact {
  /** Unique to one start of one worker; what its reports are filed under. */
  readonly id: number;
  readonly pid: number;
  readonly state: 'starting' | 'serving' | 'stopping';
  /** Wall clock, ms. */
  readonly startedAtMs: number;
  /** Version of the snapshot that it has confirmed; null before the first. */
  readonly snapshotVersion: number | null;
}

export interface UpstreamFact {
  /** Name of its source. */
  readonly source: string;
  /** Its source has withdrawn it; it stays because the pool would be empty without it. */
  readonly kept: boolean;
  /** What its source says is wrong with it, for people; null: nothing. */
  readonly fault: string | null;
  /** null before the first check. */
  readonly lastCheck: {
    /** Wall clock, ms. */
    readonly atMs: number;
    readonly ok: boolean;
    readonly latencyMs: number;
    /** For people: "HTTP 503, expected 200–399"; empty when it was fine. */
    readonly detail: string;
  } | null;
}

/** Whether its source has withdrawn it while nothing is wrong with it: a planned leave, though it is kept for now. */
export function isLeaving(fact: UpstreamFact | undefined): boolean {
  return fact?.kept === true && fact.fault === null && fact.lastCheck?.ok !== false;
}

/**
 * How it is shown. Workers go by the snapshot alone, for which one that was withdrawn drains, whatever the reason; people
 * are to see a failure as one, and a planned leave as none.
 */
export function shownState(
  { state }: Pick<UpstreamSnapshot, 'state'>,
  fact: UpstreamFact | undefined,
): UpstreamSnapshot['state'] {
  if (state === 'down' && isLeaving(fact)) return 'draining';
  if (state === 'draining' && (fact?.fault ?? null) !== null) return 'down';
  return state;
}

export interface SourceFact {
  /** `supervisor`, `static`, `dns`, … */
  readonly name: string;
  readonly pool: string;
  /**
   * live: its last answer is what is served. polling: it is, too, but changes are learnt later, by asking again and again.
   * stale: it does not answer, its last good answer is kept.
   */
  readonly state: 'live' | 'polling' | 'stale';
  /** What to know about it, or why it is stale. */
  readonly detail: string;
}
